//! A hit in memory, through the whole API, beside a bare `quick_cache`.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use tierkeep_cache::{Cache, Tag};
use tokio::runtime::Runtime;

use crate::{median, zipf};

const ENTRIES: usize = 100_000;
const READS: usize = 300_000;
const THREADS: usize = 2;
const ROUNDS: usize = 11;

pub(crate) fn report(runtime: &Runtime) -> anyhow::Result<()> {
    let keys: Vec<String> = (0..ENTRIES).map(|n| format!("catalogue:product:{n:06}")).collect();
    let value = "x".repeat(200);
    let orders: Vec<Vec<usize>> = (0..THREADS).map(|n| zipf::sequence(ENTRIES, READS, 7 + n as u64)).collect();

    let bare = quick_cache::sync::Cache::<String, std::sync::Arc<String>>::new(ENTRIES * 2);
    let cache = Cache::builder("hits").memory(512 << 20).build()?;
    let plain = cache.view::<String, String>("plain").build()?;
    let tagged = cache.view::<String, String>("tagged").tags(|key| vec![Tag::of("product", key.as_str())]).build()?;
    for batch in keys.chunks(1_000) {
        batch.iter().for_each(|key| bare.insert(key.clone(), std::sync::Arc::new(value.clone())));
        for view in [&plain, &tagged] {
            let value = value.clone();
            let load = move |keys: Vec<String>| {
                let pairs: Vec<_> = keys.into_iter().map(|key| (key, value.clone())).collect();
                async { Ok::<_, String>(pairs) }
            };
            runtime.block_on(view.warm(batch, load))?;
        }
    }

    let (mut took_bare, mut took_plain, mut took_tagged) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        took_bare.push(round(&orders, |order| order.iter().filter(|n| bare.get(&keys[**n]).is_some()).count()));
        for (view, took) in [(&plain, &mut took_plain), (&tagged, &mut took_tagged)] {
            took.push(round(&orders, |order| {
                runtime.block_on(async {
                    let mut found = 0;
                    for n in order {
                        found += usize::from(view.get(&keys[*n]).await.is_some());
                    }
                    found
                })
            }));
        }
    }
    let reads = (READS * THREADS) as u32;
    let bare = median(&mut took_bare);
    println!("L1 hit, {ENTRIES} entries, Zipf 0.99, {THREADS} threads, ns a read (wall, both threads) and ratio");
    for (name, took) in [
        ("quick_cache get", bare),
        ("view.get", median(&mut took_plain)),
        ("view.get, one tag", median(&mut took_tagged)),
    ] {
        println!("  {name:<20} {:>6} {:>6.2}", (took / reads).as_nanos(), took.as_secs_f64() / bare.as_secs_f64());
    }
    Ok(())
}

/// All threads start together; the time until the last is done.
fn round(orders: &[Vec<usize>], read: impl Fn(&[usize]) -> usize + Sync) -> Duration {
    let start = Barrier::new(orders.len() + 1);
    std::thread::scope(|scope| {
        let (start, read) = (&start, &read);
        let threads: Vec<_> = orders
            .iter()
            .map(|order| {
                scope.spawn(move || {
                    start.wait();
                    assert_eq!(read(order), order.len(), "every key is there");
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        for thread in threads {
            thread.join().expect("readers do not panic");
        }
        began.elapsed()
    })
}
