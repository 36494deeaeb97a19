//! One node's memory, loads and tags, a source beside it, and the record by which every read is judged.

use std::sync::{Arc, Mutex as Record, PoisonError};

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::sync::{Condvar, Mutex};

use crate::cells::Base;
use crate::clock::Tick;
use crate::flight::{Begun, Coherence, Fence, FillRefusal, Flight, Marked, Stored};
use crate::memory::{Details, Entry, KeyRef, Memory, Parts, Times};
use crate::seen::{Seen, saw};
use crate::stamp::{Severity, Standing};
use crate::sync::{AtomicU64, Ordering};
use crate::tag::TagId;

/// Rules that the cells take in these tests; one more becomes a bump of its first tag.
const MOST_RULES: usize = 1;

/// The tags that everything carries.
const BASE: [u8; 2] = [254, 255];

/// The time, which stands still.
const NOW: Tick = Tick::from_millis(1);

/// How the message of a broken promise begins.
pub(crate) const STALE: &str = "a read was given what an invalidation had ended";

/// One step of a thread.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Reads a key as the engine does: memory, else a load in flight, else a load of its own.
    Read(usize),
    /// As `Read`, but its load, if it comes to one, is given up half-way.
    ReadAndGiveUp(usize),
    /// As `Read`, but what it loads is not to be stored.
    ReadOnly(usize),
    /// As `Read`, but what memory does not have is copied without a load that others could wait for.
    Glance(usize),
    /// Changes the source, then invalidates the key.
    Invalidate(usize, Severity),
    /// The same, and values below the new version are refused for a time.
    InvalidateAndHold(usize),
    /// Changes the source, then invalidates everything with the tag.
    Bump(TagId, Severity),
    /// Changes the source, then invalidates everything.
    Clear,
    /// Changes the source, then invalidates everything that carries all of these.
    Rule(Vec<TagId>),
    /// The source was changed and the notice lost; the gap is noticed.
    Suspect,
    /// Changes the source and stores the new value.
    Write(usize),
    /// The engine makes room.
    Evict(usize),
    EvictAll,
    /// Cells without entries are dropped, floors that are over, too.
    Sweep,
}

/// A key's tags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Known from the key.
    pub(crate) early: Vec<TagId>,
    /// Known only after the load.
    pub(crate) late: Vec<TagId>,
}

impl Plan {
    fn all(&self) -> Vec<TagId> {
        self.early.iter().chain(&self.late).copied().collect()
    }

    fn carries(&self, tag: &TagId) -> bool {
        self.early.contains(tag) || self.late.contains(tag)
    }
}

/// What the source answered, and when it was asked.
#[derive(Clone, Copy, Debug)]
struct Answer {
    version: u64,
    asked: u64,
}

#[derive(Clone, Debug)]
enum Outcome {
    Served(Answer),
    Cancelled,
}

/// Where the waiters of a load look.
#[derive(Debug)]
struct Slot {
    outcome: Mutex<Option<Outcome>>,
    published: Condvar,
}

impl Slot {
    fn new() -> Self {
        Self { outcome: Mutex::new(None), published: Condvar::new() }
    }

    fn publish(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.published.notify_all();
    }

    fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.published.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// An invalidation as its caller saw it.
#[derive(Debug)]
struct Past {
    op: Op,
    began: u64,
    returned: Option<u64>,
}

/// Moments, and what happened at them. A standard lock: it is the observer's and no part of what is observed.
#[derive(Debug, Default)]
struct History {
    moment: u64,
    past: Vec<Past>,
}

pub(crate) struct World {
    coherence: Coherence<Slot>,
    base: Base,
    plans: Vec<Plan>,
    source: Vec<AtomicU64>,
    /// Whether reads of the source may see the version before the last: a lagging replica.
    lagging: bool,
    history: Record<History>,
}

impl World {
    pub(crate) fn new(plans: Vec<Plan>, fence: Fence, lagging: bool) -> Self {
        let coherence = Coherence::new(Memory::new(1 << 20, 7), 7, fence);
        let source = plans.iter().map(|_| AtomicU64::new(1)).collect();
        let base = coherence.cells().base(BASE.map(|byte| TagId::from_bytes([byte; 16])));
        Self { coherence, base, plans, source, lagging, history: Record::default() }
    }

    pub(crate) fn run(&self, op: &Op) {
        match op {
            Op::Read(key) | Op::ReadAndGiveUp(key) | Op::ReadOnly(key) => self.read(*key, op),
            Op::Glance(key) => self.glance(*key),
            Op::Write(key) => self.write(*key),
            Op::Evict(key) => drop(self.coherence.memory().remove(name(&encode(*key)))),
            // Not the sweep's own question: it would ask an entry's standing under the engine's lock, which the
            // scheduler does not see. To lose more than it would is as right.
            Op::EvictAll => self.coherence.memory().retain(|_, _| false),
            Op::Sweep => {
                self.coherence.cells().sweep();
                self.coherence.sweep(Tick::default());
            }
            _ => self.invalidate(op),
        }
    }

