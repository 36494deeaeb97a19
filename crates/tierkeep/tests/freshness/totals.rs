//! What histories have exercised: a run that did not meet what it is about proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tierkeep_db::Dialect;

use crate::driver::Profile;

/// What histories have exercised.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals(pub(crate) BTreeMap<String, u64>);

impl Totals {
    pub(crate) fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (what, times) in &self.0 {
            let _ = write!(text, "{what} {times}, ");
        }
        text
    }
}

/// What a run must have exercised for its silence to mean anything.
pub(crate) fn missing(totals: &Totals, profile: &Profile) -> BTreeSet<&'static str> {
    let mut wanted = BTreeSet::from([
        "l1",
        "l3",
        "Sql",
        "Cascade",
        "slow readers",
        "reads during writes",
        "upkeep",
        "restarts",
        "rollbacks",
        "savepoints",
    ]);
    let on_postgres = profile.dialect == Dialect::Postgres;
    for (is_wanted, what) in [
        (!profile.is_partitioned, "Api"),
        (!profile.is_partitioned, "positions sent along"),
        (on_postgres, "Copy"),
        (on_postgres, "LongTransaction"),
        (!on_postgres, "Process"),
        (!profile.redis, "stampedes on nodes"),
        (profile.redis, "l2"),
        (profile.redis && !profile.redis_faults, "stampedes on the cluster"),
        (profile.redis_faults, "faults of Redis"),
        (profile.silences, "silences"),
        (profile.silences, "stale"),
        (profile.removes_triggers, "triggers removed"),
    ] {
        if is_wanted {
            wanted.insert(what);
        }
    }
    wanted.retain(|what| !totals.0.contains_key(*what));
    wanted
}
