//! From a workload to a set of indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::query::{Query, Reading, Schema};
use crate::statement::IndexDefinition;
use crate::{Dialect, TableName};

use super::candidate::{Constants, candidates, searched};
use super::choose::{Limits, Matrix, choose};
use super::facts::{Facts, TableFacts};
use super::redundant::redundant;
use super::sampled::{texts, value_sets};
use super::whatif::hypothetical::Question;
use super::whatif::statistics::Statistics;
use super::whatif::{Candidates, Evaluation, WhatIf};
use super::{Advice, AdviceOptions, Gain, Method, Omission, OmissionReason, SMALL_TABLE, Suggestion, Unit, Workload};

mod upkeep;

/// Cost of writing one entry of an index, in the planner's unit: some comparisons and a page that becomes dirty.
const ENTRY_COST: f64 = 1.0;
/// The same in milliseconds; 4 to 10 µs were measured for rows of three columns on PostgreSQL 15.
const ENTRY_MS: f64 = 0.01;
/// A statement must get this much cheaper for an index to be worth a word.
const WORTH: f64 = 0.05;
/// Candidates that are tried beside the chosen set.
const SECOND_LOOK: usize = 40;

/// A workload with what each statement wants.
pub(super) struct Read {
    statements: Vec<Statement>,
    /// Tables that any of them needs.
    pub(super) tables: Vec<TableName>,
    omissions: Vec<Omission>,
}

struct Statement {
    query: Query,
    reading: Reading,
    calls: f64,
    mean_ms: Option<f64>,
}

/// Resolves the names of a workload. What cannot be resolved is omitted.
pub(super) fn read(workload: &Workload, schema: &Schema) -> Read {
    let mut read = Read { statements: Vec::new(), tables: Vec::new(), omissions: workload.omissions().to_vec() };
    let mut tables = BTreeSet::new();
    for statement in workload.statements() {
        match statement.query.read(schema) {
            Ok(reading) => {
                tables.extend(reading.scans.iter().map(|scan| scan.table.clone()));
                tables.extend(reading.written.as_ref().map(|written| written.table().clone()));
                read.statements.push(Statement {
                    query: statement.query.clone(),
                    reading,
                    calls: statement.calls,
                    mean_ms: statement.mean_ms,
                });
            }
            Err(error) => read.omissions.push(Omission {
                what: statement.query.sql().to_owned(),
                reason: OmissionReason::Unreadable { error },
            }),
        }
    }
    read.tables = tables.into_iter().collect();
    read
}

/// What is to be decided.
pub(super) struct Problem {
    dialect: Dialect,
    statements: Vec<Statement>,
    facts: Facts,
    candidates: Candidates,
    /// Candidates that each statement could use.
    relevant: Vec<Vec<usize>>,
    omissions: Vec<Omission>,
}

impl Problem {
    /// Derives candidates for every table that is large enough and known.
    pub(super) fn of(dialect: Dialect, read: Read, facts: Facts) -> Self {
        let mut omissions = read.omissions;
        let mut open: BTreeMap<&TableName, &TableFacts> = BTreeMap::new();
        for name in &read.tables {
            let reason = match facts.tables.get(name) {
                Some(table) if !table.is_readable => OmissionReason::NotPermitted,
                Some(table) if table.is_partitioned => OmissionReason::Partitioned,
                Some(table) => match table.rows {
                    // No statistics of any column: nobody ever looked, or there are none to see.
                    Some(rows) if table.columns.is_empty() && rows >= SMALL_TABLE => OmissionReason::NoStatistics,
                    Some(rows) if rows < SMALL_TABLE => OmissionReason::SmallTable { rows },
                    Some(_) => {
                        open.insert(name, table);
                        continue;
                    }
                    None => OmissionReason::NoStatistics,
                },
                // A table of another kind, such as a foreign one.
                None => OmissionReason::NoStatistics,
            };
            omissions.push(Omission { what: name.to_string(), reason });
        }
        let mut constants = Constants::default();
        for statement in &read.statements {
            statement.reading.scans.iter().for_each(|scan| constants.count(scan, statement.calls));
        }
        let mut numbers: HashMap<IndexDefinition, usize> = HashMap::new();
        let mut all: Vec<IndexDefinition> = Vec::new();
        let mut relevant = Vec::with_capacity(read.statements.len());
        for statement in &read.statements {
            let mut own = BTreeSet::new();
            for scan in &statement.reading.scans {
                let Some(table) = open.get(&scan.table) else { continue };
                for column in searched(scan).filter(|_| !facts.has_trigrams) {
                    let command = "create extension pg_trgm";
                    let reason = OmissionReason::NoTrigrams { column: column.clone(), command };
                    let omission = Omission { what: scan.table.to_string(), reason };
                    if !omissions.contains(&omission) {
                        omissions.push(omission);
                    }
                }
                for index in candidates(dialect, scan, table, &constants, facts.has_trigrams) {
                    let number = *numbers.entry(index.clone()).or_insert_with(|| {
                        all.push(index);
                        all.len() - 1
                    });
                    own.insert(number);
                }
            }
            relevant.push(own.into_iter().collect());
        }
        Self { dialect, statements: read.statements, facts, candidates: Candidates::new(all), relevant, omissions }
    }

