//! What each tier costs beside the bare parts it is made of, and how much memory it takes.
//!
//! `cargo bench -p tierkeep-cache --features redis --bench tiers [-- hits|remote|tags|stampede|overhead|churn]` prints
//! medians; contestants take turns in one process, so that the ratios hold on a noisy machine.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

mod hits;
mod memory;
mod remote;
mod stampede;
mod tags;
mod zipf;

use std::time::Duration;

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let runs = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    if runs("hits") {
        hits::report(&runtime)?;
    }
    if runs("remote") {
        runtime.block_on(async { tokio::spawn(remote::report()).await })??;
    }
    if runs("tags") {
        runtime.block_on(async { tokio::spawn(tags::report()).await })??;
    }
    if runs("stampede") {
        runtime.block_on(async { tokio::spawn(stampede::report()).await })??;
    }
    // Each in a process of its own: freed memory stays with the process.
    match wanted.as_deref() {
        Some("overhead") => memory::overhead(&runtime)?,
        Some("churn") => memory::churn(&runtime)?,
        _ => {}
    }
    Ok(())
}

fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
