//! `version`

use super::exit;

pub(super) fn version() -> u8 {
    println!("remote-ollama-proxy {}", env!("CARGO_PKG_VERSION"));
    #[cfg(feature = "tailnet")]
    println!("tailscale.com {} (tsnet, embedded)", env!("TAILSCALE_VERSION"));
    println!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    exit::OK
}
