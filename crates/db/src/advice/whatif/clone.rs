//! An empty copy of an SQLite database, in memory, with the statistics of the real one.
//!
//! SQLite chooses by the statistics alone, so its planner says of the copy what it would say of the database. It says which
//! index it would use and not what that costs; the cost is reckoned from the plan: rows that are visited, where a row found
//! through an index that does not have all columns counts three times, entering an index counts the depth of its tree, and
//! rows that are sorted count once more for each doubling of their number. What is inside of another step is done once for
//! each of its rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{Candidates, Evaluation, WhatIf, root_cause};
use crate::advice::facts::{Facts, TableFacts, sqlite};
use crate::plan::{Node, PlanError, aliases, query_plan};
use crate::query::Query;
use crate::statement::{Creation, IndexDefinition, drop_index};
use crate::{Dialect, Error, Ident};

/// Visits to a row that was found through an index: the entry, the way down the table, the row.
const THROUGH_INDEX: f64 = 3.0;
/// Share of rows within a bound, and within two.
const BOUND: f64 = 0.25;
/// Rows that are taken to be in a table of which nothing is known.
const UNKNOWN_ROWS: f64 = 1000.0;

/// The copy.
pub(in crate::advice) struct Clone {
    connection: Connection,
    facts: Facts,
    queries: Vec<Query>,
    candidates: Candidates,
    /// Candidates that are there at this moment.
    present: Vec<usize>,
    /// Rows, and rows of equal keys, by index.
    numbers: HashMap<String, Vec<f64>>,
    /// Tables that were analysed in the original. Of the others its planner knows nothing, so that of the copy must not.
    analysed: BTreeSet<String>,
}

impl Clone {
    /// Copies tables, indexes and views without rows. What cannot be copied, such as the table of a module that is not
    /// loaded, is left out; statements that need it cannot be evaluated.
    ///
    /// # Errors
    ///
    /// [`Error::Sqlite`].
    pub(in crate::advice) fn of(
        original: &Connection,
        facts: Facts,
        queries: Vec<Query>,
        candidates: Candidates,
    ) -> Result<Self, Error> {
        let connection = Connection::open_in_memory()?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let mut statement = original.prepare(include_str!("../catalog/sqlite/definitions.sql"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let _ = connection.execute_batch(&row.get::<_, String>(0)?);
        }
        // Makes the table of statistics.
        connection.execute_batch(
            "create table tierkeep_nothing (a); analyze; drop table tierkeep_nothing; delete from sqlite_stat1",
        )?;
        let mut clone = Self {
            connection,
            facts,
            queries,
            candidates,
            present: Vec::new(),
            numbers: HashMap::new(),
            analysed: BTreeSet::new(),
        };
        let known = sqlite::statistics(original)?;
        clone.analysed = known.keys().map(|(table, _)| table.clone()).collect();
        clone.copy_statistics(known)?;
        clone.reload()?;
        Ok(clone)
    }

    fn copy_statistics(&mut self, known: HashMap<(String, String), Vec<f64>>) -> Result<(), Error> {
        for ((table, index), numbers) in &known {
            self.state(table, index, numbers)?;
        }
        let mut missing = Vec::new();
        for (name, table) in &self.facts.tables {
            let own = name.name().as_str();
            for index in &table.indexes {
                if !known.contains_key(&(own.to_owned(), index.name.to_string())) {
                    let columns: Vec<Option<&Ident>> = index.keys.iter().map(|key| key.column.as_ref()).collect();
                    let numbers = groups(table, table.row_count(), &columns, index.is_unique);
                    missing.push((own.to_owned(), index.name.to_string(), numbers));
                }
            }
            if table.indexes.is_empty() && !known.keys().any(|(of, _)| of == own) {
                missing.push((own.to_owned(), String::new(), vec![table.row_count()]));
            }
        }
        for (table, index, numbers) in missing {
            self.state(&table, &index, &numbers)?;
        }
        Ok(())
    }

    /// Notes the statistics of an index, or with no name those of a table.
    fn state(&mut self, table: &str, index: &str, numbers: &[f64]) -> Result<(), Error> {
        if self.analysed.contains(table) {
            let text: Vec<String> = numbers.iter().map(|number| format!("{number:.0}")).collect();
            self.connection.execute(
                "insert into sqlite_stat1 (tbl, idx, stat) values (?1, nullif(?2, ''), ?3)",
                (table, index, text.join(" ")),
            )?;
        }
        self.numbers.insert(index.to_owned(), numbers.to_vec());
        Ok(())
    }

    /// Lets the planner see the statistics.
    fn reload(&self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("analyze sqlite_schema")?)
    }

