//! The global sums a second time, from stored days.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Difference;
use crate::fold::{GlobalDelta, GlobalKey, KIND_ALL, KIND_DEVICE, KIND_ENVIRONMENT, KIND_LEARNERS};
use crate::local_day::{LocalDay, Month};
use crate::month_page::{MonthPage, PageError};

/// Sums over stored days. Needs the memory of the table of global sums.
#[derive(Debug, Default)]
pub(in crate::store) struct Sums(GlobalDelta);

impl Sums {
    /// Adds a stored month.
    ///
    /// # Errors
    /// [`PageError`] for bytes that are no page.
    pub(in crate::store) fn add_page(&mut self, month: i32, bytes: &[u8]) -> Result<(), PageError> {
        let month = Month::from_number(month).ok_or(PageError::Unreadable)?;
        for (day, stored) in MonthPage::from_bytes(month, bytes)?.iter() {
            self.0.add_day(day, stored, 1);
        }
        Ok(())
    }

    /// Adds the learners who have a valid session.
    pub(in crate::store) fn add_learners(&mut self, learners: i64) {
        self.0.add(GlobalKey { day: 0, kind: KIND_LEARNERS, name: String::new() }, learners, 0);
    }

    /// As what has to be added to no sums at all.
    pub(in crate::store) fn into_delta(self) -> GlobalDelta {
        self.0
    }

    /// Compares with the stored sums.
    pub(in crate::store) fn compare(
        self,
        stored: impl IntoIterator<Item = (GlobalKey, (i64, i64))>,
    ) -> Vec<Difference> {
        let right: BTreeMap<GlobalKey, (i64, i64)> =
            self.0.iter().map(|(key, sessions, minutes)| (key.clone(), (sessions, minutes))).collect();
        let stored: BTreeMap<GlobalKey, (i64, i64)> = stored.into_iter().collect();
        let keys: BTreeSet<&GlobalKey> = right.keys().chain(stored.keys()).collect();
        let mut differences = Vec::new();
        for key in keys {
            let of = |sums: &BTreeMap<GlobalKey, (i64, i64)>| sums.get(key).copied().unwrap_or_default();
            let (stored, right) = (of(&stored), of(&right));
            for (what, stored, right) in [("sessions", stored.0, right.0), ("minutes", stored.1, right.1)] {
                if stored != right {
                    differences.push(Difference {
                        learner: None,
                        day: LocalDay::from_number(key.day).filter(|_| key.kind != KIND_LEARNERS),
                        field: field(key, what),
                        stored: json!(stored),
                        recomputed: json!(right),
                    });
                }
            }
        }
        differences
    }
}

fn field(key: &GlobalKey, what: &str) -> String {
    match key.kind {
        KIND_ALL => format!("global {what}"),
        KIND_ENVIRONMENT => format!("global {what} in environment {:?}", key.name),
        KIND_DEVICE => format!("global {what} on device {:?}", key.name),
        KIND_LEARNERS => "global learners".to_owned(),
        kind => format!("global {what} of the unknown kind {kind}"),
    }
}
