//! Bytes that an entry takes besides its key and value, and whether the bound holds under churn.

use tierkeep_cache::{Cache, View};
use tokio::runtime::Runtime;

const ENTRIES: u64 = 1_000_000;
const VALUE: usize = 100;
const BATCH: usize = 1_000;

/// Whether the bound holds. What is resident counts only in a process that has measured nothing before.
pub(crate) fn churn(runtime: &Runtime) -> anyhow::Result<()> {
    let bound = 64u64 << 20;
    let before = resident()?;
    let cache = Cache::builder("bench").memory(bound).build()?;
    let view = cache.view::<u64, Box<[u8]>>("pages").build()?;
    let mut most = 0;
    for first in (0..2 * ENTRIES).step_by(BATCH) {
        let size = |key: u64| 50 + (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
        runtime.block_on(fill(&view, first, size))?;
        most = most.max(cache.state().memory_bytes);
    }
    println!(
        "bound of {bound} bytes, 2000000 entries through it: counted {:.3} of it at most, resident {:.3} of it",
        most as f64 / bound as f64,
        resident()?.saturating_sub(before) as f64 / bound as f64
    );
    Ok(())
}

/// Bytes of an entry besides its key and value; in a process of its own, as `churn`.
pub(crate) fn overhead(runtime: &Runtime) -> anyhow::Result<()> {
    let before = resident()?;
    let cache = Cache::builder("bench").memory(2 << 30).build()?;
    let view = cache.view::<u64, Box<[u8]>>("pages").build()?;
    for first in (0..ENTRIES).step_by(BATCH) {
        runtime.block_on(fill(&view, first, |_| VALUE))?;
    }
    let (real, stated) = (resident()? - before, cache.state().memory_bytes);
    let plain = ENTRIES * (8 + VALUE as u64);
    println!("{ENTRIES} entries of 8 + {VALUE} bytes: {} bytes of overhead each, resident", (real - plain) / ENTRIES);
    println!(
        "  counted by the cache: {} each, {:.2} of what is resident",
        (stated - plain) / ENTRIES,
        stated as f64 / real as f64
    );
    Ok(())
}

async fn fill(view: &View<u64, Box<[u8]>>, first: u64, size: impl Fn(u64) -> usize) -> anyhow::Result<()> {
    let sizes: Vec<(u64, usize)> = (first..first + BATCH as u64).map(|key| (key, size(key))).collect();
    let keys: Vec<u64> = sizes.iter().map(|(key, _)| *key).collect();
    let values = move |_: Vec<u64>| {
        let values: Vec<_> = sizes.iter().map(|(key, size)| (*key, vec![0; *size].into_boxed_slice())).collect();
        async { Ok::<_, String>(values) }
    };
    view.warm(&keys, values).await?;
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> anyhow::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or_else(|| anyhow::anyhow!("no resident pages"))?.parse()?;
    Ok(pages * 4096)
}
