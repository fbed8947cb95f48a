//! The C interface of vendor/libtailscale made safe. The only file with `unsafe` in it.
//!
//! A descriptor becomes an [`OwnedFd`] the moment it arrives, no reference crosses a call, and no
//! panic of ours unwinds into C or Go.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::catch_unwind;
use std::ptr;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::Error;

mod sys {
    #![allow(
        dead_code,
        missing_docs,
        non_camel_case_types,
        non_upper_case_globals,
        unreachable_pub,
        clippy::all
    )]
    include!(concat!(env!("OUT_DIR"), "/tailscale.rs"));
}

/// Room for an error message, a login URL or a status; longer ones are cut.
const TEXT_MAX: usize = 4096;

/// One node of the library; closed when dropped.
pub(super) struct Handle(sys::tailscale);

/// A string option of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Opt {
    Dir,
    Hostname,
    AuthKey,
    ClientSecret,
    ControlUrl,
    Tags,
}

impl Handle {
    pub(super) fn new() -> Self {
        // SAFETY: takes nothing and only makes a handle.
        let handle = Handle(unsafe { sys::tailscale_new() });
        // SAFETY: the callback is a function that lives for ever and needs no context.
        unsafe { sys::tailscale_set_log_callback(handle.0, Some(log_line), ptr::null_mut()) };
        handle
    }

    pub(super) fn set(&self, option: Opt, value: &str) -> Result<(), Error> {
        let value = c_string(value)?;
        let set = match option {
            Opt::Dir => sys::tailscale_set_dir,
            Opt::Hostname => sys::tailscale_set_hostname,
            Opt::AuthKey => sys::tailscale_set_authkey,
            Opt::ClientSecret => sys::tailscale_set_client_secret,
            Opt::ControlUrl => sys::tailscale_set_control_url,
            Opt::Tags => sys::tailscale_set_tags,
        };
        // SAFETY: the string is NUL-terminated and outlives the call, which copies it.
        self.check(unsafe { set(self.0, value.as_ptr()) })
    }

