//! Documents that need neither configuration nor database.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory;

use super::Failure;
use crate::cli::Cli;
use crate::console::Console;
use crate::http;

pub(super) fn openapi(console: Console) -> Result<(), Failure> {
    let document = http::openapi().to_pretty_json().context("the document cannot be written as JSON")?;
    Ok(console.result(&document)?)
}

pub(super) fn completions(shell: clap_complete::Shell, console: Console) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tierkeep", &mut script);
    Ok(console.result(&String::from_utf8_lossy(&script))?)
}

pub(super) fn manual(directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    Ok(())
}
