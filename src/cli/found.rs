//! Where programs are, by the path under which they stay when they are updated.

use std::io;
use std::path::{Path, PathBuf};

/// Where Ollama is if not in PATH: by Homebrew on Apple silicon and on Intel, and by its application.
const OLLAMA: [&str; 3] = [
    "/opt/homebrew/bin/ollama",
    "/usr/local/bin/ollama",
    "/Applications/Ollama.app/Contents/Resources/ollama",
];

pub(super) fn ollama() -> Option<PathBuf> {
    in_path("ollama").chain(OLLAMA.map(PathBuf::from)).find(|path| path.is_file())
}

/// This program, as PATH has it if it does: Homebrew puts the version into the path of the file
/// itself, and a link to it in PATH.
pub(super) fn this_program() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let same = |path: &Path| path.canonicalize().ok() == this.canonicalize().ok();
    Ok(in_path("remote-ollama-proxy").find(|path| path.is_file() && same(path)).unwrap_or(this))
}

fn in_path(name: &'static str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.into_iter().map(move |folder| folder.join(name))
}