    fn now(&self) -> u64 {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.moment += 1;
        history.moment
    }

    fn begin_past(&self, op: &Op) -> (usize, u64) {
        let began = self.now();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.past.push(Past { op: op.clone(), began, returned: None });
        (history.past.len() - 1, began)
    }

    fn end_past(&self, index: usize) {
        let returned = self.now();
        self.history.lock().unwrap_or_else(PoisonError::into_inner).past[index].returned = Some(returned);
    }

    /// C1: a read that begins after an invalidation returned sees no value whose source read began before the
    /// invalidation began; after a soft one it may, marked stale.
    fn judge(&self, key: usize, began: u64, answer: Answer, stale: bool) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        for past in &history.past {
            if past.returned.is_none_or(|returned| returned > began) || answer.asked > past.began {
                continue;
            }
            let forbids = match &past.op {
                Op::Invalidate(other, severity) => *other == key && (*severity == Severity::Hard || !stale),
                Op::InvalidateAndHold(other) | Op::Write(other) => *other == key,
                Op::Bump(tag, severity) => self.plans[key].carries(tag) && (*severity == Severity::Hard || !stale),
                Op::Rule(tags) => tags.iter().all(|tag| self.plans[key].carries(tag)),
                Op::Clear | Op::Suspect => true,
                _ => false,
            };
            assert!(
                !forbids,
                "{STALE}: key {key}, the read that began at {began} got {answer:?}, stale: {stale}, after {past:?}"
            );
        }
    }

    fn read(&self, key: usize, op: &Op) {
        let began = self.now();
        let bytes = encode(key);
        let plan = &self.plans[key];
        loop {
            let entry = self.coherence.memory().get(name(&bytes));
            let judged = entry.map(|entry| (self.coherence.standing(&self.base, &entry), entry));
            if let Some((standing, entry)) = judged.filter(|(standing, _)| *standing != Standing::Void) {
                let stale = standing == Standing::Stale;
                // A stale value is served, or replaced first, as the policy says.
                if !stale || thread_rng().gen_bool(0.5) {
                    saw(if stale { Seen::StaleHit } else { Seen::Hit });
                    return self.judge(key, began, answer_in(&entry), stale);
                }
            }
            let usable = |_: &Entry, standing| standing == Standing::Current;
            match self.coherence.begin(name(&bytes), &self.base, &plan.early, usable, |_| true, Slot::new) {
                Begun::Entry(entry) => {
                    saw(Seen::Hit);
                    return self.judge(key, began, answer_in(&entry), false);
                }
                Begun::Wait { flight, since } => match flight.outcome.wait() {
                    // The value's tags are known now: what befell them before this reader came is held against it.
                    Outcome::Served(answer) => match self.coherence.standing_for(since, &flight, &plan.all()) {
                        Standing::Current => {
                            saw(Seen::Join);
                            return self.judge(key, began, answer, false);
                        }
                        Standing::Stale | Standing::Void => saw(Seen::LookedAgain),
                    },
                    Outcome::Cancelled => saw(Seen::LookedAgain),
                },
                Begun::Lead(flight) => return self.lead(&flight, key, began, op),
            }
        }
    }

    fn lead(&self, flight: &Flight<Slot>, key: usize, began: u64, op: &Op) {
        let answer = self.ask(key);
        if matches!(op, Op::ReadAndGiveUp(_)) {
            self.coherence.end(flight);
            return flight.outcome.publish(Outcome::Cancelled);
        }
        if !matches!(op, Op::ReadOnly(_)) {
            self.fill(flight, key, answer);
        }
        self.coherence.end(flight);
        flight.outcome.publish(Outcome::Served(answer));
        self.judge(key, began, answer, false);
    }

    fn ask(&self, key: usize) -> Answer {
        let asked = self.now();
        let version = self.source[key].load(Ordering::Acquire);
        let behind = u64::from(self.lagging && version > 1 && thread_rng().gen_bool(0.5));
        Answer { version: version - behind, asked }
    }

    fn fill(&self, flight: &Flight<Slot>, key: usize, answer: Answer) {
        let late = &self.plans[key].late;
        let stored = self.coherence.fill(flight, late, NOW, Some(answer.version), |marked| parts(marked, answer));
        count(stored);
    }

