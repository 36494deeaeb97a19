//! `bench`: how long statistics and endpoints take, and whether that has changed.

mod bars;
mod client;
mod drawing;
mod endpoints;
mod load;
mod outcome;
mod punctual;
mod statistics;

use std::path::Path;

use anyhow::{Context as _, anyhow};
use tierkeep_measure::{Baseline, BaselineError, Machine, Measurement};
use tokio_util::sync::CancellationToken;

use self::load::Load;
use self::outcome::Outcome;
use self::punctual::Punctual;
use super::{Context, Ending, Failure};
use crate::cli::{BenchCommand, KeepArgs};
use crate::console::Output;
use crate::signals;

pub(super) async fn run(command: &BenchCommand, context: &Context) -> Result<(), Failure> {
    let (arguments, keep) = match command {
        BenchCommand::Stats(arguments) => (&arguments.load, &arguments.keep),
        BenchCommand::Http(arguments) => (&arguments.load, &arguments.keep),
    };
    let load = Load::new(arguments).map_err(Failure::usage)?;
    // whoever waits for a benchmark is told before it begins that there is nothing to compare with
    let before = keep.compare.as_deref().map(baseline).transpose()?;
    let stop = signals::stop_token()?;
    let measured = match command {
        BenchCommand::Stats(arguments) => statistics::run(arguments, load, context, &stop).await?,
        BenchCommand::Http(arguments) => endpoints::run(arguments, load, context, &stop).await?,
    };
    let taken_at = context.clock.now().to_string();
    let outcome = Outcome::new(taken_at, Machine::read(), measured.measurements, before);
    for note in outcome.notes() {
        context.console.note(note);
    }
    context.console.result(&match (context.console.output(), keep.markdown) {
        (Output::Json, _) => outcome.json(load)?,
        (Output::Human, true) => outcome.markdown(),
        (Output::Human, false) => outcome.text(),
    })?;
    write(keep, &outcome, context)?;
    if let Some(failure) = measured.first_failure {
        return Err(failure.into());
    }
    match outcome.slower() {
        slower if keep.fail_if_slower && !slower.is_empty() => {
            Err(anyhow!("slower than before: {}", slower.join(", ")).into())
        }
        _ => Ok(()),
    }
}

/// What was measured, and what the first call that failed said.
#[derive(Default)]
struct Measured {
    measurements: Vec<Measurement>,
    first_failure: Option<anyhow::Error>,
}

impl Measured {
    /// Measures one thing after the other, until told to end.
    async fn add<F>(
        &mut self,
        name: &str,
        load: Load,
        warm_up: usize,
        stop: &CancellationToken,
        ask: impl Fn(usize) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        // what is asked is in it several times over
        let running = Box::pin(load.run(name, warm_up, Punctual::new(), ask));
        let Some((measurement, failure)) = stop.run_until_cancelled(running).await else {
            let error = anyhow!("told to end before {name} was measured; nothing is kept");
            return Err(Failure { ending: Ending::Stopped, error });
        };
        if let (Some(failure), None) = (failure, &self.first_failure) {
            let failed = measurement.failed;
            self.first_failure = Some(anyhow!("{name}: {failed} calls failed, the first: {failure}"));
        }
        self.measurements.push(measurement);
        Ok(())
    }
}

fn baseline(path: &Path) -> Result<Baseline, Failure> {
    Baseline::load(path).map_err(|error| match error {
        BaselineError::File { .. } => anyhow::Error::from(error).into(),
        other => Failure::usage(other),
    })
}

fn write(keep: &KeepArgs, outcome: &Outcome, context: &Context) -> Result<(), Failure> {
    if let Some(path) = &keep.plot {
        std::fs::write(path, drawing::svg(outcome.measurements()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        context.console.note(format_args!("drawn into {}", path.display()));
    }
    if let Some(path) = &keep.save {
        outcome.baseline().save(path).map_err(anyhow::Error::from)?;
        context.console.note(format_args!("kept in {}", path.display()));
    }
    Ok(())
}