    pub(super) fn set_ephemeral(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_set_ephemeral(self.0, on.into()) })
    }

    pub(super) fn set_port_mapping(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_set_port_mapping(self.0, on.into()) })
    }

    /// Blocks the thread until the node is up, has failed, or `timeout` has passed.
    pub(super) fn up(&self, timeout: Duration) -> Result<(), Error> {
        let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_up_within(self.0, millis) })
    }

    pub(super) fn cancel_up(&self) {
        // SAFETY: plain numbers; may be called from any thread.
        unsafe { sys::tailscale_cancel_up(self.0) };
    }

    /// Blocks the thread until the node has stopped. A second call does nothing.
    pub(super) fn close(&self) {
        // SAFETY: a handle that is closed already is answered with EBADF.
        unsafe { sys::tailscale_close(self.0) };
    }

    /// JSON of the node's name and addresses.
    pub(super) fn status(&self) -> Result<String, Error> {
        let mut buf = vec![0u8; TEXT_MAX];
        // SAFETY: the buffer is writable for the length given.
        self.check(unsafe { sys::tailscale_status(self.0, buf.as_mut_ptr().cast(), buf.len()) })?;
        Ok(text(&buf))
    }

    /// JSON of the identity at "ip" or "ip:port".
    pub(super) fn whois(&self, addr: &str) -> Result<String, Error> {
        let addr = c_string(addr)?;
        let mut buf = vec![0u8; sys::TAILSCALE_IDENTITY_MAX as usize];
        // SAFETY: the string is NUL-terminated, the buffer writable for the length given.
        self.check(unsafe {
            sys::tailscale_whois(self.0, addr.as_ptr(), buf.as_mut_ptr().cast(), buf.len())
        })?;
        Ok(text(&buf))
    }

    /// Whether the live packet filter lets `src` ("ip") connect to `dst` ("ip:port").
    pub(super) fn check_access(&self, src: &str, dst: &str) -> Result<bool, Error> {
        let (src, dst) = (c_string(src)?, c_string(dst)?);
        // SAFETY: both strings are NUL-terminated and outlive the call.
        match unsafe { sys::tailscale_check_access(self.0, src.as_ptr(), dst.as_ptr()) } {
            0 => Ok(false),
            1 => Ok(true),
            failed => Err(self.error(failed)),
        }
    }

    pub(super) fn listen(&self, addr: &str) -> Result<OwnedFd, Error> {
        let addr = c_string(addr)?;
        let mut fd = -1;
        // SAFETY: the strings are NUL-terminated, `fd` outlives the call.
        self.check(unsafe { sys::tailscale_listen(self.0, c"tcp".as_ptr(), addr.as_ptr(), &raw mut fd) })?;
        // SAFETY: on success the descriptor is fresh and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Blocks the thread for up to 30 seconds.
    pub(super) fn dial(&self, addr: &str) -> Result<Accepted, Error> {
        let addr = c_string(addr)?;
        let mut slot = AcceptSlot::new();
        // SAFETY: the strings are NUL-terminated, the struct is writable.
        self.check(unsafe {
            sys::tailscale_dial_peer(self.0, c"tcp".as_ptr(), addr.as_ptr(), slot.0.as_mut_ptr())
        })?;
        Ok(slot.take())
    }

    /// Descriptor of a stream of JSON lines.
    pub(super) fn events(&self) -> Result<OwnedFd, Error> {
        let mut fd = -1;
        // SAFETY: `fd` outlives the call.
        self.check(unsafe { sys::tailscale_events(self.0, &raw mut fd) })?;
        // SAFETY: on success the descriptor is fresh and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn check(&self, code: c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(self.error(code)) }
    }

    /// The last error of this node as a value.
    fn error(&self, code: c_int) -> Error {
        use sys::tailscale_error as kind;
        if code == libc::EBADF {
            return Error::Closed;
        }
        if code == libc::ERANGE {
            return Error::Other("an answer of the tailnet node is longer than its limit".to_owned());
        }
        let mut buf = vec![0u8; TEXT_MAX];
        // SAFETY: the buffer is writable for the length given.
        unsafe { sys::tailscale_errmsg(self.0, buf.as_mut_ptr().cast(), buf.len()) };
        let reason = text(&buf);
        // SAFETY: plain numbers.
        match unsafe { sys::tailscale_errkind(self.0) } as kind::Type {
            kind::TAILSCALE_ERR_CLOSED => Error::Closed,
            kind::TAILSCALE_ERR_CANCELED => Error::Canceled,
            kind::TAILSCALE_ERR_KEY => Error::KeyInvalid { reason },
            kind::TAILSCALE_ERR_EXPIRED => Error::KeyExpired { reason },
            kind::TAILSCALE_ERR_LOGIN => Error::LoginNeeded { url: self.login_url() },
            kind::TAILSCALE_ERR_APPROVAL => Error::ApprovalPending,
            kind::TAILSCALE_ERR_CONTROL => Error::ControlUnreachable { reason },
            kind::TAILSCALE_ERR_LOGGING => Error::LoggingRequired,
            kind::TAILSCALE_ERR_STATE => Error::StateUnusable { reason },
            _ => Error::Other(reason),
        }
    }

    fn login_url(&self) -> String {
        let mut buf = vec![0u8; TEXT_MAX];
        // SAFETY: the buffer is writable for the length given.
        unsafe { sys::tailscale_login_url(self.0, buf.as_mut_ptr().cast(), buf.len()) };
        text(&buf)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection as the library hands it over.
pub(super) struct Accepted {
    pub(super) fd: OwnedFd,
    pub(super) id: u64,
    pub(super) remote: String,
    pub(super) local: String,
    /// JSON; empty for a dialled connection.
    pub(super) identity: String,
}

/// Memory that the library fills with one connection, kept from call to call: it is 16 KiB.
pub(super) struct AcceptSlot(Box<MaybeUninit<sys::tailscale_accepted>>);

impl AcceptSlot {
    pub(super) fn new() -> Self {
        let mut slot = Box::<sys::tailscale_accepted>::new_uninit();
        // SAFETY: writes zeroes over memory that is ours; all-zero is a valid value of this struct
        // of integers and byte arrays.
        unsafe { ptr::write_bytes(slot.as_mut_ptr(), 0, 1) };
        AcceptSlot(slot)
    }

    /// Accepts a connection; `None` when none waits.
    pub(super) fn accept(&mut self, listener: BorrowedFd<'_>) -> Result<Option<Accepted>, Error> {
        // SAFETY: the descriptor is open while borrowed and the struct is writable.
        match unsafe { sys::tailscale_accept_peer(listener.as_raw_fd(), self.0.as_mut_ptr()) } {
            0 => Ok(Some(self.take())),
            libc::EAGAIN => Ok(None),
            _ => Err(Error::Closed),
        }
    }

    /// Must follow a call that has filled the slot, once.
    fn take(&mut self) -> Accepted {
        // SAFETY: `new` initialised every byte.
        let filled = unsafe { self.0.assume_init_ref() };
        Accepted {
            // SAFETY: the library has just made this descriptor and gives it away.
            fd: unsafe { OwnedFd::from_raw_fd(filled.fd) },
            id: filled.id,
            remote: c_text(&filled.remote),
            local: c_text(&filled.local),
            identity: c_text(&filled.identity),
        }
    }
}

/// Has tokio watch a descriptor for readability.
pub(super) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays the same open descriptor for as long as the AsyncFd holds it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

/// Whether the connection was broken rather than ended.
pub(super) fn conn_was_reset(id: u64) -> bool {
    // SAFETY: plain numbers; an unknown id answers 0.
    unsafe { sys::tailscale_conn_was_reset(id) != 0 }
}

/// Lets the library forget a connection; with `abort` the peer sees a reset.
pub(super) fn conn_release(id: u64, abort: bool) {
    // SAFETY: plain numbers; an unknown id is ignored.
    unsafe { sys::tailscale_conn_release(id, abort.into()) };
}

/// Called by the library, from threads of its own, for every line of its log.
extern "C" fn log_line(_context: *mut c_void, line: *const c_char, len: usize) {
    // Nothing may unwind into Go; a log line is worth losing.
    let _ = catch_unwind(|| {
        if line.is_null() {
            return;
        }
        // SAFETY: the library promises `len` readable bytes for the time of this call.
        let bytes = unsafe { std::slice::from_raw_parts(line.cast::<u8>(), len) };
        super::event::log(&String::from_utf8_lossy(bytes));
    });
}

fn c_string(s: &str) -> Result<CString, Error> {
    CString::new(s).map_err(|_| Error::Other("a value for the tailnet node contains a NUL byte".to_owned()))
}

/// The text in a buffer of the library's, up to its NUL.
fn text(buf: &[u8]) -> String {
    let end = buf.iter().position(|b| *b == 0).unwrap_or(buf.len());
    String::from_utf8_lossy(&buf[..end]).into_owned()
}

fn c_text(chars: &[c_char]) -> String {
    if !chars.contains(&0) {
        return String::new();
    }
    // SAFETY: there is a NUL within the slice.
    unsafe { CStr::from_ptr(chars.as_ptr()) }.to_string_lossy().into_owned()
}
