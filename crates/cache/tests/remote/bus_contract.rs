//! What every bus must do: random calls on two of them, compared message by message.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tierkeep_cache::bus::{
    Announced, Announcement, Bus, BusMessage, Epoch, Heartbeat, InProcessBus, NodeId, Notice, Target,
};
use tierkeep_cache::remote::RemoteKey;
use tierkeep_cache::{Clock, Severity};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{MARGIN, World};

/// A lease no test is long enough for.
const LONG: Duration = Duration::from_secs(10_000);

#[derive(Clone, Debug)]
enum Step {
    Announce {
        strict: bool,
    },
    /// With the epoch heard last, or none.
    Heartbeat {
        node: u64,
        knows_epoch: bool,
        applied: u64,
    },
    Confirm {
        node: u64,
        number: u64,
    },
    Leave {
        node: u64,
    },
    LoseCounter,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 1..4u64;
    prop_oneof![
        4 => any::<bool>().prop_map(|strict| Step::Announce { strict }),
        6 => (node.clone(), prop::bool::weighted(0.8), 0..8u64)
            .prop_map(|(node, knows_epoch, applied)| Step::Heartbeat { node, knows_epoch, applied }),
        1 => (node.clone(), any::<u64>()).prop_map(|(node, number)| Step::Confirm { node, number }),
        1 => node.prop_map(|node| Step::Leave { node }),
        1 => Just(Step::LoseCounter),
    ]
}

fn notice() -> Notice {
    let key = RemoteKey::from_bytes(b"a\0\xff}\r\n");
    Notice { sender: NodeId(9), severity: Severity::Soft, targets: vec![Target::Key(key)] }
}

/// A bus, a subscription to it, and the names of the epochs it had, in their order.
struct Heard<B> {
    bus: B,
    messages: mpsc::Receiver<BusMessage>,
    epochs: Vec<Epoch>,
}

impl<B: Bus> Heard<B> {
    async fn new(bus: B) -> Self {
        let messages = bus.subscribe().await.unwrap();
        Self { bus, messages, epochs: Vec::new() }
    }

    /// The epoch's place in time, so that two buses can be compared.
    fn place(&mut self, epoch: &mut Epoch) {
        let place = self.epochs.iter().position(|known| known == epoch);
        let place = place.unwrap_or_else(|| {
            self.epochs.push(*epoch);
            self.epochs.len() - 1
        });
        *epoch = Epoch(place as u64);
    }

    async fn step(&mut self, step: &Step, lose: impl AsyncFn(&B)) -> (Option<Announced>, Option<BusMessage>) {
        let mut announced = None;
        match *step {
            Step::Announce { strict } => {
                let mut answer = self.bus.announce(&Announcement { notice: notice(), strict }).await.unwrap();
                self.place(&mut answer.epoch);
                answer.holders.sort_by_key(|holder| holder.node);
                for holder in &mut answer.holders {
                    assert!(holder.remaining <= LONG && holder.remaining > LONG - Duration::from_secs(100));
                    holder.remaining = LONG;
                }
                announced = Some(answer);
            }
            Step::Heartbeat { node, knows_epoch, applied } => {
                let epoch = self.epochs.last().copied().filter(|_| knows_epoch);
                let heartbeat = Heartbeat { node: NodeId(node), nonce: u64::MAX - node, epoch, applied, lease: LONG };
                self.bus.heartbeat(&heartbeat).await.unwrap();
            }
            Step::Confirm { node, number } => self.bus.confirm(NodeId(node), Epoch(7), number).await.unwrap(),
            Step::Leave { node } => self.bus.leave(NodeId(node)).await.unwrap(),
            Step::LoseCounter => lose(&self.bus).await,
        }
        if matches!(step, Step::Leave { .. } | Step::LoseCounter) {
            return (announced, None);
        }
        let mut message = timeout(MARGIN, self.messages.recv()).await.unwrap();
        if let Some(BusMessage::Notice { epoch, .. } | BusMessage::Echo { epoch, .. }) = &mut message {
            self.place(epoch);
        }
        (announced, message)
    }
}

#[test]
fn redis_and_the_bus_in_the_process_say_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let check = async |steps: Vec<Step>| -> Result<(), TestCaseError> {
        world.run(&[b"FLUSHALL"]).await;
        let mut model = Heard::new(InProcessBus::new(Clock::manual())).await;
        let mut real = Heard::new(world.redis.bus()).await;
        for step in &steps {
            let expected = model.step(step, async |bus| bus.restart_empty()).await;
            let got = real.step(step, async |_| world.run(&[b"FLUSHALL"]).await).await;
            prop_assert_eq!(got, expected, "after {:?}", step);
        }
        prop_assert!(real.messages.try_recv().is_err(), "a message too many");
        Ok(())
    };
    TestRunner::new(Config { cases: 128, failure_persistence: None, ..Config::default() })
        .run(&prop::collection::vec(step(), 1..30), |steps| runtime.block_on(check(steps)))
        .unwrap();
}

#[tokio::test]
async fn echo_comes_after_everything_announced_before() {
    let world = World::new().await;
    let bus = world.redis.bus();
    let mut messages = bus.subscribe().await.unwrap();
    let announcing = (0..50).map(|_| {
        let bus = bus.clone();
        tokio::spawn(
            async move { bus.announce(&Announcement { notice: notice(), strict: false }).await.unwrap().number },
        )
    });
    let announcing: Vec<_> = announcing.collect();
    let mut highest = 0;
    for announced in announcing {
        highest = highest.max(announced.await.unwrap());
    }

    let heartbeat = Heartbeat { node: NodeId(1), nonce: 5, epoch: None, applied: 0, lease: LONG };
    bus.heartbeat(&heartbeat).await.unwrap();

    let mut heard = Vec::new();
    loop {
        match timeout(MARGIN, messages.recv()).await.unwrap().unwrap() {
            BusMessage::Notice { number, .. } => heard.push(number),
            BusMessage::Echo { last, nonce, .. } => {
                assert_eq!((last, nonce), (highest, 5));
                break;
            }
            BusMessage::Confirmed { .. } => panic!("nobody confirmed"),
        }
    }
    assert_eq!(heard, (1..=50).collect::<Vec<_>>(), "in the order of numbers");
}

#[tokio::test]
async fn every_subscriber_hears_everything() {
    let world = World::new().await;
    let bus = world.redis.bus();
    let (mut first, mut second) = (bus.subscribe().await.unwrap(), bus.subscribe().await.unwrap());

    let announced = bus.announce(&Announcement { notice: notice(), strict: true }).await.unwrap();

    let expected =
        BusMessage::Notice { epoch: announced.epoch, number: announced.number, strict: true, notice: notice() };
    assert_eq!(timeout(MARGIN, first.recv()).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(timeout(MARGIN, second.recv()).await.unwrap(), Some(expected));
}
