//! A table with a bounded number of rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// At most `ROWS_MAX` rows by their key. All further keys share one row.
#[derive(Debug)]
pub(super) struct Rows<K, V, const ROWS_MAX: usize> {
    rows: BTreeMap<K, V>,
    /// The shared row.
    pub(super) others: V,
}

impl<K, V: Default, const ROWS_MAX: usize> Default for Rows<K, V, ROWS_MAX> {
    fn default() -> Self {
        Rows { rows: BTreeMap::new(), others: V::default() }
    }
}

impl<K: Ord + Clone, V: Default, const ROWS_MAX: usize> Rows<K, V, ROWS_MAX> {
    /// The row of `key`.
    pub(super) fn of(&mut self, key: &K) -> &mut V {
        if self.has_room_for(key) { self.rows.entry(key.clone()).or_default() } else { &mut self.others }
    }

    /// Evicts a row if there is no room for `key`: the one with the least `age`. Rows without one stay.
    pub(super) fn make_room<A: Ord>(&mut self, key: &K, age: impl Fn(&V) -> Option<A>) {
        if self.has_room_for(key) {
            return;
        }
        let aged = self.rows.iter().filter_map(|(key, row)| Some((age(row)?, key)));
        if let Some(key) = aged.min().map(|(_, key)| key.clone()) {
            self.rows.remove(&key);
        }
    }

    /// All rows but the shared one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    fn has_room_for(&self, key: &K) -> bool {
        self.rows.len() < ROWS_MAX || self.rows.contains_key(key)
    }
}

/// The rows with the most first. Equal rows stay in the order of their names.
pub(super) fn most_first<T, K: Ord>(mut rows: Vec<T>, of: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(|row| Reverse(of(row)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded() {
        let mut rows = Rows::<u32, u32, 2>::default();
        for key in [1, 2, 3, 2, 4] {
            *rows.of(&key) += 1;
        }
        assert_eq!((rows.iter().collect::<Vec<_>>(), rows.others), (vec![(&1, &1), (&2, &2)], 2));
        rows.make_room(&2, |_| Some(0));
        rows.make_room(&3, |_| None::<u32>);
        assert_eq!(rows.iter().count(), 2);
        rows.make_room(&3, |row| Some(*row));
        *rows.of(&3) += 1;
        assert_eq!((rows.iter().collect::<Vec<_>>(), rows.others), (vec![(&2, &2), (&3, &1)], 2));
    }
}
