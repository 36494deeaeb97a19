//! The bus: notices are numbered and published by one script, and heard on a connection of their own.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, PushKind, Script, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::line::Failure;
use super::transport::Driver;
use super::{Shared, layout, scripts};
use crate::bus::{
    Announced, Announcement, Bus, BusError, BusMessage, Epoch, Heartbeat, Holder, NodeId, Notice, SUBSCRIPTION_CAPACITY,
};

/// Redis or Valkey as [`Bus`]; see the [module](super) for its promises and layouts.
///
/// Clones share one connection for commands; each subscription has a connection of its own, and a task that
/// ends when the receiver or the last handle is dropped.
#[derive(Clone)]
pub struct RedisBus {
    shared: Arc<Shared>,
    subscriptions: Arc<Mutex<JoinSet<()>>>,
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisBus").field(&self.shared.address).finish()
    }
}

impl From<Failure> for BusError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(reason) => Self::Unreachable(reason),
            Failure::TimedOut(limit) => Self::TimedOut(limit),
            Failure::Refused(said) => Self::Refused(said),
        }
    }
}

impl RedisBus {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, subscriptions: Arc::default() }
    }

    /// A call of a script that begins with the counter.
    fn call(&self, script: &Script) -> Cmd {
        // Names a new counter, if this call finds none.
        let fresh = std::hash::RandomState::new().build_hasher().finish();
        let mut call = scripts::call(script, 1);
        call.arg(self.shared.names.bus_state()).arg(self.shared.names.channel()).arg(format!("{fresh:016x}"));
        call
    }

    async fn ask(&self, command: Cmd) -> Result<Value, BusError> {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(command);
        let answer = self.shared.link.ask(&commands).await?.pop().ok_or_else(strange)?;
        answer.map_err(|error| Failure::from(error).into())
    }
}

/// An answer that no version of our scripts gives.
fn strange() -> BusError {
    BusError::Refused("an answer of another shape than expected".to_owned())
}

#[async_trait]
impl Bus for RedisBus {
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError> {
        let mut call = self.call(&scripts::ANNOUNCE);
        call.arg(u8::from(announcement.strict)).arg(announcement.notice.encode());
        let (epoch, number, holders): (Vec<u8>, u64, Vec<Value>) =
            redis::from_redis_value(self.ask(call).await?).map_err(|_| strange())?;
        let holders = holders.as_chunks::<2>().0.iter().map(|[node, remaining]| match (node, remaining) {
            (Value::BulkString(node), Value::Int(millis)) => Some(Holder {
                node: NodeId(layout::number(node)?),
                remaining: Duration::from_millis(u64::try_from(*millis).ok()?),
            }),
            _ => None,
        });
        Ok(Announced {
            epoch: read_epoch(&epoch).ok_or_else(strange)?,
            number,
            holders: holders.collect::<Option<_>>().ok_or_else(strange)?,
        })
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError> {
        let mut call = self.call(&scripts::HEARTBEAT);
        call.arg(&heartbeat.node.0.to_be_bytes()[..])
            .arg(&heartbeat.nonce.to_be_bytes()[..])
            .arg(heartbeat.epoch.map_or_else(String::new, |epoch| format!("{:016x}", epoch.0)))
            .arg(heartbeat.applied)
            .arg(layout::millis(heartbeat.lease));
        self.ask(call).await.map(drop)
    }

    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError> {
        let mut message = vec![b'C'];
        message.extend(node.0.to_be_bytes());
        message.extend(epoch.0.to_be_bytes());
        message.extend(number.to_be_bytes());
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.shared.names.channel()).arg(message);
        self.ask(publish).await.map(drop)
    }

