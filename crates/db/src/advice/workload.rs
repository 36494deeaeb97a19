//! The statements that advice is for, and how often they run.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use crate::Dialect;
use crate::query::cutting::{Cut, cut};
use crate::query::{Kind, Query, QueryError};

use super::{Omission, OmissionReason};

/// Statements that are named as not looked at; beyond them nobody reads on.
const MOST_OMISSIONS: usize = 1000;

/// Statements with their numbers of calls.
///
/// Statements that differ only in values are one, with the calls of all; the text of the first one stands for them.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Dialect;
/// use tierkeep_db::advice::Workload;
///
/// let mut workload = Workload::new(Dialect::Postgres);
/// workload.add("select * from orders where customer = 1", 900.0, Some(12.5));
/// workload.add("select * from orders where customer = 2", 100.0, Some(11.5));
/// workload.add("selekt", 1.0, None);
/// assert_eq!(workload.statements().len(), 1);
/// assert_eq!(workload.statements()[0].calls, 1000.0);
/// assert_eq!(workload.statements()[0].mean_ms, Some(12.4));
/// assert_eq!(workload.omissions().len(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Workload {
    dialect: Dialect,
    statements: Vec<WorkloadStatement>,
    by_fingerprint: HashMap<String, usize>,
    omissions: Vec<Omission>,
    /// Digests of the texts that were omitted, so that each is named once.
    omitted: HashSet<u64>,
}

/// One statement of a workload.
#[derive(Debug, Clone)]
pub struct WorkloadStatement {
    /// The statement.
    pub query: Query,
    /// How often it runs, in a time that is the same for all.
    pub calls: f64,
    /// Milliseconds of a call, if that was measured.
    pub mean_ms: Option<f64>,
}

impl Workload {
    /// Makes one without statements.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            statements: Vec::new(),
            by_fingerprint: HashMap::new(),
            omissions: Vec::new(),
            omitted: HashSet::new(),
        }
    }

    /// Reads the statements of a file, separated by semicolons, each as one call. Those that occur several times count
    /// as often.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the text cannot be split into statements. A statement that is not understood is an omission.
    pub fn from_text(dialect: Dialect, text: &str) -> Result<Self, QueryError> {
        let mut workload = Self::new(dialect);
        for (sql, parsed) in Query::parse_all(dialect, text)? {
            workload.add_parsed(&sql, parsed, 1.0, None);
        }
        Ok(workload)
    }

    /// Reads the statements of a stream, such as a file of any length, in one pass, each as one call. Kept is one statement of
    /// each shape, and of those that are not understood the first 1,000 different ones.
    ///
    /// # Errors
    ///
    /// What reading the stream says. A statement that is not understood is an omission.
    ///
    /// # Examples
    ///
    /// ```
    /// use tierkeep_db::Dialect;
    /// use tierkeep_db::advice::Workload;
    ///
    /// let mut file = "select * from t where a = 1; select * from t where a = ';';".as_bytes();
    /// let workload = Workload::read(Dialect::Sqlite, &mut file)?;
    /// assert_eq!(workload.statements()[0].calls, 2.0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read(dialect: Dialect, stream: &mut impl BufRead) -> io::Result<Self> {
        let mut workload = Self::new(dialect);
        cut(dialect, stream, |statement| match statement {
            Cut::Text(text) => match Query::parse(dialect, &text) {
                Err(QueryError::Empty) => {}
                parsed => workload.add_parsed(&text, parsed, 1.0, None),
            },
            Cut::TooLong(begin) => {
                let message = "it is longer than what is looked at".to_owned();
                workload.omit(&begin, OmissionReason::NotUnderstood { message });
            }
        })?;
        Ok(workload)
    }

    /// Adds calls of a statement, such as a row of `pg_stat_statements` or of a log of one's own.
    ///
    /// What is not understood, or neither reads nor writes rows, becomes an omission with its reason. `calls` that are no
    /// positive number count as none.
    pub fn add(&mut self, sql: &str, calls: f64, mean_ms: Option<f64>) {
        let parsed = Query::parse(self.dialect, sql);
        self.add_parsed(sql, parsed, calls, mean_ms);
    }

    fn add_parsed(&mut self, sql: &str, parsed: Result<Query, QueryError>, calls: f64, mean_ms: Option<f64>) {
        let query = match parsed {
            Ok(query) if query.kind() != Kind::Utility => query,
            Ok(_) => return self.omit(sql, OmissionReason::Utility),
            Err(error) => return self.omit(sql, OmissionReason::NotUnderstood { message: error.to_string() }),
        };
        let calls = if calls.is_finite() && calls > 0.0 { calls } else { 0.0 };
        let mean_ms = mean_ms.filter(|ms| ms.is_finite() && *ms >= 0.0);
        let next = self.statements.len();
        let number = *self.by_fingerprint.entry(query.fingerprint().text().to_owned()).or_insert(next);
        match self.statements.get_mut(number) {
            Some(known) => {
                known.mean_ms = match (known.mean_ms, mean_ms) {
                    (Some(a), Some(b)) if known.calls + calls > 0.0 => {
                        Some((a * known.calls + b * calls) / (known.calls + calls))
                    }
                    (known, new) => known.or(new),
                };
                known.calls += calls;
            }
            None => self.statements.push(WorkloadStatement { query, calls, mean_ms }),
        }
    }

    fn omit(&mut self, sql: &str, reason: OmissionReason) {
        let omission = Omission { what: sql.trim().to_owned(), reason };
        if self.omissions.len() < MOST_OMISSIONS
            && self.omitted.insert(xxhash_rust::xxh3::xxh3_64(omission.what.as_bytes()))
        {
            self.omissions.push(omission);
        }
    }

    /// The statements, in the order in which they were added.
    #[must_use]
    pub fn statements(&self) -> &[WorkloadStatement] {
        &self.statements
    }

    /// What was added and is not looked at, each text once, at most 1,000.
    #[must_use]
    pub fn omissions(&self) -> &[Omission] {
        &self.omissions
    }

    /// Which language its statements are in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}
