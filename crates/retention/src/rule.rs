//! Rules as data: which rows of which table, and what becomes of them.

use tierkeep_db::{Condition, Ident, Relation, SqlType};

/// A table that is looked after.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What reports, the quarantine and exemptions call it; it outlives a renamed table.
    pub name: &'static str,
    /// The table and its logical columns.
    pub relation: Relation,
    /// The column that identifies a row: the primary key.
    pub key: Ident,
    /// The logical column that says whose row it is.
    pub owner: Option<&'static str>,
    /// The logical column that says how old a row is, and what it is compared as. An index should lead with it.
    pub age: Option<(&'static str, SqlType)>,
    /// Logical columns that an export of rows holds, and what they are. Columns of the table that none of them stands for
    /// follow under their own names.
    pub exported: Vec<(&'static str, SqlType)>,
    /// Whether the table is not there yet: a plan tells what a run would put there, and rules about it go by that.
    pub is_absent: bool,
    /// Whether a plan is objected to that would take a large share of it at once.
    pub is_guarded: bool,
    /// Columns of other subjects that hold keys of this one.
    pub dependants: Vec<Dependant>,
}

/// A column whose values are keys of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependant {
    /// The subject that has the column.
    pub subject: &'static str,
    /// The column.
    pub column: Ident,
}

/// What becomes of rows.
#[derive(Debug, Clone)]
pub enum Action {
    /// They are kept as they are, out of the way, under the name of the rule.
    Quarantine {
        /// Of several rows about one thing: which one stays. What refers to the others is turned to it.
        survivor: Option<Survivor>,
    },
    /// They go to another table, all columns.
    Archive {
        /// The subject they go to.
        into: &'static str,
        /// Its column for the run that moved a row.
        by: Ident,
        /// Its column for when.
        at: Ident,
    },
    /// They go, once they have been exported.
    Delete,
    /// The rows of other subjects that refer to them go, once these have been exported; they stay themselves. Which rows it
    /// is about is decided before the first deletion of the run.
    DeleteDependants {
        /// What must hold of such a row when it comes to it.
        still: Condition,
    },
    /// Some columns are overwritten.
    Anonymise(Vec<(Ident, Blank)>),
}

/// What a column holds after it was anonymised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blank {
    /// Nothing.
    Null,
    /// The empty text.
    Empty,
    /// 0.
    Zero,
}

impl Blank {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Empty => "''",
            Self::Zero => "0",
        }
    }
}

/// Which of several rows about one thing stays.
#[derive(Debug, Clone)]
pub struct Survivor {
    /// Logical columns in which rows about one thing agree.
    pub same: Vec<&'static str>,
    /// The logical column whose largest value stays; nothing is smaller than any value. Of equal ones the largest key.
    pub newest: &'static str,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Rules of one phase are done before those of the next.
    pub phase: &'static str,
    /// Unique among the rules.
    pub name: &'static str,
    /// The subject it is about.
    pub subject: &'static str,
    /// Which rows.
    pub condition: Condition,
    /// Which of the rows that an earlier rule of the same run puts there, said of them as they were before; `None`: those of
    /// which the condition holds.
    pub arriving: Option<Condition>,
    /// What becomes of them.
    pub action: Action,
    /// Whether rows are looked for by their age, which needs an index, or by where they lie, which reads the whole table.
    pub by_age: bool,
}

/// All that is to be looked after, in its order. A row goes by the first rule that fits it.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The tables.
    pub subjects: Vec<Subject>,
    /// The rules, phase by phase.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// A subject by its name.
    ///
    /// # Panics
    /// If there is none: policies are written by programmers, and a test of theirs renders all of it.
    #[must_use]
    pub fn subject(&self, name: &str) -> &Subject {
        self.subjects.iter().find(|subject| subject.name == name).expect("a rule names a subject of its own policy")
    }

    /// The phases, in their order.
    #[must_use]
    pub fn phases(&self) -> Vec<&'static str> {
        let mut phases: Vec<&'static str> = Vec::new();
        for rule in &self.rules {
            if !phases.contains(&rule.phase) {
                phases.push(rule.phase);
            }
        }
        phases
    }

    /// The same with the rules of some phases only.
    #[must_use]
    pub fn only(&self, phases: &[&str]) -> Self {
        let rules = self.rules.iter().filter(|rule| phases.contains(&rule.phase)).cloned().collect();
        Self { subjects: self.subjects.clone(), rules }
    }

    /// What is done in one sweep over a table: rules of one phase on one subject that all put rows into quarantine go
    /// together, each other rule alone.
    #[must_use]
    pub fn sweeps(&self) -> Vec<Sweep<'_>> {
        let mut sweeps: Vec<Sweep<'_>> = Vec::new();
        for rule in &self.rules {
            let together = sweeps.iter_mut().find(|sweep| {
                let first = sweep.rules[0];
                first.phase == rule.phase
                    && first.subject == rule.subject
                    && matches!(first.action, Action::Quarantine { survivor: None })
                    && matches!(rule.action, Action::Quarantine { survivor: None })
                    && first.by_age == rule.by_age
            });
            match together {
                Some(sweep) => sweep.rules.push(rule),
                None => sweeps.push(Sweep { subject: self.subject(rule.subject), rules: vec![rule] }),
            }
        }
        sweeps
    }
}

/// Rules that one sweep over a table carries out.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// The table.
    pub subject: &'a Subject,
    /// At least one; a row goes by the first that fits.
    pub rules: Vec<&'a Rule>,
}

impl Sweep<'_> {
    /// What becomes of the rows.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.rules[0].action
    }

    /// What it is called: the name of its rule, or of its phase if there are several.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.rules.as_slice() {
            [only] => only.name,
            several => several[0].phase,
        }
    }

    /// Rows that any of the rules is about.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self.rules.as_slice() {
            [only] => only.condition.clone(),
            several => Condition::Any(several.iter().map(|rule| rule.condition.clone()).collect()),
        }
    }
}
