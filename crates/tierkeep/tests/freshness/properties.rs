//! What must hold under every seed.

use std::ops::Range;

use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::driver::{Profile, run};
use crate::totals::{Totals, missing};

/// Seeds of each property, of those that wait for time fewer.
const SEEDS: u64 = 20;
const SLOW_SEEDS: u64 = 10;

/// Nothing but writers and readers.
pub(crate) const CALM: Profile = Profile {
    dialect: Dialect::Postgres,
    steps: 120,
    is_partitioned: false,
    redis: false,
    redis_faults: false,
    silences: false,
    removes_triggers: false,
    bug: None,
};

const SHARED: Profile = Profile { redis: true, ..CALM };
const FAULTY: Profile = Profile { redis: true, redis_faults: true, removes_triggers: true, ..CALM };
const SILENT: Profile = Profile { redis: true, silences: true, ..CALM };
pub(crate) const PARTITIONED: Profile = Profile { is_partitioned: true, ..CALM };

/// The seeds to run: `TIERKEEP_SEEDS=from..to`, or these.
#[expect(clippy::disallowed_methods, reason = "seeds are given to a test from outside")]
fn seeds(usual: u64) -> Range<u64> {
    let Ok(given) = std::env::var("TIERKEEP_SEEDS") else { return 0..usual };
    let bounds = given.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("TIERKEEP_SEEDS is from..to, not {given:?}"))
}

/// Runs the seeds, and demands that none breaks a promise and that all together were worth running.
async fn hold(name: &str, profile: Profile) {
    let redis = RedisServer::launch().await.unwrap();
    let (mut totals, mut broken) = (Totals::default(), String::new());
    let usual = if profile.silences { SLOW_SEEDS } else { SEEDS };
    let seeds = seeds(usual);
    let ran = seeds.end - seeds.start;
    for seed in seeds {
        let (violations, of_seed) = Box::pin(run(seed, profile, &redis)).await;
        totals.add(&of_seed);
        for violation in violations.iter().take(3) {
            broken.push_str(&format!("\n{name}, TIERKEEP_SEEDS={seed}..{}: {violation}", seed + 1));
        }
    }
    println!("{name}, {:?}: {ran} seeds; {}", profile.dialect, totals.summary());
    assert!(broken.is_empty(), "{broken}");
    // a few seeds, given by hand, need not see everything
    if ran >= usual {
        let missing = missing(&totals, &profile);
        assert!(missing.is_empty(), "a run without these proves nothing: {missing:?}; {}", totals.summary());
    }
}

macro_rules! properties {
    ($($name:ident: $profile:expr),+ $(,)?) => {
        mod sqlite {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                Box::pin(hold(stringify!($name), Profile { dialect: Dialect::Sqlite, ..$profile })).await;
            })+
        }

        mod postgres {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                Box::pin(hold(stringify!($name), Profile { dialect: Dialect::Postgres, ..$profile })).await;
            })+
        }
    };
}

properties!(
    without_redis_no_reader_sees_the_past: CALM,
    with_redis_no_reader_sees_the_past: SHARED,
    while_redis_and_triggers_come_and_go_no_reader_sees_the_past: FAULTY,
    when_the_database_falls_silent_nothing_old_is_served_unmarked: SILENT,
);

#[tokio::test]
async fn writes_that_name_a_partition_are_seen() {
    Box::pin(hold("writes_that_name_a_partition_are_seen", PARTITIONED)).await;
}
