//! Ollama: whether it answers, its version, its cloud models, and whether it is reachable past the proxy.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;

use super::advisories;
use super::finding::Finding;
use crate::config::Config;
use crate::ollama::OllamaClient;

/// Time limit of a connection to an own address of this machine.
const CONNECT_TIME: Duration = Duration::from_millis(500);

/// Ollama's own port.
const DEFAULT_PORT: u16 = 11434;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let upstream = &config.upstream;
    let exposure = exposure(upstream.port()).await;
    match OllamaClient::new(upstream).version().await {
        Ok(version) => vec![
            exposure,
            Finding::good("ollama", format!("it answers at {upstream}")),
            advisories::of(&version, SystemTime::now()),
            cloud(config).await,
        ],
        Err(error) => vec![exposure, Finding::fault("ollama", error.reason(), error.way_out())],
    }
}

/// Whether models in the cloud are off.
async fn cloud(config: &Config) -> Finding {
    let turn_off = "set OLLAMA_NO_CLOUD=1 for Ollama and restart it";
    match OllamaClient::new(&config.upstream).cloud_is_off().await {
        Ok(Some(true)) => Finding::good("ollama-cloud", "models in the cloud are off"),
        Ok(Some(false)) if config.models.local_only => Finding::warning(
            "ollama-cloud",
            "Ollama's cloud is on: the proxy refuses models in it (models.cloud), but a tool in a request may have Ollama search the web, with the account of its owner",
            turn_off,
        ),
        Ok(Some(false)) => Finding::warning(
            "ollama-cloud",
            "models in the cloud and web search are on: requests of peers may leave this machine, with the account of Ollama's owner",
            turn_off,
        ),
        Ok(None) => Finding::unknown(
            "ollama-cloud",
            "this Ollama does not say whether models in the cloud are on; set OLLAMA_NO_CLOUD=1 for it",
        ),
        Err(error) => Finding::unknown("ollama-cloud", error.to_string()),
    }
}

/// Whether a process accepts connections at Ollama's port, or at the default one, on an address that other machines reach.
async fn exposure(port: Option<u16>) -> Finding {
    let addresses: Vec<IpAddr> = match if_addrs::get_if_addrs() {
        Ok(all) => all.iter().map(if_addrs::Interface::ip).filter(|ip| is_reachable(*ip)).collect(),
        Err(error) => {
            return Finding::unknown(
                "exposure",
                format!("cannot list the addresses of this machine: {error}"),
            );
        }
    };
    if addresses.is_empty() {
        return Finding::unknown("exposure", "this machine has only loopback addresses now");
    }
    let mut ports = vec![DEFAULT_PORT];
    ports.extend(port.filter(|p| *p != DEFAULT_PORT));
    let mut open = Vec::new();
    for at in addresses.iter().flat_map(|ip| ports.iter().map(|port| SocketAddr::new(*ip, *port))) {
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(at)).await {
            open.push(at);
        }
    }
    if open.is_empty() {
        return Finding::good("exposure", format!("Ollama's port is closed on {}", list(&addresses)));
    }
    Finding::fault(
        "exposure",
        format!("a process accepts connections at {}, which bypass the proxy", list(&open)),
        bind_to_loopback(&ports),
    )
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether another machine may reach this address. A link-local one of IPv6 cannot be tried without its interface.
fn is_reachable(ip: IpAddr) -> bool {
    !ip.is_loopback() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn bind_to_loopback(ports: &[u16]) -> String {
    let all: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!(
        "bind Ollama to loopback (OLLAMA_HOST=127.0.0.1:{}) and restart it; `lsof -nP -iTCP:{} -sTCP:LISTEN` shows the process",
        ports.last().unwrap_or(&DEFAULT_PORT),
        all.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_names_the_ports_that_were_tried() {
        let remedy = bind_to_loopback(&[DEFAULT_PORT, 8080]);
        assert!(remedy.contains("-iTCP:11434,8080 ") && remedy.contains("127.0.0.1:8080"), "{remedy}");
        assert!(bind_to_loopback(&[DEFAULT_PORT]).contains("-iTCP:11434 "));
    }
}