    fn set(&mut self, wanted: &[usize]) -> Result<(), Error> {
        let gone: Vec<usize> = self.present.iter().copied().filter(|number| !wanted.contains(number)).collect();
        let new: Vec<usize> = wanted.iter().copied().filter(|number| !self.present.contains(number)).collect();
        if gone.is_empty() && new.is_empty() {
            return Ok(());
        }
        let candidates = Candidates::clone(&self.candidates);
        for number in gone {
            let name = candidates[number].name();
            self.connection.execute_batch(&drop_index(Dialect::Sqlite, None, &name))?;
            self.connection.execute("delete from sqlite_stat1 where idx = ?1", [name.as_str()])?;
            self.present.retain(|other| *other != number);
        }
        for number in new {
            let index = &candidates[number];
            self.connection.execute_batch(&index.create(Dialect::Sqlite, Some(&index.name()), Creation::Plain))?;
            self.present.push(number);
            if let Some(table) = self.facts.tables.get(&index.table) {
                let numbers = wanted_groups(table, index);
                self.state(index.table.name().as_str(), index.name().as_str(), &numbers)?;
            }
        }
        self.reload()
    }

    fn cost(&mut self, statement: usize, wanted: &[usize]) -> Result<Evaluation, PlanError> {
        self.set(wanted)?;
        let query = &self.queries[statement];
        let plan = query_plan(&self.connection, query)?;
        let names =
            aliases(query.statement()).into_iter().map(|(alias, table)| (alias.to_lowercase(), table)).collect();
        let reckoning = Reckoning { clone: self, aliases: names };
        let cost = reckoning.steps(&plan.root).0;
        let nodes = plan.nodes();
        let words: BTreeSet<&str> = nodes.iter().flat_map(|(_, node)| node.kind.split(' ')).collect();
        let used =
            wanted.iter().copied().filter(|number| words.contains(self.candidates[*number].name().as_str())).collect();
        let others = words.into_iter().map(str::to_owned).collect();
        Ok(Evaluation { cost, used, others })
    }
}

impl WhatIf for Clone {
    async fn evaluate(&mut self, statement: usize, candidates: &[usize]) -> Result<Evaluation, String> {
        self.cost(statement, candidates).map_err(|error| root_cause(&error))
    }
}

/// Adds up what a plan visits.
struct Reckoning<'a> {
    clone: &'a Clone,
    /// Tables by the other names that the statement gives them.
    aliases: BTreeMap<String, String>,
}

