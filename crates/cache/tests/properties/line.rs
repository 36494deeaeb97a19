//! One node's way to the bus, which a test cuts, holds or rearranges.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use tierkeep_cache::bus::{Announced, Announcement, Bus, BusError, BusMessage, Epoch, Heartbeat, InProcessBus, NodeId};
use tokio::sync::mpsc;

/// What happens to messages on their way to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Delivered,
    /// Nothing arrives.
    Lost,
    /// Notices do not arrive, the rest does.
    NoticesLost,
    /// Notices wait until the test delivers them, and the rest does not arrive.
    NoticesHeld,
}

pub(crate) struct Line {
    bus: Arc<InProcessBus>,
    state: Arc<Mutex<State>>,
}

struct State {
    inbound: Inbound,
    outbound: bool,
    held: Vec<BusMessage>,
    node: Option<mpsc::Sender<BusMessage>>,
}

impl Line {
    pub(crate) fn to(bus: &Arc<InProcessBus>) -> Arc<Self> {
        let state = State { inbound: Inbound::Delivered, outbound: true, held: Vec::new(), node: None };
        Arc::new(Self { bus: Arc::clone(bus), state: Arc::new(Mutex::new(state)) })
    }

    pub(crate) fn inbound(&self, inbound: Inbound) {
        self.state.lock().unwrap().inbound = inbound;
    }

    /// Nothing goes in or out.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        (state.inbound, state.outbound) = (Inbound::Lost, false);
    }

    pub(crate) fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        (state.inbound, state.outbound) = (Inbound::Delivered, true);
    }

    /// The notices that were held back so far.
    pub(crate) fn take_held(&self) -> Vec<BusMessage> {
        std::mem::take(&mut self.state.lock().unwrap().held)
    }

    /// Gives the node a message now.
    pub(crate) async fn deliver(&self, message: BusMessage) {
        let node = self.state.lock().unwrap().node.clone();
        node.unwrap().send(message).await.unwrap();
    }

    fn sends(&self) -> Result<(), BusError> {
        match self.state.lock().unwrap().outbound {
            true => Ok(()),
            false => Err(BusError::Unreachable("cut by the test".to_owned())),
        }
    }
}

#[async_trait]
impl Bus for Line {
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError> {
        self.sends()?;
        self.bus.announce(announcement).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError> {
        self.sends()?;
        self.bus.heartbeat(heartbeat).await
    }

    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError> {
        self.sends()?;
        self.bus.confirm(node, epoch, number).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), BusError> {
        self.sends()?;
        self.bus.leave(node).await
    }

    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError> {
        self.sends()?;
        let mut messages = self.bus.subscribe().await?;
        let (node, received) = mpsc::channel(4096);
        self.state.lock().unwrap().node = Some(node.clone());
        let state = Arc::clone(&self.state);
        // Ends with either side of it.
        drop(tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let is_notice = matches!(message, BusMessage::Notice { .. });
                let arrives = {
                    let mut state = state.lock().unwrap();
                    match state.inbound {
                        Inbound::NoticesHeld if is_notice => {
                            state.held.push(message.clone());
                            false
                        }
                        Inbound::NoticesLost => !is_notice,
                        Inbound::Delivered => true,
                        Inbound::Lost | Inbound::NoticesHeld => false,
                    }
                };
                if arrives && node.send(message).await.is_err() {
                    return;
                }
            }
        }));
        Ok(received)
    }
}
