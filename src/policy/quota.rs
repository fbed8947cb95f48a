//! Quotas: how many requests and tokens an identity may use in a day, a week and a month.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Requests that began.
    Requests,
    /// Tokens of prompts and answers.
    Tokens,
}

/// The time for which a quota counts. Each begins at midnight, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A day.
    Day,
    /// A week, which begins on Monday (ISO 8601).
    Week,
    /// A month of the calendar.
    Month,
}

/// One kind of quota. Its text is `tokens a day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What it counts.
    pub unit: QuotaUnit,
    /// For how long.
    pub window: Window,
}

/// The limits of each kind, from 1; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quotas {
    /// Requests a day.
    pub requests_per_day: Option<u64>,
    /// Requests a week.
    pub requests_per_week: Option<u64>,
    /// Requests a month.
    pub requests_per_month: Option<u64>,
    /// Tokens a day.
    pub tokens_per_day: Option<u64>,
    /// Tokens a week.
    pub tokens_per_week: Option<u64>,
    /// Tokens a month.
    pub tokens_per_month: Option<u64>,
}

impl Quota {
    /// Its name in the config and in grants.
    pub fn key(self) -> &'static str {
        match (self.unit, self.window) {
            (QuotaUnit::Requests, Window::Day) => "requests_per_day",
            (QuotaUnit::Requests, Window::Week) => "requests_per_week",
            (QuotaUnit::Requests, Window::Month) => "requests_per_month",
            (QuotaUnit::Tokens, Window::Day) => "tokens_per_day",
            (QuotaUnit::Tokens, Window::Week) => "tokens_per_week",
            (QuotaUnit::Tokens, Window::Month) => "tokens_per_month",
        }
    }
}

impl Window {
    /// Its name: `day`.
    pub fn name(self) -> &'static str {
        match self {
            Window::Day => "day",
            Window::Week => "week",
            Window::Month => "month",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            QuotaUnit::Requests => "requests",
            QuotaUnit::Tokens => "tokens",
        };
        write!(f, "{unit} a {}", self.window.name())
    }
}

impl Quotas {
    /// No limits.
    pub const NONE: Quotas = Quotas {
        requests_per_day: None,
        requests_per_week: None,
        requests_per_month: None,
        tokens_per_day: None,
        tokens_per_week: None,
        tokens_per_month: None,
    };

    /// Every kind with its limit.
    pub fn all(&self) -> [(Quota, Option<u64>); 6] {
        let of = |unit, window, limit| (Quota { unit, window }, limit);
        [
            of(QuotaUnit::Requests, Window::Day, self.requests_per_day),
            of(QuotaUnit::Requests, Window::Week, self.requests_per_week),
            of(QuotaUnit::Requests, Window::Month, self.requests_per_month),
            of(QuotaUnit::Tokens, Window::Day, self.tokens_per_day),
            of(QuotaUnit::Tokens, Window::Week, self.tokens_per_week),
            of(QuotaUnit::Tokens, Window::Month, self.tokens_per_month),
        ]
    }

    /// The kinds that have a limit.
    pub fn limited(&self) -> impl Iterator<Item = (Quota, u64)> + use<> {
        self.all().into_iter().filter_map(|(quota, limit)| Some((quota, limit?)))
    }

    /// Whether a quota of this unit has a limit.
    pub fn limit(&self, unit: QuotaUnit) -> bool {
        self.limited().any(|(quota, _)| quota.unit == unit)
    }

    /// Those of tokens.
    #[must_use]
    pub fn of_tokens(self) -> Quotas {
        Quotas { requests_per_day: None, requests_per_week: None, requests_per_month: None, ..self }
    }

    /// The larger limit of each kind, as of two grants. `None` is the largest.
    #[must_use]
    pub fn or(self, other: Quotas) -> Quotas {
        self.merge(other, |a, b| Some(a?.max(b?)))
    }

    /// The smaller limit of each kind, as of the config and a grant.
    #[must_use]
    pub fn and(self, other: Quotas) -> Quotas {
        self.merge(other, |a, b| a.into_iter().chain(b).min())
    }

    fn merge(self, other: Quotas, by: fn(Option<u64>, Option<u64>) -> Option<u64>) -> Quotas {
        Quotas {
            requests_per_day: by(self.requests_per_day, other.requests_per_day),
            requests_per_week: by(self.requests_per_week, other.requests_per_week),
            requests_per_month: by(self.requests_per_month, other.requests_per_month),
            tokens_per_day: by(self.tokens_per_day, other.tokens_per_day),
            tokens_per_week: by(self.tokens_per_week, other.tokens_per_week),
            tokens_per_month: by(self.tokens_per_month, other.tokens_per_month),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_widen_each_quota_and_the_config_narrows_it() {
        let (day, week) = (
            Quotas { tokens_per_day: Some(5), requests_per_week: Some(7), ..Quotas::NONE },
            Quotas { tokens_per_day: Some(9), ..Quotas::NONE },
        );
        assert_eq!(day.or(week), Quotas { tokens_per_day: Some(9), ..Quotas::NONE });
        assert_eq!(day.and(week), day);
        assert_eq!((day.or(Quotas::NONE), day.and(Quotas::NONE)), (Quotas::NONE, day));
        assert!(day.limit(QuotaUnit::Requests) && !week.limit(QuotaUnit::Requests));
    }

    #[test]
    fn keys_are_the_names_of_the_fields() {
        let fields = serde_json::to_value(Quotas::NONE).unwrap();
        assert!(Quotas::NONE.all().iter().all(|(quota, _)| fields.get(quota.key()).is_some()));
    }
}
