//! The binary's own story: what it is told, what it does, and where the parts meet.
//!
//! [`config`] says what the binary is told, [`cli`] what it is asked; [`commands`] do it. All of them, and [`http`], ask
//! `tierkeep_learning::service::Statistics`, so that the command line and the API give equal answers; [`tiers`] keep what
//! it answered for [`http`], and [`access`] says who may ask. [`audit`] compares what is stored with the rows; [`erasure`] and
//! [`export`] are about one learner's data.
//! `doctor` looks at the database itself, whosever tables are in it.
//! [`tasks`] are what a node does by itself, at times that the database knows.
//! [`clock`] is the only reader of the wall clock, [`config`] the only reader of the environment.

pub mod access;
pub mod audit;
mod chain;
pub mod cleanup;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod console;
pub mod demo;
mod doctor;
pub mod erasure;
pub mod export;
mod heap;
pub mod http;
pub mod log;
pub mod metrics;
pub mod node;
mod request;
pub mod signals;
pub mod tasks;
mod telemetry;
pub mod tiers;
pub mod upkeep;
mod watch;
