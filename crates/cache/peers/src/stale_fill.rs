//! The race that fills a cache with what it was told to forget.
//!
//! A load reads v1; the source becomes v2; somebody invalidates and waits for it; the load ends. One interleaving
//! only: a library that passes is not proved right, one that serves v1 is wrong until the time to live ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::{Kept, Peer, Source, Table};

/// How long the load takes.
const LOAD: Duration = Duration::from_millis(100);

/// When, after its start, the source changes and the key is invalidated.
const CHANGE: Duration = Duration::from_millis(30);

const OLD: &str = "v1";
const NEW: &str = "v2";

/// What a read after the race was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The old value, although the invalidation was over before the read began.
    Stale,
    /// Nothing was in the cache: the read loaded the new value.
    Absent,
    /// The new value was in the cache already.
    Fresh,
}

/// One run of the race.
#[derive(Clone, Debug)]
pub struct Run {
    /// What a read after it was served.
    pub served: Served,
    /// How long the invalidation waited.
    pub waited: Duration,
    /// What a second level held before that read.
    pub below: Option<Kept>,
}

/// Runs the race once, under a key of its own.
///
/// # Errors
/// The cache failed, or the load had not begun when the source changed.
pub async fn race(peer: &Arc<dyn Peer>, key: &str) -> Result<Run> {
    let source = Source::answering(OLD, LOAD);
    let start = Instant::now();
    let loading = tokio::spawn({
        let (peer, source, key) = (Arc::clone(peer), Arc::clone(&source), key.to_owned());
        async move { peer.get_or_load(&key, source).await }
    });
    tokio::time::sleep_until(start + CHANGE).await;
    ensure!(source.loads() == 1, "the load has not begun after {CHANGE:?}; is the machine busy?");

    source.change(NEW);
    let called = Instant::now();
    peer.invalidate(key).await?;
    let waited = called.elapsed();
    loading.await.context("the load panicked")??;

    let below = peer.kept_below(key).await?;
    let loads = source.loads();
    let value = peer.get_or_load(key, Arc::clone(&source)).await?;
    let served = match (value.as_ref(), source.loads() - loads) {
        (OLD, _) => Served::Stale,
        (_, 0) => Served::Fresh,
        _ => Served::Absent,
    };
    Ok(Run { served, waited, below })
}

/// Runs the race `runs` times with each peer, one after another.
///
/// # Errors
/// As [`race`].
pub async fn report(peers: &[Arc<dyn Peer>], runs: usize) -> Result<Table> {
    let title =
        format!("Invalidated at {} ms during a load of {} ms, {runs} runs", CHANGE.as_millis(), LOAD.as_millis());
    let mut table =
        Table::new(title, ["load", "invalidation", "read after the race", "it waited, ms", "left in Redis"]);
    for peer in peers {
        let mut outcomes = Vec::with_capacity(runs);
        for run in 0..runs {
            let outcome = race(peer, &format!("race:{run}")).await.with_context(|| peer.name().to_owned())?;
            outcomes.push(outcome);
        }
        table.row([
            peer.name().to_owned(),
            peer.invalidation().to_owned(),
            served(&outcomes),
            waited(&outcomes),
            below(&outcomes),
        ]);
    }
    Ok(table)
}

fn served(outcomes: &[Run]) -> String {
    let shown = |served| match served {
        Served::Stale => "STALE (v1)",
        Served::Absent => "absent, v2 is loaded",
        Served::Fresh => "v2",
    };
    counted(outcomes.iter().map(|outcome| shown(outcome.served).to_owned()))
}

fn waited(outcomes: &[Run]) -> String {
    let ms = |waited: Option<Duration>| waited.unwrap_or_default().as_secs_f64() * 1e3;
    let all = || outcomes.iter().map(|outcome| outcome.waited);
    format!("{:.2} to {:.2}", ms(all().min()), ms(all().max()))
}

fn below(outcomes: &[Run]) -> String {
    counted(outcomes.iter().map(|outcome| match &outcome.below {
        None => "-".to_owned(),
        Some(Kept::Nothing) => "nothing".to_owned(),
        Some(Kept::Value(value, None)) => format!("{value}, for ever"),
        Some(Kept::Value(value, Some(left))) => format!("{value}, for {:.0} s", left.as_secs_f64()),
    }))
}

/// The one thing that all runs showed, or each thing with its count.
fn counted(shown: impl Iterator<Item = String>) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in shown {
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    match counts.as_slice() {
        [(text, _)] => text.clone(),
        several => several.iter().map(|(text, count)| format!("{text}: {count}x")).collect::<Vec<_>>().join(", "),
    }
}
