//! The proxy's node and hyper, without policy, grants and audit: their cost is the proxy's difference from
//! this program.

use std::path::Path;
use std::time::Duration;

use plain::{Fault, Site};
use remote_ollama_proxy::tsnet::Builder;

/// The same allocator as the proxy's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let site = Site::new()?;
    let node = Builder::new()
        .hostname(&site.name)
        .state_dir(&Path::new(&site.dir).join("state"))
        .auth_key(Some(&site.key))
        .control_url(Some(&site.control))
        .build()?;
    node.up(Duration::from_secs(60)).await?;
    let mut listener = node.listen(site.port).await?;
    plain::ready();
    loop {
        let accepted = listener.accept().await?;
        tokio::spawn(plain::serve(accepted.conn, site.upstream));
    }
}
