//! The history checker: did any read return what the cache's promise forbids?
//!
//! It sees only what clients saw. Versions come from the source, so nothing is inferred, and the rules are compared
//! pair by pair: slow, and obvious. All moments come from one clock, see [`Moment`].
//!
//! **What is promised.** An update is a write to the source (a new version) and then a call that invalidates. Once
//! the call has *returned* on a node, no read that begins later on that node is older, whether the receipt was
//! complete or not (clause C1). Once the receipt was *complete*, no read that begins later than the promise's bound
//! is older on any node. An update whose receipt was not complete, or whose caller went away, raises no floor on
//! other nodes, but its version is legal to see. This holds for values that are marked stale, too: a mark excuses
//! age, never an invalidation (S13).
//!
//! A soft invalidation promises less: the old value may be seen, but only with the mark. So it raises the floor of
//! reads without the mark.
//!
//! **Sessions.** The cache promises nothing of two reads between which no invalidation was acknowledged: one may
//! be loaded from the source and the next come from an older, legal, copy. So going backwards is forbidden only
//! where the floor says so, and a session that goes backwards across an acknowledged update is reported once
//! more under its own rule, found by another computation.

use std::collections::BTreeMap;
use std::fmt;

use tierkeep_cache::Source;

/// A moment of the run: milliseconds of virtual time, and the order of what happened within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

const ORDER_BITS: u32 = 24;

impl Moment {
    pub(crate) fn new(millis: u64, order: u64) -> Self {
        Self(millis << ORDER_BITS | order)
    }

    pub(crate) fn millis(self) -> u64 {
        self.0 >> ORDER_BITS
    }

    pub(crate) fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis << ORDER_BITS))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.0 & ((1 << ORDER_BITS) - 1))
    }
}

/// A node, and which of its lives: after a crash it has no memory and no promises of its own to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) node: u8,
    pub(crate) life: u32,
}

/// A set of tags, one bit each.
pub(crate) type Tags = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Update {
    pub(crate) key: u32,
    pub(crate) version: u64,
    /// The row was deleted.
    pub(crate) tombstone: bool,
    /// What was invalidated reaches values that carry all of these; none for an invalidation of the key or of everything.
    pub(crate) scope: Tags,
    pub(crate) soft: bool,
    pub(crate) place: Place,
    /// When the source had it.
    pub(crate) begun: Moment,
    /// When the call returned.
    pub(crate) returned: Option<Moment>,
    /// The same, if the receipt was complete.
    pub(crate) ack: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Saw {
    Version(u64),
    /// The cache said that there is no value.
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Read {
    pub(crate) key: u32,
    pub(crate) place: Place,
    pub(crate) session: u32,
    pub(crate) saw: Saw,
    /// What the value carries.
    pub(crate) tags: Tags,
    pub(crate) begun: Moment,
    pub(crate) returned: Moment,
    /// `None` where the call does not tell.
    pub(crate) source: Option<Source>,
    pub(crate) stale: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    Update(Update),
    Read(Read),
}

/// The lives of the values of one key, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) ttl: u64,
    /// How long after it a value may be served with the mark.
    pub(crate) grace: u64,
}

/// What a history is measured by; all times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// By how much a read on another node may lag behind an acknowledged update; `None`: by the value's life.
    pub(crate) bound: Option<u64>,
    /// A stored value lives longer by the time its store took.
    pub(crate) store_slack: u64,
    /// A value that was waited for may be older by the longest load.
    pub(crate) load_slack: u64,
    pub(crate) life: fn(u32) -> Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    /// Older than an update whose call had returned on the same node.
    OwnStale,
    /// Older than an update that was acknowledged longer ago than the bound.
    Stale,
    /// As either, and the update reached the key by a tag.
    Tag,
    /// As either, and the row was deleted, or was there again.
    Deleted,
    /// Old, and without the mark, after a soft invalidation.
    Unmarked,
    /// Not marked, and superseded longer ago than any value lives.
    Expired,
    /// Marked, and superseded longer ago than any value may be served at all.
    MarkedStale,
    /// Nobody had written this version when the read returned.
    FromFuture,
    /// A session on one node saw a newer one first, and an acknowledged update lies between.
    NonMonotonic,
    /// After the faults were healed and everything was quiet, not the last version.
    Convergence,
}

#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) read: Read,
    pub(crate) update: Option<Update>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Read { key, place, session, saw, begun, returned, source, stale, tags } = &self.read;
        let mark = if *stale { ", marked stale" } else { "" };
        write!(f, "{:?}: key {key} on node {}/{}, session {session}, saw {saw:?} ", self.rule, place.node, place.life)?;
        write!(f, "(tags {tags:04b}, from {source:?}{mark}), began {begun}, returned {returned}")?;
        if let Some(Update { version, scope, soft, place, begun, returned, ack, tombstone, .. }) = &self.update {
            let at = |moment: &Option<Moment>| moment.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let what = if *tombstone { "deletion" } else { "update" };
            let how = if *soft { "soft" } else { "hard" };
            write!(f, "; {what} to {version} on node {}/{} ({how}, scope {scope:04b}): ", place.node, place.life)?;
            write!(f, "committed {begun}, returned {}, acknowledged {}", at(returned), at(ack))?;
        }
        Ok(())
    }
}

