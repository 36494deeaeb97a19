//! Many callers who miss the same key in the same moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Peer, Source, Table};

/// How long a load takes, and a failing one.
const LOAD: Duration = Duration::from_millis(50);

/// Callers of a source that answers.
const CALLERS: usize = 1000;

/// Callers of a source that fails: fewer, since some libraries let them try one after another.
const FAILING_CALLERS: usize = 200;

/// The longest a herd may take; a library that keeps it waiting longer has lost a caller.
const LIMIT: Duration = Duration::from_secs(60);

/// What a herd cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Loads that were started.
    pub loads: u64,
    /// Time until the last caller had an answer.
    pub took: Duration,
}

/// Lets `callers` tasks ask for `key` at once, and waits for all of their answers, values or errors.
///
/// # Errors
/// The callers did not all get values, or not all errors; or it took over a minute.
pub async fn herd(peer: &Arc<dyn Peer>, key: &str, callers: usize, source: &Arc<Source>) -> Result<Cost> {
    let gate = Arc::new(Barrier::new(callers + 1));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (peer, source, key, gate) = (Arc::clone(peer), Arc::clone(source), key.to_owned(), Arc::clone(&gate));
        tasks.spawn(async move {
            gate.wait().await;
            peer.get_or_load(&key, source).await.is_ok()
        });
    }
    gate.wait().await;
    let start = Instant::now();
    let answers = tokio::time::timeout(LIMIT, tasks.join_all()).await.context("callers without an answer")?;
    let took = start.elapsed();
    let values = answers.iter().filter(|is_value| **is_value).count();
    ensure!(values == 0 || values == callers, "{values} of {callers} callers have a value");
    Ok(Cost { loads: source.loads(), took })
}

/// Lets a herd miss, and one whose load fails, with each peer.
///
/// # Errors
/// As [`herd`].
pub async fn report(peers: &[Arc<dyn Peer>]) -> Result<Table> {
    let title = format!("{CALLERS} misses of one key, and {FAILING_CALLERS} whose load fails; a load takes {LOAD:?}");
    let header = ["load", "loads", "took, ms", "loads when failing", "took when failing, ms"];
    let mut table = Table::new(title, header);
    for peer in peers {
        let name = || peer.name().to_owned();
        let missed = herd(peer, "herd:answers", CALLERS, &Source::answering("v1", LOAD)).await.with_context(name)?;
        let failed = herd(peer, "herd:fails", FAILING_CALLERS, &Source::failing(LOAD)).await.with_context(name)?;
        let ms = |cost: Cost| cost.took.as_millis().to_string();
        table.row([name(), missed.loads.to_string(), ms(missed), failed.loads.to_string(), ms(failed)]);
    }
    Ok(table)
}