    async fn leave(&self, node: NodeId) -> Result<(), BusError> {
        let mut call = scripts::call(&scripts::LEAVE, 1);
        call.arg(self.shared.names.bus_state()).arg(&node.0.to_be_bytes()[..]);
        self.ask(call).await.map(drop)
    }

    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError> {
        let (sender, receiver) = mpsc::channel(SUBSCRIPTION_CAPACITY);
        let ended = CancellationToken::new();
        let pushes = {
            let (sender, ended) = (sender.clone(), ended.clone());
            // Called by the connection, in the order of messages; must not wait.
            move |push: PushInfo| -> Result<(), ()> {
                if push.kind != PushKind::Message {
                    return Ok(());
                }
                let message = match push.data.as_slice() {
                    [_, Value::BulkString(payload)] => decode(payload),
                    _ => None,
                };
                // What cannot be read, or not be kept, was missed: the subscription ends and the node knows.
                let delivered = message.is_some_and(|message| sender.try_send(message).is_ok());
                if delivered {
                    Ok(())
                } else {
                    ended.cancel();
                    Err(())
                }
            }
        };
        let shared = Arc::clone(&self.shared);
        let replaced = Box::pin(shared.link.replacement());
        let state = shared.names.bus_state();
        let subscribed = async {
            let (mut line, mut driver) = shared.dialer.connect_for_pushes(Arc::new(pushes), &state).await?;
            tokio::select! {
                done = line.subscribe(shared.names.channel()) => done?,
                () = &mut driver => return Err(Failure::Unreachable("the connection was closed".to_owned())),
            }
            Ok((line, driver))
        };
        let limit = shared.connect_timeout;
        let (line, driver) = timeout(limit, subscribed).await.map_err(|_| BusError::TimedOut(limit))??;
        let subscription = Subscription {
            line,
            driver,
            ended,
            replaced,
            interval: shared.ping_interval,
            limit: shared.command_timeout,
        };
        let mut subscriptions = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        while subscriptions.try_join_next().is_some() {}
        subscriptions.spawn(subscription.run(sender));
        Ok(receiver)
    }
}

/// A connection that is subscribed.
struct Subscription {
    line: MultiplexedConnection,
    driver: Driver,
    /// A message was lost.
    ended: CancellationToken,
    /// Commands go another way: after a failover this connection may lead to a server that nobody publishes on.
    replaced: Driver,
    /// Between signs of life that are asked for.
    interval: Duration,
    /// How long one may take.
    limit: Duration,
}

impl Subscription {
    /// Moves messages until the connection is lost, a message is, or nobody listens.
    ///
    /// `sender` is one of two, the other belongs to the connection: the channel closes when both are dropped, here.
    async fn run(self, sender: mpsc::Sender<BusMessage>) {
        let Self { mut line, driver, ended, replaced, interval, limit } = self;
        let silent = async {
            loop {
                sleep(interval).await;
                let ping = redis::cmd("PING");
                if !matches!(timeout(limit, ping.query_async::<Value>(&mut line)).await, Ok(Ok(_))) {
                    return;
                }
            }
        };
        let reason = tokio::select! {
            () = driver => "the connection is lost",
            () = ended.cancelled() => "a message could not be taken",
            () = silent => "no answer",
            () = replaced => "commands have another connection",
            () = sender.closed() => return,
        };
        tracing::warn!(reason, "the subscription to redis ends");
    }
}

/// Reads a message as the scripts publish it; see the [module](super) for the layout.
fn decode(payload: &[u8]) -> Option<BusMessage> {
    let (kind, rest) = payload.split_first()?;
    match kind {
        b'N' => {
            let (epoch, rest) = rest.split_at_checked(16)?;
            let (number, rest) = rest.split_at_checked(8)?;
            let (strict, notice) = rest.split_first()?;
            Some(BusMessage::Notice {
                epoch: read_epoch(epoch)?,
                number: layout::number(number)?,
                strict: read_flag(*strict)?,
                notice: Notice::decode(notice).ok()?,
            })
        }
        b'E' if rest.len() == 41 => Some(BusMessage::Echo {
            epoch: read_epoch(&rest[..16])?,
            last: layout::number(&rest[16..])?,
            granted: read_flag(rest[24])?,
            node: NodeId(layout::number(&rest[25..])?),
            nonce: layout::number(&rest[33..])?,
        }),
        b'C' if rest.len() == 24 => Some(BusMessage::Confirmed {
            node: NodeId(layout::number(rest)?),
            epoch: Epoch(layout::number(&rest[8..])?),
            number: layout::number(&rest[16..])?,
        }),
        _ => None,
    }
}

fn read_epoch(digits: &[u8]) -> Option<Epoch> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(Epoch)
}

fn read_flag(digit: u8) -> Option<bool> {
    match digit {
        b'0' => Some(false),
        b'1' => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_payloads_are_never_a_panic(kind in "[NEC]|.", rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut payload = kind.into_bytes();
            payload.extend(rest);
            decode(&payload);
        }
    }
}