    pub(super) fn queries(&self) -> Vec<Query> {
        self.statements.iter().map(|statement| statement.query.clone()).collect()
    }

    /// The statements with values for their parameters, as far as there are any.
    pub(super) fn questions(&self) -> Vec<Question> {
        let of = |statement: &Statement| {
            let sets = value_sets(&statement.query, &statement.reading, &self.facts).unwrap_or_default();
            let values = sets.iter().map(|set| texts(&statement.query, set)).collect();
            Question { query: statement.query.clone(), values }
        };
        self.statements.iter().map(of).collect()
    }

    pub(super) fn candidates(&self) -> Candidates {
        Candidates::clone(&self.candidates)
    }

    /// A model of the planner, for where there is no other way.
    pub(super) fn model(&self) -> Statistics {
        let readings = self.statements.iter().map(|statement| statement.reading.clone()).collect();
        Statistics { facts: self.facts.clone(), readings, candidates: self.candidates() }
    }
}

/// Costs that were asked for, so that none is asked for twice.
struct Asked<'a, W> {
    planner: &'a mut W,
    known: HashMap<(usize, Vec<usize>), Result<Evaluation, String>>,
}

impl<W: WhatIf> Asked<'_, W> {
    async fn cost(&mut self, statement: usize, candidates: &[usize]) -> Result<Evaluation, String> {
        let key = (statement, candidates.to_vec());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let result = self.planner.evaluate(statement, candidates).await;
        self.known.insert(key, result.clone());
        result
    }
}

/// The search with what it found so far.
struct Search<'a, W> {
    problem: &'a Problem,
    asked: Asked<'a, W>,
    /// Statements that can be planned, with the cost of a call as it is.
    base: BTreeMap<usize, f64>,
    /// From the cost of a call to what the whole workload pays for it, by statement.
    weight: Vec<f64>,
    upkeep: Vec<f64>,
    /// Candidates that a statement uses together, such as those of both sides of an `or`.
    groups: Vec<Vec<usize>>,
}

/// Chooses indexes for a problem.
pub(super) async fn search<W: WhatIf>(
    mut problem: Problem,
    planner: &mut W,
    method: Method,
    options: &AdviceOptions,
) -> Advice {
    let mut omissions = std::mem::take(&mut problem.omissions);
    let mut asked = Asked { planner, known: HashMap::new() };
    let mut base = BTreeMap::new();
    let mut in_use = BTreeSet::new();
    for (number, statement) in problem.statements.iter().enumerate() {
        match asked.cost(number, &[]).await {
            Ok(evaluation) => {
                in_use.extend(evaluation.others);
                base.insert(number, evaluation.cost);
            }
            Err(message) => omissions.push(Omission {
                what: statement.query.sql().to_owned(),
                reason: OmissionReason::NotPlanned { message },
            }),
        }
    }
    // Milliseconds only if they are known of all: costs and milliseconds cannot be added.
    let is_timed = !base.is_empty() && base.keys().all(|number| problem.statements[*number].mean_ms.is_some());
    let weight =
        problem.statements.iter().enumerate().map(|(number, statement)| match (base.get(&number), statement.mean_ms) {
            (Some(cost), Some(ms)) if is_timed => statement.calls * ms / cost.max(1e-9),
            _ => statement.calls,
        });
    let weight: Vec<f64> = weight.collect();
    let entry = if is_timed { ENTRY_MS } else { ENTRY_COST };
    let entries: Vec<(f64, f64)> = problem.candidates.iter().map(|index| problem.entries(index)).collect();
    let upkeep: Vec<f64> = entries.iter().map(|(entries, _)| entries * entry).collect();
    let mut search = Search { problem: &problem, asked, base, weight, upkeep, groups: Vec::new() };

    let matrix = search.matrix().await;
    let limits = Limits { count: options.max_indexes, bytes: options.max_bytes };
    let choice = choose(&matrix, limits);
    let mut set = search.without_useless(choice.chosen).await;
    set = search.second_look(set, &matrix, limits).await;
    set = search.without_useless(set).await;

    let unit = if is_timed { Unit::Milliseconds } else { Unit::Cost };
    let mut suggestions = Vec::new();
    for candidate in &set {
        suggestions.push(search.suggestion(*candidate, &set, &matrix, entry, is_timed).await);
    }
    suggestions.sort_by(|a: &Suggestion, b| b.saves.total_cmp(&a.saves).then_with(|| a.index.cmp(&b.index)));
    let before = search.total(&[]).await;
    let after = search.total(&set).await;
    let chosen: Vec<IndexDefinition> = suggestions.iter().map(|suggestion| suggestion.index.clone()).collect();
    Advice {
        method,
        unit,
        before,
        after,
        suggestions,
        redundant: redundant(problem.dialect, &problem.facts, &chosen, &in_use),
        omissions,
        is_optimal: choice.is_optimal,
        candidates: problem.candidates.len(),
    }
}

