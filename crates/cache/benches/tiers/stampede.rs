//! Many readers at once: how many loads, and how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tierkeep_cache::{Cache, LoadLimit};

pub(crate) async fn report() -> anyhow::Result<()> {
    let cache = Cache::builder("bench").load_limit(LoadLimit::concurrent(64).wait(Duration::from_secs(60))).build()?;
    let view = cache.view::<u64, u64>("pages").build()?;
    let (loads, running, peak) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for (name, keys) in [("10000 readers of one key", 1), ("10000 readers of 10000 keys, 64 loads at once", 10_000)] {
        cache.clear().await.complete()?;
        loads.store(0, Ordering::SeqCst);
        peak.store(0, Ordering::SeqCst);
        let began = Instant::now();
        let mut readers = tokio::task::JoinSet::new();
        for reader in 0..10_000u64 {
            let (view, loads, running, peak) = (view.clone(), loads.clone(), running.clone(), peak.clone());
            readers.spawn(async move {
                let load = move |_| async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, String>(reader)
                };
                view.get_or_load(&(reader % keys), load).await.is_ok()
            });
        }
        let mut answered = 0;
        while let Some(done) = readers.join_next().await {
            answered += usize::from(done?);
        }
        let (loads, peak) = (loads.load(Ordering::SeqCst), peak.load(Ordering::SeqCst));
        println!("{name}: {loads} loads, {peak} at once, {answered} answered, {:?}", began.elapsed());
    }
    Ok(())
}
