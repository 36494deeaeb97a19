//! Where threads go in and come out, and which is closed for good once nobody is inside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Set in a gate that lets nobody in any more; the rest counts who is inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Counts who is inside.
#[derive(Debug, Default)]
pub struct Gate(AtomicUsize);

impl Gate {
    /// Lets this thread in; never returns if the gate is closed.
    pub fn enter(&self) {
        if !self.try_enter() {
            loop {
                std::thread::park();
            }
        }
    }

    /// Lets this thread in, unless the gate is closed.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        let is_open = self.0.fetch_add(1, Ordering::SeqCst) & CLOSED == 0;
        if !is_open {
            self.leave();
        }
        is_open
    }

    /// Lets this thread out.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether it lets nobody in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// Lets nobody in any more, and waits until nobody is inside. False: it took longer than that.
    #[expect(clippy::disallowed_methods, reason = "a lock to wait by could be held by another thread at a fork")]
    pub fn close(&self, limit: Duration) -> bool {
        self.0.fetch_or(CLOSED, Ordering::SeqCst);
        let deadline = Instant::now() + limit;
        while self.0.load(Ordering::SeqCst) != CLOSED {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    #[test]
    fn a_gate_closes_once_all_are_out_and_lets_nobody_in_again() {
        let gate = Arc::new(Gate::default());
        gate.enter();
        assert!(!gate.close(Duration::from_millis(5)));
        gate.leave();
        assert!(gate.close(Duration::from_secs(10)));
        assert!(!gate.try_enter() && gate.close(Duration::ZERO));

        let (sender, receiver) = mpsc::sync_channel(1);
        let late = Arc::clone(&gate);
        std::thread::spawn(move || {
            late.enter();
            sender.send(()).unwrap();
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    }
}
