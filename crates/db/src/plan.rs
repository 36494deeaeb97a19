//! Where the time of a query goes, and what to do about it.
//!
//! [`explain`] asks the database for the plan of one `select`, in a transaction that can only read and is rolled back.
//! [`Plan::findings`] compares the plan with a table of rules; each finding names the node, the numbers, what follows from
//! them and what helps. Equal plans give equal findings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::query::{Kind, Query, QueryError};
use crate::{Database, Dialect, Error};

pub use rules::{Confidence, Finding, Rule};

mod effects;
mod json;
mod keyset;
mod postgres;
mod rules;
mod show;
mod sqlite;
mod time;

pub(crate) use keyset::aliases;
pub(crate) use postgres::{Private, begin, explain_values_on, milliseconds, run_values};
pub(crate) use sqlite::{bind, plan_of_values, query_plan};

/// How a plan is asked for. Every value is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether the statement is run, so that the plan says what really happened; default false. PostgreSQL only.
    pub analyze: bool,
    /// How long planning and running may take; default 30 s. PostgreSQL only.
    pub statement_timeout: Duration,
    /// How long a lock is waited for; default 1 s. PostgreSQL only.
    pub lock_timeout: Duration,
}

/// The plan of one statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Where it comes from.
    #[serde(skip)]
    pub dialect: Dialect,
    /// What is done last, with what it needs below it.
    pub root: Node,
    /// Milliseconds of planning, if that was measured.
    pub planning_ms: Option<f64>,
    /// Milliseconds of running, if that was measured.
    pub execution_ms: Option<f64>,
    /// Milliseconds in which the server compiled, if it did.
    pub jit_ms: Option<f64>,
    /// Triggers that were run, with their milliseconds.
    pub triggers: Vec<(String, f64)>,
    /// Rows of the tables in it, as far as statistics say: by `schema.table`, on SQLite by `table`.
    pub table_rows: BTreeMap<String, f64>,
    /// What SQLite's plan does not say and the statement does.
    #[serde(skip)]
    hints: Hints,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// What it does: `Seq Scan`, `Hash Join`; on SQLite the whole line.
    pub kind: String,
    /// What the planner expected. Absent on SQLite.
    pub estimate: Option<Estimate>,
    /// What happened. Absent if the statement was not run.
    pub measured: Option<Measured>,
    /// Everything that the server said of it, by the server's names. Versions differ in what they say.
    pub details: Map<String, Value>,
    /// What it reads from, in the order of the plan.
    pub children: Vec<Node>,
}

/// What the planner expected of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Cost until the first row, in pages read in sequence.
    pub startup_cost: f64,
    /// Cost until the last row.
    pub total_cost: f64,
    /// Rows, each time it runs.
    pub rows: f64,
    /// Bytes of a row.
    pub width: f64,
}

/// What a step really did, all its runs together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// How often it ran, in all processes; 0 if never.
    pub loops: f64,
    /// Rows of all runs.
    pub rows: f64,
    /// Milliseconds with what is below it, as a clock saw them: those of parallel processes are not added up.
    pub ms: f64,
    /// Milliseconds without what is below it.
    pub self_ms: f64,
}

