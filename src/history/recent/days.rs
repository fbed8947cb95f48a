//! The days that are kept.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use crate::history::tally::{Tally, day_of};

/// How many days are kept, including today.
pub(super) const DAYS: u64 = 14;

/// Counts by day.
pub(super) type Days = BTreeMap<Date, Tally>;

/// The first day that is kept at `now`.
pub(super) fn first_day(now: Timestamp) -> Date {
    day_of(now).saturating_sub((DAYS as i64 - 1).days())
}

/// The days that are kept from `first` on.
pub(super) fn days(first: Date) -> impl Iterator<Item = Date> {
    first.series(1.day()).take(DAYS as usize)
}
