//! Memory only: load once, forget, load again. `cargo run -p tierkeep-cache --example quick_start`

use std::time::Duration;

use tierkeep_cache::{Cache, Policy, Tag};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder("quick-start").memory(16 << 20).build()?;
    let policy = Policy::ttl(Duration::from_secs(600)).stale_while_revalidate(Duration::from_secs(60));
    let prices = cache.view::<(String, u64), String>("prices").policy(policy);
    let prices = prices.tags(|(shop, _)| vec![Tag::of("shop", shop.as_str())]).build()?;

    let key = ("berlin".to_owned(), 7);
    for _ in 0..3 {
        let price = prices.get_or_load(&key, async |_| fetch("9.90").await).await?;
        print(&format!("price {price}, {} load so far", prices.counts().loads));
    }

    // Every price of the shop at once, however many there are.
    cache.invalidate_tag(&Tag::of("shop", "berlin")).await.complete()?;
    let price = prices.get_or_load(&key, async |_| fetch("10.90").await).await?;
    print(&format!("price {price}, {} loads so far", prices.counts().loads));
    print(&prices.explain(&key).await.to_string());
    Ok(())
}

async fn fetch(price: &str) -> Result<String, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(price.to_owned())
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
