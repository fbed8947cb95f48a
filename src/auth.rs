//! The credential that the node joins with the first time: an auth key or an OAuth client secret. Finds it and checks
//! that other users can't read it.
//!
//! Source for the variables and their order: `tsnet.Server` in Tailscale's Go library. It reads the same variables by
//! itself, so all of them have to be checked here.

mod credential;
mod environment;
mod file;
mod keychain;
mod source;

pub use credential::{Credential, CredentialKind, ENV, KeyFault};
pub use environment::Environment;
pub use file::read;
pub use keychain::{Keychain, KeychainFault};
pub use source::CredentialSource;
