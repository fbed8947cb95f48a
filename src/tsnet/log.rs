//! The library's log.

/// Logs one line of the library: at trace if Tailscale marks it as verbose (`[v1]`, `[v2]`), else at debug.
pub(super) fn log(line: &str) {
    // Some lines contain control characters, for Tailscale's log collector.
    let line = line.trim_end().replace(|c: char| c.is_control(), " ");
    if line.contains("[v1]") || line.contains("[v2]") {
        tracing::trace!(target: "tsnet", "{line}");
    } else {
        tracing::debug!(target: "tsnet", "{line}");
    }
}
