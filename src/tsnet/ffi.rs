//! The C interface of vendor/libtailscale made safe. The only file with `unsafe` in it.
//!
//! A descriptor becomes an [`OwnedFd`] the moment it arrives, no reference crosses a call, and no
//! panic of ours unwinds into C or Go.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::catch_unwind;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

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

/// Room for an error message or a login URL, and what other answers start with.
const TEXT_MIN: usize = 4 << 10;

/// The longest answer, that is the app capabilities of one peer.
const TEXT_MAX: usize = 1 << 20;

/// The most pieces that go to the tailnet in one call.
const PARTS_MAX: usize = 64;

/// One node of the library; closed when dropped.
pub(super) struct Handle {
    sd: sys::tailscale,
    closed: AtomicBool,
}

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
        let sd = unsafe { sys::tailscale_new() };
        // SAFETY: the callback is a function that lives for ever and needs no context.
        unsafe { sys::tailscale_set_log_callback(sd, Some(log_line), ptr::null_mut()) };
        Handle { sd, closed: AtomicBool::new(false) }
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
        self.check(unsafe { set(self.sd, value.as_ptr()) })
    }

    pub(super) fn set_ephemeral(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_set_ephemeral(self.sd, on.into()) })
    }

    pub(super) fn set_port_mapping(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_set_port_mapping(self.sd, on.into()) })
    }

    pub(super) fn set_start_offline(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_set_start_offline(self.sd, on.into()) })
    }

    /// Descriptor of one line of JSON that says how coming up ended. Closing it cancels.
    pub(super) fn begin_up(&self, timeout: Duration) -> Result<OwnedFd, Error> {
        let mut fd = -1;
        // SAFETY: `fd` outlives the call.
        self.check(unsafe { sys::tailscale_begin_up(self.sd, millis(timeout), &raw mut fd) })?;
        // SAFETY: on success the descriptor is fresh and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Blocks the thread until the node has stopped. A second call does nothing.
    pub(super) fn close(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            close(self.sd);
        }
    }

    /// JSON of the node's name and addresses.
    pub(super) fn status(&self) -> Result<String, Error> {
        self.text(|buf, len| {
            // SAFETY: `text` hands in a buffer that is writable for the length given.
            unsafe { sys::tailscale_status(self.sd, buf, len) }
        })
    }

    /// JSON of the identity at "ip" or "ip:port".
    pub(super) fn whois(&self, addr: &str) -> Result<String, Error> {
        let addr = c_string(addr)?;
        self.text(|buf, len| {
            // SAFETY: the string is NUL-terminated; `text` hands in a buffer that is writable for
            // the length given.
            unsafe { sys::tailscale_whois(self.sd, addr.as_ptr(), buf, len) }
        })
    }

    /// JSON of the app capabilities of `src` ("ip") at `dst` ("ip:port").
    pub(super) fn capabilities(&self, src: &str, dst: &str) -> Result<String, Error> {
        let (src, dst) = (c_string(src)?, c_string(dst)?);
        self.text(|buf, len| {
            // SAFETY: both strings are NUL-terminated; `text` hands in a buffer that is writable
            // for the length given.
            unsafe { sys::tailscale_capabilities(self.sd, src.as_ptr(), dst.as_ptr(), buf, len) }
        })
    }

    /// JSON of everybody in the netmap, with access to `ports` and the values of `capability`.
    pub(super) fn peers(&self, ports: &[u16], capability: &str) -> Result<String, Error> {
        let capability = c_string(capability)?;
        // SAFETY: the numbers and the NUL-terminated string outlive the call, which copies them.
        self.given(unsafe { sys::tailscale_peers(self.sd, ports.as_ptr(), ports.len(), capability.as_ptr()) })
    }

    /// JSON of how logging out went. Blocks the thread, for `timeout` and some seconds at most.
    pub(super) fn logout(&self, timeout: Duration) -> Result<String, Error> {
        // SAFETY: plain numbers.
        self.given(unsafe { sys::tailscale_logout(self.sd, millis(timeout)) })
    }

    /// JSON of the certificate for a name of the node's, good for `at_least`. Blocks the thread, for
    /// `timeout` at most.
    pub(super) fn certificate(
        &self,
        name: &str,
        at_least: Duration,
        timeout: Duration,
    ) -> Result<String, Error> {
        let name = c_string(name)?;
        // SAFETY: the string is NUL-terminated and outlives the call.
        self.given(unsafe {
            sys::tailscale_certificate(self.sd, name.as_ptr(), millis(at_least), millis(timeout))
        })
    }

    /// Takes over a text that the library has made for us; null: its last error.
    fn given(&self, json: *mut c_char) -> Result<String, Error> {
        if json.is_null() {
            return Err(self.error(-1));
        }
        // SAFETY: not null, so NUL-terminated and ours until it is freed below.
        let copy = unsafe { CStr::from_ptr(json) }.to_string_lossy().into_owned();
        // SAFETY: freed once, and not used afterwards.
        unsafe { sys::tailscale_free(json) };
        Ok(copy)
    }

    /// Whether the live packet filter lets `src` ("ip") connect to `dst` ("ip:port").
    pub(super) fn check_access(&self, src: &str, dst: &str) -> Result<bool, Error> {
        let (src, dst) = (c_string(src)?, c_string(dst)?);
        // SAFETY: both strings are NUL-terminated and outlive the call.
        match unsafe { sys::tailscale_check_access(self.sd, src.as_ptr(), dst.as_ptr()) } {
            0 => Ok(false),
            1 => Ok(true),
            failed => Err(self.error(failed)),
        }
    }

    pub(super) fn listen(&self, addr: &str) -> Result<OwnedFd, Error> {
        let addr = c_string(addr)?;
        let mut fd = -1;
        // SAFETY: the strings are NUL-terminated, `fd` outlives the call.
        self.check(unsafe { sys::tailscale_listen(self.sd, c"tcp".as_ptr(), addr.as_ptr(), &raw mut fd) })?;
        // SAFETY: on success the descriptor is fresh and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn host_service(&self, name: &str, port: u16) -> Result<(), Error> {
        let name = c_string(name)?;
        // SAFETY: the string is NUL-terminated and outlives the call.
        self.check(unsafe { sys::tailscale_host_service(self.sd, name.as_ptr(), port) })
    }

    pub(super) fn advertise_service(&self, on: bool) -> Result<(), Error> {
        // SAFETY: plain numbers.
        self.check(unsafe { sys::tailscale_advertise_service(self.sd, on.into()) })
    }

    /// Blocks the thread for up to 30 seconds.
    pub(super) fn dial(&self, addr: &str) -> Result<Accepted, Error> {
        let addr = c_string(addr)?;
        let mut slot = AcceptSlot::new();
        // SAFETY: the strings are NUL-terminated, the struct is writable.
        self.check(unsafe {
            sys::tailscale_dial_peer(self.sd, c"tcp".as_ptr(), addr.as_ptr(), slot.0.as_mut_ptr())
        })?;
        Ok(slot.take())
    }

    /// Descriptor of a stream of JSON lines.
    pub(super) fn events(&self) -> Result<OwnedFd, Error> {
        let mut fd = -1;
        // SAFETY: `fd` outlives the call.
        self.check(unsafe { sys::tailscale_events(self.sd, &raw mut fd) })?;
        // SAFETY: on success the descriptor is fresh and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// What `call` writes into the buffer it is given, however long it is.
    fn text(&self, call: impl Fn(*mut c_char, usize) -> c_int) -> Result<String, Error> {
        let mut buf = vec![0u8; TEXT_MIN];
        loop {
            match call(buf.as_mut_ptr().cast(), buf.len()) {
                libc::ERANGE if buf.len() < TEXT_MAX => buf.resize(buf.len() * 4, 0),
                code => return self.check(code).map(|()| until_nul(&buf)),
            }
        }
    }

    fn check(&self, code: c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(self.error(code)) }
    }

    /// The last error of this node in this thread as a value.
    fn error(&self, code: c_int) -> Error {
        match code {
            libc::EBADF => return Error::Closed,
            libc::ERANGE => {
                return Error::Other(format!(
                    "an answer of the tailnet node is longer than {TEXT_MAX} bytes"
                ));
            }
            _ => {}
        }
        let mut buf = vec![0u8; TEXT_MIN];
        // SAFETY: the buffer is writable for the length given.
        unsafe { sys::tailscale_errmsg(self.sd, buf.as_mut_ptr().cast(), buf.len()) };
        // SAFETY: plain numbers.
        error_of(unsafe { sys::tailscale_errkind(self.sd) }, until_nul(&buf), self.login_url())
    }

    fn login_url(&self) -> String {
        let mut buf = vec![0u8; TEXT_MIN];
        // SAFETY: the buffer is writable for the length given.
        unsafe { sys::tailscale_login_url(self.sd, buf.as_mut_ptr().cast(), buf.len()) };
        until_nul(&buf)
    }
}

