//! One node: its memory, its load in flight, and what it has heard.

use std::time::Duration;

use tierkeep_cache::bus::{Heard, Receiver};
use tierkeep_cache::remote::{
    Claim, Fill, Filled, LeaseAnswer, LeaseRequest, LeaseToken, Refused, RemoteKey, Slots, StampRequest,
};
use tierkeep_cache::{Stamps, Tag, TagId};

/// Longer than any path: what ends is ended by a step, not by this.
const LONG: Duration = Duration::from_secs(1 << 30);

pub(crate) fn key() -> RemoteKey {
    RemoteKey::new("v", &[1])
}

pub(crate) fn tag() -> TagId {
    Tag::named("t").id()
}

/// What an invalidation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Key,
    Tag,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) alive: bool,
    pub(crate) receiver: Receiver,
    pub(crate) held: Option<Held>,
    pub(crate) flight: Option<Flight>,
    pub(crate) gap: u8,
    /// Invalidations of the tag that were applied here.
    bumps: u8,
    pub(crate) loads: u8,
    /// Heartbeats sent.
    pub(crate) nonce: u8,
    /// Heartbeats at or below this were sent longer ago than a lease lasts.
    pub(crate) expired: u8,
    /// The heartbeat whose echo gave the lease.
    pub(crate) lease: u8,
    /// The lease does not end with its heartbeat: it was counted from the echo.
    pub(crate) late_lease: bool,
    /// The last heartbeat whose echo was heard.
    pub(crate) echoed: u8,
    /// What was acknowledged when each heartbeat was sent.
    pub(crate) floors: Vec<u8>,
}

/// What memory holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) version: u8,
    gap: u8,
    bumps: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    poisoned: bool,
    gap: u8,
    bumps: u8,
    token: LeaseToken,
    pub(crate) step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Acquire { there: bool, stamps: Option<Stamps> },
    FillRemote { version: u8, stamps: Stamps },
    FillMemory { version: u8 },
}

/// How a load's step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    On,
    Refused,
}

impl Node {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self {
            alive: true,
            receiver,
            held: None,
            flight: None,
            gap: 0,
            bumps: 0,
            loads: 0,
            nonce: 1,
            expired: 0,
            lease: 1,
            late_lease: false,
            echoed: 1,
            floors: vec![0],
        }
    }

    pub(crate) fn leased(&self) -> bool {
        self.late_lease || self.lease > self.expired
    }

    /// What a reader would be given from memory.
    pub(crate) fn serves(&self) -> Option<u8> {
        let held = self.held.as_ref().filter(|held| held.gap == self.gap && held.bumps == self.bumps)?;
        (self.alive && self.leased()).then_some(held.version)
    }

    /// Registers a load and asks the remote tier.
    pub(crate) fn begin(&mut self, token: u64, slots: &mut Slots) {
        self.loads += 1;
        let read = slots.read(0, &[key()], &[tag()]);
        let record = read.stamps[0].as_ref().map(|record| record.stamps);
        let stored = read.values[0].as_ref().map(|value| open(&value.envelope));
        let step = match stored {
            Some((version, stamps)) if record == Some(stamps) => Step::FillMemory { version },
            _ => Step::Acquire { there: stored.is_some(), stamps: record },
        };
        let (gap, bumps) = (self.gap, self.bumps);
        self.flight = Some(Flight { poisoned: false, gap, bumps, token: LeaseToken(token), step });
    }

    /// The next step of the load; `source` is the source's version.
    pub(crate) fn advance(&mut self, source: u8, slots: &mut Slots, checked: Checked) -> Went {
        let Some(mut flight) = self.flight.take() else { return Went::On };
        flight.step = match flight.step {
            Step::Acquire { there, stamps } => {
                let claim = if there { Claim::Refresh } else { Claim::IfAbsent };
                let lease = LeaseRequest { key: key(), token: flight.token, lease: LONG, claim };
                let fresh = Stamps { hard: flight.token.0, soft: 0 };
                let missing = StampRequest { tag: tag(), proposed: fresh, keep: LONG };
                let missing: Vec<_> = stamps.is_none().then_some(missing).into_iter().collect();
                let acquired = slots.acquire(0, &[lease], &missing);
                // Somebody else loads, or has loaded: the reader looks again.
                let LeaseAnswer::Granted = acquired.leases[0] else { return Went::On };
                // The source is read in the same step: a change between them would only bring a newer value.
                Step::FillRemote { version: source, stamps: stamps.unwrap_or_else(|| acquired.stamps[0].stamps) }
            }
            Step::FillRemote { version, stamps } => {
                if flight.poisoned && checked != Checked::Nothing {
                    return Went::Refused;
                }
                if checked == Checked::Nothing {
                    let lease = LeaseRequest { key: key(), token: flight.token, lease: LONG, claim: Claim::Refresh };
                    slots.acquire(0, &[lease], &[]);
                }
                let fill = Fill {
                    key: key(),
                    token: flight.token,
                    envelope: seal(version, stamps),
                    ttl: LONG,
                    version: None,
                    tags: vec![tag()],
                    keep: LONG,
                    refused: Refused::LeaveAlone,
                };
                if slots.fill(0, &[fill]) != [Filled::Stored] {
                    return Went::Refused;
                }
                Step::FillMemory { version }
            }
            Step::FillMemory { version } => {
                if checked == Checked::All && (flight.poisoned || flight.gap != self.gap) {
                    return Went::Refused;
                }
                self.held = Some(Held { version, gap: flight.gap, bumps: flight.bumps });
                return Went::On;
            }
        };
        self.flight = Some(flight);
        Went::On
    }

    /// Carries out an invalidation in memory.
    pub(crate) fn apply(&mut self, kind: Kind) {
        match kind {
            Kind::Key => {
                self.held = None;
                if let Some(flight) = &mut self.flight {
                    flight.poisoned = true;
                }
            }
            Kind::Tag => self.bumps += 1,
        }
    }

    /// Notes what an echo said.
    pub(crate) fn note(&mut self, heard: Heard) {
        if heard == Heard::Gap {
            self.gap += 1;
        }
    }
}

/// What a fill is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    All,
    /// Memory takes what is poisoned.
    RemoteOnly,
    /// The remote tier takes what has lost its lease.
    Nothing,
}

fn seal(version: u8, stamps: Stamps) -> Vec<u8> {
    [&[version][..], &stamps.hard.to_be_bytes(), &stamps.soft.to_be_bytes()].concat()
}

/// The version and the stamps of a stored value.
pub(crate) fn open(envelope: &[u8]) -> (u8, Stamps) {
    let number = |from: usize| u64::from_be_bytes(envelope[from..from + 8].try_into().expect("eight bytes"));
    (envelope[0], Stamps { hard: number(1), soft: number(9) })
}
