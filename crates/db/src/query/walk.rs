//! What a statement scans, writes and compares, followed through its queries.

use sqlparser::ast::{
    self, Cte, Expr, FromTable, Ident as Name, LimitClause, ObjectName, OrderByKind, OrderByOptions, SetExpr,
    Statement, TableFactor, TableObject, TableWithJoins, UpdateTableFromKind, Visit,
};

use super::Schema;
use super::predicate::{Placed, conjuncts, placed};
use super::scan::{Reading, ReadingError, Written};
use super::schema::SchemaRelation;
use super::scope::{Outputs, Parts, Resolved, Scope, Tables, last, parts};
use crate::{Dialect, Ident};

mod from;
mod select;

/// Says what a statement scans.
pub(super) fn read(dialect: Dialect, statement: &Statement, schema: &Schema) -> Result<Reading, ReadingError> {
    let mut walk = Walk { dialect, schema, reading: Reading::default(), views: 0 };
    let none = Tables { ctes: &[], outer: None };
    match statement {
        Statement::Query(query) => {
            walk.query(query, none)?;
        }
        Statement::Insert(insert) => {
            let TableObject::TableName(name) = &insert.table else {
                return Err(ReadingError::Unsupported { what: "an insert into a function" });
            };
            walk.reading.written = Some(Written::Insert(walk.relation(name)?.name.clone()));
            if let Some(source) = &insert.source {
                walk.query(source, none)?;
            }
        }
        Statement::Update(update) => {
            let from = match &update.from {
                Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
                None => &[],
            };
            let table = walk.target(&update.table)?;
            let mut columns = std::collections::BTreeSet::new();
            for assignment in &update.assignments {
                let targets = match &assignment.target {
                    ast::AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
                    ast::AssignmentTarget::Tuple(names) => names.as_slice(),
                };
                columns
                    .extend(targets.iter().filter_map(|name| last(name)).filter_map(|name| walk.column(table, name)));
            }
            let values = update.assignments.iter().map(|assignment| &assignment.value).collect::<Vec<_>>();
            walk.written(&update.table, from, update.selection.as_ref(), &values)?;
            walk.reading.written = Some(Written::Update(table.name.clone(), columns));
        }
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let [target] = from.as_slice() else {
                return Err(ReadingError::Unsupported { what: "a delete from several tables" });
            };
            let table = walk.target(target)?;
            walk.written(target, delete.using.as_deref().unwrap_or_default(), delete.selection.as_ref(), &[])?;
            walk.reading.written = Some(Written::Delete(table.name.clone()));
        }
        Statement::Merge(_) => return Err(ReadingError::Unsupported { what: "merge" }),
        _ => return Err(ReadingError::Utility),
    }
    Ok(walk.reading)
}

struct Walk<'a> {
    dialect: Dialect,
    schema: &'a Schema,
    reading: Reading,
    /// Views that are being read through at this moment.
    views: usize,
}

