//! Loads that outlive who asked for them, one load for all who ask, a limit, a time limit, and work that blocks.
//!
//! `cargo run -p tierkeep-cache --example outliving_loads`

use std::error::Error;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tierkeep_cache::{Cache, LoadError, LoadLimit, Policy};
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    // two loads at once, and nobody waits longer than 5 s for a turn
    let limit = LoadLimit::concurrent(2).wait(Duration::from_secs(5));
    let cache = Cache::builder("loads").memory(1 << 20).load_limit(limit).build()?;
    outlived(&cache).await?;
    limited(&cache).await?;
    given_up(&cache).await?;
    blocking(&cache).await?;
    cache.close().await;
    Ok(())
}

/// A reader gives up; the load goes on, and the next reader finds its value.
async fn outlived(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let prices = cache.view::<u64, String>("prices").build()?;
    let source = Arc::new(Notify::new());
    let answer = Arc::clone(&source);
    let reading = prices.get_or_load(&7, async move |_| {
        answer.notified().await;
        Ok::<_, io::Error>("9.90".to_owned())
    });
    assert!(timeout(Duration::from_millis(20), reading).await.is_err());

    source.notify_one();
    let price = prices.get_or_load(&7, async |_| Ok::<_, io::Error>("never called".to_owned())).await?;
    print(&format!("the next reader got {price} after {} load", prices.counts().loads));
    assert_eq!((price.as_str(), prices.counts().loads), ("9.90", 1));
    Ok(())
}

/// Sixty readers of twenty keys: one load a key, two loads at a time.
async fn limited(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let squares = cache.view::<u64, u64>("squares").build()?;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for reader in 0..60_u64 {
        let (squares, running, most) = (squares.clone(), Arc::clone(&running), Arc::clone(&most));
        readers.spawn(async move {
            let load = async move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, io::Error>((reader % 20).pow(2))
            };
            squares.get_or_load(&(reader % 20), load).await.is_ok()
        });
    }
    let answered = readers.join_all().await.into_iter().filter(|answered| *answered).count();

    let (loads, most) = (squares.counts().loads, most.load(Ordering::SeqCst));
    print(&format!("{answered} readers were answered by {loads} loads, at most {most} at a time"));
    assert_eq!((answered, loads), (60, 20));
    assert!(most <= 2);
    Ok(())
}

/// A source that never answers takes its readers no longer than the hard limit.
async fn given_up(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let policy = Policy::ttl(Duration::from_secs(60)).loader_timeout(None, Duration::from_millis(50));
    let silent = cache.view::<u64, u64>("silent").policy(policy).build()?;
    let answer = silent.get_or_load(&1, async |_| Ok::<u64, io::Error>(pending().await)).await;
    print(&format!("a silent source: {answer:?}"));
    assert!(matches!(answer, Err(LoadError::TimedOut(_))));
    Ok(())
}

/// Work that blocks its thread goes to one where nothing else waits for it.
async fn blocking(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let sums = cache.view::<u64, u64>("sums").build()?;
    let load = async |_| spawn_blocking(|| (1..=1_000_000_u64).sum::<u64>()).await;
    let sum = sums.get_or_load(&1_000_000, load).await?;
    print(&format!("a sum that was computed on a thread for such work: {sum}"));
    assert_eq!(*sum, 500_000_500_000);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
