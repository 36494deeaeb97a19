//! Negative controls: a mechanism is switched off, or more is demanded than was promised, and the checker must say so.
//!
//! How soon it does tells how good the workload is at exciting the bug, so the bound on the seeds is part of each test.

use tierkeep_cache::Sabotage;

use crate::faults::Fault;
use crate::profiles::{COPIES, LOADS, LOSSES, TAGS, USUAL};
use crate::run::run;
use crate::workload::Change;
use crate::world::{Level, Profile};

/// Echoes come late, and then nothing comes: the node that believes them serves longer than anybody knows.
const LATE_ECHOES: Profile = Profile {
    operations: 120,
    changes: &[(1, Change::Key)],
    faults: &[(1, Fault::LateMessages), (1, Fault::Deaf)],
    calm: 100,
    ..LOSSES
};

/// The first seed below `most` whose history breaks the terms.
fn first(name: &str, most: u64, profile: Profile, terms: Level) {
    let found = (0..most).find_map(|seed| {
        let verdict = run(seed, profile, terms);
        let rules = verdict.violations.iter().map(|violation| violation.rule);
        let rules: std::collections::BTreeSet<_> = rules.collect();
        (!rules.is_empty()).then_some((seed, rules))
    });
    println!("{name}: first found by {found:?}");
    assert!(found.is_some(), "not found by any seed below {most}");
}

#[test]
fn a_fill_without_token_is_found() {
    let profile = Profile { sabotage: Some(Sabotage::FillWithoutToken), ..LOADS };
    first("fill without token", 30, profile, Level::Bounded);
}

#[test]
fn a_copy_without_token_is_found() {
    let profile = Profile { sabotage: Some(Sabotage::FillWithoutToken), ..COPIES };
    first("copy without token", 30, profile, Level::Bounded);
}

#[test]
fn stamps_captured_after_the_load_are_found() {
    let profile = Profile { sabotage: Some(Sabotage::StampsAfterLoad), ..TAGS };
    first("stamps after the load", 30, profile, Level::Bounded);
}

#[test]
fn gaps_that_are_not_noticed_are_found() {
    let profile = Profile { sabotage: Some(Sabotage::NoGapDetection), ..LOSSES };
    first("gaps not noticed", 30, profile, Level::Bounded);
}

#[test]
fn a_lease_that_counts_from_the_echo_is_found() {
    let profile = Profile { level: Level::Strict, sabotage: Some(Sabotage::LeaseFromEcho), ..LATE_ECHOES };
    first("lease from the echo", 30, profile, Level::Strict);
}

#[test]
fn bounded_does_not_keep_the_promise_of_strict() {
    first("Bounded, checked as Strict", 10, Profile { level: Level::Bounded, ..USUAL }, Level::Strict);
}

#[test]
fn local_does_not_keep_the_promise_of_bounded() {
    first("Local, checked as Bounded", 10, Profile { level: Level::Local, ..USUAL }, Level::Bounded);
}
