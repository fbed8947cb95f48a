//! `man`: renders the manual pages from the help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{complain, exit, show};

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this folder, instead of printing the main one
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs, command: Command) -> u8 {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match &args.to {
        None => match page(command) {
            Ok((_, text)) => show(&String::from_utf8_lossy(&text)),
            Err(_) => exit::FAILURE,
        },
        Some(folder) => match fs::create_dir_all(folder).and_then(|()| write(command, folder)) {
            Ok(()) => exit::OK,
            Err(error) => {
                complain(&format!("remote-ollama-proxy: {}: can't be written: {error}", folder.display()));
                exit::STATE
            }
        },
    }
}

fn write(command: Command, folder: &Path) -> io::Result<()> {
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        write(part.clone(), folder)?;
    }
    let (name, text) = page(command)?;
    fs::write(folder.join(name), text)
}

/// The file name of a page and its text.
fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    let codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // clap_mangen would render the exit codes as one paragraph.
    let page = Man::new(command.after_help(None::<&str>))
        .source(concat!("remote-ollama-proxy ", env!("CARGO_PKG_VERSION")))
        .manual("remote-ollama-proxy");
    let mut text = Vec::new();
    page.render(&mut text)?;
    exit_status(&codes).to_writer(&mut text)?;
    Ok((page.get_filename(), text))
}

/// The exit codes as the section that man-pages(7) describes.
fn exit_status(codes: &str) -> Roff {
    let mut roff = Roff::new();
    let codes = codes.lines().filter_map(|line| line.trim().split_once(' '));
    let mut codes = codes.filter(|(code, _)| code.bytes().all(|b| b.is_ascii_digit())).peekable();
    if codes.peek().is_some() {
        roff.control("SH", ["EXIT STATUS"]);
    }
    for (code, meaning) in codes {
        roff.control("TP", []).text([bold(code)]).text([roman(meaning.trim())]);
    }
    roff
}