/// What the text of a statement says about its plan.
#[derive(Debug, Clone, Default, PartialEq)]
struct Hints {
    /// Tables among whose rows a condition chooses, in lower case.
    filtered: Vec<String>,
    /// A number in `offset`.
    offset: Option<f64>,
    /// A keyset condition written with `or`.
    keyset: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The text is not one statement that is understood. Nothing was sent.
    #[error("the statement cannot be explained")]
    Query(#[from] QueryError),
    /// The statement writes, locks, or is none of the kind. Nothing was sent.
    #[error("only a select that neither writes nor locks is explained, this is a {found}")]
    NotASelect {
        /// What it is.
        found: &'static str,
    },
    /// A statement with parameters cannot be run without their values. Nothing was sent.
    #[error(
        "the statement has {parameters} parameters and cannot be run without values: write values, or do not measure"
    )]
    ValuesMissing {
        /// The highest number of a parameter.
        parameters: u16,
    },
    /// SQLite does not say what a plan took. Nothing was sent.
    #[error("sqlite does not measure plans: ask without analyze")]
    NotMeasurable,
    /// Something that the statement calls tried to write; nothing was changed.
    #[error("the statement calls something that writes; nothing was changed")]
    Writes(#[source] tokio_postgres::Error),
    /// The statement calls what no transaction takes back, so it is not run. Ask without [`Options::analyze`].
    #[error("the statement calls {function}, whose effects no transaction takes back: it is explained, but not run")]
    BeyondTransactions {
        /// The function.
        function: String,
    },
    /// The statement took longer than it may.
    #[error("the statement took longer than {limit:?}, or waited for a lock for longer than {lock_limit:?}")]
    TimedOut {
        /// [`Options::statement_timeout`].
        limit: Duration,
        /// [`Options::lock_timeout`].
        lock_limit: Duration,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The answer is not a plan as servers of known versions write it.
    #[error("not a plan in json: {reason}")]
    Malformed {
        /// What is missing or wrong.
        reason: String,
    },
    /// The database refused the statement, or is not there.
    #[error("the plan could not be asked for")]
    Database(#[from] Error),
}

impl Default for Options {
    fn default() -> Self {
        Self { analyze: false, statement_timeout: Duration::from_secs(30), lock_timeout: Duration::from_secs(1) }
    }
}

/// Asks for the plan of one `select`.
///
/// What writes or locks is refused before anything is sent. What is sent runs in a `read only` transaction that is rolled
/// back, so that a function which writes fails, too. With [`Options::analyze`] a statement that calls a volatile function in C is
/// refused unless that is known to be harmless; what functions in other languages call themselves is not seen. A statement with parameters (`$1`) gets the plan that serves all
/// values. With [`Options::analyze`] the statement is run: it takes its time and its locks, and calls its functions.
///
/// Cost: a connection and six round trips on PostgreSQL. If the future is dropped, the connection is closed.
///
/// # Errors
///
/// [`PlanError`], one variant per reason.
///
/// # Examples
///
/// ```no_run
/// use tierkeep_db::plan::{Options, explain};
/// use tierkeep_db::{Database, Pool, PoolConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let db = Database::Postgres(Pool::new(&"postgres://localhost/shop".parse()?, PoolConfig::default())?);
/// let plan = explain(&db, "select * from orders where customer = $1", &Options::default()).await?;
/// println!("{plan}");
/// for finding in plan.findings() {
///     println!("{finding}");
/// }
/// # Ok(()) }
/// ```
pub async fn explain(db: &Database, sql: &str, options: &Options) -> Result<Plan, PlanError> {
    let query = Query::parse(db.dialect(), sql)?;
    match query.kind() {
        Kind::Select => {}
        Kind::Write => return Err(PlanError::NotASelect { found: "statement that writes or locks rows" }),
        Kind::Utility => return Err(PlanError::NotASelect { found: "utility statement" }),
    }
    match db {
        Database::Postgres(pool) => postgres::explain(pool, &query, options).await,
        Database::Sqlite(_) if options.analyze => Err(PlanError::NotMeasurable),
        Database::Sqlite(db) => sqlite::explain(db, query).await,
    }
}

impl Plan {
    /// Reads what PostgreSQL 13 to 18 answer to `explain (format json)`; names that are absent are tolerated.
    ///
    /// # Errors
    ///
    /// [`PlanError::Malformed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tierkeep_db::plan::Plan;
    ///
    /// let plan = Plan::from_json(r#"[{"Plan": {"Node Type": "Result", "Plan Rows": 1}}]"#)?;
    /// assert_eq!(plan.root.kind, "Result");
    /// assert!(plan.findings().is_empty());
    /// # Ok::<(), tierkeep_db::plan::PlanError>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        json::read(text)
    }

    /// What the rules have to say, in the order of the plan's nodes, then of the rules. Pure; linear in the nodes.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        rules::findings(self)
    }

    /// Every node with its path, parents first. The path names the child to take at each step from the root.
    pub fn nodes(&self) -> Vec<(Vec<usize>, &Node)> {
        let mut nodes = Vec::new();
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, node)) = open.pop() {
            for (number, child) in node.children.iter().enumerate().rev() {
                let mut below = path.clone();
                below.push(number);
                open.push((below, child));
            }
            nodes.push((path, node));
        }
        nodes
    }

    /// Whether another plan takes the same steps by the same indexes, whatever it expects of them.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let steps = |plan: &Self| -> Vec<(Vec<usize>, String)> {
            plan.nodes().into_iter().map(|(path, node)| (path, node.label())).collect()
        };
        steps(self) == steps(other)
    }

    /// The total of what was measured in milliseconds, or of the root.
    fn total_ms(&self) -> Option<f64> {
        self.execution_ms.or(self.root.measured.map(|measured| measured.ms))
    }
}

impl Node {
    /// A number the server said, if it did.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.details.get(name).and_then(Value::as_f64)
    }

    /// A text the server said, if it did.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.details.get(name).and_then(Value::as_str)
    }

    /// What it is, and of which table or index: `Index Scan using i on t`.
    #[must_use]
    pub fn label(&self) -> String {
        let mut label = match (self.text("Parallel Aware"), self.details.get("Parallel Aware")) {
            (None, Some(Value::Bool(true))) => format!("Parallel {}", self.kind),
            _ => self.kind.clone(),
        };
        if let Some(index) = self.text("Index Name") {
            label.push_str(&format!(" using {index}"));
        }
        if let Some(relation) = self.text("Relation Name") {
            label.push_str(&format!(" on {relation}"));
            if let Some(alias) = self.text("Alias").filter(|alias| *alias != relation) {
                label.push_str(&format!(" {alias}"));
            }
        } else if let Some(name) = self.text("CTE Name") {
            label.push_str(&format!(" on {name}"));
        }
        label
    }

    /// `schema.table`, as the plan's `table_rows` names it.
    pub(crate) fn table(&self) -> Option<String> {
        let relation = self.text("Relation Name")?;
        Some(match self.text("Schema") {
            Some(schema) => format!("{schema}.{relation}"),
            None => relation.to_owned(),
        })
    }
}
