//! Which conditions an index could serve, and of which scan.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value, Visit,
    Visitor,
};

use super::Schema;
use super::numbered;
use super::scan::{Filter, Literal, Parameter, Role, Test};
use super::scope::{Resolved, Scope, column_of};
use crate::Dialect;
use crate::statement::{KeyFunction, Keyed};

/// Values that an array in a parameter is taken to have.
const ARRAY_LENGTH: usize = 10;

/// Where a condition belongs.
pub(super) enum Placed {
    /// Each of these must hold.
    All(Vec<(usize, Filter)>),
    /// One of these must hold of a row of this scan.
    Either(usize, Vec<Filter>),
    /// No index could serve it.
    Nothing,
}

/// The conditions that must all hold.
pub(super) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    flatten(condition, &BinaryOperator::And)
}

fn flatten<'e>(expr: &'e Expr, by: &BinaryOperator) -> Vec<&'e Expr> {
    match expr {
        Expr::Nested(inner) => flatten(inner, by),
        Expr::BinaryOp { left, op, right } if op == by => {
            let mut parts = flatten(left, by);
            parts.extend(flatten(right, by));
            parts
        }
        other => vec![other],
    }
}

/// Places one condition.
pub(super) fn placed(dialect: Dialect, schema: &Schema, condition: &Expr, scope: &Scope<'_>) -> Placed {
    let arms = flatten(condition, &BinaryOperator::Or);
    if let [only] = arms.as_slice() {
        let filters = filters(dialect, schema, only, scope);
        return if filters.is_empty() { Placed::Nothing } else { Placed::All(filters) };
    }
    // Every arm must be about the same scan, or the others have to be looked at in any case.
    let mut all: Vec<(usize, Filter)> = Vec::with_capacity(arms.len());
    for arm in arms {
        // The first condition of `a = 1 and b = 2` already bounds what the arm can match.
        let first =
            conjuncts(arm).into_iter().find_map(|part| filters(dialect, schema, part, scope).into_iter().next());
        let Some(first) = first else { return Placed::Nothing };
        all.push(first);
    }
    let scan = all[0].0;
    if all.iter().any(|(other, _)| *other != scan) {
        return Placed::Nothing;
    }
    let values = |filter: &Filter| match filter.test {
        Test::Equal => Some(1),
        Test::AnyOf(count) => Some(count),
        _ => None,
    };
    let is_same = all.iter().all(|(_, filter)| filter.on == all[0].1.on);
    match all.iter().map(|(_, filter)| values(filter)).sum::<Option<usize>>() {
        Some(count) if is_same => {
            let on = all[0].1.on.clone();
            let parameters = all.into_iter().flat_map(|(_, filter)| filter.parameters).collect();
            Placed::All(vec![(scan, Filter { on, test: Test::AnyOf(count), value: None, parameters })])
        }
        _ => Placed::Either(scan, all.into_iter().map(|(_, filter)| filter).collect()),
    }
}

fn filters(dialect: Dialect, schema: &Schema, condition: &Expr, scope: &Scope<'_>) -> Vec<(usize, Filter)> {
    let with = |expr: &Expr, test: Test, value: Option<Literal>, parameters: Vec<Parameter>| {
        let found = keyed(schema, expr, scope);
        found.map(|(scan, on)| (scan, Filter { on, test, value, parameters })).into_iter().collect::<Vec<_>>()
    };
    let one = |expr: &Expr, test: Test, value: Option<Literal>| with(expr, test, value, Vec::new());
    match condition {
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Eq => equal(schema, left, right, scope),
            BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
                let is_lower = matches!(op, BinaryOperator::Gt | BinaryOperator::GtEq);
                let bounded = |side: &Expr, bound: &Expr, is_lower: bool| {
                    // A row value is ordered by its first part first.
                    let (side, bound) = match (side, bound) {
                        (Expr::Tuple(parts), Expr::Tuple(bounds)) => (parts.first(), bounds.first()),
                        (side, bound) => (Some(side), Some(bound)),
                    };
                    let (Some(side), Some(bound)) = (side, bound) else { return Vec::new() };
                    match keyed(schema, side, scope) {
                        Some((scan, _)) if !uses(schema, bound, scope, scan) => {
                            let role = if is_lower { Role::Lower } else { Role::Upper };
                            with(side, Test::Range, literal(bound), parameter(bound, role))
                        }
                        _ => Vec::new(),
                    }
                };
                let mut found = bounded(left, right, is_lower);
                found.extend(bounded(right, left, !is_lower));
                found
            }
            _ => Vec::new(),
        },
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            with(left, Test::AnyOf(ARRAY_LENGTH), None, parameter(right, Role::Values))
        }
        Expr::InList { expr, list, negated: false } => {
            let parameters = list.iter().flat_map(|value| parameter(value, Role::Value)).collect();
            with(expr, Test::AnyOf(list.len()), None, parameters)
        }
        Expr::InSubquery { expr, negated: false, .. } => one(expr, Test::Join, None),
        Expr::Between { expr, negated: false, low, high } => {
            let bounds = [parameter(low, Role::Lower), parameter(high, Role::Upper)].concat();
            with(expr, Test::Range, None, bounds)
        }
        Expr::IsNull(expr) => one(expr, Test::IsNull, None),
        Expr::IsNotNull(expr) => one(expr, Test::IsNotNull, None),
        Expr::IsTrue(expr) => one(expr, Test::Equal, Some(Literal::Boolean(true))),
        Expr::IsFalse(expr) => one(expr, Test::Equal, Some(Literal::Boolean(false))),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => one(condition, Test::Equal, Some(Literal::Boolean(true))),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => match &**expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => one(expr, Test::Equal, Some(Literal::Boolean(false))),
            _ => Vec::new(),
        },
        Expr::Like { negated: false, expr, pattern, .. } if dialect == Dialect::Postgres => match literal(pattern) {
            Some(Literal::Text(text)) if !text.starts_with(['%', '_']) => {
                one(expr, Test::Prefix, Some(Literal::Text(text)))
            }
            _ => with(expr, Test::Contains, None, parameter(pattern, Role::Pattern))
                .into_iter()
                .filter(|_| is_selective(pattern))
                .collect(),
        },
        Expr::ILike { negated: false, expr, pattern, .. } if dialect == Dialect::Postgres && is_selective(pattern) => {
            with(expr, Test::Contains, None, parameter(pattern, Role::Pattern))
        }
        _ => Vec::new(),
    }
}