impl Drop for Handle {
    /// Closing waits for the network and whoever drops may be an async task, so it happens on a
    /// thread of its own. [`close`](Handle::close) is for those who want to wait.
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn close(sd: sys::tailscale) {
    // SAFETY: plain numbers; a handle that is closed already is answered with EBADF.
    unsafe { sys::tailscale_close(sd) };
}

/// An error of the library, whose kinds are numbers in its header.
pub(super) fn error_of(kind: c_int, reason: String, login_url: String) -> Error {
    use sys::tailscale_error as kinds;
    match kind as kinds::Type {
        kinds::TAILSCALE_ERR_CLOSED => Error::Closed,
        kinds::TAILSCALE_ERR_CANCELED => Error::Canceled,
        kinds::TAILSCALE_ERR_KEY => Error::KeyInvalid { reason },
        kinds::TAILSCALE_ERR_EXPIRED => Error::KeyExpired { reason },
        kinds::TAILSCALE_ERR_LOGIN => Error::LoginNeeded { url: login_url },
        kinds::TAILSCALE_ERR_APPROVAL => Error::ApprovalPending,
        kinds::TAILSCALE_ERR_CONTROL => Error::ControlUnreachable { reason },
        kinds::TAILSCALE_ERR_LOGGING => Error::LoggingRequired,
        kinds::TAILSCALE_ERR_STATE => Error::StateUnusable { reason },
        kinds::TAILSCALE_ERR_EXCHANGE => Error::ExchangeFailed { reason },
        _ => Error::Other(reason),
    }
}

/// A connection as the library hands it over.
pub(super) struct Accepted {
    pub(super) claim: Claim,
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
            claim: Claim { id: filled.id, ready: None },
            remote: c_text(&filled.remote),
            local: c_text(&filled.local),
            identity: c_text(&filled.identity),
        }
    }
}

