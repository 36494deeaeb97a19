//! What a node costs and needs: a hit over HTTP, memory, computing in advance, and doing nothing.
//!
//! `cargo bench -p tierkeep --bench node [-- hot|memory|precompute|idle]`

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

mod bare;
mod hot;
mod idle;
mod installation;
mod memory;
#[path = "../bench/node.rs"]
mod node;
mod precompute;
#[path = "../bench/process.rs"]
mod process;

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    if wanted.as_deref() == Some(bare::ARGUMENT) {
        return bare::serve();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let runs = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    runtime.block_on(async {
        if runs("hot") {
            hot::report().await?;
        }
        if runs("memory") {
            memory::report().await?;
        }
        if runs("precompute") {
            precompute::report().await?;
        }
        if runs("idle") {
            idle::report().await?;
        }
        Ok(())
    })
}
