//! What an answer has cost a store besides reading: for those who want to know why it came late.
//!
//! A store cannot tell it in its answers, which are shared and kept. It notes it for the task that asks, and only while that
//! task wants to know.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static EFFORT: Cell<Effort>;
}

/// What was done before an answer could be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Time for bringing stored summaries up to date, waits for other writers included.
    pub folding: Duration,
    /// Learners whose changes were folded in.
    pub learners: u64,
    /// Rows that were read for it.
    pub rows: u64,
}

impl Effort {
    /// Runs a future and tells what stores have done for it, as far as it ran in the task that polls it. One that is dropped
    /// half-way tells nothing.
    pub async fn of<T>(asking: impl Future<Output = T>) -> (T, Self) {
        EFFORT
            .scope(Cell::default(), async {
                let answer = asking.await;
                (answer, EFFORT.with(Cell::get))
            })
            .await
    }

    /// Notes that so many learners were folded for who asks.
    pub(super) fn note_fold(learners: usize, rows: u64, began: Instant) {
        // nobody may want to know
        let _ = EFFORT.try_with(|effort| {
            let before = effort.get();
            effort.set(Self {
                folding: before.folding + began.elapsed(),
                learners: before.learners + learners as u64,
                rows: before.rows + rows,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_is_told_to_who_asks_and_to_nobody_else() {
        Effort::note_fold(7, 7, Instant::now());

        let ((), outer) = Effort::of(async {
            Effort::note_fold(1, 10, Instant::now());
            let ((), inner) = Effort::of(async { Effort::note_fold(5, 50, Instant::now()) }).await;
            assert_eq!((inner.learners, inner.rows), (5, 50));
            Effort::note_fold(2, 20, Instant::now());
        })
        .await;

        assert_eq!((outer.learners, outer.rows), (3, 30));
    }
}
