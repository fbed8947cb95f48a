//! The boundary over in-memory streams: what goes through, what does not, and that nothing is
//! lost, held back or done for nobody.

mod allowlist;
mod ends;
mod framing;
mod headers;
mod streams;
mod support;
