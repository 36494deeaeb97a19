//! Invalidation that belongs to a database transaction: what a rollback undoes is never forgotten by the cache, and
//! what a commit makes true is never served from before.
//!
//! Run with `cargo run -p tierkeep-cache --example transactional_invalidation`. The database is a map behind a lock.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use tierkeep_cache::{Cache, View};

/// Prices by product; a transaction works on a copy.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<HashMap<u64, u64>>>);

struct Transaction {
    database: Database,
    rows: HashMap<u64, u64>,
}

impl Database {
    fn rows(&self) -> HashMap<u64, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self) -> Transaction {
        Transaction { database: self.clone(), rows: self.rows() }
    }
}

impl Transaction {
    async fn update(&mut self, product: u64, price: u64) {
        self.rows.insert(product, price);
    }

    async fn price(&self, product: u64) -> Result<Option<u64>, String> {
        Ok(self.rows.get(&product).copied())
    }

    async fn commit(self) -> Result<(), String> {
        *self.database.0.lock().unwrap_or_else(PoisonError::into_inner) = self.rows;
        Ok(())
    }
}

/// Changes a price, unless it would more than double.
async fn change_price(
    cache: &Cache,
    prices: &View<u64, u64>,
    database: &Database,
    product: u64,
    price: u64,
) -> Result<(), Box<dyn Error>> {
    let mut transaction = database.begin();
    let pending = cache.pending();
    let before = *pending.get_or_load(prices, &product, || transaction.price(product)).await?;

    transaction.update(product, price).await;
    pending.touch(prices, &product);
    // From here on this transaction reads its own change, and nobody else does.
    let now = *pending.get_or_load(prices, &product, || transaction.price(product)).await?;

    if now > before * 2 {
        // Both are dropped: the database rolls back, and the cache keeps what it has.
        return Err(format!("from {before} to {now} is too much").into());
    }
    transaction.commit().await?;
    pending.committed().await.complete()?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what happens")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let database = Database(Arc::new(Mutex::new(HashMap::from([(7, 100)]))));
    let cache = Cache::builder("shop").build()?;
    let prices = cache.view::<u64, u64>("prices").build()?;
    let read = async || {
        let database = database.clone();
        prices.get_or_load(&7, async move |_| Ok::<_, String>(database.rows().get(&7).copied())).await
    };
    println!("the price is {}", read().await?);

    change_price(&cache, &prices, &database, 7, 120).await?;
    println!("after the commit it is {}", read().await?);

    let refused = change_price(&cache, &prices, &database, 7, 1000).await;
    println!("rolled back: {}", refused.err().map_or_else(String::new, |error| error.to_string()));
    println!("it still is {}, from the cache: {:?}", read().await?, prices.peek(&7).is_some());
    Ok(())
}
