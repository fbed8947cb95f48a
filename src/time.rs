//! Times and durations as text: RFC 3339 in UTC, and durations such as `30s`, `12m 3s` or `30d`. A day has 24 hours.

use std::time::{Duration, SystemTime};

use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};
use jiff::{Error, SignedDuration, SpanRelativeTo, Timestamp, Unit};

/// # Errors
/// The text is not a time of RFC 3339.
pub(crate) fn parse_rfc3339(text: &str) -> Result<SystemTime, Error> {
    text.parse::<Timestamp>().and_then(SystemTime::try_from)
}

/// `2026-11-24T16:44:13Z`.
pub(crate) fn format_rfc3339_seconds(at: SystemTime) -> String {
    format!("{:.0}", timestamp(at, Unit::Second))
}

/// `2026-11-24T16:44:13.225Z`.
pub(crate) fn format_rfc3339_millis(at: SystemTime) -> String {
    format!("{:.3}", timestamp(at, Unit::Millisecond))
}

/// The epoch for a time that the calendar can't express.
fn timestamp(at: SystemTime, to: Unit) -> Timestamp {
    let at = Timestamp::try_from(at).unwrap_or_default();
    at.round(jiff::TimestampRound::new().smallest(to).mode(jiff::RoundMode::Trunc)).unwrap_or(at)
}

/// # Errors
/// The text is not a duration, is negative, or has months or years, which differ in length.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Error> {
    let span = SpanParser::new().parse_span(text)?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours())?)
}

/// From days to the smallest unit that is not zero: `1m`, `3d 4h 5m`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let balanced = SignedDuration::try_from(duration)
        .and_then(jiff::Span::try_from)
        .and_then(|span| span.round(jiff::SpanRound::new().largest(Unit::Day).days_are_24_hours()));
    let printer = SpanPrinter::new().designator(Designator::HumanTime).spacing(Spacing::BetweenUnits);
    balanced.map_or_else(|_| format!("{duration:?}"), |span| printer.span_to_string(&span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_in_the_same_form() {
        for (text, seconds) in
            [("0s", 0), ("30s", 30), ("1m", 60), ("5m 3s", 303), ("24h", 86_400), ("30days", 2_592_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for (seconds, text) in
            [(0, "0s"), (30, "30s"), (60, "1m"), (303, "5m 3s"), (86_400, "1d"), (273_600, "3d 4h")]
        {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(format_duration(Duration::from_millis(1_500)), "1s 500ms");
        assert!(["soon", "-1s", "5", "1month", "1year"].iter().all(|text| parse_duration(text).is_err()));
    }

    #[test]
    fn times_have_a_fixed_form() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_999_999);
        assert_eq!(format_rfc3339_seconds(at), "1970-01-01T00:00:01Z");
        assert_eq!(format_rfc3339_millis(at), "1970-01-01T00:00:01.999Z");
        assert_eq!(
            parse_rfc3339("1970-01-01T00:00:01Z").unwrap(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1)
        );
    }
}
