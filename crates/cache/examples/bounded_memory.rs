//! Memory that is bounded in bytes, values that are weighed, and many keys by one load.
//!
//! `cargo run -p tierkeep-cache --example bounded_memory`

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache::{Cache, Policy};

/// A picture, of which only this program knows how much room it takes.
#[derive(Debug)]
struct Picture {
    pixels: Arc<[u8]>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::builder("pictures").memory(1 << 20).build()?;
    let policy = Policy::ttl(Duration::from_secs(600)).max_value_bytes(64 << 10);
    let pictures = cache.view::<u64, Picture>("pictures").policy(policy);
    let pictures = pictures.build_weighed(|picture| size_of::<Picture>() + picture.pixels.len())?;

    // 16 MiB of pictures pass through 1 MiB
    for id in 0..1600_u64 {
        let load = async |_| Ok::<_, io::Error>(Picture { pixels: vec![0; 10 << 10].into() });
        pictures.get_or_load(&id, load).await?;
        let state = cache.state();
        assert!(state.memory_bytes <= state.memory_capacity, "{state:?}");
    }
    let state = cache.state();
    print(&format!(
        "{} pictures in {} of {} bytes, {} had to leave",
        state.entries, state.memory_bytes, state.memory_capacity, state.evictions
    ));
    assert!(state.entries > 50 && state.evictions > 1400);

    // what is larger than a view accepts is given to its reader and not kept
    let large = async |_| Ok::<_, io::Error>(Picture { pixels: vec![0; 100 << 10].into() });
    assert_eq!(pictures.get_or_load(&9000, large).await?.pixels.len(), 100 << 10);
    assert!(pictures.peek(&9000).is_none());
    assert_eq!(pictures.counts().too_large, 1);

    // a thousand keys: one question to the source, whichever of them memory lacks
    let names = cache.view::<u64, String>("names").build()?;
    let load = async |ids: Vec<u64>| {
        Ok::<_, io::Error>(ids.into_iter().map(|id| (id, format!("no {id}"))).collect::<Vec<_>>())
    };
    let ids: Vec<u64> = (0..1000).collect();
    let found = names.get_many_or_load(&ids, load).await?;
    print(&format!("{} names by {} call of the loader", found.len(), names.counts().loads));
    assert_eq!(found.len(), 1000);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
