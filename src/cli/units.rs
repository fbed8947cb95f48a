//! Numbers for people.

use std::time::Duration;

/// `1 fault`, `2 faults`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `340 B`, `1.2 kB`, `35 MB`: in powers of ten, with two significant digits below 10. By hand: the usual libraries round
/// to fixed decimals.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(value < 9.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `45s`, `12m 3s`, `3d 4h`: the two largest units.
pub(super) fn time(duration: Duration) -> String {
    let whole = crate::time::format_duration(Duration::from_secs(duration.as_secs()));
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_times_are_short() {
        for (n, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (35_000_000, "35 MB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(n), shown, "{n}");
        }
        assert_eq!(time(Duration::from_millis(45_900)), "45s");
        assert_eq!(time(Duration::from_secs(3 * 86_400 + 4 * 3600 + 61)), "3d 4h");
    }
}