impl<'a> Walk<'a> {
    fn relation(&self, name: &ObjectName) -> Result<&'a SchemaRelation, ReadingError> {
        self.schema.find(&parts(name)).ok_or_else(|| ReadingError::UnknownRelation { name: name.to_string() })
    }

    fn target(&self, table: &TableWithJoins) -> Result<&'a SchemaRelation, ReadingError> {
        match &table.relation {
            TableFactor::Table { name, .. } => self.relation(name),
            _ => Err(ReadingError::Unsupported { what: "writing to something that is no table" }),
        }
    }

    fn column(&self, relation: &SchemaRelation, name: &Name) -> Option<Ident> {
        let key = self.schema.key(name);
        relation.columns.iter().find(|column| self.schema.folded(column.as_str()) == key).cloned()
    }

    /// An update or delete: its own table and the others, and what must hold.
    fn written(
        &mut self,
        target: &TableWithJoins,
        others: &[TableWithJoins],
        selection: Option<&Expr>,
        values: &[&Expr],
    ) -> Result<(), ReadingError> {
        let tables = Tables { ctes: &[], outer: None };
        let mut scope = Scope { sources: Vec::new(), outer: None };
        let mut conditions = Vec::new();
        for table in std::iter::once(target).chain(others) {
            self.joined(table, tables, &mut scope, &mut conditions)?;
        }
        self.conditions(&conditions, &scope, tables)?;
        if let Some(selection) = selection {
            self.condition(selection, &scope, tables, None)?;
        }
        for value in values {
            self.expression(value, &scope, tables)?;
        }
        Ok(())
    }

    fn query(&mut self, query: &ast::Query, tables: Tables<'_>) -> Result<Outputs, ReadingError> {
        let mut ctes = tables.ctes.to_vec();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = self.schema.key(&cte.alias.name);
                if with.recursive {
                    // Inside of itself it is something whose rows come from no table.
                    let columns = self.declared(cte).into_iter().map(|name| (name, None)).collect();
                    ctes.push((name.clone(), columns));
                }
                let inner = Tables { ctes: &ctes, outer: tables.outer };
                let mut outputs = self.query(&cte.query, inner)?;
                self.rename(&mut outputs, &cte.alias);
                if with.recursive {
                    ctes.pop();
                    outputs.iter_mut().for_each(|(_, origin)| *origin = None);
                }
                ctes.push((name, outputs));
            }
        }
        let tables = Tables { ctes: &ctes, outer: tables.outer };
        let is_limited = query.fetch.is_some()
            || matches!(
                query.limit_clause,
                Some(LimitClause::LimitOffset { limit: Some(_), .. } | LimitClause::OffsetCommaLimit { .. })
            );
        let order: Vec<(&Expr, &OrderByOptions)> = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(by)) => by.iter().map(|by| (&by.expr, &by.options)).collect(),
            Some(OrderByKind::All(_)) | None => Vec::new(),
        };
        let mut outputs = self.body(&query.body, &order, is_limited, tables)?;
        if query.limit_clause.is_some() || query.fetch.is_some() {
            // A condition outside chooses among these rows; inside it would choose other ones.
            outputs.iter_mut().for_each(|(_, origin)| *origin = None);
        }
        Ok(outputs)
    }

    /// The columns that a recursive table expression has, by its alias or by its first query.
    fn declared(&self, cte: &Cte) -> Vec<String> {
        if !cte.alias.columns.is_empty() {
            return cte.alias.columns.iter().map(|column| self.schema.key(&column.name)).collect();
        }
        let mut body = &*cte.query.body;
        while let SetExpr::SetOperation { left, .. } = body {
            body = left;
        }
        match body {
            SetExpr::Select(select) => {
                select.projection.iter().map(|item| self.item_name(item).unwrap_or_default()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn body(
        &mut self,
        body: &SetExpr,
        order: &[(&Expr, &OrderByOptions)],
        is_limited: bool,
        tables: Tables<'_>,
    ) -> Result<Outputs, ReadingError> {
        match body {
            SetExpr::Select(select) => self.select(select, order, is_limited, tables),
            SetExpr::Query(query) => self.query(query, tables),
            SetExpr::SetOperation { left, right, .. } => {
                let mut outputs = self.body(left, &[], false, tables)?;
                self.body(right, &[], false, tables)?;
                outputs.iter_mut().for_each(|(_, origin)| *origin = None);
                Ok(outputs)
            }
            SetExpr::Values(_) => Ok(Vec::new()),
            SetExpr::Table(_) => Err(ReadingError::Unsupported { what: "`table t`" }),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(ReadingError::Unsupported { what: "a `with` that writes" })
            }
        }
    }

    /// Places what must hold on the scans that it speaks of; `only` on those, if given.
    fn condition(
        &mut self,
        condition: &Expr,
        scope: &Scope<'_>,
        tables: Tables<'_>,
        only: Option<&[usize]>,
    ) -> Result<(), ReadingError> {
        self.expression(condition, scope, tables)?;
        let allowed = |scan: usize| only.is_none_or(|only| only.contains(&scan));
        for conjunct in conjuncts(condition) {
            match placed(self.dialect, self.schema, conjunct, scope) {
                Placed::All(filters) => {
                    for (scan, filter) in filters.into_iter().filter(|(scan, _)| allowed(*scan)) {
                        self.reading.scans[scan].filters.push(filter);
                    }
                }
                Placed::Either(scan, filters) if allowed(scan) => {
                    self.reading.scans[scan].alternatives.push(filters);
                }
                Placed::Either(..) | Placed::Nothing => {}
            }
        }
        Ok(())
    }

    /// Notes the columns that an expression uses, and walks the queries in it.
    fn expression(&mut self, expr: &Expr, scope: &Scope<'_>, tables: Tables<'_>) -> Result<(), ReadingError> {
        let mut parts = Parts::default();
        let _ = expr.visit(&mut parts);
        for names in &parts.names {
            match scope.resolve(self.schema, names) {
                Resolved::Column((scan, column)) => {
                    self.reading.scans[scan].columns.insert(column);
                }
                Resolved::Known => {}
                Resolved::Unknown => {
                    let written = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
                    self.reading.unresolved.push(written);
                }
            }
        }
        for query in &parts.queries {
            self.query(query, Tables { ctes: tables.ctes, outer: Some(scope) })?;
        }
        Ok(())
    }
}
