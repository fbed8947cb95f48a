//! The ports of the node: connections, and what answers on them.

pub(crate) mod auxiliary;
pub(crate) mod body;
pub(crate) mod metrics;
pub(crate) mod port;
pub(crate) mod redirect;
