use super::*;

const NONE: Quotas = Quotas::NONE;

fn at(time: &str) -> SystemTime {
    crate::time::parse_rfc3339(time).unwrap()
}

fn check(spent: &mut SpentQuotas, identity: &str, quotas: Quotas, now: SystemTime) -> Result<(), Busy> {
    spent.check(identity, &quotas, true, now)
}

/// The key of the spent quota, and the hours until its window ends.
fn refused(spent: &mut SpentQuotas, quotas: Quotas, now: &str) -> Option<(&'static str, u64)> {
    match check(spent, "a", quotas, at(now)) {
        Err(Busy::Quota { state, wait }) => Some((state.quota.key(), wait.as_secs() / 3600)),
        _ => None,
    }
}

#[test]
fn daily_tokens_end_and_return_at_midnight_utc() {
    let (mut spent, day) = (SpentQuotas::default(), Quotas { tokens_per_day: Some(10), ..NONE });
    let (noon, late) = (at("2026-11-24T12:00:00Z"), at("2026-11-24T23:59:59.5Z"));
    assert_eq!(check(&mut spent, "a", day, noon), Ok(()));
    spent.spend("a", QuotaUnit::Tokens, 9, noon);
    assert_eq!(check(&mut spent, "a", day, noon), Ok(()), "one is left, however many it takes");
    spent.spend("a", QuotaUnit::Tokens, u64::MAX, noon);
    assert_eq!(refused(&mut spent, day, "2026-11-24T12:00:00Z"), Some(("tokens_per_day", 12)));
    let Err(Busy::Quota { wait, .. }) = check(&mut spent, "a", day, late) else { panic!("not refused") };
    assert_eq!(wait, Duration::from_millis(500));
    assert_eq!(check(&mut spent, "b", day, late), Ok(()));
    assert_eq!(check(&mut spent, "a", day, at("2026-11-25T00:00:00Z")), Ok(()));
    assert_eq!(spent.snapshot().1.len(), 1, "the month's count stays");
}

#[test]
fn week_begins_on_monday_and_month_on_its_first_day() {
    let mut spent = SpentQuotas::default();
    let (week, month) = (
        Quotas { requests_per_week: Some(2), ..NONE },
        Quotas { requests_per_month: Some(3), requests_per_day: Some(3), ..NONE },
    );
    let count = |spent: &mut SpentQuotas, now| spent.spend("a", QuotaUnit::Requests, 1, at(now));
    count(&mut spent, "2026-11-26T08:00:00Z"); // a Thursday
    count(&mut spent, "2026-11-29T23:00:00Z");
    assert_eq!(refused(&mut spent, week, "2026-11-29T23:00:00Z"), Some(("requests_per_week", 1)));
    assert_eq!(refused(&mut spent, week, "2026-11-30T00:00:00Z"), None);
    count(&mut spent, "2026-11-30T00:00:00Z");
    assert_eq!(refused(&mut spent, month, "2026-11-30T00:00:00Z"), Some(("requests_per_month", 24)));
    assert_eq!(refused(&mut spent, month, "2026-12-01T00:00:00Z"), None);
    // The week of November 30 goes on in December.
    count(&mut spent, "2026-12-01T00:00:00Z");
    assert_eq!(refused(&mut spent, week, "2026-12-01T00:00:00Z"), Some(("requests_per_week", 144)));
    // Nothing is kept about an identity whose windows have all ended.
    assert_eq!(refused(&mut spent, week, "2027-02-01T00:00:00Z"), None);
    assert!(spent.snapshot().1.is_empty());
}

#[test]
fn of_several_spent_quotas_the_one_that_ends_last_is_named() {
    let mut spent = SpentQuotas::default();
    let all = Quotas { tokens_per_day: Some(1), tokens_per_week: Some(2), tokens_per_month: Some(9), ..NONE };
    spent.spend("a", QuotaUnit::Tokens, 5, at("2026-11-24T12:00:00Z"));
    assert_eq!(refused(&mut spent, all, "2026-11-24T12:00:00Z"), Some(("tokens_per_week", 132)));
    // A request that runs no model needs no tokens.
    assert_eq!(spent.check("a", &all, false, at("2026-11-24T12:00:00Z")), Ok(()));
    // A larger limit applies at once, and what is spent stays.
    let more = Quotas { tokens_per_week: Some(6), ..NONE };
    assert_eq!(refused(&mut spent, more, "2026-11-24T12:00:00Z"), None);
    let [state] = spent.states("a", &more, at("2026-11-24T12:00:00Z"))[..] else { panic!("one quota") };
    assert_eq!((state.spent, state.remaining()), (5, 1));
}

#[test]
fn clock_that_is_set_back_gives_nothing_back() {
    let (mut spent, day) = (SpentQuotas::default(), Quotas { tokens_per_day: Some(10), ..NONE });
    spent.spend("a", QuotaUnit::Tokens, 6, at("2026-11-25T00:00:01Z"));
    spent.spend("a", QuotaUnit::Tokens, 4, at("2026-11-24T23:59:59Z"));
    assert_eq!(refused(&mut spent, day, "2026-11-24T23:59:59Z"), Some(("tokens_per_day", 24)));
    assert_eq!(refused(&mut spent, day, "2026-11-25T12:00:00Z"), Some(("tokens_per_day", 12)));
    assert_eq!(refused(&mut spent, day, "1969-01-01T00:00:00Z").unwrap().0, "tokens_per_day");
    assert_eq!(refused(&mut spent, day, "2026-11-26T00:00:00Z"), None);
}

#[test]
fn beyond_the_most_identities_the_one_that_spent_least_is_forgotten() {
    let (mut spent, now) = (SpentQuotas::default(), at("2026-11-24T12:00:00Z"));
    spent.spend("small", QuotaUnit::Requests, 1, now);
    for number in 0..IDENTITIES_MAX {
        spent.spend(&format!("n{number}"), QuotaUnit::Requests, 2, now);
    }
    assert_eq!(spent.snapshot().1.len(), IDENTITIES_MAX);
    assert!(spent.snapshot().1.iter().all(|(identity, _)| identity != "small"));
}
