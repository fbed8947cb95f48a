//! The drop-in that confines the proxy's unit to the folders that it writes to. It needs a user namespace, which some
//! systems forbid to ordinary accounts. A unit with such a drop-in would not start there, so systemd tries it first.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::{remove, write};
use super::render::unit;
use super::tool::run_tool;
use super::{ManagedService, ServiceFault};

const TEMPLATE: &str = include_str!("../../systemd/remote-ollama-proxy.service.d/sandbox.conf");

/// The place of a folder in the template, in a line that is repeated for each.
const FOLDER: &str = "@FOLDER@";

/// The line that hides the bus of the account's session.
const HIDES_BUS: &str = "InaccessiblePaths=-%t/bus";

/// The folders below the home folder that a confined service can't see.
pub const HIDDEN: [&str; 2] = [".ssh", ".gnupg"];

/// What systemd 247 can't set up for an account.
const NEWER: [&str; 2] = ["ProtectControlGroups=", "ProtectKernelTunables="];

/// The exit code of the command that is tried, if the settings have no effect.
const STAYED_WRITABLE: i32 = 3;

/// What a confined service has to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The folders that it writes to, without links.
    pub folders: Vec<PathBuf>,
    /// Whether it asks other programs over the bus of the account's session.
    pub session_bus: bool,
}

/// Where the service can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confinement {
    /// Only to the folders that this drop-in names.
    Confined(PathBuf),
    /// Wherever its account can, for this reason.
    Open(String),
}

/// Writes the drop-in if systemd can set it up, and removes an older one otherwise.
pub(super) fn confine(service: &ManagedService, reach: &Reach) -> Result<Confinement, ServiceFault> {
    match try_out(reach) {
        Ok(text) => {
            let file = file(service);
            write(&file, &text)?;
            Ok(Confinement::Confined(file))
        }
        Err(reason) => {
            release(service)?;
            Ok(Confinement::Open(reason))
        }
    }
}

/// Removes the drop-in.
pub(super) fn release(service: &ManagedService) -> Result<(), ServiceFault> {
    let file = file(service);
    if remove(&file)? {
        // The operator may have drop-ins in it.
        let _ = file.parent().map(fs::remove_dir);
    }
    Ok(())
}

fn file(service: &ManagedService) -> PathBuf {
    service.file().with_extension("service.d").join("sandbox.conf")
}

/// The text of the drop-in, if systemd can set it up: with as many of the settings as it can.
fn try_out(reach: &Reach) -> Result<String, String> {
    let text = render(reach)?;
    let older: String =
        text.split_inclusive('\n').filter(|line| !NEWER.iter().any(|name| line.starts_with(name))).collect();
    if run(&text).is_ok() { Ok(text) } else { run(&older).map(|()| older) }
}

/// Runs a command with the settings of a drop-in that checks that it can't write to the home folder.
fn run(text: &str) -> Result<(), String> {
    let mut args: Vec<_> = ["--user", "--quiet", "--wait", "--collect"].map(str::to_owned).into();
    // A property has no specifiers, and the folders need not exist yet.
    let settings = text.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
    args.extend(settings.filter(|line| !line.contains("Paths=")).map(|line| format!("--property={line}")));
    args.extend(["sh", "-c", "if test -w \"$HOME\"; then exit 3; fi"].map(str::to_owned));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let output = run_tool("systemd-run", &args).map_err(|fault| fault.to_string())?;
    let reason = match output.code {
        Some(0) => return Ok(()),
        Some(STAYED_WRITABLE) => "the home folder stayed writable".to_owned(),
        Some(code) => format!("systemd-run ended with exit code {code}"),
        None => "systemd-run ended by a signal".to_owned(),
    };
    Err(format!("systemd can't confine a unit of an ordinary account here ({reason})"))
}

fn render(reach: &Reach) -> Result<String, String> {
    let folders = reach.folders.iter().map(|folder| quotable(folder)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for line in TEMPLATE.lines().filter(|line| !reach.session_bus || *line != HIDES_BUS) {
        if line.contains(FOLDER) {
            text.extend(folders.iter().map(|folder| line.replace(FOLDER, folder) + "\n"));
        } else {
            text += &format!("{line}\n");
        }
    }
    Ok(text)
}

/// systemd keeps escapes in these lists of paths, so some characters can't be written.
fn quotable(folder: &Path) -> Result<String, String> {
    let text = folder.to_str().filter(|text| !text.contains(char::is_control) && !text.contains(['"', '\\']));
    text.map(unit).ok_or_else(|| format!("{folder:?} has characters that a unit can't hold"))
}
