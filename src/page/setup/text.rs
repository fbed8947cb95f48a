//! The set-up as plain text. All but the lines to copy begin with `#`.

use std::fmt::Write;

use super::guide::{Guide, NO_MODEL, WARNING};

// Writing to a String can't fail, so the results are dropped.
pub(super) fn text(guide: &Guide) -> String {
    let Guide { node, urls, models, ready, missing, .. } = guide;
    let mut text = format!("# Ollama at {node}: {}\n#\n# {WARNING}\n\n# Models\n", urls.join(", "));
    if !models.note.is_empty() {
        let _ = writeln!(text, "# {}", models.note);
    }
    for model in &models.listed {
        let mark =
            if model.is_chosen { "  (in the lines below; ?model=NAME chooses another one)" } else { "" };
        let _ = writeln!(text, "#   {}{mark}", model.name);
    }
    if !models.listed.iter().any(|model| model.is_chosen) {
        let _ = writeln!(text, "# Write the name of a model for {NO_MODEL} in the lines below.");
    }
    for client in ready {
        let _ = writeln!(text, "\n# {}", client.client.name);
        for (place, lines) in &client.steps {
            let _ = writeln!(text, "# {place}:\n{lines}");
        }
    }
    for client in missing {
        let _ = writeln!(text, "\n# {}: not open to you", client.name);
        for refusal in &client.refusals {
            let _ = writeln!(text, "# {refusal}");
        }
    }
    text
}
