//! Where programs are, by paths that stay valid across updates.

use std::io;
use std::path::{Path, PathBuf};

/// Paths of Ollama outside PATH: Homebrew on Apple silicon and on Intel, and Ollama's application for macOS.
const OLLAMA: [&str; 3] = [
    "/opt/homebrew/bin/ollama",
    "/usr/local/bin/ollama",
    "/Applications/Ollama.app/Contents/Resources/ollama",
];

pub(super) fn ollama() -> Option<PathBuf> {
    in_path("ollama").chain(OLLAMA.map(PathBuf::from)).find(|path| path.is_file())
}

/// The path of this program: the one in PATH if that is the same file. Homebrew puts the version into the path of the
/// file, and a link without it into PATH.
pub(super) fn this_program() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let same = |path: &Path| path.canonicalize().ok() == this.canonicalize().ok();
    Ok(in_path("remote-ollama-proxy").find(|path| path.is_file() && same(path)).unwrap_or(this))
}

/// The candidates for a program in PATH. Relative folders are left out, which the crate `which` would search.
fn in_path(name: &'static str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.into_iter().map(move |folder| folder.join(name))
}
