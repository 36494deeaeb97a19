//! Judges a history by what was promised, from what clients saw alone.

use std::fmt;

use tierkeep::tiers::{Question, Tier};

use crate::rows::{Rows, Seen};

/// What happened, in ticks of one counter.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Commit(Commit),
    Told(Told),
    Read(Read),
    /// Equal questions that missed together.
    Stampede {
        question: Question,
        computed: u64,
        most: u64,
    },
}

/// A change of rows that was acknowledged. Their order is that of the history.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) begun: u64,
    pub(crate) acknowledged: u64,
    pub(crate) rows: Rows,
    pub(crate) by: String,
}

/// A node has learned of everything that was committed before it asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) node: usize,
    /// How often the node was started before.
    pub(crate) life: u64,
    pub(crate) begun: u64,
    pub(crate) done: u64,
}

/// What a reader was promised besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// Everything that the node was told.
    Bounded,
    /// Everything that was acknowledged before: the node has not been told for longer than the bound, or cannot be.
    Exact,
    /// What was kept, marked as such, or an error: the database does not answer, for longer than the bound.
    Down,
    /// An error: for longer than kept answers may be served.
    Gone,
}

/// A question, and what came back.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) question: Question,
    pub(crate) begun: u64,
    pub(crate) returned: u64,
    pub(crate) terms: Terms,
    /// Index of a commit whose position was sent along.
    pub(crate) after: Option<usize>,
    pub(crate) seen: Seen,
    pub(crate) tier: Option<Tier>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) told: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.told)
    }
}

/// Every promise that a history breaks.
pub(crate) fn check(history: &[Event]) -> Vec<Violation> {
    let commits: Vec<&Commit> = history
        .iter()
        .filter_map(|event| match event {
            Event::Commit(commit) => Some(commit),
            _ => None,
        })
        .collect();
    let told: Vec<Told> = history
        .iter()
        .filter_map(|event| match event {
            Event::Told(told) => Some(*told),
            _ => None,
        })
        .collect();
    history
        .iter()
        .filter_map(|event| match event {
            Event::Read(read) => judge(read, &commits, &told),
            Event::Stampede { question, computed, most } if computed > most => Some(Violation {
                rule: "F5",
                told: format!("{question} was computed {computed} times for readers who came together, not {most}"),
            }),
            _ => None,
        })
        .collect()
}

fn judge(read: &Read, commits: &[&Commit], told: &[Told]) -> Option<Violation> {
    let broken = |rule, why: String| Some(Violation { rule, told: format!("{why}: {read:?}") });
    match (read.terms, read.tier) {
        (Terms::Bounded | Terms::Exact, None) if read.seen == Seen::Failed => {
            return broken("F4", "an error although the database answers".to_owned());
        }
        (Terms::Bounded | Terms::Exact, Some(Tier::Stale)) => {
            return broken("F4", "marked stale although the database answers".to_owned());
        }
        (Terms::Exact, Some(Tier::L1 | Tier::L2)) => {
            return broken("F4", "kept, although the node knows of no changes".to_owned());
        }
        (Terms::Down | Terms::Gone, None) => return None,
        (Terms::Gone, Some(_)) => return broken("F4", "kept for longer than it may be served".to_owned()),
        (Terms::Down, Some(tier)) if tier != Tier::Stale => {
            return broken("F4", "kept, and not marked".to_owned());
        }
        _ => {}
    }
    let floor = floor(read, commits, told);
    // what nobody had begun to commit cannot be seen
    let until = commits.partition_point(|commit| commit.begun < read.returned);
    let rows = |index: usize| commits[index].rows.answer(read.question);
    if (floor..until).any(|index| rows(index) == read.seen) {
        return None;
    }
    let wanted = format!("{:?} since {:?} of {}", rows(floor), commits[floor].acknowledged, commits[floor].by);
    let is_past = (0..floor).rev().find(|index| rows(*index) == read.seen);
    match is_past {
        Some(past) => broken(
            rule(read),
            format!("{wanted}, but saw what {} left at {}", commits[past].by, commits[past].acknowledged),
        ),
        None => broken("truth", format!("{wanted}, and nothing committed says what was seen")),
    }
}

/// The last commit that the reader must see.
fn floor(read: &Read, commits: &[&Commit], told: &[Told]) -> usize {
    let asked = told
        .iter()
        .filter(|told| (told.node, told.life) == (read.node, read.life) && told.done < read.begun)
        .map(|told| told.begun)
        .max();
    let since = match read.terms {
        Terms::Exact => Some(read.begun),
        Terms::Bounded => asked,
        // how old it is, is what its mark leaves open
        Terms::Down | Terms::Gone => None,
    };
    let acknowledged =
        since.map_or(0, |since| commits.iter().filter(|c| c.acknowledged < since).count().saturating_sub(1));
    acknowledged.max(read.after.unwrap_or(0))
}

fn rule(read: &Read) -> &'static str {
    match read.terms {
        Terms::Bounded if read.after.is_some() => "F1",
        Terms::Bounded => "F2, F3",
        Terms::Exact | Terms::Down | Terms::Gone => "F4",
    }
}
