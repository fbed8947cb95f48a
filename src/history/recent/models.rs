//! Usage by model of the last days, of all identities together.

use jiff::civil::Date;

use super::days::{Days, first_day};
use crate::audit::AccessRecord;
use crate::history::line::count_record;
use crate::history::models::{Models, Used};
use crate::history::tally::{Tally, day_of};

/// The last days of each model.
#[derive(Default)]
pub(super) struct ModelDays(Models<Days>);

impl ModelDays {
    /// A request ended.
    pub(super) fn request(&mut self, record: &AccessRecord) {
        let Some(model) = record.used_model() else { return };
        let first = first_day(record.time);
        // A model without requests on these days can be evicted.
        self.0.make_room(&model.to_owned(), |days| {
            days.keys().next_back().filter(|day| **day < first).copied()
        });
        let days = self.0.of_model(model);
        days.entry(day_of(record.time)).or_default().add(&count_record(record));
        *days = days.split_off(&first);
    }

    /// Adds `before`, which happened earlier than everything here.
    pub(super) fn prepend(&mut self, before: &ModelDays) {
        for (model, days) in before.0.iter() {
            add(self.0.of(model), days);
        }
        add(&mut self.0.others, &before.0.others);
    }

    /// The counts from `first` on.
    pub(super) fn used(&self, first: Date) -> Vec<Used> {
        self.0.used(|days| {
            let mut tally = Tally::default();
            days.range(first..).for_each(|(_, day)| tally.add(day));
            tally
        })
    }
}

fn add(to: &mut Days, days: &Days) {
    days.iter().for_each(|(day, tally)| to.entry(*day).or_default().add(tally));
}
