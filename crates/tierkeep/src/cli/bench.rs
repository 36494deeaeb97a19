//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_measure::Rate;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Answer statistics in this process: from the database, and through the tiers
    Stats(BenchStatsArgs),
    /// Ask a node on this machine over HTTP: the running one, or one that is started for this
    Http(BenchHttpArgs),
}

/// Arguments of `bench stats`.
#[derive(Debug, Args)]
pub struct BenchStatsArgs {
    /// Which statistics, such as daily or global [default: all]
    #[arg(value_name = "STATISTIC")]
    pub statistics: Vec<StatisticKind>,
    /// How many learners are asked about in turn, the first in the order of their ids
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub learners: u32,
    /// How they are asked
    #[command(flatten)]
    pub load: LoadArgs,
    /// What becomes of the figures
    #[command(flatten)]
    pub keep: KeepArgs,
}

/// Arguments of `bench http`.
#[derive(Debug, Args)]
pub struct BenchHttpArgs {
    /// What is asked, such as /v1/stats/global; {id} is a learner [default: every statistic]
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// The node, as http://host:port on this machine [default: the configured one if it runs, else one of its own]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// How many learners {id} stands for in turn, the first in the order of their ids
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub learners: u32,
    /// How it is asked
    #[command(flatten)]
    pub load: LoadArgs,
    /// What becomes of the figures
    #[command(flatten)]
    pub keep: KeepArgs,
}

/// How much is asked, for each benchmark.
#[derive(Debug, Clone, Copy, Args)]
pub struct LoadArgs {
    /// How often at most [default: 1000; with --rate: what its seconds hold]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(tierkeep_measure::MAX_RUNS)))]
    pub runs: Option<u32>,
    /// For how long at most, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// How many ask at a time, each again when it is answered: how much can be done
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "rate",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// How often a second, whether or not what was asked before is answered: how long those wait who come
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<Rate>,
}

/// What becomes of the figures.
#[derive(Debug, Clone, Args)]
pub struct KeepArgs {
    /// Keep them in this file, to compare later ones with
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Compare them with those of this file
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// End with exit code 1 if anything has become slower than in that file
    #[arg(long, requires = "compare")]
    pub fail_if_slower: bool,
    /// Draw latencies by percentile into this file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Write a table in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}
