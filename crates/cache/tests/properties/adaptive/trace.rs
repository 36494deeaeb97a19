//! Traces of reads, and what was loaded for whom.

use std::sync::{Arc, Mutex};

use tierkeep_cache::{CacheBuilder, LoadContext, Loaded, Policy, RefreshLimit};
use tokio::time::Instant;

use crate::fixture::{Loading, alone_with, exactly, millis, numbers_with, pass, quiet, secs};

/// The window over which readers' loads count, in milliseconds.
const WINDOW: u64 = 60_000;

/// A load: when it counts, and how long it took, in milliseconds.
type Load = (u64, u64);

/// The loads of a trace.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// From their beginning.
    refreshes: Vec<Load>,
    /// From their end.
    readers: Vec<Load>,
}

impl Log {
    pub(super) fn refreshes(&self) -> usize {
        self.refreshes.len()
    }

    /// The first span in which refreshes began for more than their share of readers' loads, in it and in the window before.
    pub(super) fn excess(&self, percent: u32) -> Option<(u64, u64)> {
        let sum = |loads: &[Load], from: u64, to: u64| -> u64 {
            loads.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, took)| took).sum()
        };
        let spans = self.refreshes.iter().flat_map(|(from, _)| self.refreshes.iter().map(|(to, _)| (*from, *to)));
        spans.into_iter().find(|(from, to)| {
            let earned = sum(&self.readers, from.saturating_sub(WINDOW), *to) * u64::from(percent);
            sum(&self.refreshes, *from, *to) * 100 > earned
        })
    }
}

/// Reads these keys, each so many milliseconds after the one before, of a source that takes its time and changes.
pub(super) fn replay(reads: &[(u64, u64)], percent: u32, with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Log {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let limit = RefreshLimit::extra_percent(percent);
        let cache = alone_with(|builder| with(builder.refresh_limit(limit)));
        let policy = exactly(secs(10)).adaptive_refresh(tierkeep_cache::AdaptiveRefresh::default());
        let view = numbers_with(&cache, |view| view.policy(policy).compared());
        let (start, log) = (Instant::now(), Arc::new(Mutex::new(Log::default())));
        for (key, pause) in reads.iter().copied() {
            pass(millis(pause)).await;
            let logged = Arc::clone(&log);
            let load = move |context: LoadContext<u64>| -> Loading {
                // Only a value that is still there can be refreshed.
                let (refreshes, began) = (context.stale().is_some(), start.elapsed().as_millis() as u64);
                let took = 1 + key * 7;
                if refreshes {
                    logged.lock().unwrap().refreshes.push((began, took));
                }
                Box::pin(async move {
                    pass(millis(took)).await;
                    if !refreshes {
                        logged.lock().unwrap().readers.push((began + took, took));
                    }
                    Ok(Loaded::value(began / (1000 * (key + 1))))
                })
            };
            view.get_or_load(&key, load).await.unwrap();
        }
        quiet().await;
        std::mem::take(&mut *log.lock().unwrap())
    })
}

/// What a policy made of the trace of [`compare`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Reads that waited for a load.
    pub(super) misses: u64,
    /// Reads that were given what the source no longer had.
    pub(super) stale: u64,
    pub(super) refreshes: u64,
}

/// Two hundred keys, few of which are read often; every tenth changes every 40 s, the others every two hours. Each life
/// is 100 s, each load takes 10 ms, a read comes every 50 ms for a quarter of an hour.
pub(super) async fn compare(refresh: impl FnOnce(Policy) -> Policy) -> Tried {
    let cache = alone_with(|builder| builder);
    let policy = refresh(Policy::ttl(secs(100)));
    let view = numbers_with(&cache, |view| view.policy(policy).compared());
    let (start, mut chance, mut stale) = (Instant::now(), 20_260_731u64, 0);
    let version = move |key: u64| {
        let period = if key.is_multiple_of(10) { 40 } else { 7_200 };
        (start.elapsed().as_secs() + key) / period
    };
    let refreshes = Arc::new(Mutex::new(0));
    for _ in 0..18_000 {
        pass(millis(50)).await;
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (chance >> 11) as f64 / (1u64 << 53) as f64;
        let key = (part.powi(3) * 200.0) as u64;
        let counted = Arc::clone(&refreshes);
        let load = move |context: LoadContext<u64>| -> Loading {
            *counted.lock().unwrap() += u64::from(context.stale().is_some());
            Box::pin(async move {
                let found = version(key);
                pass(millis(10)).await;
                Ok(Loaded::value(found))
            })
        };
        let value = view.get_or_load(&key, load).await.unwrap();
        stale += u64::from(*value != version(key));
    }
    let refreshes = *refreshes.lock().unwrap();
    Tried { misses: view.counts().misses, stale, refreshes }
}
