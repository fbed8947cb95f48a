//! The C interface of vendor/libtailscale made safe. The only file with `unsafe` in it.
//!
//! A descriptor becomes an [`OwnedFd`] and a string becomes a `String` in the call that returns it. No
//! panic of ours unwinds into C or Go.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::ReadBuf;
use tokio::signal::unix::SignalKind;

use super::error::Error;
use super::log::log;
use super::ready::Ready;

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

/// The most slices of one [`Claim::write`].
const PARTS_MAX: usize = 64;

/// A failure as the library writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    /// A `tailscale_error` of the C header.
    kind: sys::tailscale_error::Type,
    #[serde(default)]
    error: String,
    #[serde(default)]
    login_url: String,
}

impl From<Failure> for Error {
    fn from(Failure { kind, error: reason, login_url: url }: Failure) -> Self {
        use sys::tailscale_error as kinds;
        match kind {
            kinds::TAILSCALE_ERR_CLOSED => Error::Closed,
            kinds::TAILSCALE_ERR_CANCELED => Error::Canceled,
            kinds::TAILSCALE_ERR_KEY => Error::KeyInvalid { reason },
            kinds::TAILSCALE_ERR_EXPIRED => Error::KeyExpired { reason },
            kinds::TAILSCALE_ERR_LOGIN => Error::LoginNeeded { url },
            kinds::TAILSCALE_ERR_APPROVAL => Error::ApprovalPending,
            kinds::TAILSCALE_ERR_CONTROL => Error::ControlUnreachable { reason },
            kinds::TAILSCALE_ERR_LOGGING => Error::LoggingRequired,
            kinds::TAILSCALE_ERR_STATE => Error::StateUnusable { reason },
            kinds::TAILSCALE_ERR_EXCHANGE => Error::ExchangeFailed { reason },
            _ => Error::Other(reason),
        }
    }
}

/// A node of the library; closed when dropped.
#[derive(Debug)]
pub(super) struct Handle {
    sd: sys::tailscale,
    closed: AtomicBool,
}

/// Where the library writes a failure, null on success.
type FailureOut = *mut *mut c_char;

impl Handle {
    /// A node with a config in JSON.
    pub(super) fn new(config: &str) -> Result<Self, Error> {
        let config = c_string(config)?;
        let sd = checked(|failure| {
            // SAFETY: the string is NUL-terminated and outlives the call. The callback is a function
            // that lives forever and needs no context. `checked` passes a valid pointer.
            unsafe { sys::tailscale_new(config.as_ptr(), Some(log_line), ptr::null_mut(), failure) }
        })?;
        Ok(Handle { sd, closed: AtomicBool::new(false) })
    }

    /// Blocks the thread until the node has stopped. A second call does nothing.
    pub(super) fn close(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            close(self.sd);
        }
    }

    /// Descriptor of one line of JSON with the outcome. Closing it cancels.
    pub(super) fn begin_up(&self, timeout: Duration) -> Result<OwnedFd, Error> {
        // SAFETY: `checked` passes a valid pointer; the rest are plain numbers.
        descriptor(|failure| unsafe { sys::tailscale_begin_up(self.sd, millis(timeout), failure) })
    }

    /// Descriptor of JSON lines.
    pub(super) fn events(&self) -> Result<OwnedFd, Error> {
        // SAFETY: as in `begin_up`.
        descriptor(|failure| unsafe { sys::tailscale_events(self.sd, failure) })
    }

    /// Descriptor of connection ids of 8 bytes, little-endian, for [`Claim::new`].
    pub(super) fn listen(&self, port: u16) -> Result<OwnedFd, Error> {
        // SAFETY: as in `begin_up`.
        descriptor(|failure| unsafe { sys::tailscale_listen(self.sd, port, failure) })
    }

    /// JSON of the app capabilities of `src` ("ip") at `dst` ("ip:port").
    pub(super) fn capabilities(&self, src: &str, dst: &str) -> Result<String, Error> {
        let (src, dst) = (c_string(src)?, c_string(dst)?);
        text(|failure| {
            // SAFETY: both strings are NUL-terminated and outlive the call; `checked` passes a valid pointer.
            unsafe { sys::tailscale_capabilities(self.sd, src.as_ptr(), dst.as_ptr(), failure) }
        })
    }

    /// Whether the current packet filter lets `src` ("ip") connect to `dst` ("ip:port").
    pub(super) fn check_access(&self, src: &str, dst: &str) -> Result<bool, Error> {
        let (src, dst) = (c_string(src)?, c_string(dst)?);
        let allowed = checked(|failure| {
            // SAFETY: as in `capabilities`.
            unsafe { sys::tailscale_check_access(self.sd, src.as_ptr(), dst.as_ptr(), failure) }
        })?;
        Ok(allowed == 1)
    }

    /// JSON of all peers in the netmap, with their access to `ports` and the values of `capability`.
    pub(super) fn peers(&self, ports: &[u16], capability: &str) -> Result<String, Error> {
        let capability = c_string(capability)?;
        text(|failure| {
            // SAFETY: the slice and the NUL-terminated string outlive the call, which copies them; `checked`
            // passes a valid pointer.
            unsafe {
                sys::tailscale_peers(self.sd, ports.as_ptr(), ports.len(), capability.as_ptr(), failure)
            }
        })
    }

    /// JSON of the outcome. Blocks the thread, for at most `timeout` and some seconds.
    pub(super) fn logout(&self, timeout: Duration) -> Result<String, Error> {
        // SAFETY: as in `begin_up`.
        text(|failure| unsafe { sys::tailscale_logout(self.sd, millis(timeout), failure) })
    }

    /// JSON of the certificate for `name`, valid for at least `at_least`. Blocks the thread, for at most
    /// `timeout`.
    pub(super) fn certificate(
        &self,
        name: &str,
        at_least: Duration,
        timeout: Duration,
    ) -> Result<String, Error> {
        let name = c_string(name)?;
        let (at_least, timeout) = (millis(at_least), millis(timeout));
        text(|failure| {
            // SAFETY: the string is NUL-terminated and outlives the call; `checked` passes a valid pointer.
            unsafe { sys::tailscale_certificate(self.sd, name.as_ptr(), at_least, timeout, failure) }
        })
    }

    pub(super) fn host_service(&self, name: &str, port: u16) -> Result<(), Error> {
        let name = c_string(name)?;
        // SAFETY: as in `certificate`.
        checked(|failure| unsafe { sys::tailscale_host_service(self.sd, name.as_ptr(), port, failure) })
    }

    pub(super) fn advertise_service(&self, on: bool) -> Result<(), Error> {
        // SAFETY: as in `begin_up`.
        checked(|failure| unsafe { sys::tailscale_advertise_service(self.sd, on.into(), failure) })
    }
}

