//! What benchmarks found, for people and programs.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};
use tierkeep_measure::{Baseline, Comparison, Machine, Measurement, Verdict, compare};

use super::bars::bars;
use super::load::Load;

/// Measurements, and how they compare with earlier ones.
pub(super) struct Outcome {
    taken_at: String,
    machine: Machine,
    measurements: Vec<Measurement>,
    before: Option<Baseline>,
    /// For each measurement, where there is something to compare with.
    compared: Vec<Option<Comparison>>,
    notes: Vec<String>,
}

impl Outcome {
    pub(super) fn new(
        taken_at: String,
        machine: Machine,
        measurements: Vec<Measurement>,
        before: Option<Baseline>,
    ) -> Self {
        let mut notes = Vec::new();
        if let Some(before) = &before {
            let differences = machine.differences(before.machine());
            if !differences.is_empty() {
                notes.push(format!(
                    "the earlier figures are of another machine or build ({} differ): what differs need not be the code",
                    differences.join(", ")
                ));
            }
        }
        let mut compared = Vec::new();
        for measured in &measurements {
            let comparison = before.as_ref().map(|before| match before.series(&measured.name) {
                None => Err(format!("{}: the earlier figures have no such benchmark", measured.name)),
                Some(series) => compare(series, &measured.series()).map_err(|error| format!("not compared: {error}")),
            });
            notes.extend(comparison.as_ref().and_then(|comparison| comparison.as_ref().err()).cloned());
            compared.push(comparison.and_then(Result::ok));
        }
        Self { taken_at, machine, measurements, before, compared, notes }
    }

    pub(super) fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// What has to be known of a comparison.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Names of what has become slower.
    pub(super) fn slower(&self) -> Vec<&str> {
        let compared = self.measurements.iter().zip(&self.compared);
        let is_slower = |comparison: &Option<Comparison>| {
            comparison.as_ref().is_some_and(|comparison| comparison.verdict() == Verdict::Slower)
        };
        compared.filter(|(_, comparison)| is_slower(comparison)).map(|(measured, _)| measured.name.as_str()).collect()
    }

    /// To be compared with later.
    pub(super) fn baseline(&self) -> Baseline {
        Baseline::new(self.taken_at.as_str(), self.machine.clone(), &self.measurements)
    }

    /// A table, bars, and a line for each comparison.
    pub(super) fn text(&self) -> String {
        let mut text = Measurement::text_of(&self.measurements);
        text += "\n\n";
        text += &bars(&self.measurements);
        for line in self.comparisons() {
            text += "\n";
            text += &line;
        }
        text
    }

    /// A table, and a list of the comparisons.
    pub(super) fn markdown(&self) -> String {
        let mut text = Measurement::markdown_of(&self.measurements);
        for line in self.comparisons() {
            // writing to a string cannot fail
            let _ = write!(text, "\n- {line}");
        }
        text
    }

    fn comparisons(&self) -> impl Iterator<Item = String> {
        let since = self.before.as_ref().map_or("", Baseline::taken_at);
        let compared = self.measurements.iter().zip(&self.compared);
        compared.filter_map(move |(measured, comparison)| {
            comparison.map(|comparison| format!("{}, since {since}: {comparison}", measured.name))
        })
    }

    /// One object: when, on what, how it was asked, and the benchmarks. Times are nanoseconds.
    pub(super) fn json(&self, load: Load) -> anyhow::Result<String> {
        let benchmark = |(measured, comparison): (&Measurement, &Option<Comparison>)| -> anyhow::Result<Value> {
            let mut value = serde_json::to_value(measured)?;
            value["comparison"] = comparison.as_ref().map_or(Value::Null, comparison_json);
            Ok(value)
        };
        let benchmarks: anyhow::Result<Vec<Value>> =
            self.measurements.iter().zip(&self.compared).map(benchmark).collect();
        let document = json!({
            "taken_at": self.taken_at,
            "machine": self.machine,
            "load": load.json(),
            "compared_with": self.before.as_ref().map(Baseline::taken_at),
            "benchmarks": benchmarks.context("the figures cannot be written as JSON")?,
        });
        Ok(document.to_string())
    }
}

fn comparison_json(comparison: &Comparison) -> Value {
    let verdict = match comparison.verdict() {
        Verdict::NoDifference => "no difference",
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
    };
    let interval = comparison.interval();
    json!({ "verdict": verdict, "ratio": comparison.ratio(), "low": interval.low, "high": interval.high })
}
