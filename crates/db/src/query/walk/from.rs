//! The tables of a `from`, views and subqueries among them, and the conditions that join them.

use sqlparser::ast::{
    Expr, JoinConstraint, JoinOperator, ObjectName, Statement, TableAlias, TableFactor, TableWithJoins,
};

use super::Walk;
use crate::Ident;
use crate::query::Query;
use crate::query::scan::{Filter, ReadingError, Scan, Test};
use crate::query::schema::SchemaRelation;
use crate::query::scope::{Outputs, Scope, Source, Tables, last, parts};
use crate::statement::Keyed;

/// Views within views that are read through.
const MAX_VIEWS: usize = 16;

/// What joins tables.
pub(super) enum Joining<'q> {
    /// A condition, and the sources among whose rows it chooses, if not all.
    On(&'q Expr, Option<std::ops::Range<usize>>),
    /// A column of this name on both sides; the right side begins with this source.
    Same(String, usize),
}

impl Walk<'_> {
    /// Adds the tables of one element of `from`, and the conditions of its joins.
    pub(super) fn joined<'q>(
        &mut self,
        table: &'q TableWithJoins,
        tables: Tables<'_>,
        scope: &mut Scope<'_>,
        conditions: &mut Vec<Joining<'q>>,
    ) -> Result<(), ReadingError> {
        let first = scope.sources.len();
        self.factor(&table.relation, tables, scope, conditions)?;
        for join in &table.joins {
            let before = scope.sources.len();
            self.factor(&join.relation, tables, scope, conditions)?;
            let (constraint, only) = match &join.join_operator {
                JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c) => (Some(c), None),
                // What must hold of a join that keeps the other side's rows chooses among this side's only.
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (Some(c), Some(before..scope.sources.len())),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (Some(c), Some(first..before)),
                JoinOperator::FullOuter(c) => (Some(c), Some(0..0)),
                _ => (None, None),
            };
            match constraint {
                Some(JoinConstraint::On(condition)) => conditions.push(Joining::On(condition, only)),
                Some(JoinConstraint::Using(names)) => {
                    for name in names.iter().filter_map(last) {
                        conditions.push(Joining::Same(self.schema.key(name), before));
                    }
                }
                Some(JoinConstraint::Natural) => {
                    let mut shared: Vec<String> = scope.sources[before..]
                        .iter()
                        .flat_map(|source| source.columns.iter().map(|(name, _)| name.clone()))
                        .filter(|name| {
                            scope.sources[..before].iter().any(|s| s.columns.iter().any(|(other, _)| other == name))
                        })
                        .collect();
                    shared.dedup();
                    conditions.extend(shared.into_iter().map(|name| Joining::Same(name, before)));
                }
                Some(JoinConstraint::None) | None => {}
            }
        }
        Ok(())
    }

    fn factor<'q>(
        &mut self,
        factor: &'q TableFactor,
        tables: Tables<'_>,
        scope: &mut Scope<'_>,
        conditions: &mut Vec<Joining<'q>>,
    ) -> Result<(), ReadingError> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let source = self.table(name, alias.as_ref(), tables)?;
                scope.sources.push(source);
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let outer = if *lateral { Some(&*scope) } else { scope.outer };
                let mut columns = self.query(subquery, Tables { ctes: tables.ctes, outer })?;
                if let Some(alias) = alias {
                    self.rename(&mut columns, alias);
                }
                let name = alias.as_ref().map(|alias| self.schema.key(&alias.name)).unwrap_or_default();
                scope.sources.push(Source { name, schema: None, columns, is_opaque: false });
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.joined(table_with_joins, tables, scope, conditions)?;
            }
            TableFactor::Table { alias, name, .. } | TableFactor::Function { alias, name, .. } => {
                // A function has rows of its own; what its arguments use is counted.
                let name = match alias {
                    Some(alias) => self.schema.key(&alias.name),
                    None => last(name).map(|name| self.schema.key(name)).unwrap_or_default(),
                };
                scope.sources.push(Source { name, schema: None, columns: Vec::new(), is_opaque: true });
            }
            TableFactor::UNNEST { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                let name = alias.as_ref().map(|alias| self.schema.key(&alias.name)).unwrap_or_default();
                scope.sources.push(Source { name, schema: None, columns: Vec::new(), is_opaque: true });
            }
            _ => return Err(ReadingError::Unsupported { what: "this kind of table in `from`" }),
        }
        Ok(())
    }

    /// A table expression, a view or a table, in the order in which the databases look for them.
    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        tables: Tables<'_>,
    ) -> Result<Source, ReadingError> {
        let names = parts(name);
        let own = names.last().map(|name| self.schema.key(name)).unwrap_or_default();
        let known = alias.map_or_else(|| own.clone(), |alias| self.schema.key(&alias.name));
        let schema = match (alias, names.as_slice()) {
            (None, [.., schema, _]) => Some(self.schema.key(schema)),
            _ => None,
        };
        let cte = tables.ctes.iter().rev().find(|(name, _)| names.len() == 1 && *name == own);
        let mut columns = match cte {
            Some((_, outputs)) => outputs.clone(),
            None => {
                let relation = self.relation(name)?;
                match &relation.view {
                    Some(query) => self.view(relation, query)?,
                    None => {
                        let scan = self.reading.scans.len();
                        self.reading.scans.push(Scan::new(relation.name.clone()));
                        let origin =
                            |column: &Ident| (self.schema.folded(column.as_str()), Some((scan, column.clone())));
                        relation.columns.iter().map(origin).collect()
                    }
                }
            }
        };
        if let Some(alias) = alias {
            self.rename(&mut columns, alias);
        }
        Ok(Source { name: known, schema, columns, is_opaque: false })
    }

    fn view(&mut self, relation: &SchemaRelation, text: &str) -> Result<Outputs, ReadingError> {
        let failed = |reason: String| ReadingError::View { name: relation.name.clone(), reason };
        if self.views == MAX_VIEWS {
            return Err(failed(format!("more than {MAX_VIEWS} views within each other")));
        }
        let parsed = Query::parse(self.dialect, text).map_err(|error| failed(error.to_string()))?;
        let query = match parsed.statement() {
            Statement::Query(query) => query,
            // SQLite keeps the whole definition.
            Statement::CreateView(view) => &view.query,
            _ => return Err(failed("its definition is no query".to_owned())),
        };
        self.views += 1;
        let outputs = self.query(query, Tables { ctes: &[], outer: None });
        self.views -= 1;
        let outputs = outputs.map_err(|error| failed(error.to_string()))?;
        let names = relation.columns.iter().map(|column| self.schema.folded(column.as_str()));
        Ok(names.zip(outputs.into_iter().map(|(_, origin)| origin)).collect())
    }

    pub(super) fn rename(&self, columns: &mut Outputs, alias: &TableAlias) {
        for ((name, _), column) in columns.iter_mut().zip(&alias.columns) {
            *name = self.schema.key(&column.name);
        }
    }

    pub(super) fn conditions(
        &mut self,
        conditions: &[Joining<'_>],
        scope: &Scope<'_>,
        tables: Tables<'_>,
    ) -> Result<(), ReadingError> {
        for condition in conditions {
            match condition {
                Joining::On(condition, only) => {
                    let only = only.as_ref().map(|range| {
                        let sources = scope.sources.get(range.clone()).unwrap_or_default();
                        let origins = sources.iter().flat_map(|source| &source.columns);
                        origins.filter_map(|(_, origin)| origin.as_ref().map(|origin| origin.0)).collect::<Vec<_>>()
                    });
                    self.condition(condition, scope, tables, only.as_deref())?;
                }
                Joining::Same(name, right) => {
                    let of = |sources: &[Source]| {
                        let mut columns = sources.iter().flat_map(|source| &source.columns);
                        columns.find(|(other, _)| other == name).and_then(|(_, origin)| origin.clone())
                    };
                    let (left, right) = scope.sources.split_at((*right).min(scope.sources.len()));
                    for (scan, column) in [of(left), of(right)].into_iter().flatten() {
                        self.reading.scans[scan].columns.insert(column.clone());
                        self.reading.scans[scan].filters.push(Filter {
                            on: Keyed::Column(column),
                            test: Test::Join,
                            value: None,
                            parameters: Vec::new(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
