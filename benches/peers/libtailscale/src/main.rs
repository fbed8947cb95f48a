//! Upstream's libtailscale under the same hyper code as `bare`, to compare the nodes.
//!
//! It can't identify the peer of a connection, so there is no identity check.

use std::ffi::CString;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream as StdStream;

use libtailscale_sys as ts;
use plain::{Fault, Site};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// The same allocator as the proxy's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let site = Site::new()?;
    let (give, mut accepted) = mpsc::channel(64);
    // The library's accept blocks its thread.
    std::thread::spawn({
        let site = site.clone();
        move || {
            if let Err(fault) = accept(&site, &give) {
                eprintln!("libtailscale: {fault}");
                std::process::exit(1);
            }
        }
    });
    while let Some(conn) = accepted.recv().await {
        conn.set_nonblocking(true)?;
        tokio::spawn(plain::serve(UnixStream::from_std(conn)?, site.upstream));
    }
    Ok(())
}

fn accept(site: &Site, give: &mpsc::Sender<StdStream>) -> Result<(), Fault> {
    let text = |text: &str| CString::new(text);
    let (name, dir, key, control) =
        (text(&site.name)?, text(&site.dir)?, text(&site.key)?, text(&site.control)?);
    let (network, address) = (text("tcp")?, text(&format!(":{}", site.port))?);
    // SAFETY: The strings outlive the calls, and the library copies them.
    let listener = unsafe {
        let node = ts::tailscale_new();
        done(node, ts::tailscale_set_hostname(node, name.as_ptr()))?;
        done(node, ts::tailscale_set_dir(node, dir.as_ptr()))?;
        done(node, ts::tailscale_set_authkey(node, key.as_ptr()))?;
        done(node, ts::tailscale_set_control_url(node, control.as_ptr()))?;
        done(node, ts::tailscale_set_logfd(node, -1))?;
        done(node, ts::tailscale_up(node))?;
        let mut listener = 0;
        done(node, ts::tailscale_listen(node, network.as_ptr(), address.as_ptr(), &mut listener))?;
        listener
    };
    plain::ready();
    loop {
        let mut conn = -1;
        // SAFETY: The listener is open; the descriptor that it returns has no other owner.
        let conn = unsafe {
            if ts::tailscale_accept(listener, &mut conn) != 0 {
                return Err("accept failed".into());
            }
            StdStream::from_raw_fd(conn)
        };
        give.blocking_send(conn)?;
    }
}

/// Turns the result of a call into the library's error.
fn done(node: ts::tailscale, result: i32) -> Result<(), Fault> {
    if result == 0 {
        return Ok(());
    }
    let mut message = vec![0u8; 512];
    // SAFETY: The length is the buffer's.
    unsafe { ts::tailscale_errmsg(node, message.as_mut_ptr().cast(), message.len()) };
    Err(String::from_utf8_lossy(&message).trim_end_matches('\0').to_owned().into())
}
