//! A file that holds a secret.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Credential, CredentialKind, CredentialSource};

/// The length of a file, in bytes, from which on it holds no key.
const TOO_LONG: u64 = 4096;

/// Why a key can't be used. The words go on where the name of a file or variable ends, and never
/// show what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Not readable.
    #[error("can't be read: {0}")]
    Unreadable(io::Error),
    /// A folder, a pipe or a device.
    #[error("is not a file: name the file that holds the key")]
    NoFile,
    /// It is somebody else's, who could read it and put another in its place.
    #[error("belongs to another user, number {uid}: chown {me} {}", quoted(.path))]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// The number of the user that this process runs as.
        me: u32,
    },
    /// Others may read or write it.
    #[error("has mode {mode:04o}, so others can read it: chmod 600 {}", quoted(.path))]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing in it.
    #[error("is empty, but must hold one line with the {0}")]
    Empty(CredentialKind),
    /// More than one line or word, or no text.
    #[error("must hold one line with the {0}, and nothing else")]
    Content(CredentialKind),
    /// The other kind of secret.
    #[error(
        "holds an OAuth client secret: TS_CLIENT_SECRET or the file that node.client_secret_file names takes it"
    )]
    ClientSecret,
    /// Something else in place of a client secret.
    #[error(
        "holds no OAuth client secret, which begins with tskey-client-: {env} or the file that node.auth_key_file names takes an auth key",
        env = super::ENV
    )]
    NoClientSecret,
    /// Something after the `?` of a client secret that means nothing there.
    #[error(
        "holds an OAuth client secret with something else after its ? than ephemeral=true, preauthorized=true (or false), and baseURL=URL, joined by &"
    )]
    Attribute,
    /// A token for Tailscale's API.
    #[error("holds an API access token, with which no node can join: make an auth key instead")]
    AccessToken,
}

/// Reads a secret from a file that nobody but this user and root can read. A symbolic link is
/// followed; the rule holds for what it leads to.
///
/// # Errors
/// All that is wrong with a file that is there.
pub fn read(path: &Path, kind: CredentialKind) -> Result<CredentialSource, Vec<KeyFault>> {
    // Without O_NONBLOCK opening a pipe would wait for somebody to write to it.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let meta = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => fs::metadata(path), // may say why it can't be opened
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
    let mut faults = Vec::new();
    let me = rustix::process::geteuid().as_raw();
    if is_foreign(meta.uid(), me) {
        faults.push(KeyFault::Owner { path: path.to_owned(), uid: meta.uid(), me });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        faults.push(KeyFault::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    let credential = opened
        .and_then(|file| file.take(TOO_LONG).read_to_end(&mut bytes))
        .map_err(KeyFault::Unreadable)
        .and_then(|n| if n < TOO_LONG as usize { Ok(()) } else { Err(KeyFault::Content(kind)) })
        .and_then(|()| std::str::from_utf8(&bytes).map_err(|_| KeyFault::Content(kind)))
        .and_then(|text| Credential::parse(kind, text));
    match credential {
        Ok(credential) if faults.is_empty() => Ok(CredentialSource::File(path.to_owned(), credential)),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

fn is_foreign(owner: u32, me: u32) -> bool {
    owner != me && owner != 0
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
    fn one_line_with_or_without_its_end() {
        let folder = Folder::new();
        for text in ["key", "key\n", "key\r\n", " key \n\n"] {
            assert_eq!(key(&folder.write("key", text.as_bytes(), 0o600)), "key");
        }
        assert_eq!(key(&folder.write("read-only", b"key", 0o400)), "key");
    }

    #[test]
    fn only_its_owner_may_read_it() {
        let folder = Folder::new();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777] {
            let path = folder.write("key", b"key", mode);
            let way_out = format!("has mode {mode:04o}, so others can read it: chmod 600 {}", path.display());
            assert_eq!(faults(&path, CredentialKind::AuthKey), [way_out]);
        }
    }

    #[test]
    fn its_owner_is_this_user_or_root() {
        assert!(!is_foreign(501, 501));
        assert!(!is_foreign(0, 501));
        assert!(is_foreign(502, 501));
        assert!(is_foreign(501, 0));
    }

    #[test]
    fn anything_but_one_word_is_refused() {
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
            let said_of_it = faults(&folder.write("key", bytes, 0o600), kind);
            assert!(said_of_it.len() == 1 && said_of_it[0].contains(said), "{said_of_it:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let folder = Folder::new();
        assert_eq!(faults(&folder.write("key", b"", 0o644), CredentialKind::AuthKey).len(), 2);
    }

    #[test]
    fn a_missing_file_is_no_fault() {
        let path = Folder::new().path("key");
        assert_eq!(read(&path, CredentialKind::AuthKey).unwrap(), CredentialSource::MissingFile(path));
    }

    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
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
    fn what_is_no_file_is_refused_and_never_waited_for() {
        let folder = Folder::new();
        assert!(faults(folder.0.path(), CredentialKind::AuthKey)[0].contains("is not a file"));
        let pipe = folder.path("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(faults(&pipe, CredentialKind::AuthKey)[0].contains("is not a file"));
        assert!(faults(Path::new("/dev/zero"), CredentialKind::AuthKey)[0].contains("is not a file"));
    }

    #[test]
    fn what_can_t_be_reached_is_said() {
        let folder = Folder::new();
        let below_a_file = folder.write("file", b"key", 0o600).join("key");
        assert!(faults(&below_a_file, CredentialKind::AuthKey)[0].contains("can't be read"));
        let circle = folder.path("circle");
        symlink("circle", &circle).unwrap();
        assert!(faults(&circle, CredentialKind::AuthKey)[0].contains("can't be read"));
    }

    #[test]
    fn a_command_to_copy_stays_one_command() {
        assert_eq!(quoted(Path::new("/a/b-c_1.key")), "/a/b-c_1.key");
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
