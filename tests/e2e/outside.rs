//! Seen from outside the process: which sockets it has and whom it speaks to.
