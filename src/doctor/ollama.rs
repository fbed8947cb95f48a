//! Ollama: there, for nobody but this machine, and of what version.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Finding, advisories};
use crate::config::Config;
use crate::ollama::OllamaClient;

/// How long a connection to an address of this machine may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Ollama's own port.
const PORT: u16 = 11434;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let upstream = &config.upstream;
    let mut findings = vec![exposure(upstream.port()).await];
    match OllamaClient::new(upstream).version().await {
        Ok(version) => {
            findings.push(Finding::good("ollama", format!("it answers at {upstream}")));
            findings.push(advisories::of(&version));
            findings.push(match OllamaClient::new(upstream).cloud_is_off().await {
                Ok(Some(true)) => Finding::good("ollama-cloud", "models in the cloud are off"),
                Ok(Some(false)) if config.models.deny_cloud => Finding::warning(
                    "ollama-cloud",
                    "Ollama's cloud is on: models in it are refused here (models.cloud), but a tool in a request may have Ollama search the web, under its owner's account",
                    "set OLLAMA_NO_CLOUD=1 for Ollama and start it again",
                ),
                Ok(Some(false)) => Finding::warning(
                    "ollama-cloud",
                    "models in the cloud, and web search, are on: what peers ask may leave this machine, under its owner's account",
                    "set OLLAMA_NO_CLOUD=1 for Ollama and start it again",
                ),
                Ok(None) => Finding::unknown(
                    "ollama-cloud",
                    "this Ollama does not tell whether models in the cloud are on; set OLLAMA_NO_CLOUD=1 for it",
                ),
                Err(error) => Finding::unknown("ollama-cloud", error.to_string()),
            });
        }
        Err(error) => findings.push(Finding::fault("ollama", error.reason(), error.way_out())),
    }
    findings
}

/// Whether anything answers at Ollama's port, or at the default one, on an address that others reach.
async fn exposure(port: Option<u16>) -> Finding {
    let addresses: Vec<IpAddr> = match if_addrs::get_if_addrs() {
        Ok(all) => all
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(|ip| !ip.is_loopback() && !needs_zone(*ip))
            .collect(),
        Err(error) => return Finding::unknown("exposure", format!("the addresses of this machine: {error}")),
    };
    let mut ports = vec![PORT];
    ports.extend(port.filter(|p| *p != PORT));
    let mut open = Vec::new();
    for at in addresses.iter().flat_map(|ip| ports.iter().map(|port| SocketAddr::new(*ip, *port))) {
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, TcpStream::connect(at)).await {
            open.push(at.to_string());
        }
    }
    let list = |items: &[String]| items.join(", ");
    let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    match open.is_empty() {
        true if tried.is_empty() => {
            Finding::unknown("exposure", "this machine has no address but loopback now")
        }
        true => Finding::good("exposure", format!("nothing answers at Ollama's port on {}", list(&tried))),
        false => Finding::fault(
            "exposure",
            format!("something answers at {}: whoever reaches it goes round the proxy", list(&open)),
            bind_to_loopback(&ports),
        ),
    }
}

fn bind_to_loopback(ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    format!(
        "bind Ollama to loopback (OLLAMA_HOST=127.0.0.1:{}) and start it again; `lsof -nP -iTCP:{} -sTCP:LISTEN` says what listens",
        ports.last().map_or("11434", String::as_str),
        ports.join(",")
    )
}

/// A link-local address of IPv6 says nothing without its interface.
fn needs_zone(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_names_the_ports_that_were_tried() {
        let said = bind_to_loopback(&[PORT, 8080]);
        assert!(said.contains("-iTCP:11434,8080 ") && said.contains("127.0.0.1:8080"), "{said}");
        assert!(bind_to_loopback(&[PORT]).contains("-iTCP:11434 "));
    }
}