/// Removes the variables that hold a key or a secret from the environment of this process, Go's copy of it
/// included. To be called while no other thread of this program runs.
pub(crate) fn forget_credentials() {
    // SAFETY: takes nothing. It changes C's environment, which must not be read meanwhile: the caller has the
    // only thread of ours, and Go's threads read a copy of their own.
    unsafe { sys::tailscale_forget_credentials() };
}

/// Has tokio watch a descriptor for readability.
pub(super) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays the same open descriptor for as long as the AsyncFd holds it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

/// Hands bytes to the tailnet and says how many were taken: none where the way is not free, and none unless
/// the first `after` bytes, those ever written to the descriptor, have been passed on.
pub(super) fn conn_write(id: u64, bufs: &[IoSlice<'_>], after: u64) -> usize {
    let count = bufs.len().min(PARTS_MAX) as c_int;
    // SAFETY: an IoSlice is an iovec by its contract, on every Unix; the bytes are borrowed for the
    // call, which copies what it takes.
    unsafe { sys::tailscale_conn_write(id, bufs.as_ptr().cast(), count, after) }
}

/// A descriptor for what [`conn_write`] does not take and, of a connection that is not watched, for what
/// is read. The library gives one once.
pub(super) fn conn_descriptor(id: u64) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; an unknown id answers -1.
    match unsafe { sys::tailscale_conn_descriptor(id) } {
        ..0 => Err(io::ErrorKind::ConnectionReset.into()),
        // SAFETY: the library has just made this descriptor and gives it away.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Ends our side of a connection that has no descriptor.
pub(super) fn conn_shutdown(id: u64) {
    // SAFETY: plain numbers; an unknown id is ignored.
    unsafe { sys::tailscale_conn_shutdown(id) };
}

/// Wakes the task that reads a connection. Shared with the library, until the connection is released.
#[derive(Debug)]
pub(super) struct Ready {
    /// There may be something to read.
    now: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Ready {
    /// Ready once there may be something to read, which the caller then has to find out.
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.now.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(waker);
        // It may have turned before the waker was there.
        if self.now.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn set(&self) {
        self.now.store(true, Ordering::Release);
    }

    fn wake(&self) {
        self.set();
        // By reference, under the lock: nothing is dropped here, in a thread of the library's.
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

/// Called by the library, from any thread, with locks of the connection held.
extern "C" fn ready(context: *mut c_void) {
    // Nothing may unwind into Go.
    let _ = catch_unwind(|| {
        // SAFETY: the library calls this until the connection is released, and the claim that has
        // the value keeps it until then.
        unsafe { &*context.cast::<Ready>() }.wake();
    });
}

/// A connection in the library's memory, released when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) id: u64,
    /// Of a connection that is watched, for as long as the library may call.
    ready: Option<Arc<Ready>>,
}

impl Claim {
    /// Has the connection, from which nothing has been read, read by [`poll_read`](Claim::poll_read); false:
    /// its descriptor has to do. To be called once.
    pub(super) fn watch(&mut self) -> bool {
        let ready = Arc::new(Ready { now: AtomicBool::new(true), waker: Mutex::new(None) });
        let context = Arc::as_ptr(&ready).cast_mut().cast();
        self.ready = Some(ready);
        // SAFETY: the context lives until this claim has released the connection, and the library calls no
        // longer than that.
        let watched = unsafe { sys::tailscale_conn_watch(self.id, Some(self::ready), context) } != 0;
        if !watched {
            self.ready = None; // the library has kept nothing
        }
        watched
    }

    /// Reads what there is of a connection that is watched.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(ready) = &self.ready else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(ready.poll(cx));
            let mut more = 0;
            // SAFETY: nothing is taken out of the room that was not written to it.
            let room = unsafe { buf.unfilled_mut() };
            // SAFETY: the memory is writable for the length given, and borrowed for the call.
            let n = unsafe {
                sys::tailscale_conn_read(self.id, room.as_mut_ptr().cast(), room.len(), &raw mut more)
            };
            if n == -(libc::EAGAIN as isize) {
                continue;
            }
            if n <= 0 || more != 0 {
                ready.set();
            }
            let Ok(n) = usize::try_from(n) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            // SAFETY: the library has written so many bytes.
            unsafe { buf.assume_init(n) };
            buf.advance(n);
            return Poll::Ready(Ok(()));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        conn_release(self.id, false);
    }
}

/// Whether the peer has left, though bytes of it may be unread.
pub(super) fn conn_peer_left(id: u64) -> bool {
    // SAFETY: plain numbers; an unknown id answers 1.
    unsafe { sys::tailscale_conn_peer_left(id) != 0 }
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

/// Breaks a connection: both sides see a reset. It must still be released.
pub(super) fn conn_abort(id: u64) {
    // SAFETY: plain numbers; an unknown id is ignored.
    unsafe { sys::tailscale_conn_abort(id) };
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
fn until_nul(buf: &[u8]) -> String {
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