impl<W: WhatIf> Search<'_, W> {
    /// Those of a set that a statement could use.
    fn usable(&self, statement: usize, set: &[usize]) -> Vec<usize> {
        let tables: BTreeSet<&TableName> =
            self.problem.statements[statement].reading.scans.iter().map(|scan| &scan.table).collect();
        let mut usable: Vec<usize> =
            set.iter().copied().filter(|number| tables.contains(&self.problem.candidates[*number].table)).collect();
        usable.sort_unstable();
        usable
    }

    /// Cost of a call with a set. A statement that cannot be planned with it costs what it costs now.
    async fn call(&mut self, statement: usize, set: &[usize]) -> (f64, BTreeSet<usize>) {
        let before = self.base[&statement];
        let usable = self.usable(statement, set);
        match self.asked.cost(statement, &usable).await {
            Ok(evaluation) => (evaluation.cost, evaluation.used),
            Err(_) => (before, BTreeSet::new()),
        }
    }

    async fn total(&mut self, set: &[usize]) -> f64 {
        let statements: Vec<usize> = self.base.keys().copied().collect();
        let mut total = 0.0;
        for statement in statements {
            total += self.call(statement, set).await.0 * self.weight[statement];
        }
        total
    }

    /// What each candidate saves of each statement by itself, and together with those of other tables.
    async fn matrix(&mut self) -> Matrix {
        let count = self.problem.candidates.len();
        let mut savings: BTreeMap<usize, Vec<f64>> =
            self.base.keys().map(|statement| (*statement, vec![0.0; count])).collect();
        // A candidate at a time, so that each is made once.
        for candidate in 0..count {
            let statements: Vec<usize> = self.base.keys().copied().collect();
            for statement in statements {
                if self.problem.relevant[statement].contains(&candidate) {
                    let (cost, used) = self.call(statement, &[candidate]).await;
                    let saved = self.base[&statement] - cost;
                    if used.contains(&candidate)
                        && saved > WORTH * self.base[&statement]
                        && let Some(row) = savings.get_mut(&statement)
                    {
                        row[candidate] = saved * self.weight[statement];
                    }
                }
            }
        }
        self.together(&mut savings).await;
        let mut names: Vec<&TableName> = Vec::new();
        let tables = self.problem.candidates.iter().map(|index| {
            names.iter().position(|name| **name == index.table).unwrap_or_else(|| {
                names.push(&index.table);
                names.len() - 1
            })
        });
        let tables = tables.collect();
        let bytes = self.problem.candidates.iter().map(|index| self.bytes(index)).collect();
        Matrix { savings: savings.into_values().collect(), upkeep: self.upkeep.clone(), bytes, tables }
    }

    /// Some indexes are of use only beside others, such as those of both sides of a join: what they save together is
    /// divided among them.
    async fn together(&mut self, savings: &mut BTreeMap<usize, Vec<f64>>) {
        let statements: Vec<usize> = savings.keys().copied().collect();
        for statement in statements {
            let all = self.problem.relevant[statement].clone();
            let (cost, used) = self.call(statement, &all).await;
            let saved = (self.base[&statement] - cost) * self.weight[statement];
            let Some(row) = savings.get_mut(&statement) else { continue };
            let alone = row.iter().copied().fold(0.0, f64::max);
            if used.len() > 1 && saved > alone * (1.0 + WORTH) {
                self.groups.push(used.iter().copied().collect());
                for candidate in &used {
                    row[*candidate] = row[*candidate].max(saved / used.len() as f64);
                }
            }
        }
    }

    fn bytes(&self, index: &IndexDefinition) -> u64 {
        self.problem.facts.tables.get(&index.table).map_or(0, |table| table.index_bytes(index))
    }

    /// What leaving candidates out of a set costs.
    async fn loss(&mut self, out: &[usize], set: &[usize]) -> f64 {
        let without: Vec<usize> = set.iter().copied().filter(|candidate| !out.contains(candidate)).collect();
        let statements: Vec<usize> = self.base.keys().copied().collect();
        let mut loss = 0.0;
        for statement in statements {
            if self.usable(statement, out).is_empty() {
                continue;
            }
            let (with, _) = self.call(statement, set).await;
            let (cost, _) = self.call(statement, &without).await;
            loss += (cost - with) * self.weight[statement];
        }
        loss
    }

    /// Whether a plan uses a candidate of a set, and its statement gets noticeably cheaper by it.
    async fn is_noticed(&mut self, candidate: usize, set: &[usize]) -> bool {
        let without: Vec<usize> = set.iter().copied().filter(|other| *other != candidate).collect();
        let statements: Vec<usize> = self.base.keys().copied().collect();
        for statement in statements {
            if self.usable(statement, &[candidate]).is_empty() {
                continue;
            }
            let (with, used) = self.call(statement, set).await;
            if used.contains(&candidate) && self.call(statement, &without).await.0 - with > WORTH * with {
                return true;
            }
        }
        false
    }

    /// Leaves out, one after the other, what is not missed.
    async fn without_useless(&mut self, mut set: Vec<usize>) -> Vec<usize> {
        loop {
            let mut worst: Option<(f64, usize)> = None;
            for candidate in set.clone() {
                let net = self.loss(&[candidate], &set).await - self.upkeep[candidate];
                let is_useless = net <= 1e-9 || !self.is_noticed(candidate, &set).await;
                if is_useless && worst.is_none_or(|(least, _)| net < least) {
                    worst = Some((net, candidate));
                }
            }
            match worst {
                Some((_, out)) => set.retain(|candidate| *candidate != out),
                None => return set,
            }
        }
    }

    /// Adds what the planner, asked about the whole set, finds worth its upkeep although the sums did not say so: single
    /// candidates, and those that are of use only together.
    async fn second_look(&mut self, mut set: Vec<usize>, matrix: &Matrix, limits: Limits) -> Vec<usize> {
        let mut others: Vec<(f64, usize)> = (0..matrix.upkeep.len())
            .filter(|candidate| !set.contains(candidate))
            .map(|candidate| (matrix.net(&[candidate]), candidate))
            .filter(|(net, _)| *net > 0.0)
            .collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let single = others.into_iter().take(SECOND_LOOK).map(|(_, candidate)| vec![candidate]);
        let groups: Vec<Vec<usize>> = self.groups.iter().cloned().chain(single).collect();
        for group in groups {
            let new: Vec<usize> = group.into_iter().filter(|candidate| !set.contains(candidate)).collect();
            let with: Vec<usize> = set.iter().chain(&new).copied().collect();
            if new.is_empty() || !matrix.fits(&with, limits) {
                continue;
            }
            let upkeep: f64 = new.iter().map(|candidate| self.upkeep[*candidate]).sum();
            if self.loss(&new, &with).await <= upkeep + 1e-9 {
                continue;
            }
            let mut is_noticed = true;
            for candidate in &new {
                is_noticed &= self.is_noticed(*candidate, &with).await;
            }
            if is_noticed {
                set = with;
            }
        }
        set
    }

    async fn suggestion(
        &mut self,
        candidate: usize,
        set: &[usize],
        matrix: &Matrix,
        entry: f64,
        is_timed: bool,
    ) -> Suggestion {
        let index = self.problem.candidates[candidate].clone();
        let statements: Vec<usize> = self.base.keys().copied().collect();
        let mut gains = Vec::new();
        let (mut calls, mut saved) = (0.0, 0.0);
        for statement in statements {
            if self.usable(statement, &[candidate]).is_empty() {
                continue;
            }
            let (with, used) = self.call(statement, set).await;
            let before = self.base[&statement];
            if !used.contains(&candidate) || with >= before {
                continue;
            }
            let of = &self.problem.statements[statement];
            let per_call = if is_timed { self.weight[statement] / of.calls.max(1e-9) } else { 1.0 };
            calls += of.calls;
            saved += (before - with) * self.weight[statement];
            gains.push(Gain {
                sql: of.query.sql().to_owned(),
                calls: of.calls,
                before: before * per_call,
                after: with * per_call,
            });
        }
        gains.sort_by(|a, b| {
            let gain = |gain: &Gain| (gain.before - gain.after) * gain.calls;
            gain(b).total_cmp(&gain(a)).then_with(|| a.sql.cmp(&b.sql))
        });
        let statement = index.create_statement(self.problem.dialect);
        let saves = self.loss(&[candidate], set).await;
        // 1,000 rows need 1,000 entries at least, a fraction of that only where the workload says so.
        let pays_from_calls = if saved > 0.0 { 1000.0 * entry / (saved / calls.max(1e-9)) } else { f64::INFINITY };
        Suggestion {
            bytes: matrix.bytes[candidate],
            upkeep: self.upkeep[candidate],
            statement,
            gains,
            saves,
            pays_from_calls,
            index,
        }
    }
}
