//! `login`: joins the tailnet once, with a key or with a person's help, so that `run` needs neither.

use std::io::IsTerminal;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::ask::refuse_running;
use super::run::{code, start_log};
use super::{ConfigArgs, complain, exit, refuse, show};
use crate::config::Log;
use crate::run::{self, Wait};
use crate::tsnet::Status;

pub(super) fn login(args: &ConfigArgs) -> u8 {
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    if config.node.ephemeral {
        complain(
            "remote-ollama-proxy: node.ephemeral = true: the tailnet would forget the node as soon as this ends: \
             start `run` with a key, or set it to false",
        );
        return exit::CONFIG;
    }
    if let Some(code) = refuse_running(&config) {
        return code;
    }
    // To where somebody is looking; the level does not change any more.
    let _ = start_log(&Log { file: None, ..config.log.clone() });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("remote-ollama-proxy: the async runtime does not start: {error}"));
            return exit::FAILURE;
        }
    };
    let patience = humantime::format_duration(config.node.up_timeout);
    complain(&format!("Asking the control server, for at most {patience}…"));
    match runtime.block_on(run::login(&config, tell)) {
        Ok(status) => {
            let given = status.dns_name.split('.').next().unwrap_or_default();
            if !given.is_empty() && given != config.node.hostname {
                complain(&format!(
                    "the name {} was taken in the tailnet, clients must use {given}: remove the other node or rename this one in the admin console",
                    config.node.hostname
                ));
            }
            if status.lost_tags {
                complain(
                    "the node had tags and is a person's now, so rules of the tailnet policy for its tags no longer hold: give it its tags back in the admin console, or set node.tags, `logout` and log in again",
                );
            }
            show(&outcome(&status))
        }
        Err(failure) => {
            complain(&format!("remote-ollama-proxy: {failure}"));
            code(&failure)
        }
    }
}

fn outcome(status: &Status) -> String {
    let whom = match &status.user {
        Some(user) => user.clone(),
        None => status.tags.join(", "),
    };
    let at = status.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let name = if status.dns_name.is_empty() { "this node" } else { &status.dns_name };
    let already = if status.stored { "already " } else { "" };
    format!("{already}logged in: {name} ({at}), as {whom}\n`remote-ollama-proxy run` starts without a key\n")
}

/// Says what somebody has to do. Nothing can be done about a standard output that is closed.
fn tell(wait: Wait<'_>) {
    let _ = match wait {
        Wait::Login(url) => {
            let code = if std::io::stdout().is_terminal() { qr(url) } else { String::new() };
            show(&format!(
                "Log the node in, in any browser, at\n\n    {url}\n\n{code}Waiting until that is done.\n"
            ))
        }
        Wait::Approval => show("Waiting until an admin approves the device in the admin console.\n"),
    };
}

/// The text as a QR code of half blocks, with its margin; empty if it is too long for one. Light
/// on dark as most terminals are: scanners take either.
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
    fn it_says_as_whom() {
        let mut status = Status {
            dns_name: "llm.tail.ts.net".to_owned(),
            addresses: vec!["100.64.0.1".parse().unwrap()],
            service_addresses: Vec::new(),
            cert_domains: Vec::new(),
            user: None,
            tags: vec!["tag:ai-server".to_owned()],
            stored: true,
            lost_tags: false,
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