fn equal(schema: &Schema, left: &Expr, right: &Expr, scope: &Scope<'_>) -> Vec<(usize, Filter)> {
    let sides = [(left, right), (right, left)];
    let mut found = Vec::new();
    for (side, other) in sides {
        if let (Expr::Tuple(parts), Expr::Tuple(others)) = (side, other) {
            for (part, other) in parts.iter().zip(others) {
                found.extend(compared(schema, part, other, scope));
            }
        } else {
            found.extend(compared(schema, side, other, scope));
        }
    }
    found
}

fn compared(schema: &Schema, side: &Expr, other: &Expr, scope: &Scope<'_>) -> Option<(usize, Filter)> {
    let (scan, on) = keyed(schema, side, scope)?;
    if uses(schema, other, scope, scan) {
        return None;
    }
    let test = if names_a_column(schema, other, scope) { Test::Join } else { Test::Equal };
    Some((scan, Filter { on, test, value: literal(other), parameters: parameter(other, Role::Value) }))
}

/// The parameter that an expression is, if it is one; casts of it are looked through.
fn parameter(expr: &Expr, role: Role) -> Vec<Parameter> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => parameter(inner, role),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => numbered(name).map(|number| Parameter { number, role }).into_iter().collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether a pattern has three letters in a row, of which an index of trigrams could make something. A parameter may have.
fn is_selective(pattern: &Expr) -> bool {
    match literal(pattern) {
        Some(Literal::Text(text)) => text
            .split(['%', '_'])
            .any(|part| part.split(|c: char| !c.is_alphanumeric()).any(|word| word.chars().count() >= 3)),
        _ => !parameter(pattern, Role::Pattern).is_empty(),
    }
}

/// The column, or the function of a column, that an index could be keyed by.
pub(super) fn keyed(schema: &Schema, expr: &Expr, scope: &Scope<'_>) -> Option<(usize, Keyed)> {
    match expr {
        Expr::Nested(inner) => keyed(schema, inner, scope),
        Expr::Function(function) => {
            let known = KeyFunction::named(&function.name.to_string())?;
            let (scan, column) = column_of(schema, only_argument(function)?, scope)?;
            Some((scan, Keyed::Function(known, column)))
        }
        expr => column_of(schema, expr, scope).map(|(scan, column)| (scan, Keyed::Column(column))),
    }
}

/// The argument of a function that has one and nothing else.
pub(super) fn only_argument(function: &Function) -> Option<&Expr> {
    match &function.args {
        FunctionArguments::List(list) if function.over.is_none() && function.filter.is_none() => {
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value of an expression that is one; casts of it are looked through.
fn literal(expr: &Expr) -> Option<Literal> {
    match expr {
        Expr::Nested(inner) => literal(inner),
        Expr::Cast { expr, .. } => literal(expr),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Literal::Number(number) => Some(Literal::Number(format!("-{number}"))),
            Literal::Text(_) | Literal::Boolean(_) => None,
        },
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(Literal::Number(number.clone())),
            Value::SingleQuotedString(text) => Some(Literal::Text(text.clone())),
            Value::Boolean(value) => Some(Literal::Boolean(*value)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression uses a column of a scan.
fn uses(schema: &Schema, expr: &Expr, scope: &Scope<'_>, scan: usize) -> bool {
    any_column(schema, expr, scope, |of| of == Some(scan))
}

/// Whether an expression uses any column.
fn names_a_column(schema: &Schema, expr: &Expr, scope: &Scope<'_>) -> bool {
    any_column(schema, expr, scope, |_| true)
}

fn any_column<F: Fn(Option<usize>) -> bool>(schema: &Schema, expr: &Expr, scope: &Scope<'_>, is_meant: F) -> bool {
    struct Finder<'a, F> {
        schema: &'a Schema,
        scope: &'a Scope<'a>,
        is_meant: F,
    }
    impl<F: Fn(Option<usize>) -> bool> Visitor for Finder<'_, F> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let names = match expr {
                Expr::Identifier(name) => std::slice::from_ref(name),
                Expr::CompoundIdentifier(names) => names.as_slice(),
                _ => return ControlFlow::Continue(()),
            };
            let found = match self.scope.resolve(self.schema, names) {
                Resolved::Column((scan, _)) => (self.is_meant)(Some(scan)),
                Resolved::Known => (self.is_meant)(None),
                Resolved::Unknown => false,
            };
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Finder { schema, scope, is_meant }).is_break()
}
