//! What freshness costs and how fast it is: real `serve` processes over one database, written to by other programs.
//!
//! `cargo bench -p tierkeep --bench freshness [-- latency|idle|writers|storm|stopped]`

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

mod idle;
mod installation;
mod latency;
mod measure;
#[path = "../bench/node.rs"]
mod node;
#[path = "../bench/process.rs"]
mod process;
mod stopped;
mod storm;
mod writers;

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let runs = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    runtime.block_on(async {
        if runs("latency") {
            latency::report().await?;
        }
        if runs("idle") {
            idle::report().await?;
        }
        if runs("writers") {
            writers::report().await?;
        }
        if runs("storm") {
            storm::report().await?;
        }
        if runs("stopped") {
            stopped::report().await?;
        }
        Ok(())
    })
}