impl Drop for Handle {
    /// Closes the node on a thread of its own, since that blocks, and an async task may drop the handle.
    fn drop(&mut self) {
        if *self.closed.get_mut() {
            return;
        }
        let sd = self.sd;
        let spawned = std::thread::Builder::new().name("tsnet-close".to_owned()).spawn(move || close(sd));
        if spawned.is_err() {
            close(sd);
        }
    }
}

fn close(sd: sys::tailscale) {
    // SAFETY: `checked` passes a valid pointer; a closed handle is a failure.
    let closed = checked(|failure| unsafe { sys::tailscale_close(sd, failure) });
    if let Err(error) = closed {
        tracing::debug!(%error, "close the tailnet node");
    }
}

/// Calls the library and turns its failure into an error.
fn checked<T>(call: impl FnOnce(FailureOut) -> T) -> Result<T, Error> {
    let mut failure = ptr::null_mut();
    let value = call(&raw mut failure);
    let Some(json) = take_text(failure) else { return Ok(value) };
    match serde_json::from_str::<Failure>(&json) {
        Ok(failure) => Err(failure.into()),
        Err(e) => Err(Error::Other(format!("parse failure of the tailnet node: {e}"))),
    }
}

/// A call that returns a descriptor.
fn descriptor(call: impl FnOnce(FailureOut) -> c_int) -> Result<OwnedFd, Error> {
    // SAFETY: without a failure the library returns a fresh descriptor that belongs to the caller.
    checked(call).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A call that returns a string.
fn text(call: impl FnOnce(FailureOut) -> *mut c_char) -> Result<String, Error> {
    checked(call).map(|text| take_text(text).unwrap_or_default())
}

/// Copies and frees a string that the library has returned; `None` for null.
fn take_text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: a string of the library is NUL-terminated and belongs to the caller.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: freed once and not used afterwards.
    unsafe { sys::tailscale_free(text) };
    Some(copy)
}

/// Removes the variables with credentials from the environment of this process, including Go's copy of it.
/// Call it while this program has no other thread.
pub(crate) fn forget_credentials() {
    // SAFETY: this changes C's environment, which no other thread may read in the meantime. The caller has the
    // only thread of this program, and Go's threads read Go's copy.
    unsafe { sys::tailscale_forget_credentials() };
}

