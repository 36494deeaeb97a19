//! A pool under more callers than it has connections, and what it counts.
//!
//! `cargo run -p tierkeep-db --example pool [postgres://…]`; without an address, on a private server.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use tierkeep_db::{Error, Pool, PoolConfig, PoolCounts, PostgresUrl};
use tierkeep_testkit::PostgresServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, _server) = match std::env::args().nth(1) {
        Some(address) => (address, None),
        None => {
            let server = PostgresServer::launch().await?;
            (server.url("postgres"), Some(server))
        }
    };
    run(&address).await.map(drop)
}

/// Lets sixty callers ask at once, and returns how many were refused and what was counted.
pub(crate) async fn run(address: &str) -> Result<(usize, PoolCounts), Box<dyn std::error::Error>> {
    let url: PostgresUrl = address.parse()?;
    // Twenty are kept, thirty more are made when they are needed and closed when they are returned.
    let pool = Pool::new(&url, PoolConfig { timeout: Duration::from_millis(300), ..PoolConfig::default() })?;

    let callers: Vec<_> = (0..60)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let connection = pool.get().await?;
                connection.query_typed("select pg_sleep(0.5)", &[]).await?;
                Ok::<_, Error>(())
            })
        })
        .collect();
    let mut refused = Vec::new();
    for caller in callers {
        if let Err(error) = caller.await? {
            refused.push(error);
        }
    }
    println!("{} callers were refused", refused.len());
    if let Some(error) = refused.first() {
        println!("  {error}");
    }

    while pool.status().in_use > 0 {
        tokio::task::yield_now().await;
    }
    println!("{:?}", pool.status());
    let counts = pool.counts();
    println!("{counts:#?}");
    pool.close().await;
    Ok((refused.len(), counts))
}
