//! Which counters a thread adds to: its own as long as there are some left, so that nobody else writes them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

/// Seats of one thread each.
pub(super) const OWN: usize = u16::BITS as usize;
/// Seats that the threads share who found none of their own.
pub(super) const SHARED: usize = 8;

/// A thread's seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat(usize);

impl Seat {
    const NONE: Self = Self(usize::MAX);

    /// The calling thread's. It keeps it until it ends.
    #[inline]
    pub(super) fn of_thread() -> Self {
        let seat = SEAT.get();
        if seat == Self::NONE { Self::take() } else { seat }
    }

    /// Among all seats.
    #[inline]
    pub(super) fn index(self) -> usize {
        self.0
    }

    /// Whether no other thread has it.
    #[inline]
    pub(super) fn is_own(self) -> bool {
        self.0 < OWN
    }

    #[cold]
    fn take() -> Self {
        let seat = free().unwrap_or_else(share);
        SEAT.set(seat);
        if seat.is_own() && LEAVE.try_with(|_| ()).is_err() {
            // The thread is ending and nobody would give the seat back.
            give_back(seat);
        }
        SEAT.get()
    }
}

/// Bits of the seats that are taken.
static TAKEN: AtomicU16 = AtomicU16::new(0);

thread_local! {
    static SEAT: Cell<Seat> = const { Cell::new(Seat::NONE) };
    static LEAVE: Leave = const { Leave };
}

/// Gives a thread's seat back when the thread ends.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        give_back(SEAT.get());
    }
}

/// A seat of its own for a thread; what the thread before it counted there is seen by it.
fn free() -> Option<Seat> {
    let lowest = |taken: u16| taken.trailing_ones();
    let before = TAKEN
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
            (taken != u16::MAX).then(|| taken | 1 << lowest(taken))
        })
        .ok()?;
    Some(Seat(lowest(before) as usize))
}

fn share() -> Seat {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    Seat(OWN + NEXT.fetch_add(1, Ordering::Relaxed) % SHARED)
}

/// What destructors of the thread still count goes where others count, too.
fn give_back(seat: Seat) {
    SEAT.set(share());
    if seat.is_own() {
        TAKEN.fetch_and(!(1 << seat.0), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Barrier, Mutex};

    use super::*;

    /// The seats of so many threads that are alive at once.
    fn seats_together(threads: usize) -> Vec<Seat> {
        let (seats, all) = (Mutex::new(Vec::new()), Barrier::new(threads));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    seats.lock().unwrap().push(Seat::of_thread());
                    all.wait();
                });
            }
        });
        seats.into_inner().unwrap()
    }

    #[test]
    fn no_two_threads_have_one_seat_of_their_own() {
        for _ in 0..50 {
            let seats = seats_together(2 * OWN);

            let own: Vec<usize> = seats.iter().filter(|seat| seat.is_own()).map(|seat| seat.index()).collect();
            assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len(), "{own:?}");
            assert!(seats.iter().all(|seat| seat.index() < OWN + SHARED));
        }
    }

    #[test]
    fn seats_of_threads_that_ended_are_had_again() {
        seats_together(4 * OWN);

        // Other tests may have them all for a moment.
        assert!((0..10_000).any(|_| seats_together(1)[0].is_own()));
    }

    #[test]
    fn thread_keeps_its_seat() {
        let first = Seat::of_thread();

        assert_eq!(Seat::of_thread(), first);
    }
}
