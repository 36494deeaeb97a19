//! The checker itself: what it must find, and what it must let pass.

use tierkeep::tiers::Tier;

use crate::checker::{Commit, Event, Read, Terms, Told, check};
use crate::rows::{Change, Rows, Seen, Session};

/// Learner 1 studies 10, 20, 30 … minutes, acknowledged at ticks 10, 20, 30 …
fn commits() -> Vec<Event> {
    let mut rows = Rows::default();
    rows.apply(Change::PutUser(1));
    (1..5)
        .map(|n| {
            rows.apply(Change::PutSession(
                1,
                Session { user: 1, day: 0, minutes: n * 10, course: None, is_archived: false },
            ));
            Event::Commit(Commit { begun: n * 10 - 1, acknowledged: n * 10, rows: rows.clone(), by: "test".to_owned() })
        })
        .collect()
}

fn read(minutes: u64, begun: u64, terms: Terms, tier: Tier) -> Read {
    let question = "weekly/1/2026-01-26".parse().unwrap();
    let seen = Seen::Numbers(vec![1, minutes]);
    Read { node: 0, life: 0, question, begun, returned: begun + 1, terms, after: None, seen, tier: Some(tier) }
}

/// The rules that a read breaks, on a node that was told at ticks 22 to 23.
fn rules(read: Read) -> Vec<&'static str> {
    let mut history = commits();
    history.push(Event::Told(Told { node: 0, life: 0, begun: 22, done: 23 }));
    history.push(Event::Read(read));
    check(&history).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn what_the_node_was_told_must_be_seen() {
    assert_eq!(rules(read(10, 25, Terms::Bounded, Tier::L1)), ["F2, F3"]);
    assert_eq!(rules(read(10, 22, Terms::Bounded, Tier::L1)), [] as [&str; 0], "it had not been told");
    assert_eq!(rules(read(20, 35, Terms::Bounded, Tier::L1)), [] as [&str; 0]);
    assert_eq!(rules(read(40, 35, Terms::Bounded, Tier::L3)), ["truth"], "nobody had begun to write it");
    assert_eq!(rules(read(25, 35, Terms::Bounded, Tier::L3)), ["truth"], "nobody ever wrote it");
    assert_eq!(rules(Read { life: 1, ..read(10, 25, Terms::Bounded, Tier::L1) }), [] as [&str; 0]);
}

#[test]
fn a_position_that_is_sent_along_counts() {
    assert_eq!(rules(Read { after: Some(2), ..read(20, 35, Terms::Bounded, Tier::L1) }), ["F1"]);
    assert_eq!(rules(Read { after: Some(2), ..read(30, 35, Terms::Bounded, Tier::L1) }), [] as [&str; 0]);
}

#[test]
fn a_node_that_knows_of_no_changes_serves_nothing_it_has_kept() {
    assert_eq!(rules(read(30, 35, Terms::Exact, Tier::L1)), ["F4"]);
    assert_eq!(rules(read(20, 35, Terms::Exact, Tier::L3)), ["F4"]);
    assert_eq!(rules(read(30, 35, Terms::Exact, Tier::L3)), [] as [&str; 0]);
    assert_eq!(rules(Read { tier: None, seen: Seen::Failed, ..read(0, 35, Terms::Exact, Tier::L3) }), ["F4"]);
}

#[test]
fn while_the_database_is_down_only_what_is_marked_may_be_old() {
    assert_eq!(rules(read(10, 35, Terms::Down, Tier::L1)), ["F4"]);
    assert_eq!(rules(read(10, 35, Terms::Bounded, Tier::Stale)), ["F4"]);
    assert_eq!(rules(read(10, 35, Terms::Gone, Tier::Stale)), ["F4"]);
    assert_eq!(rules(read(10, 35, Terms::Down, Tier::Stale)), [] as [&str; 0]);
    assert_eq!(rules(read(11, 35, Terms::Down, Tier::Stale)), ["truth"]);
}

#[test]
fn more_computations_than_promised_are_found() {
    let question = "streaks/1".parse().unwrap();
    let stampede = |computed| check(&[Event::Stampede { question, computed, most: 1 }]).len();

    assert_eq!((stampede(1), stampede(2)), (0, 1));
}
