//! The managers' files, made from those in `launchd/` and `systemd/`: what is there is what gets
//! installed, with paths where it has names between `@`.

use std::path::{Path, PathBuf};

use super::{ManagedService, Manager, Part, ServiceFault};

/// What differs from one account to the next.
#[derive(Debug, Clone, Default)]
pub struct TemplateValues {
    /// The proxy's binary.
    pub program: PathBuf,
    /// Its config file, where it is not to look for one itself.
    pub config: Option<PathBuf>,
    /// Ollama's binary.
    pub ollama: PathBuf,
    /// Where Ollama listens: a host and a port of loopback.
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
    // systemd takes no program with these in its path, however they are written (its `string_is_safe`).
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

/// A line with its value in place of the name, of which it has one at most; no line where there is
/// no value. What a value contains is not looked at again.
fn fill(line: &str, values: &[(&str, Option<String>)], escape: fn(&str) -> String) -> Option<String> {
    for (name, value) in values {
        if let Some((before, after)) = line.split_once(name) {
            return value.as_ref().map(|value| format!("{before}{}{after}\n", escape(value)));
        }
    }
    Some(format!("{line}\n"))
}

/// Text of an XML element.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text between quotation marks in a unit (systemd.syntax(7), "Quoting"; systemd.unit(5),
/// "Specifiers"). A `$` stands for itself in the two places where values stand: the program of
/// `ExecStart=`, and `Environment=` (systemd.service(5), systemd.exec(5)).
fn unit(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}
