//! The set-up as a page. It works without a script, but for the buttons.

use std::fmt::Write;

use super::guide::{Guide, Missing, Models, NO_MODEL, Ready, WARNING};
use crate::page::files::escape;

pub(super) fn html(guide: &Guide) -> String {
    let Guide { node, urls, models, ready, missing, has_page } = guide;
    let (name, domain) = node.split_at(node.find('.').unwrap_or(node.len()));
    let urls: Vec<_> = urls.iter().map(|url| format!("<code>{}</code>", escape(url))).collect();
    format!(
        include_str!("../static/setup.html"),
        name = escape(name),
        domain = escape(domain),
        urls = urls.join(" and "),
        page = if *has_page { r#"<p><a href="/">What the node does now</a></p>"# } else { "" },
        models = models_list(models),
        warning = escape(WARNING),
        links = ready.iter().map(link).collect::<String>(),
        clients = ready.iter().map(client).collect::<String>(),
        missing = missing_list(missing),
    )
}

fn models_list(models: &Models) -> String {
    let mut html = String::new();
    // Writing to a String can't fail.
    if !models.note.is_empty() {
        let _ = write!(html, "<p>{}</p>", escape(&models.note));
    }
    let items = models.listed.iter().map(|model| {
        let name = escape(&model.name);
        match (model.is_plain, model.is_chosen) {
            // Plain names need no encoding in a query.
            (true, true) => {
                format!(r#"<li><a href="/setup?model={name}" aria-current="true">{name}</a></li>"#)
            }
            (true, false) => format!(r#"<li><a href="/setup?model={name}">{name}</a></li>"#),
            (false, _) => format!("<li>{name}</li>"),
        }
    });
    if !models.listed.is_empty() {
        let _ = write!(html, r#"<ul class="models">{}</ul>"#, items.collect::<String>());
    }
    let about = if models.listed.iter().any(|model| model.is_chosen) {
        "The lines below name the marked model. A click on another name changes that.".to_owned()
    } else {
        format!("Write the name of a model for {NO_MODEL} in the lines below.")
    };
    let _ = write!(html, r#"<p class="muted about">{about}</p>"#);
    html
}

fn link(ready: &Ready) -> String {
    format!(r##"<li><a href="#{}">{}</a></li>"##, ready.client.id, escape(ready.client.name))
}

fn client(ready: &Ready) -> String {
    let (id, name) = (ready.client.id, escape(ready.client.name));
    let steps = ready.steps.iter().map(|(place, lines)| {
        let (place, lines) = (escape(place), escape(lines));
        format!(
            r#"<p class="about muted">{place}:</p>
<div class="lines"><pre>{lines}</pre><button type="button" hidden>Copy<span class="unseen"> the lines for {name}: {place}</span></button></div>
"#
        )
    });
    let steps: String = steps.collect();
    format!(
        r#"<section aria-labelledby="{id}"><h2 id="{id}" tabindex="-1">{name}</h2>
{steps}</section>
"#
    )
}

fn missing_list(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let items = missing.iter().map(|client| {
        let refusals: Vec<_> = client.refusals.iter().map(|refusal| escape(refusal)).collect();
        format!("<dt>{}</dt><dd>{}</dd>", escape(client.name), refusals.join("<br>"))
    });
    let items: String = items.collect();
    format!(
        r#"<section aria-labelledby="missing"><h2 id="missing">Not open to you</h2>
<p class="about muted">These clients ask for endpoints that are refused to you:</p>
<dl class="missing">{items}</dl></section>
"#
    )
}