    fn glance(&self, key: usize) {
        let began = self.now();
        let bytes = encode(key);
        let entry = self.coherence.memory().get(name(&bytes));
        if let Some(entry) = entry.filter(|entry| self.coherence.standing(&self.base, entry) == Standing::Current) {
            saw(Seen::Hit);
            return self.judge(key, began, answer_in(&entry), false);
        }
        let plan = &self.plans[key];
        let glance = self.coherence.glance(name(&bytes), &self.base, &plan.early);
        let answer = self.ask(key);
        let (owned, version) = (name(&bytes).to_owned(), Some(answer.version));
        let copy = |marked| parts(marked, answer);
        let stored = self.coherence.fill_glanced(&owned, &glance, &plan.late, NOW, version, copy);
        saw(if stored == Stored::Yes { Seen::Glanced } else { Seen::GlanceRefused });
        self.judge(key, began, answer, false);
    }

    /// A write-through: refused, it leaves nothing behind.
    fn write(&self, key: usize) {
        let (index, _) = self.begin_past(&Op::Write(key));
        let bytes = encode(key);
        let flight = self.coherence.begin_write(name(&bytes), &self.base, &self.plans[key].early, Slot::new());
        let asked = self.now();
        let version = self.source[key].fetch_add(1, Ordering::AcqRel) + 1;
        self.fill(&flight, key, Answer { version, asked });
        if flight.is_poisoned() {
            saw(Seen::WriteConflict);
            self.coherence.invalidate(name(&bytes), Severity::Hard);
        }
        self.end_past(index);
    }

    fn invalidate(&self, op: &Op) {
        let changed = self.source.iter().map(|version| version.fetch_add(1, Ordering::AcqRel) + 1).max();
        let (index, _) = self.begin_past(op);
        match op {
            Op::Invalidate(key, severity) => drop(self.coherence.invalidate(name(&encode(*key)), *severity)),
            Op::InvalidateAndHold(key) => {
                let bytes = encode(*key);
                self.coherence.raise_floor(name(&bytes), changed.unwrap_or(0), Tick::NEVER);
                self.coherence.invalidate(name(&bytes), Severity::Hard);
            }
            Op::Bump(tag, severity) => drop(self.coherence.cells().bump(*tag, *severity)),
            Op::Clear => drop(self.coherence.cells().bump(TagId::from_bytes([BASE[1]; 16]), Severity::Hard)),
            Op::Rule(tags) => {
                if !self.coherence.cells().add_rule(tags, Tick::default(), Tick::NEVER, MOST_RULES) {
                    self.coherence.cells().bump(tags[0], Severity::Hard);
                }
            }
            Op::Suspect => self.coherence.suspect(),
            _ => unreachable!("{op:?} invalidates nothing"),
        }
        self.end_past(index);
    }

    /// After all threads are done nothing is left over, and what memory holds is as good as any read.
    pub(crate) fn quiet(&self) {
        assert_eq!(self.coherence.sweep(Tick::default()), 0, "a load is still registered");
        for key in 0..self.plans.len() {
            self.read(key, &Op::Read(key));
        }
        self.coherence.memory().clear();
        assert_eq!(self.coherence.cells().sweep(), BASE.len(), "a cell is left that no entry carries");
    }
}

fn parts(marked: Marked, answer: Answer) -> Parts {
    Parts {
        value: Some(Arc::new(answer)),
        bytes: 8,
        details: Some(Arc::new(Details {
            marks: marked.marks,
            born: marked.born,
            ruled: AtomicU64::new(marked.born),
            version: Some(answer.version),
            position: None,
            pulse: None,
        })),
        times: Times { loaded_at: NOW, refresh_at: Tick::NEVER, fresh_until: Tick::NEVER, kept_until: Tick::NEVER },
        warmed: false,
    }
}

fn count(stored: Stored) {
    match stored {
        Stored::Yes => saw(Seen::Fill),
        Stored::No(FillRefusal::Invalidated) => saw(Seen::Poisoned),
        Stored::No(FillRefusal::Gap) => saw(Seen::AcrossGap),
        Stored::No(FillRefusal::TooOld) => saw(Seen::TooOld),
        Stored::No(other) => panic!("nothing here is refused as {other:?}"),
        Stored::NotAfter(_) => saw(Seen::LateTag),
    }
}

fn answer_in(entry: &Entry) -> Answer {
    let value = entry.value.as_ref().expect("the source has every key");
    *value.downcast_ref::<Answer>().expect("nothing else is stored")
}

fn encode(key: usize) -> [u8; 1] {
    [u8::try_from(key).expect("a few keys")]
}

fn name(bytes: &[u8]) -> KeyRef<'_> {
    KeyRef { view: 0, bytes }
}
