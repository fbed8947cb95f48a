//! Your own Ollama, reachable inside your tailnet by exactly the peers you chose, for exactly the
//! requests you allowed, and by nobody else. ARCHITECTURE.md has the whole picture.

pub mod listen;
pub mod peer;
#[cfg(feature = "tailnet")]
pub mod tsnet;
