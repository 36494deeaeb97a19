//! The nodes, the source, the remote tier, the bus, and everything that may happen next.

use std::collections::BTreeSet;

use stateright::{Model, Property};
use tierkeep_cache::Severity;
use tierkeep_cache::bus::{Epoch, Heard, Receiver};
use tierkeep_cache::remote::{Bump, KeyInvalidation, Slots};

use crate::node::{Checked, Kind, Node, Went, key, open, tag};

pub(crate) const LOCAL: &str = "no read on the node that invalidated is older than the invalidation";
pub(crate) const STRICT: &str = "strict: no read is older than what was acknowledged";
pub(crate) const BOUND: &str = "bounded: no read is older than what was acknowledged when its lease was asked for";
pub(crate) const REMOTE: &str = "the remote tier holds nothing current that was loaded before an invalidation";

/// Notices that were sent before the story begins.
const BEFORE: u64 = 3;
/// The node that changes the source.
const WRITER: usize = 0;

/// A mechanism that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    FillWithoutToken,
    FillWithoutLease,
    NoNumbers,
    LeaseFromEcho,
    RenewalNotRefused,
    NotRefusedNoNumbers,
    ConfirmedWithoutCounter,
}

/// How large a cluster, and how much may happen.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: usize,
    pub(crate) strict: bool,
    /// What the updates invalidate, in order.
    pub(crate) updates: Vec<Kind>,
    /// Loads of each node.
    pub(crate) loads: u8,
    /// Heartbeats of each node but the writer, the one before the story included.
    pub(crate) heartbeats: u8,
    /// Whether the nodes hear of each other. If so, only the others load, and only servers and nodes are lost; if not, all
    /// load, and the remote tier also loses single values, records and leases.
    pub(crate) bus: bool,
    /// How much may be lost.
    pub(crate) mishaps: u8,
    pub(crate) planted: Planted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    source: u8,
    slots: Slots,
    /// The newest version whose invalidation the remote tier has taken.
    told: u8,
    acknowledged: u8,
    bus: Counter,
    /// Everything ever sent: a message that stays is lost, or late, or repeated.
    sent: BTreeSet<Message>,
    nodes: Vec<Node>,
    writer: Writer,
    mishaps: u8,
    refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Counter {
    epoch: u64,
    last: u64,
    last_strict: u64,
    /// The heartbeat under which each node's lease is registered.
    leases: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Message {
    Notice { epoch: u64, number: u64, kind: Kind },
    Echo { node: usize, nonce: u8, epoch: u64, last: u64, granted: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writer {
    done: usize,
    step: Change,
    /// What each node has confirmed: of which counter, and up to which number.
    confirmed: Vec<(u64, u64)>,
    /// The counter it knows, and the heartbeats that were out when it first met it.
    since: (u64, Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Change {
    Idle,
    TellRemote,
    Apply,
    Announce,
    Wait { number: u64, holders: Vec<u8>, unknown: Vec<u8> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The writer's next step.
    Write,
    Begin(usize),
    Advance(usize),
    Heartbeat(usize),
    /// A lease's time passes.
    Expire(usize),
    /// The message at this place among all that were sent reaches a node.
    Deliver(usize, usize),
    EvictValue,
    EvictRecord,
    LoseLease(usize),
    Restart,
    Crash(usize),
}

impl Cluster {
    pub(crate) fn strict() -> Self {
        Self {
            nodes: 2,
            strict: true,
            updates: vec![Kind::Key, Kind::Tag],
            loads: 1,
            heartbeats: 3,
            bus: true,
            mishaps: 0,
            planted: Planted::Nothing,
        }
    }

    pub(crate) fn bounded() -> Self {
        Self { strict: false, ..Self::strict() }
    }

    /// The same, with the server of the remote tier and the bus, or a node, lost at any moment.
    pub(crate) fn mishap(self) -> Self {
        Self { updates: vec![Kind::Key, Kind::Key], mishaps: 1, ..self }
    }

    pub(crate) fn remote_tier() -> Self {
        Self { nodes: 3, strict: false, heartbeats: 1, bus: false, ..Self::strict() }
    }

    fn numbers(&self) -> bool {
        !matches!(self.planted, Planted::NoNumbers | Planted::NotRefusedNoNumbers)
    }

    fn refuses(&self) -> bool {
        !matches!(self.planted, Planted::RenewalNotRefused | Planted::NotRefusedNoNumbers)
    }

    fn checked(&self) -> Checked {
        match self.planted {
            Planted::FillWithoutToken => Checked::RemoteOnly,
            Planted::FillWithoutLease => Checked::Nothing,
            _ => Checked::All,
        }
    }

    fn write(&self, state: &mut State) {
        state.writer.step = match state.writer.step.clone() {
            Change::Idle => {
                state.source += 1;
                Change::TellRemote
            }
            Change::TellRemote => {
                match self.updates[state.writer.done] {
                    Kind::Key => {
                        let forget = KeyInvalidation { key: key(), severity: Severity::Hard, hold: None };
                        state.slots.invalidate(0, &[forget]);
                    }
                    Kind::Tag => state.slots.bump(0, &[Bump { tag: tag(), severity: Severity::Hard, soft: 0 }]),
                }
                state.told = state.source;
                Change::Apply
            }
            Change::Apply => {
                state.nodes[WRITER].apply(self.updates[state.writer.done]);
                Change::Announce
            }
            Change::Announce => {
                state.bus.last += 1;
                let (epoch, number) = (state.bus.epoch, state.bus.last);
                state.sent.insert(Message::Notice { epoch, number, kind: self.updates[state.writer.done] });
                let mut holders = vec![0; self.nodes];
                if self.strict {
                    state.bus.last_strict = number;
                    holders.clone_from(&state.bus.leases);
                }
                holders[WRITER] = 0;
                if state.writer.since.0 != epoch {
                    state.writer.since = (epoch, state.nodes.iter().map(|node| node.nonce).collect());
                }
                Change::Wait { number, holders, unknown: state.writer.since.1.clone() }
            }
            Change::Wait { .. } => {
                state.acknowledged = state.source;
                state.writer.done += 1;
                Change::Idle
            }
        };
    }

    /// Whether the writer's next step can be taken now.
    fn may_write(&self, state: &State) -> bool {
        if !state.nodes[WRITER].alive {
            return false;
        }
        match &state.writer.step {
            Change::Idle => state.writer.done < self.updates.len(),
            Change::Wait { number, holders, unknown } => {
                // What the writer cannot see, it waits for by time: until the lease has run out.
                let over = |node: usize, nonce: u8| nonce <= state.nodes[node].expired;
                let known = (1..self.nodes).all(|node| over(node, unknown[node]));
                let named = self.planted != Planted::ConfirmedWithoutCounter;
                let confirmed = |node: usize| {
                    let (epoch, applied) = state.writer.confirmed[node];
                    (epoch == state.writer.since.0 || !named) && applied >= *number
                };
                !self.strict || known && (1..self.nodes).all(|node| over(node, holders[node]) || confirmed(node))
            }
            _ => true,
        }
    }

    fn heartbeat(&self, state: &mut State, index: usize) {
        let node = &mut state.nodes[index];
        node.nonce += 1;
        node.floors.push(state.acknowledged);
        let known = node.receiver.epoch() == Some(Epoch(state.bus.epoch));
        let granted = known && (!self.refuses() || node.receiver.applied() >= state.bus.last_strict);
        if granted {
            state.bus.leases[index] = node.nonce;
        }
        let (nonce, epoch, last) = (node.nonce, state.bus.epoch, state.bus.last);
        state.sent.insert(Message::Echo { node: index, nonce, epoch, last, granted });
    }

    fn deliver(&self, state: &mut State, message: &Message, index: usize) {
        let node = &mut state.nodes[index];
        match *message {
            Message::Notice { epoch, number, kind } => {
                let heard = node.receiver.notice(Epoch(epoch), number);
                if heard == Heard::Apply {
                    node.apply(kind);
                }
                if self.strict && node.receiver.epoch() == Some(Epoch(epoch)) {
                    self.confirm(state, index);
                }
            }
            Message::Echo { nonce, epoch, last, granted, .. } => {
                node.echoed = nonce;
                let before = node.receiver.epoch();
                let heard = match self.numbers() || before != Some(Epoch(epoch)) {
                    true => node.receiver.echo(Epoch(epoch), last),
                    false => Heard::Whole,
                };
                node.note(heard);
                if granted {
                    node.lease = nonce;
                    node.late_lease = self.planted == Planted::LeaseFromEcho;
                }
                if heard == Heard::Gap {
                    self.confirm(state, index);
                }
            }
        }
    }

    /// A confirmation that is lost only makes the writer wait.
    fn confirm(&self, state: &mut State, index: usize) {
        let receiver = &state.nodes[index].receiver;
        let (epoch, applied) = (receiver.epoch().map_or(0, |epoch| epoch.0), receiver.applied());
        let (of, before) = &mut state.writer.confirmed[index];
        if epoch != *of && self.planted != Planted::ConfirmedWithoutCounter {
            *before = 0;
        }
        (*of, *before) = (epoch, applied.max(*before));
    }

    /// Whether a message can still matter to a node.
    fn concerns(state: &State, message: &Message, index: usize) -> bool {
        let node = &state.nodes[index];
        // The writer has applied its own notices and asks for no lease, so it need not hear anything: the worst case.
        node.alive
            && index != WRITER
            && match message {
                Message::Notice { .. } => true,
                Message::Echo { node: whose, nonce, .. } => *whose == index && *nonce > node.echoed,
            }
    }
}

/// The version that any reader would take from the remote tier.
fn current_remotely(state: &State) -> Option<u8> {
    let read = state.slots.clone().read(0, &[key()], &[tag()]);
    let (version, stamps) = open(&read.values[0].as_ref()?.envelope);
    (read.stamps[0].as_ref()?.stamps == stamps).then_some(version)
}

fn served(state: &State) -> impl Iterator<Item = (usize, &Node, u8)> {
    state.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node, node.serves()?)))
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut receiver = Receiver::default();
        receiver.echo(Epoch(1), BEFORE);
        vec![State {
            source: 0,
            slots: Slots::default(),
            told: 0,
            acknowledged: 0,
            bus: Counter { epoch: 1, last: BEFORE, last_strict: BEFORE, leases: vec![1; self.nodes] },
            sent: BTreeSet::new(),
            nodes: vec![Node::new(receiver); self.nodes],
            writer: Writer {
                done: 0,
                step: Change::Idle,
                confirmed: vec![(1, BEFORE); self.nodes],
                since: (1, vec![0; self.nodes]),
            },
            mishaps: 0,
            refused: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.may_write(state) {
            actions.push(Action::Write);
        }
        for (index, node) in state.nodes.iter().enumerate() {
            if !node.alive {
                if self.strict && node.expired < node.nonce {
                    actions.push(Action::Expire(index));
                }
                continue;
            }
            match node.flight {
                Some(_) => actions.push(Action::Advance(index)),
                None if node.loads < self.loads && !(self.bus && index == WRITER) => actions.push(Action::Begin(index)),
                None => {}
            }
            if index != WRITER {
                if node.nonce < self.heartbeats {
                    actions.push(Action::Heartbeat(index));
                }
                // Without strict notices nobody waits for a lease to end, and a longer one allows more.
                if self.strict && node.expired < node.nonce {
                    actions.push(Action::Expire(index));
                }
            }
            for (place, message) in state.sent.iter().enumerate() {
                if self.bus && Self::concerns(state, message, index) {
                    actions.push(Action::Deliver(place, index));
                }
            }
        }
        if state.mishaps < self.mishaps {
            actions.extend([Action::Restart, Action::Crash(self.nodes - 1)]);
            if !self.bus {
                actions.extend([Action::EvictValue, Action::EvictRecord]);
                actions.extend((0..self.nodes).map(Action::LoseLease));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Write => self.write(&mut state),
            Action::Begin(index) => {
                let token = 1 + index as u64 * 16 + u64::from(state.nodes[index].loads);
                state.nodes[index].begin(token, &mut state.slots);
            }
            Action::Advance(index) => {
                let went = state.nodes[index].advance(state.source, &mut state.slots, self.checked());
                state.refused |= went == Went::Refused;
            }
            Action::Heartbeat(index) => self.heartbeat(&mut state, index),
            Action::Expire(index) => state.nodes[index].expired += 1,
            Action::Deliver(place, index) => {
                let message = last.sent.iter().nth(place)?;
                self.deliver(&mut state, message, index);
            }
            Action::EvictValue => state.slots.evict_value(&key()),
            Action::EvictRecord => state.slots.evict_record(tag()),
            Action::LoseLease(index) => {
                let token = 1 + index as u64 * 16 + u64::from(state.nodes[index].loads.saturating_sub(1));
                state.slots.release(0, &[(key(), tierkeep_cache::remote::LeaseToken(token))]);
            }
            Action::Restart => {
                state.slots = Slots::default();
                let leases = vec![0; self.nodes];
                state.bus = Counter { epoch: state.bus.epoch + 1, last: 0, last_strict: 0, leases };
            }
            Action::Crash(index) => {
                let node = &mut state.nodes[index];
                (node.alive, node.held, node.flight) = (false, None, None);
            }
        }
        if state == *last {
            return None;
        }
        let mishap = matches!(
            action,
            Action::EvictValue | Action::EvictRecord | Action::LoseLease(_) | Action::Restart | Action::Crash(_)
        );
        state.mishaps += u8::from(mishap);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LOCAL, |_, state: &State| {
                // Between its own memory's turn and the end of the call, too.
                let applied = matches!(state.writer.step, Change::Announce | Change::Wait { .. });
                let floor = if applied { state.source } else { state.acknowledged };
                served(state).all(|(index, _, version)| index != WRITER || version >= floor)
            }),
            Property::always(STRICT, |model: &Self, state: &State| {
                !model.strict || served(state).all(|(_, _, version)| version >= state.acknowledged)
            }),
            Property::always(BOUND, |_, state: &State| {
                served(state).all(|(_, node, version)| version >= node.floors[usize::from(node.lease) - 1])
            }),
            Property::always(REMOTE, |_, state: &State| {
                current_remotely(state).is_none_or(|version| version >= state.told)
            }),
            Property::eventually("in the end all agree", |model: &Self, state: &State| {
                let told = state.writer.done == model.updates.len() && state.told == state.source;
                let hears = |index: usize| model.bus || index == WRITER;
                told && served(state).all(|(index, _, version)| version == state.source || !hears(index))
                    && current_remotely(state).is_none_or(|version| version == state.source)
            }),
            Property::sometimes("memory is served", |_, state: &State| served(state).next().is_some()),
            Property::sometimes("another node serves the last version from memory", |model: &Self, state: &State| {
                state.writer.done == model.updates.len()
                    && served(state).any(|(index, _, version)| index != WRITER && version == state.source)
            }),
            Property::sometimes("a node notices a gap", |model: &Self, state: &State| {
                !model.bus || state.nodes.iter().any(|node| node.gap > 0)
            }),
            Property::sometimes("a fill is refused", |_, state: &State| state.refused),
        ]
    }
}
