//! Runs the measurements and prints their tables; the README has the commands.

use std::process::ExitCode;

use anyhow::{Result, bail};
use tierkeep_cache_peers::hits::Scale;
use tierkeep_cache_peers::{Table, contestants, hits, single_flight, stale_fill};
use tierkeep_testkit::RedisServer;
use tokio::runtime::Runtime;

const USAGE: &str = "cargo bench -- stale-fill|hits|single-flight|all [--markdown]";

/// Runs of the race with each library.
const RACES: usize = 5;

type Print = fn(&Table) -> String;

#[expect(clippy::print_stderr, reason = "a benchmark is read by the person who runs it")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut measurements: &[Measurement] = &[];
    let mut print: Print = Table::text;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "stale-fill" => measurements = &[Measurement::StaleFill],
            "hits" => measurements = &[Measurement::Hits],
            "single-flight" => measurements = &[Measurement::SingleFlight],
            "all" => measurements = &[Measurement::StaleFill, Measurement::SingleFlight, Measurement::Hits],
            "--markdown" => print = Table::markdown,
            // Cargo adds it.
            "--bench" => {}
            other => bail!("{other} is no measurement; {USAGE}"),
        }
    }
    if measurements.is_empty() {
        bail!("nothing to measure; {USAGE}");
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let redis = runtime.block_on(RedisServer::launch())?;
    for measurement in measurements {
        show(&print(&measurement.run(&runtime, &redis)?));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Measurement {
    StaleFill,
    Hits,
    SingleFlight,
}

impl Measurement {
    fn run(self, runtime: &Runtime, redis: &RedisServer) -> Result<Table> {
        match self {
            Self::StaleFill => runtime.block_on(async {
                let peers = contestants::of_stale_fill(redis).await?;
                stale_fill::report(&peers, RACES).await
            }),
            Self::Hits => {
                let scale = Scale::default();
                let peers = runtime.block_on(contestants::of_hits(scale.entries, redis))?;
                hits::report(runtime.handle(), &peers, scale)
            }
            Self::SingleFlight => runtime.block_on(async {
                let peers = contestants::of_single_flight(redis).await?;
                single_flight::report(&peers).await
            }),
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
fn show(table: &str) {
    println!("{table}");
}
