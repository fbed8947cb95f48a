//! A file that holds a credential.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::credential::{Credential, CredentialKind, KeyFault};
use super::source::CredentialSource;

/// Files of this length in bytes and longer are refused.
const TOO_LONG: u64 = 4096;

/// Reads a credential from a file that only this user and root can read. Follows symbolic links and checks their
/// target.
///
/// # Errors
/// All faults of the file. A missing file is no fault.
pub fn read(path: &Path, kind: CredentialKind) -> Result<CredentialSource, Vec<KeyFault>> {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblock).open(path);
    let meta = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => fs::metadata(path), // its error may be more precise
    };
    let meta = match meta {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Ok(CredentialSource::MissingFile(path.to_owned()));
        }
        other => other.map_err(|e| vec![KeyFault::Unreadable(e)])?,
    };
    if !meta.is_file() {
        return Err(vec![KeyFault::NoFile]);
    }
    let mut faults = permission_faults(path, &meta);
    match opened.map_err(KeyFault::Unreadable).and_then(|file| parse(file, kind)) {
        Ok(credential) if faults.is_empty() => Ok(CredentialSource::File(path.to_owned(), credential)),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

fn permission_faults(path: &Path, meta: &Metadata) -> Vec<KeyFault> {
    let mut faults = Vec::new();
    let me = rustix::process::geteuid().as_raw();
    if is_foreign(meta.uid(), me) {
        faults.push(KeyFault::Owner { path: path.to_owned(), uid: meta.uid(), me });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        faults.push(KeyFault::Mode { path: path.to_owned(), mode });
    }
    faults
}

fn parse(file: File, kind: CredentialKind) -> Result<Credential, KeyFault> {
    let mut text = String::new();
    match file.take(TOO_LONG).read_to_string(&mut text) {
        Ok(n) if n < TOO_LONG as usize => Credential::parse(kind, &text),
        Ok(_) => Err(KeyFault::Content(kind)),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(KeyFault::Content(kind)),
        Err(error) => Err(KeyFault::Unreadable(error)),
    }
}

fn is_foreign(owner: u32, me: u32) -> bool {
    owner != me && owner != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Folder {
            Folder(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn key(path: &Path) -> String {
        read(path, CredentialKind::AuthKey).unwrap().key().unwrap().expose().to_owned()
    }

    fn faults(path: &Path, kind: CredentialKind) -> Vec<String> {
        read(path, kind).unwrap_err().iter().map(KeyFault::to_string).collect()
    }

    #[test]
    fn one_line_is_accepted_with_or_without_a_line_end() {
        let folder = Folder::new();
        for text in ["key", "key\n", "key\r\n", " key \n\n"] {
            assert_eq!(key(&folder.write("key", text.as_bytes(), 0o600)), "key");
        }
        assert_eq!(key(&folder.write("read-only", b"key", 0o400)), "key");
    }

    #[test]
    fn file_that_other_users_may_access_is_refused() {
        let folder = Folder::new();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777] {
            let path = folder.write("key", b"key", mode);
            let expected =
                format!("has mode {mode:04o}, so other users can access it: chmod 600 {}", path.display());
            assert_eq!(faults(&path, CredentialKind::AuthKey), [expected]);
        }
    }

    #[test]
    fn file_owner_has_to_be_this_user_or_root() {
        assert!(!is_foreign(501, 501));
        assert!(!is_foreign(0, 501));
        assert!(is_foreign(502, 501));
        assert!(is_foreign(501, 0));
    }

    #[test]
    fn file_without_one_credential_is_refused() {
        let folder = Folder::new();
        let long = vec![b'a'; 5000];
        for (bytes, kind, said) in [
            (&b""[..], CredentialKind::AuthKey, "is empty"),
            (b" \n\n", CredentialKind::ClientSecret, "is empty"),
            (b"one\ntwo\n", CredentialKind::AuthKey, "one line"),
            (b"one two", CredentialKind::AuthKey, "one line"),
            (b"one\0", CredentialKind::AuthKey, "one line"),
            (b"\xff\xfe", CredentialKind::AuthKey, "one line"),
            (&long, CredentialKind::AuthKey, "one line"),
            (b"tskey-client-a", CredentialKind::AuthKey, "node.client_secret_file"),
            (b"tskey-auth-a", CredentialKind::ClientSecret, "node.auth_key_file"),
            (b"tskey-api-a", CredentialKind::AuthKey, "API access token"),
        ] {
            let found = faults(&folder.write("key", bytes, 0o600), kind);
            assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let folder = Folder::new();
        assert_eq!(faults(&folder.write("key", b"", 0o644), CredentialKind::AuthKey).len(), 2);
    }

    #[test]
    fn missing_file_is_no_fault() {
        let path = Folder::new().path("key");
        assert_eq!(read(&path, CredentialKind::AuthKey).unwrap(), CredentialSource::MissingFile(path));
    }

    #[test]
    fn symbolic_link_is_judged_by_its_target() {
        let folder = Folder::new();
        let link = folder.path("link");
        symlink("key", &link).unwrap();
        assert_eq!(
            read(&link, CredentialKind::AuthKey).unwrap(),
            CredentialSource::MissingFile(link.clone())
        );
        folder.write("key", b"key", 0o600);
        assert_eq!(key(&link), "key");
        folder.write("key", b"key", 0o644);
        assert!(faults(&link, CredentialKind::AuthKey)[0].contains("chmod 600"));
    }

    #[test]
    fn folder_pipe_and_device_are_refused_without_waiting() {
        let folder = Folder::new();
        assert!(faults(folder.0.path(), CredentialKind::AuthKey)[0].contains("is not a regular file"));
        let pipe = folder.path("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(faults(&pipe, CredentialKind::AuthKey)[0].contains("is not a regular file"));
        assert!(faults(Path::new("/dev/zero"), CredentialKind::AuthKey)[0].contains("is not a regular file"));
    }

    #[test]
    fn unreachable_path_is_a_fault() {
        let folder = Folder::new();
        let below_a_file = folder.write("file", b"key", 0o600).join("key");
        assert!(faults(&below_a_file, CredentialKind::AuthKey)[0].contains("can't be read"));
        let circle = folder.path("circle");
        symlink("circle", &circle).unwrap();
        assert!(faults(&circle, CredentialKind::AuthKey)[0].contains("can't be read"));
    }
}
