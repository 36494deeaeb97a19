//! What a statement's text says about its plan: paging by key, skipping rows, other names of tables.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, LimitClause, Query as Tree, Statement, TableFactor, Visit, Visitor};

use crate::Dialect;
use crate::query::Query;

/// The condition `a > 1 or (a = 1 and b > 2)` in a filter as PostgreSQL prints it, if it is one.
pub(super) fn in_filter(filter: &str) -> Option<String> {
    let query = Query::parse(Dialect::Postgres, &["select 1 where ", filter].concat()).ok()?;
    in_statement(query.statement())
}

/// The same, anywhere in a statement.
pub(super) fn in_statement(statement: &Statement) -> Option<String> {
    let mut finder = Finder { found: None };
    let _ = statement.visit(&mut finder);
    finder.found
}

/// The largest number in an `offset`.
pub(super) fn offset(statement: &Statement) -> Option<f64> {
    struct Offsets(Option<f64>);
    impl Visitor for Offsets {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Tree) -> ControlFlow<()> {
            let offset = match &query.limit_clause {
                Some(LimitClause::LimitOffset { offset: Some(offset), .. }) => Some(&offset.value),
                Some(LimitClause::OffsetCommaLimit { offset, .. }) => Some(offset),
                _ => None,
            };
            if let Some(rows) = offset.and_then(|offset| offset.to_string().parse::<f64>().ok()) {
                self.0 = Some(self.0.map_or(rows, |other| other.max(rows)));
            }
            ControlFlow::Continue(())
        }
    }
    let mut offsets = Offsets(None);
    let _ = statement.visit(&mut offsets);
    offsets.0
}

/// Other names that a statement gives to tables, with the tables' own.
pub(crate) fn aliases(statement: &Statement) -> Vec<(String, String)> {
    struct Aliases(Vec<(String, String)>);
    impl Visitor for Aliases {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias: Some(alias), .. } = factor
                && let Some(table) = name.0.last().and_then(|part| part.as_ident())
            {
                self.0.push((alias.name.value.clone(), table.value.clone()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut aliases = Aliases(Vec::new());
    let _ = statement.visit(&mut aliases);
    aliases.0
}

struct Finder {
    found: Option<String>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op: BinaryOperator::Or, right } = expr
            && let Some(column) = bound(left)
            && ties(right, &column)
        {
            self.found = Some(expr.to_string());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The column of `column > value`, or of `<`.
fn bound(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => bound(inner),
        Expr::BinaryOp { left, op: BinaryOperator::Gt | BinaryOperator::Lt, .. } => column(left),
        _ => None,
    }
}

/// Whether an expression is `column = value and …` with a bound in the rest.
fn ties(expr: &Expr, of: &str) -> bool {
    match expr {
        Expr::Nested(inner) => ties(inner, of),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let equals = |side: &Expr| is_equal(side, of);
            (equals(left) && has_bound(right)) || (equals(right) && has_bound(left)) || ties(left, of)
        }
        _ => false,
    }
}

fn is_equal(expr: &Expr, of: &str) -> bool {
    match expr {
        Expr::Nested(inner) => is_equal(inner, of),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, .. } => column(left).as_deref() == Some(of),
        _ => false,
    }
}

fn has_bound(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => has_bound(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            has_bound(left) || has_bound(right)
        }
        expr => bound(expr).is_some(),
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => column(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some(expr.to_string()),
        _ => None,
    }
}
