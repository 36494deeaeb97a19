//! What must hold under every seed.

use std::ops::Range;

use crate::profiles::{CLOCKS, COPIES, DISORDER, EVICTIONS, LOADS, LOSSES, STAND_INS, TAGS, USUAL};
use crate::run::run;
use crate::world::{Level, Profile, Totals};

/// Seeds of each property, a third of them for each promise.
const SEEDS: Range<u64> = 0..34;

/// The seeds to run: `TIERKEEP_SEEDS=from..to`, or these.
#[expect(clippy::disallowed_methods, reason = "seeds are given to a test from outside")]
fn seeds() -> Range<u64> {
    let Ok(given) = std::env::var("TIERKEEP_SEEDS") else { return SEEDS };
    let bounds = given.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("TIERKEEP_SEEDS is from..to, not {given:?}"))
}

/// Runs the seeds, and demands that none breaks a rule and that all together were worth running.
fn hold(name: &str, profile: Profile) {
    let (mut totals, mut broken) = (Totals::default(), Vec::new());
    let seeds = seeds();
    let ran = seeds.end - seeds.start;
    for seed in seeds {
        let profile = Profile { level: Level::ALL[(seed % 3) as usize], ..profile };
        let verdict = run(seed, profile, profile.level);
        totals.add(&verdict.totals);
        if !verdict.violations.is_empty() {
            broken.push(verdict.report(name));
        }
    }
    println!("{name}: {} of {ran} seeds broken; {}", broken.len(), totals.summary());
    assert!(broken.is_empty(), "{}", broken.iter().take(5).cloned().collect::<String>());
    // A few seeds, given by hand, need not see everything.
    if ran >= SEEDS.end {
        assert_eq!(totals.missing(&profile), Vec::<&str>::new(), "a run without these proves nothing");
    }
}

#[test]
fn s1_no_load_that_began_before_an_invalidation_is_seen_after_it() {
    hold("s1_no_load_that_began_before_an_invalidation_is_seen_after_it", LOADS);
}

#[test]
fn s2_no_load_that_began_before_its_tag_was_invalidated_is_seen_after_it() {
    hold("s2_no_load_that_began_before_its_tag_was_invalidated_is_seen_after_it", TAGS);
}

#[test]
fn s3_no_copy_of_the_remote_tier_that_began_before_an_invalidation_is_seen_after_it() {
    hold("s3_no_copy_of_the_remote_tier_that_began_before_an_invalidation_is_seen_after_it", COPIES);
}

#[test]
fn s4_whatever_messages_are_lost_no_node_lags_by_more_than_its_promise() {
    hold("s4_whatever_messages_are_lost_no_node_lags_by_more_than_its_promise", LOSSES);
}

#[test]
fn s5_late_repeated_and_reordered_messages_change_nothing() {
    hold("s5_late_repeated_and_reordered_messages_change_nothing", DISORDER);
}

#[test]
fn s6_clocks_that_are_an_hour_apart_change_nothing() {
    hold("s6_clocks_that_are_an_hour_apart_change_nothing", CLOCKS);
}

#[test]
fn s7_a_remote_tier_that_forgets_stamps_makes_nothing_valid_again() {
    hold("s7_a_remote_tier_that_forgets_stamps_makes_nothing_valid_again", EVICTIONS);
}

#[test]
fn s13_what_was_invalidated_hard_never_stands_in_for_what_the_source_would_say() {
    hold("s13_what_was_invalidated_hard_never_stands_in_for_what_the_source_would_say", STAND_INS);
}

#[test]
fn the_promises_hold_when_everything_goes_wrong() {
    hold("the_promises_hold_when_everything_goes_wrong", USUAL);
}

#[test]
fn one_seed_gives_one_course_of_events() {
    for (seed, level) in (0..).zip(Level::ALL) {
        let trace = |seed| run(seed, Profile { level, ..USUAL }, level).trace;

        assert_eq!(trace(seed), trace(seed), "seed {seed}");
        assert_ne!(trace(seed), trace(seed + 1), "seed {seed}");
    }
}
