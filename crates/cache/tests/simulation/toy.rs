//! The checker's own proof: histories as small as can be, and a toy cache whose bugs are planted.

use std::collections::BTreeMap;

use tierkeep_cache::Source;

use crate::checker::{Event, Life, Moment, Place, Read, Rule, Saw, Terms, Update, check};
use crate::rng::Rng;

const HERE: Place = Place { node: 0, life: 1 };
const THERE: Place = Place { node: 1, life: 2 };

fn terms(bound: u64) -> Terms {
    Terms { bound: Some(bound), store_slack: 0, load_slack: 0, life: |_| Life { ttl: 10_000, grace: 1_000 } }
}

fn at(millis: u64) -> Moment {
    Moment::new(millis, 0)
}

/// An update of key 0 on [`HERE`], acknowledged 5 ms after it began.
fn update(version: u64, begun: u64) -> Update {
    let (returned, ack) = (Some(at(begun + 5)), Some(at(begun + 5)));
    let (key, tombstone, scope, soft, place) = (0, false, 0, false, HERE);
    Update { key, version, tombstone, scope, soft, place, begun: at(begun), returned, ack }
}

/// A read of key 0 on [`THERE`] that takes 1 ms.
fn read(version: u64, begun: u64) -> Read {
    let (saw, source) = (Saw::Version(version), Some(Source::Memory));
    let (key, place, session, tags, stale) = (0, THERE, 7, 0b0001, false);
    Read { key, place, session, saw, tags, begun: at(begun), returned: at(begun + 1), source, stale }
}

fn broken(updates: Vec<Update>, reads: Vec<Read>, bound: u64) -> Vec<Rule> {
    let updates = updates.into_iter().map(Event::Update);
    let history: Vec<Event> = updates.chain(reads.into_iter().map(Event::Read)).collect();
    check(&history, &terms(bound)).iter().map(|violation| violation.rule).collect()
}

fn two() -> Vec<Update> {
    vec![update(1, 0), update(2, 100)]
}

#[test]
fn an_old_value_is_legal_until_the_bound_is_over() {
    assert_eq!(broken(two(), vec![read(1, 104)], 0), []);
    assert_eq!(broken(two(), vec![read(1, 305)], 200), []);
    assert_eq!(broken(two(), vec![read(1, 306)], 200), [Rule::Stale]);
}

#[test]
fn on_the_node_that_invalidated_there_is_no_bound_even_without_acknowledgement() {
    let unacknowledged = vec![update(1, 0), Update { ack: None, ..update(2, 100) }];
    let own = Read { place: HERE, ..read(1, 106) };

    assert_eq!(broken(unacknowledged.clone(), vec![own], 200), [Rule::OwnStale]);
    assert_eq!(broken(unacknowledged, vec![read(1, 5_000)], 200), []);
}

#[test]
fn a_call_that_never_returned_raises_no_floor_and_its_version_may_be_seen() {
    let lost = vec![update(1, 0), Update { ack: None, returned: None, ..update(2, 100) }];

    assert_eq!(broken(lost, vec![read(1, 5_000), Read { session: 8, ..read(2, 5_000) }], 0), []);
}

#[test]
fn a_version_that_nobody_has_written_yet_is_from_the_future() {
    assert_eq!(broken(two(), vec![read(2, 90)], 0), [Rule::FromFuture]);
    assert_eq!(broken(two(), vec![read(3, 500)], 0), [Rule::FromFuture]);
}

#[test]
fn a_tag_reaches_the_values_that_carry_it_and_no_others() {
    let tagged = vec![update(1, 0), Update { scope: 0b0100, ..update(2, 100) }];
    let carrying = Read { tags: 0b0101, ..read(1, 200) };

    assert_eq!(broken(tagged.clone(), vec![read(1, 200)], 0), []);
    assert_eq!(broken(tagged, vec![carrying], 0), [Rule::Tag]);
}

#[test]
fn deletions_are_versions() {
    let deleted = vec![update(1, 0), Update { tombstone: true, ..update(2, 100) }];
    let again = [deleted.clone(), vec![update(3, 200)]].concat();
    let absent = |begun| Read { saw: Saw::Absent, ..read(0, begun) };

    assert_eq!(broken(deleted.clone(), vec![absent(150)], 0), []);
    assert_eq!(broken(deleted.clone(), vec![read(1, 150)], 0), [Rule::Deleted]);
    assert_eq!(broken(again, vec![absent(300)], 0), [Rule::Deleted]);
    assert_eq!(broken(two(), vec![absent(150)], 0), [Rule::FromFuture]);
}

