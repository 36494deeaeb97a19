//! Which table a name means, followed as the databases do it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Cte, Expr, FromTable, Function, GroupByExpr, Ident as Name, JoinConstraint, JoinOperator, LimitClause,
    ObjectName, OrderByKind, OrderByOptions, OrderBySort, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    Statement, TableAlias, TableFactor, TableObject, TableWithJoins, UpdateTableFromKind, Visit, Visitor,
};

use super::predicate::{Placed, conjuncts, placed};
use super::scan::{Ordering, Reading, ReadingError, Scan, Written};
use super::schema::SchemaRelation;
use super::{Query, Schema};
use crate::statement::Keyed;
use crate::{Dialect, Ident};

/// Views within views that are read through.
const MAX_VIEWS: usize = 16;

/// A column of one scan, by its number.
pub(super) type Origin = (usize, Ident);
/// What a query gives: the key of each column's name, and where it comes from if it comes from a table unchanged.
type Outputs = Vec<(String, Option<Origin>)>;

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

/// The table expressions in sight, and the query around this one.
#[derive(Clone, Copy)]
struct Tables<'a> {
    ctes: &'a [(String, Outputs)],
    outer: Option<&'a Scope<'a>>,
}

/// The tables of one `from`, and those of the queries around it.
pub(super) struct Scope<'a> {
    sources: Vec<Source>,
    outer: Option<&'a Scope<'a>>,
}

struct Source {
    /// The key of the name by which its columns are qualified.
    name: String,
    /// Its schema's key, where it was named without an alias.
    schema: Option<String>,
    columns: Outputs,
    /// Whether it may have columns that are not known.
    is_opaque: bool,
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

    fn select(
        &mut self,
        select: &Select,
        order: &[(&Expr, &OrderByOptions)],
        is_limited: bool,
        tables: Tables<'_>,
    ) -> Result<Outputs, ReadingError> {
        let mut scope = Scope { sources: Vec::new(), outer: tables.outer };
        let mut conditions = Vec::new();
        for table in &select.from {
            self.joined(table, tables, &mut scope, &mut conditions)?;
        }
        self.conditions(&conditions, &scope, tables)?;
        if let Some(selection) = &select.selection {
            self.condition(selection, &scope, tables, None)?;
        }

        let group: &[Expr] = match &select.group_by {
            GroupByExpr::Expressions(by, _) => by,
            GroupByExpr::All(_) => &[],
        };
        let mut outputs = self.projection(select, &scope, tables)?;
        // A number or an alias stands for what is selected.
        let selected = |expr: &'_ Expr| -> Option<Origin> {
            match expr {
                Expr::Value(value) => {
                    let position: usize = value.value.to_string().parse().ok()?;
                    outputs.get(position.checked_sub(1)?)?.1.clone()
                }
                Expr::Identifier(name) => {
                    let key = self.schema.key(name);
                    outputs.iter().find(|(output, _)| *output == key)?.1.clone()
                }
                _ => None,
            }
        };
        let mut grouped: Vec<Option<Origin>> = Vec::with_capacity(group.len());
        for expr in group {
            let own = match expr {
                Expr::Value(_) => None,
                expr => column_of(self.schema, expr, &scope),
            };
            grouped.push(own.or_else(|| selected(expr)));
        }
        let is_aggregate = !group.is_empty() || select.projection.iter().any(has_aggregate);
        let orders: Vec<Option<(usize, Ordering)>> = order
            .iter()
            .map(|(expr, options)| {
                let (scan, by) = match keyed_of(self.schema, expr, &scope) {
                    Some((scan, by)) if !matches!(expr, Expr::Value(_)) => (scan, by),
                    _ => selected(expr).map(|(scan, column)| (scan, Keyed::Column(column)))?,
                };
                let is_descending = matches!(options.sort, Some(OrderBySort::Desc));
                Some((scan, Ordering { by, is_descending, nulls_first: options.nulls_first }))
            })
            .collect();
        for (expr, _) in order {
            self.expression(expr, &scope, tables)?;
        }
        for expr in group.iter().chain(&select.having) {
            self.expression(expr, &scope, tables)?;
        }

