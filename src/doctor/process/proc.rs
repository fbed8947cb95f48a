//! Processes in /proc (proc(5)).

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::found::{Environment, OllamaProcess};

/// The state of a listening socket in /proc/net/tcp: the kernel's `TCP_LISTEN`.
const LISTEN: &str = "0A";

pub(super) fn listeners(root: &Path, pid: u32) -> io::Result<Vec<SocketAddr>> {
    let process = root.join(pid.to_string());
    let sockets = sockets(&process)?;
    let mut found = Vec::new();
    // Of the process' own network namespace, which in a container is not this one's.
    for table in ["net/tcp", "net/tcp6"] {
        let text = match fs::read_to_string(process.join(table)) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            other => other?,
        };
        found.extend(
            text.lines().filter_map(listener).filter(|(_, inode)| sockets.contains(*inode)).map(|l| l.0),
        );
    }
    Ok(found)
}

/// The inode numbers of a process' sockets.
fn sockets(process: &Path) -> io::Result<HashSet<String>> {
    let mut found = HashSet::new();
    for entry in fs::read_dir(process.join("fd"))? {
        // A descriptor may be closed meanwhile.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']'));
        found.extend(inode.map(str::to_owned));
    }
    Ok(found)
}

/// The address and the inode number in a line of a listening socket.
fn listener(line: &str) -> Option<(SocketAddr, &str)> {
    let mut words = line.split_whitespace();
    let (local, state) = (words.nth(1)?, words.nth(1)?);
    let inode = words.nth(5)?;
    (state == LISTEN).then_some((address(local)?, inode))
}

/// An address in hexadecimal: words of four bytes, each in the machine's order; then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(8 * at..8 * at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let all = [word(0)?, word(1)?, word(2)?, word(3)?];
        Ipv6Addr::from(<[u8; 16]>::try_from(all.concat()).ok()?).into()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

pub(super) fn ollamas(root: &Path, port: Option<u16>) -> Vec<OllamaProcess> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let process = root.join(pid.to_string());
        if !fs::read(process.join("cmdline")).is_ok_and(|line| serves(&line)) {
            continue;
        }
        let environment = fs::read(process.join("environ"))
            .ok()
            .map(|bytes| Environment::parse(String::from_utf8_lossy(&bytes).split('\0')));
        match (listeners(root, pid), port) {
            (Ok(at), Some(port)) if !at.iter().any(|at| at.port() == port) => {}
            (Ok(_), _) => found.push(OllamaProcess { pid, environment }),
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {} // it has ended
            (Err(_), _) => unread.push(OllamaProcess { pid, environment }),
        }
    }
    if found.is_empty() { unread } else { found }
}

/// Whether these arguments, each ended by a NUL, are those of `ollama serve`, or of `ollama start`, its other name.
fn serves(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split('\0');
    let program = words.next().and_then(|path| Path::new(path).file_name()?.to_str().map(str::to_owned));
    program.is_some_and(|name| name.starts_with("ollama")) && matches!(words.next(), Some("serve" | "start"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// A process with one socket, which listens on 127.0.0.1:11434 if its inode is 42.
    fn process(root: &Path, pid: u32, command: &str, environment: &str, inode: u32) {
        let process = root.join(pid.to_string());
        for folder in ["net", "fd"] {
            fs::create_dir_all(process.join(folder)).unwrap();
        }
        fs::write(process.join("cmdline"), command.replace(' ', "\0") + "\0").unwrap();
        fs::write(process.join("environ"), environment.replace(' ', "\0")).unwrap();
        symlink(format!("socket:[{inode}]"), process.join("fd/3")).unwrap();
        symlink("/dev/null", process.join("fd/0")).unwrap();
        let local = u32::from_ne_bytes([127, 0, 0, 1]);
        let lines = format!(
            "   0: {local:08X}:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 42 1 0 100\n   1: {local:08X}:2CAA 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 43 1 0 100\n"
        );
        fs::write(process.join("net/tcp"), format!("{HEAD}{lines}")).unwrap();
        let any = "0".repeat(32);
        let lines =
            format!("   0: {any}:0050 {any}:0000 0A 00000000:00000000 00:00000000 00000000 0 0 44 1\n");
        fs::write(process.join("net/tcp6"), format!("{HEAD}{lines}")).unwrap();
    }

    #[test]
    fn only_own_listening_sockets_count_as_listeners() {
        let root = tempfile::tempdir().unwrap();
        for (pid, inode, at) in [(1, 42, "127.0.0.1:11434"), (2, 43, ""), (3, 44, "[::]:80"), (4, 45, "")] {
            process(root.path(), pid, "x", "", inode);
            let found: Vec<_> =
                listeners(root.path(), pid).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(","), at, "{inode}");
        }
        // Without IPv6, and of a process that has ended.
        fs::remove_file(root.path().join("1/net/tcp6")).unwrap();
        assert_eq!(listeners(root.path(), 1).unwrap().len(), 1);
        assert!(listeners(root.path(), 9).is_err());
    }

    #[test]
    fn ollama_is_found_by_its_port() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        process(at, 1, "/usr/bin/ollama serve", "A=1 B=x=y", 42);
        process(at, 2, "/usr/bin/ollama serve", "A=2", 43);
        process(at, 3, "/usr/bin/ollama runner", "A=3", 42);
        process(at, 4, "/bin/sh ollama serve", "A=4", 42);
        let found = ollamas(at, Some(11434));
        assert_eq!(found.iter().map(|o| o.pid).collect::<Vec<_>>(), [1]);
        let environment = found[0].environment.as_ref().unwrap();
        assert_eq!((environment.get("A"), environment.get("B")), (Some("1"), Some("x=y")));
        assert_eq!(ollamas(at, None).len(), 2);
        assert!(ollamas(at, Some(80)).is_empty());
    }

    /// As for another account, whose descriptors and environment may not be read.
    #[test]
    fn ollama_that_may_not_be_read_is_named_if_no_other_serves_the_port() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        process(at, 1, "ollama serve", "A=1", 42);
        process(at, 2, "ollama start", "A=2", 42);
        // Neither can be read, with any rights.
        for (closed, stand_in) in [("2/fd", "file"), ("2/environ", "folder")] {
            let path = at.join(closed);
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
            if stand_in == "file" { fs::write(&path, "").unwrap() } else { fs::create_dir(&path).unwrap() }
        }
        assert_eq!(ollamas(at, Some(11434)).iter().map(|o| o.pid).collect::<Vec<_>>(), [1]);
        fs::remove_dir_all(at.join("1")).unwrap();
        let found = ollamas(at, Some(11434));
        assert!(found[0].pid == 2 && found[0].environment.is_none());
    }
}
