//! What a hit in memory costs, with all keys present and some of them popular.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

use crate::{HitPath, Lookup, Reads, Source, Table, Zipf};

/// Bytes of a value.
const VALUE_BYTES: usize = 200;

/// Skew of the reads, as in YCSB.
const EXPONENT: f64 = 0.99;

/// Tasks that fill a cache: enough to hide the round trips of a second level.
const FILLERS: usize = 16;

/// The size of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Entries in each cache.
    pub entries: u32,
    /// Reads of a thread in a round.
    pub reads: usize,
    /// Threads that read at the same time.
    pub threads: usize,
    /// Rounds in which every library has one turn.
    pub rounds: usize,
}

impl Default for Scale {
    fn default() -> Self {
        Self { entries: 100_000, reads: 300_000, threads: 2, rounds: 11 }
    }
}

/// A library's call, and what it took in each round.
struct Turn {
    peer: Arc<dyn HitPath>,
    name: &'static str,
    lookup: Lookup,
    rounds: Vec<Took>,
}

/// Time of one round.
#[derive(Clone, Copy)]
struct Took {
    /// CPU time of all threads together.
    cpu: Duration,
    /// Time until the last thread was done.
    wall: Duration,
}

/// What the threads of a round read.
struct Work {
    keys: Vec<String>,
    orders: Vec<Vec<u32>>,
    source: Arc<Source>,
}

/// Fills all caches, then reads from them in turns; the first lookup of the first peer is the measure of the others.
///
/// Keys are texts of 24 bytes, values texts of 200. It blocks the thread, which must not be one of the runtime's.
///
/// # Errors
/// A cache failed, or did not hold all entries.
pub fn report(runtime: &Handle, peers: &[Arc<dyn HitPath>], scale: Scale) -> Result<Table> {
    let mut random = Rng::with_seed(0x7143);
    let zipf = Zipf::new(scale.entries, EXPONENT, &mut random);
    let work = Arc::new(Work {
        keys: (0..scale.entries).map(|number| format!("catalogue:product:{number:06}")).collect(),
        orders: (0..scale.threads).map(|_| zipf.sequence(scale.reads, &mut random)).collect(),
        source: Source::answering(&"x".repeat(VALUE_BYTES), Duration::ZERO),
    });
    let mut turns = Vec::new();
    for peer in peers {
        runtime.block_on(fill(peer, &work)).with_context(|| peer.name().to_owned())?;
        turns.extend(peer.lookups().iter().map(|&(name, lookup)| Turn {
            peer: Arc::clone(peer),
            name,
            lookup,
            rounds: Vec::with_capacity(scale.rounds),
        }));
    }
    for _ in 0..scale.rounds {
        for turn in &mut turns {
            let took = round(runtime, turn, &work).with_context(|| turn.name)?;
            turn.rounds.push(took);
        }
    }
    Ok(table(&turns, scale))
}

/// Stores all keys, and sees that all are there.
async fn fill(peer: &Arc<dyn HitPath>, work: &Arc<Work>) -> Result<()> {
    let mut tasks = Vec::with_capacity(FILLERS);
    for first in 0..FILLERS {
        let (peer, work) = (Arc::clone(peer), Arc::clone(work));
        tasks.push(tokio::spawn(async move {
            for key in work.keys.iter().skip(first).step_by(FILLERS) {
                peer.get_or_load(key, Arc::clone(&work.source)).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await.context("a task that fills panicked")??;
    }
    peer.settle().await;

    let loads = work.source.loads();
    for key in &work.keys {
        peer.get_or_load(key, Arc::clone(&work.source)).await?;
    }
    let missing = work.source.loads() - loads;
    ensure!(missing == 0, "{missing} of {} entries are not in the cache", work.keys.len());
    Ok(())
}

/// One turn: all threads start together, each with an order of its own.
fn round(runtime: &Handle, turn: &Turn, work: &Work) -> Result<Took> {
    let start = Barrier::new(work.orders.len());
    let took = std::thread::scope(|scope| {
        let read = |order| {
            start.wait();
            read_timed(runtime, turn, Reads { keys: &work.keys, order, source: &work.source })
        };
        let threads: Vec<_> = work.orders.iter().map(|order| scope.spawn(move || read(order))).collect();
        threads.into_iter().map(|thread| thread.join().expect("readers do not panic")).collect::<Result<Vec<_>>>()
    })?;
    Ok(Took {
        cpu: took.iter().map(|took| took.cpu).sum(),
        wall: took.iter().map(|took| took.wall).max().unwrap_or_default(),
    })
}

fn read_timed(runtime: &Handle, turn: &Turn, reads: Reads<'_>) -> Result<Took> {
    let (cpu, wall) = (thread_cpu(), Instant::now());
    let seen = runtime.block_on(turn.peer.read_all(turn.lookup, reads))?;
    let took = Took { cpu: thread_cpu().saturating_sub(cpu), wall: wall.elapsed() };
    ensure!(seen == reads.order.len() * VALUE_BYTES, "some reads found nothing");
    Ok(took)
}

/// CPU time of this thread: unlike the wall clock it does not count what other programs use.
fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a thread has used no negative time")
}

fn table(turns: &[Turn], scale: Scale) -> Table {
    let title = format!(
        "L1 hits: {} entries, Zipf {EXPONENT}, {} threads, medians of {} rounds of {} reads a thread",
        scale.entries, scale.threads, scale.rounds, scale.reads
    );
    let mut table = Table::new(title, ["call", "CPU ns a read", "ratio", "million reads/s"]);
    let reads = (scale.reads * scale.threads) as f64;
    let cpu = |turn: &Turn| median(turn.rounds.iter().map(|took| took.cpu)).as_secs_f64() * 1e9 / reads;
    let wall = |turn: &Turn| median(turn.rounds.iter().map(|took| took.wall)).as_secs_f64();
    for turn in turns {
        table.row([
            turn.name.to_owned(),
            format!("{:.0}", cpu(turn)),
            format!("{:.2}", cpu(turn) / cpu(&turns[0])),
            format!("{:.2}", reads / wall(turn) / 1e6),
        ]);
    }
    table
}

fn median(rounds: impl Iterator<Item = Duration>) -> Duration {
    let mut rounds: Vec<Duration> = rounds.collect();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}
