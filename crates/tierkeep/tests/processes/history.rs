//! What writers were acknowledged and readers saw, and what of it breaks a promise.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The bound that all nodes are configured with.
pub(crate) const BOUND: Duration = Duration::from_millis(500);
/// Time for a node to be told again once it can be, while which it may still serve what is marked, or nothing.
const RECOVERY: Duration = Duration::from_secs(3);
/// For what must happen some time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The phase in which what was noted of writes is removed by hand.
pub(crate) const EMPTIED: &str = "the outbox was emptied by hand";

#[derive(Debug, Clone, Copy)]
struct Write {
    number: u64,
    begun: Instant,
    /// `None`: the connection broke, and whether it was committed is not known.
    acknowledged: Option<Instant>,
}

/// What a node answered.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) node: usize,
    pub(crate) user: i64,
    pub(crate) address: String,
    pub(crate) begun: Instant,
    pub(crate) returned: Instant,
    /// 0: there was no answer.
    pub(crate) status: u16,
    pub(crate) tier: String,
    pub(crate) number: Option<u64>,
    /// What was going on.
    pub(crate) phase: &'static str,
}

/// Why a node may answer worse than otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its database does not answer: what is kept, and marked, or 503.
    Database,
    /// It does not run: no answer.
    Gone,
}

#[derive(Debug, Default)]
struct Inner {
    writes: BTreeMap<i64, Vec<Write>>,
    reads: Vec<Read>,
    /// Reads of what was just written, and which of them did not see it.
    own_writes: BTreeMap<&'static str, usize>,
    missed: Vec<String>,
    phase: &'static str,
    /// Node, what, from when, until when.
    troubles: Vec<(usize, Trouble, Instant, Option<Instant>)>,
}

/// All that happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Inner>>);

impl History {
    /// The number of the next write, which begins now.
    pub(crate) fn begin(&self, user: i64) -> u64 {
        let mut inner = self.0.lock().unwrap();
        let writes = inner.writes.entry(user).or_default();
        let number = writes.last().map_or(0, |write| write.number) + 1;
        writes.push(Write { number, begun: Instant::now(), acknowledged: None });
        number
    }

    pub(crate) fn acknowledge(&self, user: i64, number: u64) {
        let now = Instant::now();
        let mut inner = self.0.lock().unwrap();
        let writes = inner.writes.get_mut(&user).unwrap();
        writes.iter_mut().rfind(|write| write.number == number).unwrap().acknowledged = Some(now);
    }

    pub(crate) fn read(&self, read: Read) {
        let mut inner = self.0.lock().unwrap();
        let phase = inner.phase;
        inner.reads.push(Read { phase, ..read });
    }

    /// Says what is going on from now on.
    pub(crate) fn phase(&self, phase: &'static str) {
        self.0.lock().unwrap().phase = phase;
    }

    /// Reads so far.
    pub(crate) fn reads(&self) -> usize {
        self.0.lock().unwrap().reads.len()
    }

    pub(crate) fn trouble_begins(&self, nodes: RangeInclusive<usize>, trouble: Trouble) {
        let now = Instant::now();
        self.0.lock().unwrap().troubles.extend(nodes.map(|node| (node, trouble, now, None)));
    }

    pub(crate) fn trouble_ends(&self) {
        let now = Instant::now();
        self.0.lock().unwrap().troubles.iter_mut().for_each(|trouble| {
            trouble.3.get_or_insert(now);
        });
    }

    /// A writer has read what they wrote: whoever did not get what is marked, or an error, must see it at once.
    pub(crate) fn own_write(&self, place: &'static str, written: u64, status: u16, tier: &str, seen: Option<u64>) {
        if status != 200 || tier == "stale" {
            return;
        }
        let mut inner = self.0.lock().unwrap();
        // where what was noted is taken away by hand, the next question finds out: that is within the bound, not at once
        if inner.phase == EMPTIED {
            return;
        }
        *inner.own_writes.entry(place).or_default() += 1;
        if seen != Some(written) {
            let told = format!("F1, {place}, {}: wrote {written}, saw {seen:?} from {tier}", inner.phase);
            inner.missed.push(told);
        }
    }

    /// How many reads came from a tier, and how many writes were acknowledged (`writes`).
    pub(crate) fn totals(&self) -> BTreeMap<String, usize> {
        let inner = self.0.lock().unwrap();
        let mut totals = BTreeMap::new();
        for read in &inner.reads {
            let what = if read.tier.is_empty() { read.status.to_string() } else { read.tier.clone() };
            *totals.entry(what).or_default() += 1;
        }
        let acknowledged = inner.writes.values().flatten().filter(|write| write.acknowledged.is_some());
        totals.extend(inner.own_writes.iter().map(|(place, times)| (format!("own writes {place}"), *times)));
        totals.insert("writes".to_owned(), acknowledged.count());
        totals
    }