impl Reckoning<'_> {
    /// The cost of the steps below a node, and the rows that come out of them.
    fn steps(&self, node: &Node) -> (f64, f64) {
        let (mut cost, mut rows) = (0.0, 1.0);
        for child in &node.children {
            let line = child.kind.as_str();
            if line.starts_with("SCAN ") || line.starts_with("SEARCH ") {
                let (one, found) = self.visit(line);
                cost += rows * one;
                rows *= found;
            } else if line.starts_with("USE TEMP B-TREE FOR ") {
                cost += rows * rows.max(2.0).log2();
            } else if line.starts_with("MULTI-INDEX OR") {
                let (one, found) = child
                    .children
                    .iter()
                    .map(|arm| self.steps(arm))
                    .fold((0.0, 0.0), |sum, arm| (sum.0 + arm.0, sum.1 + arm.1));
                cost += rows * one;
                rows *= found;
            } else if line.starts_with("CORRELATED") {
                cost += rows * self.steps(child).0;
            } else {
                // Subqueries that are done once, and parts of a union. What is made first is scanned by a step of its own.
                cost += self.steps(child).0;
            }
        }
        (cost, rows.max(1.0))
    }

    /// Cost and rows of one line: `SEARCH t USING INDEX i (a=? AND b>?)`.
    fn visit(&self, line: &str) -> (f64, f64) {
        let mut words = line.split_whitespace().skip(1);
        let name = words.next().unwrap_or_default().to_lowercase();
        let table = self.aliases.get(&name).map_or(name.clone(), |table| table.to_lowercase());
        let rows = self.rows(&table);
        let (head, condition) = line.split_once('(').unwrap_or((line, ""));
        let equal = condition.matches("=?").count();
        let bounds = condition.matches(">?").count() + condition.matches("<?").count();
        let is_covering = head.contains("COVERING");
        let index = head.split_whitespace().skip_while(|word| *word != "INDEX").nth(1);
        if !line.starts_with("SEARCH ") {
            // Following an index through the whole table still visits every row.
            let per_row = if index.is_some() && !is_covering { THROUGH_INDEX } else { 1.0 };
            return (rows * per_row, rows);
        }
        let share = match bounds {
            0 => 1.0,
            1 => BOUND,
            _ => BOUND * BOUND,
        };
        if head.contains("AUTOMATIC") {
            // Made anew: every row is visited and put in its place.
            let found = (rows / 100.0).max(1.0);
            return (rows * rows.max(2.0).log2() + found, found);
        }
        // `ANY(a)` enters the index once for each value of `a`.
        let skipped = condition.matches("ANY(").count();
        let (entries, found) = match index.and_then(|index| self.clone.numbers.get(index)) {
            Some(numbers) => {
                let all = numbers.first().copied().unwrap_or(rows);
                let agreeing = |keys: usize| if keys == 0 { all } else { numbers.get(keys).copied().unwrap_or(1.0) };
                let entries = all / agreeing(skipped).max(1.0);
                (entries, entries * agreeing(skipped + equal) * share)
            }
            // By the number of the row.
            None if equal > 0 => (1.0, 1.0),
            None => (1.0, rows * share),
        };
        let found = found.max(1.0);
        let per_row = if is_covering || index.is_none() { 1.0 } else { THROUGH_INDEX };
        (entries * rows.max(2.0).log2() + found * per_row, found)
    }

    fn rows(&self, table: &str) -> f64 {
        let known = self.clone.facts.tables.iter().find(|(name, _)| name.name().as_str().to_lowercase() == table);
        known.map_or(UNKNOWN_ROWS, |(_, facts)| facts.row_count())
    }
}

/// Rows, then rows that agree in the first key, in the first two, and so on.
fn groups(table: &TableFacts, rows: f64, columns: &[Option<&Ident>], is_unique: bool) -> Vec<f64> {
    let mut numbers = vec![rows.round()];
    let mut each = rows;
    for (place, column) in columns.iter().enumerate() {
        let distinct = column.and_then(|column| table.columns.get(column)).map_or(10.0, |facts| facts.distinct);
        each = (each / distinct.max(1.0)).max(1.0);
        let is_last = place + 1 == columns.len();
        numbers.push(if is_unique && is_last { 1.0 } else { each.ceil() });
    }
    numbers
}

fn wanted_groups(table: &TableFacts, index: &IndexDefinition) -> Vec<f64> {
    let columns: Vec<Option<&Ident>> = index.columns().map(Some).collect();
    let rows = table.row_count() * table.covered(index.predicate.as_ref());
    groups(table, rows.max(1.0), &columns, false)
}
