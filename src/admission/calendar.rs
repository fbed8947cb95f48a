//! Days, weeks and months in UTC.

use std::time::SystemTime;

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use crate::policy::Window;

/// The day in UTC; the first possible one for a time that the calendar can't express.
pub(super) fn day(at: SystemTime) -> Date {
    Timestamp::try_from(at).map_or(Date::MIN, |at| Offset::UTC.to_datetime(at).date())
}

/// The first day of the window that contains `day`.
pub(super) fn start(window: Window, day: Date) -> Date {
    match window {
        Window::Day => day,
        Window::Week => {
            let since_monday = i64::from(day.weekday().to_monday_zero_offset());
            day.checked_sub(since_monday.days()).unwrap_or(Date::MIN)
        }
        Window::Month => day.first_of_month(),
    }
}

/// When the window that contains `day` ends: midnight after its last day. The end of the calendar is no error.
pub(super) fn end(window: Window, day: Date) -> SystemTime {
    let last = match window {
        Window::Day => day,
        Window::Week => start(window, day).checked_add(6.days()).unwrap_or(Date::MAX),
        Window::Month => day.last_of_month(),
    };
    let next = last.tomorrow().unwrap_or(Date::MAX);
    let midnight = Offset::UTC.to_timestamp(next.to_datetime(Time::midnight()));
    midnight.unwrap_or(Timestamp::MAX).try_into().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_and_end_at_midnight_utc() {
        let at = |time: &str| crate::time::parse_rfc3339(time).unwrap();
        for (now, window, first, ends) in [
            ("2026-11-29T23:59:59.9Z", Window::Day, "2026-11-29", "2026-11-30T00:00:00Z"),
            ("2026-11-30T00:00:00Z", Window::Day, "2026-11-30", "2026-12-01T00:00:00Z"),
            ("2026-11-30T01:30:00+02:00", Window::Day, "2026-11-29", "2026-11-30T00:00:00Z"),
            // A Sunday, and the Monday after it.
            ("2026-11-29T12:00:00Z", Window::Week, "2026-11-23", "2026-11-30T00:00:00Z"),
            ("2026-11-30T12:00:00Z", Window::Week, "2026-11-30", "2026-12-07T00:00:00Z"),
            ("2026-12-31T12:00:00Z", Window::Month, "2026-12-01", "2027-01-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", Window::Month, "2028-02-01", "2028-03-01T00:00:00Z"),
        ] {
            let day = day(at(now));
            assert_eq!(start(window, day).to_string(), first, "{now} {window:?}");
            assert_eq!(end(window, day), at(ends), "{now} {window:?}");
        }
    }

    #[test]
    fn the_ends_of_the_calendar_are_no_error() {
        for window in [Window::Day, Window::Week, Window::Month] {
            for day in [Date::MIN, Date::MAX] {
                let _ = start(window, day);
                assert!(end(window, day) > SystemTime::UNIX_EPOCH || day == Date::MIN);
            }
        }
    }
}
