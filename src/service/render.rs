//! Renders the managers' files from the templates in `launchd/` and `systemd/`. A name between two `@` is replaced by its
//! value.

use std::path::{Path, PathBuf};

use super::{ManagedService, Manager, Part, ServiceFault};

/// The values for the templates.
#[derive(Debug, Clone, Default)]
pub struct TemplateValues {
    /// The proxy's binary.
    pub program: PathBuf,
    /// The config file, unless it is at the default path.
    pub config: Option<PathBuf>,
    /// Ollama's binary.
    pub ollama: PathBuf,
    /// The loopback host and port for Ollama.
    pub address: String,
}

pub(super) fn render(service: &ManagedService, values: &TemplateValues) -> Result<String, ServiceFault> {
    let log = service.log_file();
    let file = service.file();
    let fault = |path: &Path| ServiceFault::UnsupportedPath { path: path.to_owned(), file: file.clone() };
    let text = |path: &Path| {
        let text = path.to_str().filter(|text| !text.contains(char::is_control));
        text.map(str::to_owned).ok_or_else(|| fault(path))
    };
    // systemd accepts no program with these characters in its path, even if they are escaped (its `string_is_safe`).
    let program = |path: &Path| match text(path)? {
        bad if service.manager == Manager::Systemd && bad.contains(['"', '\'', '\\']) => Err(fault(path)),
        good => Ok(good),
    };
    let values = [
        ("@PROGRAM@", Some(program(&values.program)?)),
        ("@CONFIG@", values.config.as_deref().map(text).transpose()?),
        ("@OLLAMA@", Some(program(&values.ollama)?)),
        ("@ADDRESS@", Some(values.address.clone())),
        ("@LOG@", log.as_deref().map(text).transpose()?),
    ];
    let escape = match service.manager {
        Manager::Launchd => xml,
        Manager::Systemd => unit,
    };
    Ok(template(service.manager, service.part)
        .lines()
        .filter_map(|line| fill(line, &values, escape))
        .collect())
}

fn template(manager: Manager, part: Part) -> &'static str {
    match (manager, part) {
        (Manager::Launchd, Part::Ollama) => {
            include_str!("../../launchd/com.remote-ollama-proxy.ollama.plist")
        }
        (Manager::Launchd, Part::Proxy) => include_str!("../../launchd/com.remote-ollama-proxy.plist"),
        (Manager::Systemd, Part::Ollama) => include_str!("../../systemd/remote-ollama-proxy-ollama.service"),
        (Manager::Systemd, Part::Proxy) => include_str!("../../systemd/remote-ollama-proxy.service"),
    }
}

/// Replaces the name in a line, which has one at most. Drops the line if the name has no value. Values are not searched
/// for names.
fn fill(line: &str, values: &[(&str, Option<String>)], escape: fn(&str) -> String) -> Option<String> {
    for (name, value) in values {
        if let Some((before, after)) = line.split_once(name) {
            return value.as_ref().map(|value| format!("{before}{}{after}\n", escape(value)));
        }
    }
    Some(format!("{line}\n"))
}

/// Escapes the text of an XML element. By hand: the templates keep their comments, which a plist writer would drop.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes text between quotation marks in a unit (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers"). `$` needs
/// no escape where the templates have values: in the program of `ExecStart=` and in `Environment=` (systemd.service(5),
/// systemd.exec(5)).
pub(super) fn unit(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}
