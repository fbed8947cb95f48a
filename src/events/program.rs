//! Whether a program may be run for events: only the operator and root may be able to change it.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

/// The owner of root's files within a user namespace that lacks root: the kernel's default for `overflowuid`.
const UNMAPPED: u32 = 65_534;

/// Others may write.
const OTHERS: u32 = 0o002;

/// The group or others may write.
const GROUP_OR_OTHERS: u32 = 0o022;

/// Only owners may remove entries from the folder, as in /tmp.
const STICKY: u32 = 0o1000;

/// Checks that the program at `path` exists, can be executed, and that no other account can change or replace it.
///
/// # Errors
/// The reason and the way out.
pub fn check_program(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let real = path.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{shown} does not exist: correct the path"),
        _ => format!("{shown} can't be examined: {error}"),
    })?;
    let meta = examine(&real)?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a file: name a program"));
    }
    if access(&real, Access::EXEC_OK).is_err() || meta.mode() & 0o111 == 0 {
        return Err(format!("{shown} is not executable for this account: chmod u+x {shown}"));
    }
    check_owner(&real, &meta)?;
    if meta.mode() & GROUP_OR_OTHERS != 0 {
        return Err(format!("other accounts can change {shown}: chmod go-w {shown}"));
    }
    for folder in real.ancestors().skip(1) {
        let meta = examine(folder)?;
        check_owner(folder, &meta)?;
        if meta.mode() & OTHERS != 0 && meta.mode() & STICKY == 0 {
            let folder = folder.display();
            return Err(format!(
                "other accounts can replace {shown}, since they can write to {folder}: chmod o-w {folder}"
            ));
        }
    }
    Ok(())
}

fn examine(path: &Path) -> Result<Metadata, String> {
    fs::metadata(path).map_err(|error| format!("{} can't be examined: {error}", path.display()))
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), String> {
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() == me || meta.uid() == 0 {
        return Ok(());
    }
    let path = path.display();
    let way_out = if meta.uid() == UNMAPPED {
        "; a service that is confined to its folders sees root's files so: run `remote-ollama-proxy service install` again"
    } else {
        ""
    };
    Err(format!(
        "{path} belongs to account {}, which could change it: it has to belong to this account ({me}) or root{way_out}",
        meta.uid()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    fn program(dir: &Path, mode: u32) -> PathBuf {
        let path = dir.join("notify");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn program_that_only_its_owner_can_change_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o700, 0o755, 0o500] {
            assert_eq!(check_program(&program(dir.path(), mode)), Ok(()));
        }
        let link = dir.path().join("link");
        symlink(dir.path().join("notify"), &link).unwrap();
        assert_eq!(check_program(&link), Ok(()));
        assert_eq!(check_program(Path::new("/bin/sh")), Ok(()));
    }

    #[test]
    fn program_that_others_can_change_or_that_cannot_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, reason) in [
            (0o644, "is not executable"),
            (0o720, "other accounts can change"),
            (0o702, "other accounts can change"),
        ] {
            let refused = check_program(&program(dir.path(), mode)).unwrap_err();
            assert!(refused.contains(reason), "{mode:o}: {refused}");
        }
        let absent = check_program(&dir.path().join("absent")).unwrap_err();
        assert!(absent.contains("does not exist"), "{absent}");
        let folder = check_program(dir.path()).unwrap_err();
        assert!(folder.contains("is not a file"), "{folder}");
    }

    #[test]
    fn program_in_a_folder_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let path = program(&open, 0o755);
        let refused = check_program(&path).unwrap_err();
        assert!(refused.contains("can replace"), "{refused}");
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(check_program(&path), Ok(()), "in a sticky folder only the owner can replace it");
    }

    #[test]
    fn program_of_another_account_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = program(dir.path(), 0o755);
        if !rustix::process::geteuid().is_root() {
            return assert!(check_owner(&path, &fs::metadata("/bin/sh").unwrap()).is_ok());
        }
        std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
        let refused = check_program(&path).unwrap_err();
        assert!(refused.contains("belongs to account 12345") && !refused.contains("confined"), "{refused}");
        std::os::unix::fs::chown(&path, Some(UNMAPPED), None).unwrap();
        let refused = check_program(&path).unwrap_err();
        assert!(refused.contains("`remote-ollama-proxy service install`"), "{refused}");
    }
}