/// All violations of a history.
pub(crate) fn check(history: &[Event], terms: &Terms) -> Vec<Violation> {
    let mut by_key: BTreeMap<u32, (Vec<&Update>, Vec<&Read>)> = BTreeMap::new();
    for event in history {
        match event {
            Event::Update(update) => by_key.entry(update.key).or_default().0.push(update),
            Event::Read(read) => by_key.entry(read.key).or_default().1.push(read),
        }
    }
    by_key.values().flat_map(|(updates, reads)| check_key(updates, reads, terms)).collect()
}

fn check_key(updates: &[&Update], reads: &[&Read], terms: &Terms) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<(u32, u32), Vec<(Moment, u64)>> = BTreeMap::new();
    for read in reads {
        let mut report = |rule, update: Option<&Update>| {
            found.push(Violation { rule, read: (*read).clone(), update: update.cloned() });
        };
        let Some(version) = version(updates, read) else {
            report(Rule::FromFuture, None);
            continue;
        };
        if let Some(update) = floor(updates, read, version, terms) {
            report(rule_of(update, read, updates), Some(update));
        }
        if let Some(next) = updates.iter().filter(|update| update.version > version).min_by_key(|update| update.version)
            && let Some(rule) = outlived(next, read, terms)
        {
            report(rule, Some(next));
        }
        let before = seen.entry((read.session, read.place.life)).or_default();
        let newest = before.iter().filter(|(returned, _)| *returned < read.begun).map(|(_, version)| *version).max();
        if newest.is_some_and(|newest| newest > version)
            && let Some(update) = updates.iter().find(|update| {
                (version + 1..=newest.unwrap_or(0)).contains(&update.version) && must_be_seen(update, read, terms)
            })
        {
            report(Rule::NonMonotonic, Some(update));
        }
        before.push((read.returned, version));
    }
    found
}

/// The version a read saw: for "there is none", the last deletion that it can have been.
fn version(updates: &[&Update], read: &Read) -> Option<u64> {
    let written = updates.iter().filter(|update| update.begun < read.returned);
    match read.saw {
        Saw::Version(version) => {
            let mut written = written.filter(|update| update.version == version && !update.tombstone);
            written.next().map(|_| version)
        }
        Saw::Absent => written.filter(|update| update.tombstone).map(|update| update.version).max(),
    }
}

/// Whether a value of this read, if older, may not be served any more.
fn must_be_seen(update: &Update, read: &Read, terms: &Terms) -> bool {
    if (read.tags & update.scope) != update.scope || (update.soft && read.stale) {
        return false;
    }
    let own = update.place == read.place && update.returned.is_some_and(|at| at < read.begun);
    own || update.ack.is_some_and(|at| at.plus(bound(read, terms)) < read.begun)
}

fn bound(read: &Read, terms: &Terms) -> u64 {
    terms.bound.unwrap_or_else(|| {
        let Life { ttl, grace } = (terms.life)(read.key);
        ttl + if read.stale { grace } else { 0 }
    })
}

fn floor<'a>(updates: &[&'a Update], read: &Read, version: u64, terms: &Terms) -> Option<&'a Update> {
    let newer = updates.iter().copied().filter(|update| update.version > version);
    newer.filter(|update| must_be_seen(update, read, terms)).max_by_key(|update| update.version)
}

fn rule_of(update: &Update, read: &Read, updates: &[&Update]) -> Rule {
    let deleted = updates.iter().any(|other| other.version == update.version && other.tombstone);
    if update.soft {
        Rule::Unmarked
    } else if deleted || read.saw == Saw::Absent {
        Rule::Deleted
    } else if update.scope != 0 {
        Rule::Tag
    } else if update.place == read.place {
        Rule::OwnStale
    } else {
        Rule::Stale
    }
}

/// Whether a read saw a value that was superseded by `next` longer ago than it may live.
fn outlived(next: &Update, read: &Read, terms: &Terms) -> Option<Rule> {
    let Life { ttl, grace } = (terms.life)(read.key);
    let waited = read.source != Some(Source::Memory) || read.stale;
    let slack = terms.store_slack + if waited { terms.load_slack } else { 0 };
    let (most, rule) = if read.stale { (ttl + grace, Rule::MarkedStale) } else { (ttl, Rule::Expired) };
    (next.begun.plus(most + slack) < read.begun).then_some(rule)
}
