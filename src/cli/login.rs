//! `login`: joins the tailnet once, with a key or a user's login in a browser, so that `run` needs neither.

use std::io::IsTerminal;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::ask::refuse_running;
use super::diagnostics::{FLUSH, start_log};
use super::run::exit_code;
use super::{ConfigArgs, complain, exit, refuse, show};
use crate::config::{Config, LogConfig};
use crate::control::ControlTask;
use crate::run::{self, LoginStep};
use crate::stored::{self, Owner};
use crate::tsnet::Status;

pub(super) fn login(args: &ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    if config.node.ephemeral {
        complain(
            "remote-ollama-proxy: node.ephemeral = true: the tailnet would remove the node as soon as `login` ends: \
             start `run` with a key, or set node.ephemeral = false",
        );
        return exit::CONFIG;
    }
    if let Some(code) = refuse_running(&config) {
        return code;
    }
    // To the terminal, even if the config names a file.
    let log = start_log(&LogConfig { file: None, ..config.log.clone() });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let was_tagged =
        matches!(stored::read(&config.node.state_dir), Ok(Some(node)) if node.owner == Some(Owner::Tags));
    let timeout = crate::time::format_duration(config.node.up_timeout);
    complain(&format!("Asking the control server, for at most {timeout}…"));
    let joined = runtime.block_on(run::login(&config, |wait| prompt(wait, &config, was_tagged)));
    if let Ok((log, _)) = log {
        log.flush(FLUSH);
    }
    match joined {
        Ok(status) => {
            if was_tagged && status.tags.is_empty() {
                complain(&lost_tags(&config, &status));
            }
            other_name(&config, &status).iter().for_each(|warning| complain(warning));
            show(&outcome(&status))
        }
        Err(failure) => {
            complain(&format!("remote-ollama-proxy: {failure}"));
            exit_code(&failure)
        }
    }
}

/// The warning for a node that got another name than the configured one.
fn other_name(config: &Config, status: &Status) -> Option<String> {
    let given = status.dns_name.split('.').next().filter(|name| !name.is_empty())?;
    let wanted = &config.node.hostname;
    (given != wanted).then(|| {
        let way_out = at_control(config, ControlTask::Rename);
        format!("the name {wanted} is taken in the tailnet, so clients have to use {given}: {way_out}")
    })
}

fn outcome(status: &Status) -> String {
    let owner = match &status.user {
        Some(user) => user.clone(),
        None => status.tags.join(", "),
    };
    let at = status.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let name = if status.dns_name.is_empty() { "this node" } else { &status.dns_name };
    let already = if status.stored { "already " } else { "" };
    format!("{already}logged in: {name} ({at}), as {owner}\n`remote-ollama-proxy run` starts without a key\n")
}

fn at_control(config: &Config, task: ControlTask) -> String {
    task.at(config.node.control_url.as_deref())
}

/// The warning for a node that lost its tags by this login.
fn lost_tags(config: &Config, status: &Status) -> String {
    format!(
        "the node had tags and now belongs to {}, so rules of the tailnet policy for its tags no longer apply: {}, \
         or run `remote-ollama-proxy logout`, set node.tags and log in again",
        status.user.as_deref().unwrap_or("a user"),
        at_control(config, ControlTask::Tag)
    )
}

/// Tells the user what to do. A closed standard output is ignored.
fn prompt(wait: LoginStep<'_>, config: &Config, was_tagged: bool) {
    let _ = match wait {
        LoginStep::Login(url) => {
            if was_tagged && config.node.tags.is_empty() {
                complain(&format!(
                    "this node has tags, and node.tags is not set: this login would make it the device of its user. \
                     To keep its tags, stop here and set node.tags, or {}",
                    at_control(config, ControlTask::ExtendKey)
                ));
            }
            let code = if std::io::stdout().is_terminal() { qr(url) } else { String::new() };
            show(&format!("Log the node in with a browser at\n\n    {url}\n\n{code}Waiting for the login.\n"))
        }
        LoginStep::Approval => {
            show(&format!("Waiting for an admin to {}.\n", at_control(config, ControlTask::Approve)))
        }
    };
}

/// The text as a QR code of half blocks; empty if it is too long. Light on dark, as on most terminals; scanners read
/// both.
fn qr(text: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, qrcode::EcLevel::L) else {
        return String::new();
    };
    code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_url_fits_a_terminal() {
        let code = qr("https://login.tailscale.com/a/0123456789abcdef");
        let lines: Vec<_> = code.trim_end().lines().collect();
        assert!(lines.len() <= 24, "{code}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{code}");
        assert!(code.contains('▀') && code.contains('█'), "{code}");
        assert_eq!(qr(&"a".repeat(5000)), "");
    }

    #[test]
    fn outcome_names_the_owner_or_the_tags() {
        let mut status = Status {
            dns_name: "llm.tail.ts.net".to_owned(),
            addresses: vec!["100.64.0.1".parse().unwrap()],
            service_addresses: Vec::new(),
            cert_domains: Vec::new(),
            magic_dns: true,
            user: None,
            tags: vec!["tag:ai-server".to_owned()],
            stored: true,
        };
        assert!(
            outcome(&status)
                .starts_with("already logged in: llm.tail.ts.net (100.64.0.1), as tag:ai-server\n")
        );
        (status.user, status.stored) = (Some("anna@example.com".to_owned()), false);
        assert!(
            outcome(&status).starts_with("logged in: llm.tail.ts.net (100.64.0.1), as anna@example.com\n")
        );
    }
}