    /// Every promise that was broken.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations_of(BOUND)
    }

    /// As if this had been promised.
    pub(crate) fn violations_of(&self, bound: Duration) -> Vec<String> {
        let inner = self.0.lock().unwrap();
        let missed = inner.missed.iter().cloned();
        inner.reads.iter().filter_map(|read| inner.judge(read, bound)).chain(missed).collect()
    }
}

impl Inner {
    fn is_in(&self, read: &Read, trouble: Trouble) -> bool {
        self.troubles.iter().any(|(node, what, from, until)| {
            let is_over = until.is_some_and(|until| until + RECOVERY < read.begun);
            (*node, *what) == (read.node, trouble) && *from <= read.returned && !is_over
        })
    }

    fn judge(&self, read: &Read, bound: Duration) -> Option<String> {
        let what = || {
            let Read { node, user, address, status, tier, number, phase, begun, returned } = read;
            let after = *returned - *begun;
            format!("{phase}: node {node}, learner {user}, {address}: {status} {tier} {number:?} after {after:?}")
        };
        let told = |why: &str| Some(format!("{why}: {}", what()));
        match (read.status, read.tier.as_str()) {
            (0, _) if self.is_in(read, Trouble::Gone) => return None,
            (503, _) if self.is_in(read, Trouble::Database) || self.is_in(read, Trouble::Gone) => return None,
            // a database that was waited for in vain for the bound does not answer, whatever the reason: a busy machine is one
            (200, "stale") if !self.is_in(read, Trouble::Database) && read.returned - read.begun < BOUND => {
                return told("marked stale although the database can be reached");
            }
            (200, _) => {}
            _ => return told("an error that nothing excuses"),
        }
        let number = read.number?;
        let writes = self.writes.get(&read.user).map_or(&[][..], Vec::as_slice);
        let is_begun = number == 0 || writes.iter().any(|write| write.number == number && write.begun < read.returned);
        if !is_begun {
            return told("a number that nobody had begun to write");
        }
        if read.tier == "stale" {
            return None;
        }
        let due = writes.iter().rfind(|write| write.acknowledged.is_some_and(|at| at + bound < read.begun));
        let due = due.filter(|due| due.number > number)?;
        let late = read.begun - due.acknowledged?;
        Some(format!("the past: {} was acknowledged {late:?} before: {}", due.number, what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(number: u64, begun: Instant, status: u16, tier: &str) -> Read {
        let (node, user, address, phase) = (0, 1, String::new(), "");
        Read { phase, node, user, address, begun, returned: begun, status, tier: tier.to_owned(), number: Some(number) }
    }

    fn is_broken(history: &History, read: Read) -> bool {
        let inner = history.0.lock().unwrap();
        inner.judge(&read, BOUND).is_some()
    }

    #[test]
    fn only_what_is_older_than_the_bound_is_the_past() {
        let history = History::default();
        for _ in 0..2 {
            let number = history.begin(1);
            history.acknowledge(1, number);
        }
        let now = Instant::now();

        assert!(is_broken(&history, read(1, now + BOUND * 2, 200, "l1")));
        assert!(!is_broken(&history, read(2, now + BOUND * 2, 200, "l1")));
        assert!(!is_broken(&history, read(1, now + BOUND / 2, 200, "l1")));
        assert!(is_broken(&history, read(3, now, 200, "l3")), "nobody wrote it");
        history.begin(1);
        assert!(!is_broken(&history, read(2, now + BOUND * 2, 200, "l1")), "it was not acknowledged");
    }

    #[test]
    fn errors_and_what_is_marked_need_an_excuse() {
        let history = History::default();
        let now = Instant::now();
        assert!(is_broken(&history, read(0, now, 200, "stale")));
        assert!(is_broken(&history, read(0, now, 503, "")));
        assert!(is_broken(&history, read(0, now, 0, "")));

        history.trouble_begins(0..=0, Trouble::Database);

        let now = Instant::now();
        assert!(!is_broken(&history, read(0, now, 200, "stale")));
        assert!(!is_broken(&history, read(0, now, 503, "")));
        assert!(is_broken(&history, read(0, now, 500, "")));
        assert!(is_broken(&history, read(0, now, 0, "")));
        history.trouble_ends();
        assert!(is_broken(&history, read(0, Instant::now() + RECOVERY * 2, 200, "stale")));
    }
}
