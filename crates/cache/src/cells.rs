//! Tags in this node's memory: a generation for each, and the log of what was invalidated lately.
//!
//! A hit must not ask the remote tier whether its tags are current. So every tag that an entry or a load
//! carries has a cell here; an invalidation raises the cell's generation, and a hit compares numbers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::clock::Tick;
use crate::stamp::{Severity, Standing};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tag::TagId;

/// Invalidations that the log remembers. A load that outlives so many cannot prove that tags it learnt late
/// were not among them, and is not stored.
const LOG_CAPACITY: usize = 8192;

/// One tag's generation: the number of the last invalidation that hit it.
#[derive(Debug)]
pub(crate) struct Cell {
    hard: AtomicU64,
    soft: AtomicU64,
}

impl Cell {
    fn new() -> Arc<Self> {
        Arc::new(Self { hard: AtomicU64::new(0), soft: AtomicU64::new(0) })
    }
}

/// A tag's generation at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) tag: TagId,
    cell: Arc<Cell>,
    hard: u64,
    soft: u64,
}

impl Mark {
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        if self.cell.hard.load(Ordering::Acquire) != self.hard {
            Standing::Void
        } else if self.cell.soft.load(Ordering::Acquire) != self.soft {
            Standing::Stale
        } else {
            Standing::Current
        }
    }
}

/// The cells of the two tags that every entry of a view carries: everything, and the view.
#[derive(Clone, Debug)]
pub(crate) struct Base([Arc<Cell>; 2]);

impl Base {
    /// A number that is another one after either tag was invalidated: the sum of two that only grow.
    #[inline]
    pub(crate) fn era(&self) -> u64 {
        self.0[0].hard.load(Ordering::Acquire) + self.0[1].hard.load(Ordering::Acquire)
    }
}

/// The worst that any of the marks says.
#[inline]
pub(crate) fn standing(marks: &[Mark]) -> Standing {
    marks.iter().map(Mark::standing).max().unwrap_or(Standing::Current)
}

/// All cells of a node, and its log of invalidations.
#[derive(Debug)]
pub(crate) struct Cells {
    by_tag: Mutex<HashMap<TagId, Arc<Cell>, foldhash::fast::FixedState>>,
    log: Mutex<Log>,
    /// The number of the last invalidation applied here, own or heard of.
    last: AtomicU64,
    /// The number of the last rule ("all of these tags").
    last_rule: AtomicU64,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Logged>,
    rules: Vec<Rule>,
    /// The log is complete from the number after this one.
    forgotten: u64,
}

#[derive(Debug)]
struct Rule {
    number: u64,
    tags: Vec<TagId>,
    until: Tick,
}

#[derive(Debug)]
struct Logged {
    number: u64,
    tag: TagId,
    severity: Severity,
}

/// What the log knows of tags since some number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// None of them was invalidated.
    Nothing,
    /// The last invalidation of one of them, and the worst kind.
    Hit { last: u64, severity: Severity },
    /// The log does not reach back so far.
    Unknown,
}

impl Cells {
    pub(crate) fn new() -> Self {
        Self {
            by_tag: Mutex::new(HashMap::default()),
            log: Mutex::new(Log::default()),
            last: AtomicU64::new(0),
            last_rule: AtomicU64::new(0),
        }
    }

    /// The number of the last invalidation of a tag; a load takes it before it reads anything.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// The number of the last rule.
    #[inline]
    pub(crate) fn last_rule(&self) -> u64 {
        self.last_rule.load(Ordering::Acquire)
    }

    /// The cells of these tags, kept for good.
    pub(crate) fn base(&self, tags: [TagId; 2]) -> Base {
        let mut by_tag = lock(&self.by_tag);
        Base(tags.map(|tag| Arc::clone(by_tag.entry(tag).or_insert_with(Cell::new))))
    }

    /// The generations now. A cell lives as long as a mark points at it.
    pub(crate) fn capture(&self, tags: &[TagId]) -> Vec<Mark> {
        if tags.is_empty() {
            return Vec::new();
        }
        let mut by_tag = lock(&self.by_tag);
        let mark = |tag: &TagId| {
            let cell = Arc::clone(by_tag.entry(*tag).or_insert_with(Cell::new));
            let (hard, soft) = (cell.hard.load(Ordering::Acquire), cell.soft.load(Ordering::Acquire));
            Mark { tag: *tag, cell, hard, soft }
        };
        tags.iter().map(mark).collect()
    }

