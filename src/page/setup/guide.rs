//! What the set-up tells one peer: nothing that it may not learn from Ollama itself, and nothing of other peers.

use super::clients::{CLIENTS, Client, MODEL, Step, URL};
use super::models::ListedModel;
use crate::policy::{Endpoint, EndpointSet, Model, Policy, Refusal, Rights};

/// What the set-up tells one peer.
pub(super) struct Guide {
    /// The node's name in the tailnet.
    pub(super) node: String,
    /// The addresses of Ollama. The lines use the first.
    pub(super) urls: Vec<String>,
    pub(super) models: Models,
    pub(super) ready: Vec<Ready>,
    pub(super) missing: Vec<Missing>,
    /// Whether the peer also has the page.
    pub(super) has_page: bool,
}

/// The models that a peer may use.
pub(super) struct Models {
    pub(super) listed: Vec<Offered>,
    /// Why no model is listed; empty if one is.
    pub(super) note: String,
}

/// A model that the peer may use.
pub(super) struct Offered {
    /// Its name, printable.
    pub(super) name: String,
    /// Whether the lines can name it without quoting.
    pub(super) is_plain: bool,
    /// Whether the lines name it.
    pub(super) is_chosen: bool,
    answers_prompts: bool,
}

/// A client that the peer can use.
pub(super) struct Ready {
    pub(super) client: &'static Client,
    /// Where lines belong, and the lines.
    pub(super) steps: Vec<(&'static str, String)>,
}

/// A client that asks for endpoints that the peer may not use.
pub(super) struct Missing {
    pub(super) name: &'static str,
    /// The refusal of each of them.
    pub(super) refusals: Vec<String>,
}

/// The model in the lines, if there is none to name.
pub(super) const NO_MODEL: &str = "MODEL";

/// Said about the lines of all clients.
pub(super) const WARNING: &str = "Unset any real API key of the same service first. A client that ignores these lines \
     would send your prompts to that service.";

/// What is the same for all peers, or known of the request only.
pub(super) struct Facts<'a> {
    pub(super) node: String,
    pub(super) urls: Vec<String>,
    /// Ollama's list; `None`: Ollama does not answer.
    pub(super) installed: Option<&'a [ListedModel]>,
    /// The model that the request asks for.
    pub(super) wanted: Option<&'a str>,
}

impl Guide {
    pub(super) fn new(policy: &Policy, rights: &Rights, facts: Facts<'_>) -> Guide {
        let Facts { node, urls, installed, wanted } = facts;
        let usable = policy.usable(rights);
        let mut models = Models::new(policy, rights, usable, installed);
        models.choose(wanted);
        let model = models.listed.iter().find(|model| model.is_chosen).map_or(NO_MODEL, |model| &model.name);
        let url = urls.first().map_or("", String::as_str);
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        for client in &CLIENTS {
            let lacks = client.needs.iter().filter_map(|name| Endpoint::named(name));
            let lacks = lacks.filter(|endpoint| !usable.contains(*endpoint));
            let refusals: Vec<_> = lacks.map(|endpoint| refusal(policy, endpoint)).collect();
            if refusals.is_empty() {
                let fill =
                    |Step { place, lines }: &Step| (*place, lines.replace(MODEL, model).replace(URL, url));
                ready.push(Ready { client, steps: client.steps.iter().map(fill).collect() });
            } else {
                missing.push(Missing { name: client.name, refusals });
            }
        }
        Guide { node, urls, models, ready, missing, has_page: rights.page().is_some() }
    }
}

/// Why a peer may not use `endpoint`, as a request to it is refused.
fn refusal(policy: &Policy, endpoint: Endpoint) -> String {
    let is_on = policy.endpoints.contains(endpoint);
    let refusal = if is_on { Refusal::NotGranted(endpoint) } else { Refusal::Off(endpoint) };
    format!("{}: {refusal}", endpoint.name())
}

impl Models {
    /// The models that the peer may use, unless it may not list them.
    fn new(
        policy: &Policy,
        rights: &Rights,
        usable: EndpointSet,
        installed: Option<&[ListedModel]>,
    ) -> Models {
        let named = |name: &str| Endpoint::named(name);
        let lists = [named("v1_models"), named("api_tags")];
        let none = |note: String| Models { listed: Vec::new(), note };
        if !lists.into_iter().flatten().any(|endpoint| usable.contains(endpoint)) {
            let refusals = lists.into_iter().flatten().take(1).map(|endpoint| refusal(policy, endpoint));
            return none(format!("You may not list the models. {}.", refusals.collect::<String>()));
        }
        let Some(installed) = installed else {
            return none(
                "Ollama does not answer now, so its models are not known. Try again later.".to_owned(),
            );
        };
        let is_allowed = |model: &&ListedModel| {
            (model.is_local || !policy.models.local_only)
                && rights.grant.as_ref().is_some_and(|grant| policy.models.admits(grant, &model.name))
        };
        let listed: Vec<_> = installed.iter().filter(is_allowed).map(Offered::new).collect();
        let note = if listed.is_empty() { "Ollama has no model that you may use." } else { "" };
        Models { listed, note: note.to_owned() }
    }

    /// Chooses the model that the lines name: the one that is wanted, or the first that answers prompts.
    fn choose(&mut self, wanted: Option<&str>) {
        let wanted = wanted.and_then(|name| Model::parse(name).ok());
        let is_wanted = |model: &Offered| wanted.is_some() && Model::parse(&model.name).ok() == wanted;
        let mut plain: Vec<_> = self.listed.iter_mut().filter(|model| model.is_plain).collect();
        let chosen = plain.iter().position(|model| is_wanted(model));
        let chosen = chosen.or_else(|| plain.iter().position(|model| model.answers_prompts));
        if let Some(model) = plain.get_mut(chosen.unwrap_or_default()) {
            model.is_chosen = true;
        }
    }
}

impl Offered {
    fn new(model: &ListedModel) -> Offered {
        let is_plain = model.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && model.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b));
        let printable = |c: char| if c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' };
        let name = model.name.chars().map(printable).collect();
        Offered { name, is_plain, is_chosen: false, answers_prompts: model.answers_prompts }
    }
}