#[test]
fn a_mark_excuses_a_soft_invalidation_and_no_hard_one() {
    let soft = vec![update(1, 0), Update { soft: true, ..update(2, 100) }];
    let marked = Read { stale: true, ..read(1, 200) };

    assert_eq!(broken(soft.clone(), vec![read(1, 200)], 0), [Rule::Unmarked]);
    assert_eq!(broken(soft, vec![marked.clone()], 0), []);
    assert_eq!(broken(two(), vec![marked], 0), [Rule::Stale]);
}

#[test]
fn no_value_outlives_its_life_and_none_with_a_mark_its_grace() {
    let unknown = vec![update(1, 0), Update { ack: None, returned: None, ..update(2, 100) }];
    let marked = |begun| Read { stale: true, ..read(1, begun) };

    assert_eq!(broken(unknown.clone(), vec![read(1, 10_101)], 0), [Rule::Expired]);
    assert_eq!(broken(unknown.clone(), vec![marked(10_101)], 0), []);
    assert_eq!(broken(unknown, vec![marked(11_101)], 0), [Rule::MarkedStale]);
}

#[test]
fn a_session_may_go_back_only_where_nothing_was_acknowledged() {
    let unknown = vec![update(1, 0), Update { ack: None, returned: None, ..update(2, 100) }];

    assert_eq!(broken(unknown, vec![read(2, 200), read(1, 300)], 0), []);
    assert_eq!(broken(two(), vec![read(2, 200), read(1, 300)], 0), [Rule::Stale, Rule::NonMonotonic]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    LostMessage,
    LateFill,
    AcknowledgedBeforeTold,
}

/// Three memories, a source, and messages that take no time unless a bug holds them up.
fn toy(seed: u64, bug: Bug) -> Vec<Event> {
    let mut rng = Rng::new(seed, 0);
    let mut source: BTreeMap<u32, u64> = (0..6).map(|key| (key, 1)).collect();
    let mut memory: [BTreeMap<u32, u64>; 3] = Default::default();
    let mut changed: BTreeMap<u32, u64> = BTreeMap::new();
    let (mut loads, mut held) = (Vec::new(), Vec::new());
    let mut history: Vec<Event> = (0..6).map(|key| Event::Update(Update { key, ..update(1, 0) })).collect();
    for step in 0..1_500 {
        let now = 10 + step * 10;
        let (key, node) = (rng.below(6) as u32, rng.below(3) as usize);
        let place = Place { node: node as u8, life: 1 };
        match rng.below(10) {
            0..2 => {
                let version = source.entry(key).and_modify(|version| *version += 1).or_default();
                *changed.entry(key).or_default() += 1;
                history.push(Event::Update(Update { key, place, ..update(*version, now) }));
                for (other, memory) in memory.iter_mut().enumerate() {
                    match bug {
                        Bug::LostMessage if other != node && rng.one_in(20) => {}
                        Bug::AcknowledgedBeforeTold if other != node => held.push((other, key)),
                        _ => drop(memory.remove(&key)),
                    }
                }
            }
            2..4 if !held.is_empty() => {
                let (other, key) = held.swap_remove(rng.below(held.len() as u64) as usize);
                memory[other].remove(&key);
            }
            4..6 if !loads.is_empty() => {
                let (node, key, version, before): (usize, u32, u64, Option<u64>) =
                    loads.swap_remove(rng.below(loads.len() as u64) as usize);
                if changed.get(&key).copied() == before || bug == Bug::LateFill {
                    memory[node].insert(key, version);
                }
            }
            _ => match memory[node].get(&key) {
                Some(version) => history.push(Event::Read(Read { key, place, ..read(*version, now) })),
                None => loads.push((node, key, source[&key], changed.get(&key).copied())),
            },
        }
    }
    history
}

#[test]
fn a_correct_toy_is_accepted_and_each_planted_bug_is_found_in_most_runs() {
    let flagged = |bug| (0..50).filter(|seed| !check(&toy(*seed, bug), &terms(0)).is_empty()).count();

    assert_eq!(flagged(Bug::None), 0);
    for bug in [Bug::LostMessage, Bug::LateFill, Bug::AcknowledgedBeforeTold] {
        assert!(flagged(bug) > 25, "{bug:?} is found in {} of 50", flagged(bug));
    }
}