        self.grouped(&grouped);
        let can_use_order = !is_aggregate || is_subset(&orders, &grouped);
        if can_use_order && !order.is_empty() {
            self.ordered(&orders, is_limited && !is_aggregate && select.distinct.is_none());
        } else if order.is_empty() {
            self.extreme(select, &scope);
            if is_limited
                && !is_aggregate
                && let [source] = scope.sources.as_slice()
            {
                let scans: Vec<usize> = source.columns.iter().filter_map(|(_, o)| o.as_ref().map(|o| o.0)).collect();
                if let Some(scan) = scans.first() {
                    self.reading.scans[*scan].is_limited = true;
                }
            }
        }

        if is_aggregate || has_window(select) {
            // Conditions outside reach a table only by what rows are grouped by.
            for (_, origin) in &mut outputs {
                if !grouped.iter().any(|group| group.is_some() && group == origin) {
                    *origin = None;
                }
            }
        }
        Ok(outputs)
    }

    /// The columns of the result; notes what they use.
    fn projection(&mut self, select: &Select, scope: &Scope<'_>, tables: Tables<'_>) -> Result<Outputs, ReadingError> {
        let mut outputs = Outputs::new();
        for item in &select.projection {
            let qualifier = match item {
                SelectItem::Wildcard(_) => Some(None),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    Some(last(name).map(|name| self.schema.key(name)))
                }
                _ => None,
            };
            if let Some(qualifier) = qualifier {
                for source in scope.sources.iter().filter(|s| qualifier.as_ref().is_none_or(|name| s.name == *name)) {
                    for (_, origin) in &source.columns {
                        if let Some((scan, _)) = origin {
                            self.reading.scans[*scan].is_whole = true;
                        }
                    }
                    outputs.extend(source.columns.iter().cloned());
                }
                continue;
            }
            if let SelectItem::UnnamedExpr(expr)
            | SelectItem::ExprWithAlias { expr, .. }
            | SelectItem::ExprWithAliases { expr, .. } = item
            {
                self.expression(expr, scope, tables)?;
                let name = self.item_name(item).unwrap_or_default();
                outputs.push((name, column_of(self.schema, expr, scope)));
            }
        }
        Ok(outputs)
    }

    fn item_name(&self, item: &SelectItem) -> Option<String> {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(self.schema.key(alias)),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(self.schema.key(name)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(|name| self.schema.key(name)),
            _ => None,
        }
    }

    /// Adds the tables of one element of `from`, and the conditions of its joins.
    fn joined<'q>(
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

    fn rename(&self, columns: &mut Outputs, alias: &TableAlias) {
        for ((name, _), column) in columns.iter_mut().zip(&alias.columns) {
            *name = self.schema.key(&column.name);
        }
    }

    fn conditions(
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
                        self.reading.scans[scan].filters.push(super::scan::Filter {
                            on: Keyed::Column(column),
                            test: super::scan::Test::Join,
                            value: None,
                        });
                    }
                }
            }
        }
        Ok(())
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

    fn grouped(&mut self, grouped: &[Option<Origin>]) {
        if let Some(Some((scan, _))) = grouped.first()
            && grouped.iter().all(|origin| origin.as_ref().is_some_and(|origin| origin.0 == *scan))
        {
            let columns = grouped.iter().flatten().map(|(_, column)| column.clone());
            self.reading.scans[*scan].group.extend(columns);
        }
    }

    fn ordered(&mut self, orders: &[Option<(usize, Ordering)>], is_limited: bool) {
        if let Some(Some((scan, _))) = orders.first()
            && orders.iter().all(|order| order.as_ref().is_some_and(|order| order.0 == *scan))
        {
            let scan = &mut self.reading.scans[*scan];
            scan.order = orders.iter().flatten().map(|(_, order)| order.clone()).collect();
            scan.is_limited |= is_limited;
        }
    }

    /// `select max(a) from t` reads one end of an index.
    fn extreme(&mut self, select: &Select, scope: &Scope<'_>) {
        let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_slice()
        else {
            return;
        };
        let Expr::Function(function) = expr else { return };
        let name = function.name.to_string();
        let is_max = name.eq_ignore_ascii_case("max");
        let is_plain = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
        if !is_plain || !(is_max || name.eq_ignore_ascii_case("min")) {
            return;
        }
        if let Some(argument) = super::predicate::only_argument(function)
            && let Some((scan, column)) = column_of(self.schema, argument, scope)
        {
            let scan = &mut self.reading.scans[scan];
            // Backwards an index is read as well, so the direction does not matter.
            scan.order = vec![Ordering { by: Keyed::Column(column), is_descending: false, nulls_first: None }];
            scan.is_limited = true;
        }
    }
}