    /// Voids (hard) or ages (soft) everything that carries the tag and was captured before.
    pub(crate) fn bump(&self, tag: TagId, severity: Severity) -> u64 {
        let mut log = lock(&self.log);
        let number = self.last.load(Ordering::Acquire) + 1;
        log.push(Logged { number, tag, severity });
        // The log first, then the number, then the generation: whoever reads the generation and then the
        // log meets this invalidation in at least one of them.
        self.last.store(number, Ordering::Release);
        if let Some(cell) = lock(&self.by_tag).get(&tag) {
            match severity {
                Severity::Hard => cell.hard.store(number, Ordering::Release),
                Severity::Soft => cell.soft.store(number, Ordering::Release),
            }
        }
        number
    }

    /// Voids everything that carries all of these tags and whose load began before. The rule is kept until no
    /// such entry can be alive any more.
    ///
    /// Returns `false` where there are `most` rules already: the caller bumps one of the tags instead.
    pub(crate) fn add_rule(&self, tags: &[TagId], now: Tick, until: Tick, most: usize) -> bool {
        let mut log = lock(&self.log);
        log.rules.retain(|rule| rule.until > now);
        if log.rules.len() >= most {
            return false;
        }
        let number = self.last.load(Ordering::Acquire) + 1;
        log.rules.push(Rule { number, tags: tags.to_vec(), until });
        self.last.store(number, Ordering::Release);
        self.last_rule.store(number, Ordering::Release);
        true
    }

    /// Whether a rule that is newer than the load's beginning voids an entry with these tags.
    pub(crate) fn ruled_out(&self, born: u64, has: impl Fn(&TagId) -> bool) -> bool {
        lock(&self.log).rules.iter().any(|rule| rule.number > born && rule.tags.iter().all(&has))
    }

    /// What the invalidations after `since` and up to `until` say of a value with these tags: as good as void where the
    /// log does not reach back so far.
    pub(crate) fn standing_between(&self, since: u64, until: u64, tags: &[TagId]) -> Standing {
        if until <= since || tags.is_empty() {
            return Standing::Current;
        }
        let log = lock(&self.log);
        let rule =
            |rule: &Rule| rule.number > since && rule.number <= until && rule.tags.iter().all(|tag| tags.contains(tag));
        if since < log.forgotten || log.rules.iter().any(rule) {
            return Standing::Void;
        }
        let newest_first = log.entries.iter().rev().skip_while(|logged| logged.number > until);
        let hits = newest_first.take_while(|logged| logged.number > since).filter(|logged| tags.contains(&logged.tag));
        let standing = |logged: &Logged| match logged.severity {
            Severity::Hard => Standing::Void,
            Severity::Soft => Standing::Stale,
        };
        hits.map(standing).max().unwrap_or(Standing::Current)
    }

    /// What happened to any of these tags after `since`. Ask only after [`Cells::capture`].
    pub(crate) fn since(&self, since: u64, tags: &[TagId]) -> Since {
        if tags.is_empty() {
            return Since::Nothing;
        }
        let log = lock(&self.log);
        if since < log.forgotten {
            return Since::Unknown;
        }
        let mut found = Since::Nothing;
        for logged in log.entries.iter().rev().take_while(|logged| logged.number > since) {
            if !tags.contains(&logged.tag) {
                continue;
            }
            found = match found {
                Since::Hit { last, severity: Severity::Hard } => Since::Hit { last, severity: Severity::Hard },
                Since::Hit { last, .. } => Since::Hit { last, severity: logged.severity },
                _ => Since::Hit { last: logged.number, severity: logged.severity },
            };
        }
        found
    }

    /// Drops the cells that nothing points at any more; returns how many are left.
    pub(crate) fn sweep(&self) -> usize {
        let mut by_tag = lock(&self.by_tag);
        // New pointers are made under this lock only, so a count of one cannot grow meanwhile.
        by_tag.retain(|_, cell| Arc::strong_count(cell) > 1);
        by_tag.len()
    }
}

impl Log {
    fn push(&mut self, logged: Logged) {
        if self.entries.len() == LOG_CAPACITY
            && let Some(oldest) = self.entries.pop_front()
        {
            self.forgotten = oldest.number;
        }
        self.entries.push_back(logged);
    }
}
