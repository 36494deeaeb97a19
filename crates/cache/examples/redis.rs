//! Two nodes that share a Redis: what one forgets, the other does not serve.
//!
//! `cargo run -p tierkeep-cache --features redis --example redis -- redis://127.0.0.1:6379`

use std::sync::Arc;
use std::time::{Duration, Instant};

use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_cache::{Cache, Postcard, Promise, View};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned())).await
}

/// Two nodes on the Redis of an address.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (_here, near) = node(url).await?;
    let (_there, far) = node(url).await?;
    let load = |value: &'static str| move |_| async move { Ok::<_, std::io::Error>(value.to_owned()) };

    near.invalidate(&7).await.complete()?;
    near.get_or_load(&7, load("first")).await?;
    let found = far.fetch(&7, load("never called")).await?;
    print(&format!("the other node has {:?} from {:?}", found.value, found.source));

    let began = Instant::now();
    near.invalidate(&7).await.complete()?;
    while far.peek(&7).is_some() {
        tokio::task::yield_now().await;
    }
    print(&format!("forgotten on the other node after {:?}", began.elapsed()));
    print(&far.explain(&7).await.to_string());
    Ok(())
}

/// What one process would do at its start.
async fn node(url: &str) -> Result<(Cache, View<u64, String>), Box<dyn std::error::Error>> {
    let redis = Redis::connect(RedisConfig::new(url)?).await?;
    let cache = Cache::builder("example")
        .remote(Arc::new(redis.tier()))
        .bus(Arc::new(redis.bus()))
        .promise(Promise::Bounded(Duration::from_secs(1)))
        .build()?;
    let view = cache.view::<u64, String>("texts").codec(Postcard::shape(1)).build()?;
    // Memory is served from the first sign of life of the bus.
    while !cache.state().serves_memory {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((cache, view))
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