/// What joins tables.
enum Joining<'q> {
    /// A condition, and the sources among whose rows it chooses, if not all.
    On(&'q Expr, Option<std::ops::Range<usize>>),
    /// A column of this name on both sides; the right side begins with this source.
    Same(String, usize),
}

/// What a name means.
pub(super) enum Resolved {
    /// A column of a table.
    Column(Origin),
    /// Something that was computed, or that comes from a function.
    Known,
    /// Nothing that is in sight.
    Unknown,
}

impl Scope<'_> {
    /// Looks a name up here, then in the queries around.
    pub(super) fn resolve(&self, schema: &Schema, names: &[Name]) -> Resolved {
        let Some((column, qualifier)) = names.split_last() else { return Resolved::Unknown };
        let column = schema.key(column);
        let is_meant = |source: &&Source| match qualifier {
            [] => true,
            [.., name] if source.name != schema.key(name) => false,
            [.., of, _] => source.schema.as_ref().is_none_or(|source| *source == schema.key(of)),
            [_] => true,
        };
        let mut is_opaque = false;
        for source in self.sources.iter().filter(is_meant) {
            if let Some((_, origin)) = source.columns.iter().find(|(name, _)| *name == column) {
                return origin.clone().map_or(Resolved::Known, Resolved::Column);
            }
            is_opaque |= source.is_opaque;
        }
        match self.outer {
            Some(outer) => match outer.resolve(schema, names) {
                Resolved::Unknown if is_opaque => Resolved::Known,
                resolved => resolved,
            },
            None if is_opaque => Resolved::Known,
            None => Resolved::Unknown,
        }
    }
}

/// The column of a table that an expression is.
pub(super) fn column_of(schema: &Schema, expr: &Expr, scope: &Scope<'_>) -> Option<Origin> {
    let resolved = match expr {
        Expr::Nested(inner) => return column_of(schema, inner, scope),
        Expr::Identifier(name) => scope.resolve(schema, std::slice::from_ref(name)),
        Expr::CompoundIdentifier(names) => scope.resolve(schema, names),
        _ => return None,
    };
    match resolved {
        Resolved::Column(origin) => Some(origin),
        Resolved::Known | Resolved::Unknown => None,
    }
}

/// What an index could be keyed by to serve an expression.
pub(super) fn keyed_of(schema: &Schema, expr: &Expr, scope: &Scope<'_>) -> Option<(usize, Keyed)> {
    super::predicate::keyed(schema, expr, scope)
}

/// Names and queries of an expression, without what is inside those queries.
#[derive(Default)]
struct Parts {
    depth: usize,
    names: Vec<Vec<Name>>,
    queries: Vec<ast::Query>,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if self.depth == 0 {
            self.queries.push(query.clone());
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            match expr {
                Expr::Identifier(name) => self.names.push(vec![name.clone()]),
                Expr::CompoundIdentifier(names) => self.names.push(names.clone()),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// Aggregates of both databases that statements commonly use.
const AGGREGATES: [&str; 14] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "total",
    "array_agg",
    "string_agg",
    "group_concat",
    "json_agg",
    "jsonb_agg",
    "bool_and",
    "bool_or",
    "every",
];

fn has_aggregate(item: &SelectItem) -> bool {
    struct Finder(usize);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(Function { name, over: None, .. })
                    if self.0 == 0 && AGGREGATES.iter().any(|known| name.to_string().eq_ignore_ascii_case(known)) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    item.visit(&mut Finder(0)).is_break()
}

fn has_window(select: &Select) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(Function { over: Some(_), .. }) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.projection.iter().any(|item| item.visit(&mut Finder).is_break())
}

/// Whether rows are ordered only by what they are grouped by.
fn is_subset(orders: &[Option<(usize, Ordering)>], grouped: &[Option<Origin>]) -> bool {
    orders.iter().all(|order| {
        order.as_ref().is_some_and(|(scan, order)| {
            let Keyed::Column(column) = &order.by else { return false };
            grouped.iter().flatten().any(|(other, by)| other == scan && by == column)
        })
    })
}

fn parts(name: &ObjectName) -> Vec<Name> {
    name.0.iter().filter_map(|part| part.as_ident().cloned()).collect()
}

fn last(name: &ObjectName) -> Option<&Name> {
    name.0.last().and_then(|part| part.as_ident())
}
