//! `acl`: prints the entries that the tailnet policy file needs for this node, or checks such a file.

mod identity;

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::check::warn_of_missing;
use super::units::count;
use super::{ConfigArgs, complain, exit, refuse, show};
use crate::acl::{
    ControlServer, Device, Failure, FileFaults, PolicyFile, Reach, Report, Target, WarningKind, lines,
    parse_for,
};
use crate::config::{Config, PlainHttp};
use crate::control::custom_url;
use crate::policy::PageRight;
use identity::{Identity, TAG};

pub(super) const HELP: &str = "\
--check does not run sshTests. With a control server other than Tailscale's, it checks the file by the rules of Headscale
0.29.2, without its devices: `headscale policy check` on the server has the last word.

Exit codes:
   0  Success; with --check, the policy file is valid, does not admit every device, and its own tests pass
   1  With --check, the file is invalid, admits every device of the tailnet, or its tests fail or can't be evaluated
   2  The command line is wrong
  65  With --check, the policy file is valid, and no device can connect to the node
  78  The config is invalid";

#[derive(Debug, Args)]
pub(super) struct AclArgs {
    /// Check which devices this policy file lets connect to the node; - reads standard input.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The node's tag, if the node has not joined yet; can be repeated.
    #[arg(long, value_name = "TAG", value_parser = a_tag, conflicts_with = "user")]
    tag: Vec<String>,
    /// The login name of the node's owner, if the node has no tag.
    #[arg(long, value_name = "NAME", value_parser = a_user)]
    user: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

fn a_tag(text: &str) -> Result<String, String> {
    if text.strip_prefix("tag:").is_none_or(str::is_empty) {
        return Err("a tag begins with tag:, such as tag:ai-server".to_owned());
    }
    Ok(text.to_owned())
}

fn a_user(text: &str) -> Result<String, String> {
    if !text.contains('@') {
        return Err("a login name has an @, such as anna@example.com".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn acl(args: &AclArgs) -> u8 {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let control = match custom_url(config.node.control_url.as_deref()) {
        None => ControlServer::Tailscale,
        Some(_) => ControlServer::Other,
    };
    warn_of_missing(&config);
    if let Some(user) = args.user.as_deref().filter(|user| user.ends_with('@'))
        && control == ControlServer::Tailscale
    {
        complain(&format!(
            "remote-ollama-proxy: --user {user}: not a login name of Tailscale; write all of it, such as \
             anna@example.com. Headscale has names such as anna@: for it, set node.control_url or --control-url"
        ));
        return exit::USAGE;
    }
    let identity = Identity::of(&args.tag, args.user.as_deref(), &config);
    let target = target(&config, control, identity.device);
    match &args.check {
        Some(file) => check(file, args.json, &Question { target, assumed: identity.assumed, control }),
        None => {
            let tag = target.device.tags.first().map_or(TAG, String::as_str);
            let lines = lines(tag, &target, control);
            let text = if args.json { format!("{:#}\n", json!(lines)) } else { lines.hujson() };
            show(&text)
        }
    }
}

/// The node and the control server that a file is checked for.
struct Question {
    target: Target,
    /// Why the node's identity in the tailnet may be another one.
    assumed: Option<String>,
    control: ControlServer,
}

fn target(config: &Config, control: ControlServer, device: Device) -> Target {
    let (capability, access) = (config.access.capability.clone(), config.access.mode);
    // Headscale has neither Services nor certificates, and refuses a file with `svc:`.
    let (service, https) = match control {
        ControlServer::Tailscale => (config.node.service.clone(), config.https_port),
        ControlServer::Other => (None, None),
    };
    // Clients that are redirected to HTTPS connect to the HTTP port too.
    let http = (config.plain_http != PlainHttp::Off).then_some(config.port);
    let mut ports = http.into_iter().chain(https);
    Target {
        device,
        service,
        port: ports.next().unwrap_or(config.port),
        https: ports.next(),
        metrics: config.metrics_port,
        page: config.page_port,
        setup: config.page_setup,
        capability,
        access,
    }
}

fn check(file: &Path, as_json: bool, question: &Question) -> u8 {
    let text = match read(file) {
        Ok(text) => text,
        Err(e) => {
            complain(&format!("remote-ollama-proxy: read {}: {e}", file.display()));
            return exit::FAILURE;
        }
    };
    let checked = parse_for(&text, question.control).map(|policy| Checked::new(&policy, &question.target));
    let code = match &checked {
        Ok(checked) if !checked.is_valid() => exit::FAILURE,
        Ok(checked) if checked.is_closed() => exit::CLOSED,
        Ok(_) => exit::OK,
        Err(_) => exit::FAILURE,
    };
    let text = match (as_json, &checked) {
        (true, _) => format!("{:#}\n", as_value(file, question, &checked)),
        (false, Ok(checked)) => checked.table(file, question),
        (false, Err(faults)) => listed(file, faults),
    };
    show(&text).max(code)
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        return std::io::stdin().read_to_string(&mut text).map(|_| text);
    }
    std::fs::read_to_string(file)
}

/// The evaluation of a valid policy file.
struct Checked {
    expectations: usize,
    failures: Vec<Failure>,
    report: Report,
}

impl Checked {
    fn new(policy: &PolicyFile, target: &Target) -> Checked {
        let (expectations, failures) = (policy.expectations(), policy.failures());
        Checked { expectations, failures, report: policy.reach(target) }
    }

    fn is_valid(&self) -> bool {
        // These leave the node more open than the author intended.
        let opens_too_much = |kind| {
            matches!(
                kind,
                WarningKind::InvalidValue | WarningKind::UnknownCapability | WarningKind::WholeTailnet
            )
        };
        self.failures.is_empty() && !self.report.warnings.iter().any(|w| opens_too_much(w.kind))
    }

    /// Whether no device can connect to the node.
    fn is_closed(&self) -> bool {
        self.report.warnings.iter().any(|warning| warning.kind == WarningKind::Unreachable)
    }

    fn table(&self, file: &Path, question: &Question) -> String {
        let Question { target, assumed, .. } = question;
        let Report { reach, service, https, metrics, page, .. } = &self.report;
        // Writing to a String can't fail.
        let mut text = String::new();
        if let Some(why) = assumed {
            let _ = writeln!(text, "{}: the node is assumed to be {}: {why}", file.display(), target.device);
        }
        let _ = writeln!(text, "{}: who reaches {} on tcp:{}", file.display(), target.device, target.port);
        text += &rows(reach, asks);
        if let Some(name) = &target.service {
            text += &format!(
                "who reaches {name}, which it hosts, on tcp:{}\n{}",
                target.port,
                rows(service, asks)
            );
        }
        if let Some(port) = target.https {
            text += &format!("who reaches it on tcp:{port}, over HTTPS\n{}", rows(https, asks));
        }
        if let Some(port) = target.metrics {
            text += &format!("who reaches it on tcp:{port}, for the metrics\n{}", rows(metrics, reads));
        }
        if let Some(port) = target.page {
            let sees = if target.setup { sees_with_setup } else { sees };
            text += &format!("who reaches it on tcp:{port}, for the page\n{}", rows(page, sees));
        }
        let failed = self.failures.len();
        let _ = match (self.expectations, failed) {
            (0, _) => writeln!(text, "the file has no tests of its own"),
            (n, 0) => writeln!(text, "the file's own tests pass: {}", count(n, "destination")),
            (n, _) => {
                writeln!(text, "the file's own tests fail: {failed} of {}", count(n, "destination"))
            }
        };
        for failure in &self.failures {
            let _ = writeln!(text, "  {failure}");
        }
        if !self.report.warnings.is_empty() {
            text += "warnings\n";
        }
        for warning in &self.report.warnings {
            let _ = writeln!(text, "  {warning}");
        }
        text
    }
}

fn rows(reach: &[Reach], may: fn(&Reach) -> String) -> String {
    let refused: Vec<_> = reach.iter().filter(|row| row.subnet).collect();
    let reach: Vec<_> = reach.iter().filter(|row| !row.subnet).collect();
    let mut refusals = String::new();
    for row in refused {
        let through: Vec<_> = row.through.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            refusals,
            "  refused: {}, through {}: the proxy refuses clients of a subnet",
            row.source,
            through.join(", ")
        );
    }
    if reach.is_empty() {
        return format!("  no device\n{refusals}");
    }
    let wide = reach.iter().map(|row| row.source.chars().count()).max().unwrap_or_default();
    reach.iter().map(|row| lines_of(row, wide, may(row))).collect::<String>() + &refusals
}

fn lines_of(row: &Reach, wide: usize, may: String) -> String {
    let through: Vec<_> = row.through.iter().map(ToString::to_string).collect();
    let mut text = format!("  {:wide$}  through {}\n", row.source, through.join(", "));
    let mut more = |what: &str, items: Vec<String>| {
        for item in items {
            let _ = writeln!(text, "  {:wide$}  {what}{item}", "");
        }
    };
    if !row.members.is_empty() {
        more("members: ", vec![row.members.join(", ")]);
    }
    more("perhaps: ", row.perhaps.clone());
    more("may ", vec![may]);
    text
}

fn asks(row: &Reach) -> String {
    match &row.rights {
        Some(rights) => format!("request {rights}"),
        None if row.capabilities.is_empty() => {
            "request nothing: access.mode is \"grants\" and no grant applies".to_owned()
        }
        None => "request nothing: every grant is invalid".to_owned(),
    }
}

fn reads(row: &Reach) -> String {
    let may_read = row.rights.as_ref().is_some_and(|rights| rights.metrics);
    let text = if may_read { "read them" } else { "not read them: no grant has \"metrics\": true" };
    text.to_owned()
}

fn sees(row: &Reach) -> String {
    match row.rights.as_ref().and_then(|rights| rights.page) {
        Some(PageRight::View) => "see what is about its own identity".to_owned(),
        Some(PageRight::Admin) => "see everything, and cancel requests".to_owned(),
        None => "not see it: no grant has \"page\": \"view\" or \"admin\"".to_owned(),
    }
}

/// The same where the page port has the set-up. Whether the source also reaches the Ollama port is in that port's table.
fn sees_with_setup(row: &Reach) -> String {
    match &row.rights {
        Some(rights) if rights.page.is_none() => {
            "see how to set up a client, if it may use Ollama, and nothing else".to_owned()
        }
        _ => sees(row),
    }
}

fn listed(file: &Path, faults: &FileFaults) -> String {
    let mut text = String::new();
    for fault in &faults.0 {
        let _ = writeln!(text, "{}: {fault}", file.display());
    }
    text + &format!("{}: the file was not evaluated\n", count(faults.0.len(), "fault"))
}

fn as_value(file: &Path, question: &Question, checked: &Result<Checked, FileFaults>) -> serde_json::Value {
    let Question { target, assumed, .. } = question;
    let mut value = json!({
        "file": file,
        "target": {
            "tags": target.device.tags, "user": target.device.user, "service": target.service, "assumed": assumed, "port": target.port, "https_port": target.https, "metrics_port": target.metrics,
            "page_port": target.page, "capability": target.capability,
        },
        "sound": checked.as_ref().is_ok_and(Checked::is_valid),
        "faults": [],
    });
    match checked {
        Ok(Checked { expectations, failures, report }) => {
            value["tests"] = json!({"destinations": expectations, "failures": failures});
            value["reach"] = json!(report.reach);
            value["service"] = json!(report.service);
            value["https"] = json!(report.https);
            value["metrics"] = json!(report.metrics);
            value["page"] = json!(report.page);
            value["warnings"] = json!(report.warnings);
        }
        Err(faults) => value["faults"] = json!(faults),
    }
    value
}
