//! One `select`: its conditions, its order, what it groups by and what it gives.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Function, GroupByExpr, OrderByOptions, OrderBySort, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Visit, Visitor,
};

use super::Walk;
use crate::query::predicate::{keyed, only_argument};
use crate::query::scan::{Ordering, ReadingError};
use crate::query::scope::{Origin, Outputs, Scope, Tables, column_of, last};
use crate::statement::Keyed;

impl Walk<'_> {
    pub(super) fn select(
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
                let (scan, by) = match keyed(self.schema, expr, &scope) {
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

    pub(super) fn item_name(&self, item: &SelectItem) -> Option<String> {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(self.schema.key(alias)),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(self.schema.key(name)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(|name| self.schema.key(name)),
            _ => None,
        }
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
        if let Some(argument) = only_argument(function)
            && let Some((scan, column)) = column_of(self.schema, argument, scope)
        {
            let scan = &mut self.reading.scans[scan];
            // Backwards an index is read as well, so the direction does not matter.
            scan.order = vec![Ordering { by: Keyed::Column(column), is_descending: false, nulls_first: None }];
            scan.is_limited = true;
        }
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
