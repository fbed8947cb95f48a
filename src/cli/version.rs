//! `version`: prints the versions of the program and its tailnet node.

use super::show;

pub(super) fn version() -> u8 {
    #[cfg(feature = "tailnet")]
    let node = concat!("tailscale.com ", env!("TAILSCALE_VERSION"), " (tsnet, embedded)");
    #[cfg(not(feature = "tailnet"))]
    let node = "no tailnet node (built without the feature `tailnet`)";
    show(&format!(
        "remote-ollama-proxy {}\n{node}\n{} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ))
}
