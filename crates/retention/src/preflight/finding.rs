//! What was found, told together.

use std::fmt;

use serde::Serialize;

use crate::RetentionError;

/// What kind of thing was found; the word of it ([`as_str`](Self::as_str)) is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The database takes no writes: a replica, a read-only session or a read-only file.
    ReadOnly,
    /// What was committed may not outlive a crash or a power failure.
    Durability,
    /// The relation is no table, so its rows cannot be moved.
    NotATable,
    /// Rows would go where they came from.
    SameTable,
    /// A crash, or the end of the session, empties the table that is to keep the rows.
    Volatile,
    /// Tables inherit from the one that is looked after; their rows have more columns than it.
    Inheritance,
    /// The role may not do what the move takes.
    MissingPrivilege,
    /// Row-level security hides rows from the role.
    RowSecurity,
    /// A rewrite rule turns the move into something else.
    Rule,
    /// Triggers of somebody else fire.
    Trigger,
    /// A rule names a column that is not there.
    UnknownColumn,
    /// Nothing makes sure that the key belongs to one row only.
    NoKey,
    /// Finding the rows takes reading the table.
    UnindexedPick,
    /// A foreign key points at the rows, from a table that no rule knows.
    UndeclaredReference,
    /// Looking for what depends on a row takes reading the depending table.
    UnindexedReference,
    /// The table has a column by a name that the archive has for itself.
    OwnNameTaken,
    /// The archive lacks a column, which can be added.
    MissingColumn,
    /// A column of the archive cannot keep every value.
    TypeLoses,
    /// A column of the archive demands a value that rows may lack, or that only the archive knows.
    ValueDemanded,
    /// A column of the archive makes its own values.
    ValueMade,
    /// A CHECK of the archive may refuse rows.
    ArchiveCheck,
    /// A unique index of the archive may refuse rows.
    ArchiveUnique,
    /// A foreign key of the archive may refuse rows.
    ArchiveReference,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The run must not begin.
    Refusal {
        /// What kind of thing.
        code: Code,
        /// What is so, and where.
        what: String,
        /// What helps; a statement where one helps.
        remedy: String,
    },
    /// Whoever starts the run should know.
    Notice {
        /// What kind of thing.
        code: Code,
        /// What is so, and where.
        what: String,
    },
    /// The archive has to be given a column before the run: it follows the live table.
    Missing {
        /// The archive, with its schema, quoted.
        table: String,
        /// The column's name.
        column: String,
        /// The statement that adds it.
        statement: String,
    },
}

/// Everything that was found, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Findings {
    found: Vec<Finding>,
}

impl Code {
    /// The word by which programs know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Durability => "durability",
            Self::NotATable => "not_a_table",
            Self::SameTable => "same_table",
            Self::Volatile => "volatile",
            Self::Inheritance => "inheritance",
            Self::MissingPrivilege => "missing_privilege",
            Self::RowSecurity => "row_security",
            Self::Rule => "rule",
            Self::Trigger => "trigger",
            Self::UnknownColumn => "unknown_column",
            Self::NoKey => "no_key",
            Self::UnindexedPick => "unindexed_pick",
            Self::UndeclaredReference => "undeclared_reference",
            Self::UnindexedReference => "unindexed_reference",
            Self::OwnNameTaken => "own_name_taken",
            Self::MissingColumn => "missing_column",
            Self::TypeLoses => "type_loses",
            Self::ValueDemanded => "value_demanded",
            Self::ValueMade => "value_made",
            Self::ArchiveCheck => "archive_check",
            Self::ArchiveUnique => "archive_unique",
            Self::ArchiveReference => "archive_reference",
        }
    }
}

impl Finding {
    /// What kind of thing was found.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refusal { code, .. } | Self::Notice { code, .. } => *code,
            Self::Missing { .. } => Code::MissingColumn,
        }
    }

    /// Whether the run must not begin.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refusal { .. })
    }
}

impl Findings {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.found.iter()
    }

    /// Whether nothing was found at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether the run must not begin.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.found.iter().any(Finding::is_refusal)
    }

    /// The statements that give the archive the columns it lacks.
    pub fn additions(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(|finding| match finding {
            Finding::Missing { statement, .. } => Some(statement.as_str()),
            Finding::Refusal { .. } | Finding::Notice { .. } => None,
        })
    }

    /// Adds what another check found; the same thing is told once.
    pub fn extend(&mut self, others: Self) {
        for finding in others.found {
            if !self.found.contains(&finding) {
                self.found.push(finding);
            }
        }
    }

    /// Returns the findings if nothing stands in the way.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Refused`] with the text of all refusals, the first line saying how many there are.
    pub fn into_result(self) -> Result<Self, RetentionError> {
        if self.is_refused() { Err(RetentionError::Refused(self.refusals_text())) } else { Ok(self) }
    }

    fn refusals_text(&self) -> String {
        let refusals: Vec<String> = self
            .found
            .iter()
            .filter(|finding| finding.is_refusal())
            .enumerate()
            .map(|(at, finding)| format!("\n{}. {finding}", at + 1))
            .collect();
        let things = if refusals.len() == 1 { "1 thing stands" } else { &format!("{} things stand", refusals.len()) };
        format!("{things} in the way, nothing was changed:{}", refusals.concat())
    }

    pub(super) fn refuse(&mut self, code: Code, what: String, remedy: impl Into<String>) {
        self.add(Finding::Refusal { code, what, remedy: remedy.into() });
    }

    pub(super) fn notice(&mut self, code: Code, what: String) {
        self.add(Finding::Notice { code, what });
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.found.push(finding);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal { code, what, remedy } => write!(f, "{what} [{code}]\n   what helps: {remedy}"),
            Self::Notice { code, what } => write!(f, "{what} [{code}]"),
            Self::Missing { table, column, statement } => {
                write!(f, "{table} lacks the column {column}: {statement} [{}]", Code::MissingColumn)
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
