//! Arguments of `doctor`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::ByteSize;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// What to look at; without a word, at everything
    #[command(subcommand)]
    pub command: Option<DoctorCommand>,
}

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// List the statements that take longest, as pg_stat_statements has counted them, or on SQLite the nodes themselves
    SlowQueries {
        /// Least milliseconds of one execution, on average
        #[arg(long, value_name = "MS", default_value_t = 100.0, value_parser = milliseconds)]
        threshold: f64,
        /// By the time of all executions, or of one
        #[arg(long, value_name = "total|mean", default_value = "total")]
        by: Order,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// List tables, the largest first: rows, sizes, dead rows, when they were vacuumed and analysed
    Tables,
    /// List indexes that are invalid, missing, repeated, unused or far too large
    Indexes,
    /// Explain a select: its plan, where the time goes, and what could be better; what writes or locks is refused
    Explain {
        /// The statement; - reads it from standard input
        #[arg(value_name = "SQL")]
        sql: String,
        /// Run it, in a transaction that cannot write and unless it calls what no transaction takes back, and tell what really
        /// happened (PostgreSQL)
        #[arg(long)]
        analyze: bool,
    },
    /// Suggest indexes for a whole workload, and name those that could go
    Advise(AdviseArgs),
}

/// Arguments of `doctor advise`.
#[derive(Debug, Args)]
pub struct AdviseArgs {
    /// Statements, separated by semicolons; - reads standard input [default: what pg_stat_statements has counted, or on SQLite the nodes]
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Most indexes to suggest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_indexes: u32,
    /// Most bytes of all of them together, such as 512MiB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,
    /// Make them, one after the other and without keeping writers waiting, and measure whether they help
    #[arg(long)]
    pub create: bool,
}

/// What the slowest statements are the slowest by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Time of all executions.
    Total,
    /// Time of one.
    Mean,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("accepted: milliseconds, 0 or more".to_owned()),
    }
}
