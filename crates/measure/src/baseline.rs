//! Measurements in a file, to compare later ones with.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measurement::Measurement;
use crate::nanos::Nanos;

/// Runs of a benchmark that are kept in a file: enough for [`compare`](crate::compare) to find a hundredth, and 100 kB.
pub const MAX_KEPT: usize = 10_000;

/// The form of the file.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes: some hundred benchmarks.
const MAX_BYTES: u64 = 64 << 20;

/// The times of a benchmark's runs in their order, evenly thinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Series {
    name: String,
    times: Vec<Nanos>,
}

/// A series as it stands in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    times_ns: Vec<Nanos>,
}

impl Series {
    /// A series of times, in the order in which they were measured.
    ///
    /// # Errors
    /// There are more than [`MAX_KEPT`].
    pub fn new(name: impl Into<String>, times: Vec<Nanos>) -> Result<Self, BaselineError> {
        if times.len() > MAX_KEPT {
            Err(BaselineError::TooMany(times.len()))
        } else {
            Ok(Self { name: name.into(), times })
        }
    }

    /// At equal distances, so that what lies beside each other in time stays so.
    pub(crate) fn thinned(name: &str, times: &[f64]) -> Self {
        let kept = times.len().min(MAX_KEPT);
        let times = (0..kept).map(|place| Nanos::computed(times[place * times.len() / kept])).collect();
        Self { name: name.to_owned(), times }
    }

    /// What the benchmark is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The times, in the order of the runs.
    #[must_use]
    pub fn times(&self) -> &[Nanos] {
        &self.times
    }
}

impl TryFrom<Written> for Series {
    type Error = BaselineError;

    fn try_from(written: Written) -> Result<Self, BaselineError> {
        Self::new(written.name, written.times_ns)
    }
}

impl From<Series> for Written {
    fn from(series: Series) -> Self {
        Self { name: series.name, times_ns: series.times }
    }
}

/// Measurements that were kept, with when and on what they were taken.
///
/// ```
/// use tierkeep_measure::{Baseline, Benchmark, Machine, Verdict, compare};
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("baseline.json");
/// # let work = || (0..300_u64).map(std::hint::black_box).sum::<u64>();
/// let before = Benchmark::new("sum").runs(500).run(work);
/// Baseline::new("2026-01-31T09:00:00Z", Machine::read(), &[before]).save(&file)?;
///
/// let baseline = Baseline::load(&file)?;
/// let now = Benchmark::new("sum").runs(500).run(work);
/// let kept = baseline.series("sum").expect("it was saved");
/// let comparison = compare(kept, &now.series())?;
/// if comparison.verdict() == Verdict::Slower {
///     println!("sum: {comparison}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    format: u32,
    taken_at: String,
    machine: Machine,
    benchmarks: Vec<Series>,
}

/// Why a baseline cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The file cannot be written or read.
    #[error("the baseline {} cannot be {doing}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `written` or `read`.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The file is none of ours.
    #[error("{} is no baseline", path.display())]
    NoBaseline {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file has another form.
    #[error("{} is a baseline of format {format}; accepted: {FORMAT}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A series is too long.
    #[error("a series of {0} times; accepted: at most {MAX_KEPT}")]
    TooMany(usize),
}

impl Baseline {
    /// Measurements to keep. When they were taken is for people: an instant as in RFC 3339, which is not read.
    #[must_use]
    pub fn new(taken_at: impl Into<String>, machine: Machine, measurements: &[Measurement]) -> Self {
        let benchmarks = measurements.iter().map(Measurement::series).collect();
        Self { format: FORMAT, taken_at: taken_at.into(), machine, benchmarks }
    }

    /// When it was taken.
    #[must_use]
    pub fn taken_at(&self) -> &str {
        &self.taken_at
    }

    /// On what.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The benchmark of this name.
    #[must_use]
    pub fn series(&self, name: &str) -> Option<&Series> {
        self.benchmarks.iter().find(|series| series.name == name)
    }

    /// The names of all benchmarks.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.benchmarks.iter().map(Series::name)
    }

    /// Writes it as JSON, in place of what the file held.
    ///
    /// # Errors
    /// [`BaselineError::File`].
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        let failed = |source| BaselineError::File { path: path.to_owned(), doing: "written", source };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        std::fs::write(path, text).map_err(failed)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`BaselineError::File`], [`BaselineError::NoBaseline`] also for a series that is too long or holds what is no time, and for
    /// keys that are not known, and [`BaselineError::Format`]. Of files longer than 64 MiB the rest is not read.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let failed = |source| BaselineError::File { path: path.to_owned(), doing: "read", source };
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)).map_err(failed)?;
        let none = |source| BaselineError::NoBaseline { path: path.to_owned(), source };
        let Form { format } = serde_json::from_str(&text).map_err(none)?;
        if format != FORMAT {
            return Err(BaselineError::Format { path: path.to_owned(), format });
        }
        serde_json::from_str(&text).map_err(none)
    }
}

/// What all formats have.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

#[cfg(test)]
mod tests;