/// Adds SA_ONSTACK to the installed handler of this signal: on a thread that runs Go code, the handler then uses the
/// alternate signal stack, which Go gives each such thread, and not the stack of a goroutine, which it could overflow. Go
/// requires the flag of every handler (package os/signal).
pub(crate) fn use_signal_stack(kind: SignalKind) -> io::Result<()> {
    let signal = kind.as_raw_value();
    let mut action = action_of(signal)?;
    action.sa_flags |= libc::SA_ONSTACK;
    // SAFETY: `action` is what is installed for this signal, with one more flag, and the handler does not depend on its stack.
    match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What is installed for a signal.
fn action_of(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: with null for the new action the call changes nothing, and `action` has room for the present one.
    match unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } {
        // SAFETY: the call has written it.
        0 => Ok(unsafe { action.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A claimed connection, released when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    id: u64,
    /// Shared with the library until the release.
    ready: Arc<Ready>,
}

impl Claim {
    /// Claims the connection `id` and returns it with JSON of its addresses and peer; `None` if it was reset
    /// while it waited.
    pub(super) fn new(id: u64) -> Option<(Self, String)> {
        // SAFETY: a plain number; an unknown id returns null.
        let info = take_text(unsafe { sys::tailscale_conn_claim(id) })?;
        let ready = Arc::new(Ready::new());
        let context = Arc::as_ptr(&ready).cast_mut().cast();
        let claim = Claim { id, ready };
        // SAFETY: `claim` keeps the context alive until it has released the connection, and the library makes
        // no call after that.
        unsafe { sys::tailscale_conn_on_readable(id, Some(on_readable), context) };
        Some((claim, info))
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Reads what has been received.
    pub(super) fn poll_read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.ready.poll(cx));
            let mut more = 0;
            // SAFETY: nothing reads the uninitialised part before it is written.
            let room = unsafe { buf.unfilled_mut() };
            // SAFETY: the memory is writable for the given length and borrowed during the call.
            let n = unsafe {
                sys::tailscale_conn_read(self.id, room.as_mut_ptr().cast(), room.len(), &raw mut more)
            };
            if n == -(rustix::io::Errno::AGAIN.raw_os_error() as isize) {
                continue;
            }
            if n <= 0 || more != 0 {
                self.ready.set();
            }
            let Ok(n) = usize::try_from(n) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            // SAFETY: the library has written n bytes.
            unsafe { buf.assume_init(n) };
            buf.advance(n);
            return Poll::Ready(Ok(()));
        }
    }

    /// Writes without blocking and returns the number of bytes taken: 0 under backpressure, and until the
    /// library has passed on the `streamed` bytes ever written to the descriptor.
    pub(super) fn write(&self, bufs: &[IoSlice<'_>], streamed: u64) -> usize {
        let count = bufs.len().min(PARTS_MAX) as c_int;
        // SAFETY: an IoSlice is ABI-compatible with iovec on Unix; the bytes are borrowed during the call,
        // which copies what it takes.
        unsafe { sys::tailscale_conn_write(self.id, bufs.as_ptr().cast(), count, streamed) }
    }

    /// The descriptor for what [`write`](Self::write) does not take. A connection has at most one.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: a plain number; an unknown id returns -1.
        match unsafe { sys::tailscale_conn_descriptor(self.id) } {
            ..0 => Err(io::ErrorKind::ConnectionReset.into()),
            // SAFETY: the library returns a fresh descriptor that belongs to the caller.
            fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }

    /// Half-closes a connection that has no descriptor.
    pub(super) fn shutdown(&self) {
        // SAFETY: a plain number; an unknown id is ignored.
        unsafe { sys::tailscale_conn_shutdown(self.id) };
    }

    /// Resets and releases the connection.
    pub(super) fn reset(&self) {
        release(self.id, true);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        release(self.id, false);
    }
}

fn release(id: u64, abort: bool) {
    // SAFETY: plain numbers; an unknown id, such as one that is already released, is ignored.
    unsafe { sys::tailscale_conn_release(id, abort.into()) };
}

/// Whether the peer has half-closed or reset the connection, even if data is unread. True for a released one.
pub(super) fn conn_peer_closed(id: u64) -> bool {
    // SAFETY: a plain number; an unknown id returns 1.
    unsafe { sys::tailscale_conn_peer_closed(id) != 0 }
}

/// Resets a connection, which must still be released. Does nothing for a released one.
pub(super) fn conn_abort(id: u64) {
    // SAFETY: a plain number; an unknown id is ignored.
    unsafe { sys::tailscale_conn_abort(id) };
}

/// The library calls this on any thread, with locks of the connection held.
extern "C" fn on_readable(context: *mut c_void) {
    // A panic must not unwind into Go.
    let _ = catch_unwind(|| {
        // SAFETY: the library makes no call after the release, and the claim keeps the value until then.
        unsafe { &*context.cast::<Ready>() }.wake();
    });
}

/// The library calls this on any thread, for every line of its log.
extern "C" fn log_line(_context: *mut c_void, line: *const c_char, len: usize) {
    // A panic must not unwind into Go. Losing the line is acceptable.
    let _ = catch_unwind(|| {
        if line.is_null() {
            return;
        }
        // SAFETY: `len` bytes are readable during this call.
        let bytes = unsafe { std::slice::from_raw_parts(line.cast::<u8>(), len) };
        log(&String::from_utf8_lossy(bytes));
    });
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn c_string(s: &str) -> Result<CString, Error> {
    CString::new(s).map_err(|_| Error::Other("a value for the tailnet node contains a NUL byte".to_owned()))
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn handler_has_the_flag_for_the_signal_stack() {
        let has_flag =
            |kind: SignalKind| action_of(kind.as_raw_value()).unwrap().sa_flags & libc::SA_ONSTACK != 0;
        let usr1 = SignalKind::user_defined1();
        assert!(!has_flag(usr1));
        let mut received = crate::signals::receive(usr1).unwrap();
        assert!(has_flag(usr1));
        kill_process(getpid(), Signal::USR1).unwrap();
        received.recv().await.unwrap();
        drop(received);
        let _again = crate::signals::receive(usr1).unwrap();
        assert!(has_flag(usr1));
    }
}
