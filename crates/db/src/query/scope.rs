//! Which table a name means, as the databases look for it.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Ident as Name, ObjectName, Visitor};

use super::Schema;
use crate::Ident;

/// A column of one scan, by its number.
pub(super) type Origin = (usize, Ident);
/// What a query gives: the key of each column's name, and where it comes from if it comes from a table unchanged.
pub(super) type Outputs = Vec<(String, Option<Origin>)>;

/// The table expressions in sight, and the query around this one.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) ctes: &'a [(String, Outputs)],
    pub(super) outer: Option<&'a Scope<'a>>,
}

/// The tables of one `from`, and those of the queries around it.
pub(super) struct Scope<'a> {
    pub(super) sources: Vec<Source>,
    pub(super) outer: Option<&'a Scope<'a>>,
}

pub(super) struct Source {
    /// The key of the name by which its columns are qualified.
    pub(super) name: String,
    /// Its schema's key, where it was named without an alias.
    pub(super) schema: Option<String>,
    pub(super) columns: Outputs,
    /// Whether it may have columns that are not known.
    pub(super) is_opaque: bool,
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

/// Names and queries of an expression, without what is inside those queries.
#[derive(Default)]
pub(super) struct Parts {
    depth: usize,
    pub(super) names: Vec<Vec<Name>>,
    pub(super) queries: Vec<ast::Query>,
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

pub(super) fn parts(name: &ObjectName) -> Vec<Name> {
    name.0.iter().filter_map(|part| part.as_ident().cloned()).collect()
}

pub(super) fn last(name: &ObjectName) -> Option<&Name> {
    name.0.last().and_then(|part| part.as_ident())
}
