//! Tasks of this workspace.
//!
//! `cargo xtask dist` makes `target/dist/tierkeep-VERSION-TARGET.tar.gz`: the binary, licences, completions, man page
//! and sample configuration. `cargo xtask dist --check` also unpacks it and starts it in a bare environment.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

mod bare;
mod dist;

const USAGE: &str = "usage: cargo xtask dist [--check]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["dist"] => dist::make().map(|archive| report(&archive)),
        ["dist", "--check"] => dist::make().and_then(|archive| {
            report(&archive);
            bare::check(&archive)
        }),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn report(archive: &Path) {
    say(&format!("made {}", archive.display()));
}

#[expect(clippy::print_stderr, reason = "the only output of a task is for the person who runs it")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Runs a program to its end and returns what it printed.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Runs a program to its end; its output goes where ours goes.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    ensure!(status.success(), "{shown} failed: {status}");
    Ok(())
}
