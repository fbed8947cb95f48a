//! Writes and removes the managers' files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fault::ServiceFault;

/// Writes a manager's file and creates its folders. launchd refuses a file that other users may write.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ServiceFault> {
    let written = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    };
    written().map_err(|reason| ServiceFault::File { path: path.to_owned(), reason })
}

/// Removes a manager's file. Returns whether it existed.
pub(super) fn remove(path: &Path) -> Result<bool, ServiceFault> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(reason) => Err(ServiceFault::File { path: path.to_owned(), reason }),
    }
}
