//! Those who do it: so many keys at once, the most urgent run first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::job::Priority;
use super::report::{Brought, Ended, WarmupReport};
use super::turns::Turns;

/// So many errors of a source without a key between them end a run.
const ERRORS_IN_A_ROW: usize = 100;

/// Keys that one call brings in.
pub(super) struct Chunk {
    pub(super) keys: usize,
    /// What the source said in place of a key.
    pub(super) errors: Vec<String>,
    pub(super) bring: Pin<Box<dyn Future<Output = Vec<Brought>> + Send>>,
}

/// The work of a run, as it comes.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Chunk> + Send>>;

/// What bounds a run.
pub(super) struct Bounds<'a> {
    pub(super) priority: Priority,
    /// Any of these ends it at a key.
    pub(super) stops: [&'a CancellationToken; 3],
    pub(super) deadline: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Crew {
    concurrent: usize,
    places: Arc<Semaphore>,
    turns: Arc<Turns>,
}

impl Crew {
    pub(super) fn new(concurrent: usize) -> Self {
        let concurrent = concurrent.clamp(1, 100_000);
        Self { concurrent, places: Arc::new(Semaphore::new(concurrent)), turns: Arc::default() }
    }

    /// Keys at once, and in a batch, at most.
    pub(super) fn concurrent(&self) -> usize {
        self.concurrent
    }

    /// Brings everything in. What has begun when the run is stopped is brought to its end; a run that is dropped
    /// leaves its loads to themselves.
    pub(super) async fn work(
        &self,
        mut chunks: Chunks,
        bounds: Bounds<'_>,
        observe: impl Fn(&WarmupReport),
    ) -> WarmupReport {
        let began = Instant::now();
        let mut report = WarmupReport::empty();
        let mut running: JoinSet<Vec<Brought>> = JoinSet::new();
        let mut errors = 0;
        let turn = self.turns.queue(bounds.priority);
        let over = async {
            match bounds.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let mut over = std::pin::pin!(over);
        report.ended = loop {
            let next = async {
                turn.come().await;
                let chunk = chunks.next().await?;
                let size = u32::try_from(chunk.keys.min(self.concurrent)).unwrap_or(u32::MAX);
                let place = Arc::clone(&self.places).acquire_many_owned(size).await.ok()?;
                Some((chunk, place))
            };
            let mut next = std::pin::pin!(next);
            let next = loop {
                tokio::select! {
                    biased;
                    () = bounds.stops[0].cancelled() => break Err(Ended::Cancelled),
                    () = bounds.stops[1].cancelled() => break Err(Ended::Cancelled),
                    () = bounds.stops[2].cancelled() => break Err(Ended::Cancelled),
                    () = &mut over => break Err(Ended::DeadlineOver),
                    Some(done) = running.join_next() => {
                        note(&mut report, done);
                        observe(&report);
                    }
                    next = &mut next => break next.ok_or(Ended::Whole),
                }
            };
            let (chunk, place) = match next {
                Ok(next) => next,
                Err(ended) => break ended,
            };
            errors = if chunk.keys > 0 { 0 } else { errors + chunk.errors.len() };
            let last = chunk.errors.last().cloned();
            chunk.errors.into_iter().for_each(|error| report.add(Brought::Failed(error)));
            if let Some(last) = last {
                observe(&report);
                if errors >= ERRORS_IN_A_ROW {
                    break Ended::SourceFailed(last);
                }
            }
            if chunk.keys > 0 {
                running.spawn(async move {
                    let brought = chunk.bring.await;
                    drop(place);
                    brought
                });
            } else {
                // A source that has nothing but errors at hand must not keep the thread to itself.
                tokio::task::yield_now().await;
            }
        };
        // Others may begin keys while the last of these end.
        drop(turn);
        while let Some(done) = running.join_next().await {
            note(&mut report, done);
            observe(&report);
        }
        report.took = began.elapsed();
        report
    }
}

fn note(report: &mut WarmupReport, done: Result<Vec<Brought>, JoinError>) {
    match done {
        Ok(brought) => brought.into_iter().for_each(|one| report.add(one)),
        // A key that cannot be encoded, or its like.
        Err(panic) => report.add(Brought::Failed(panic.to_string())),
    }
}
