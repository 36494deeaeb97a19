//! Why a kept row cannot come back, as one expression over the row.
//!
//! The same expression decides in a restore and tells in a dry run. It names columns and constraints, never values: what a
//! report says is kept longer than rows are.

use tierkeep_db::Dialect;

use super::Scope;
use super::lot::{Lot, Origin, Pieces, archived_of, is_of_quarantine, quoted};
use crate::error::RetentionError;
use crate::rule::Action;
use crate::statements::literal;

/// Null if row `o` can come back. `given` stands for the run or owner.
pub(super) fn why(
    lot: &Lot<'_>,
    pieces: &Pieces,
    scope: &Scope,
    given: &str,
    checks: &[(String, String)],
    is_dry: bool,
) -> Result<String, RetentionError> {
    let mut cases = Vec::new();
    cases.extend(taken(lot, pieces, scope, given, is_dry)?);
    for (name, holds) in &pieces.gone {
        cases.push((
            holds.clone(),
            format!("the table has no column {} any more, and the row has a value in it", quoted(name)),
        ));
    }
    for piece in &pieces.written {
        let name = quoted(&piece.name);
        if let Some(unfit) = &piece.unfit {
            cases.push((unfit.clone(), format!("its value of {name} does not fit the column as it is now")));
        }
        if piece.is_needed {
            cases.push((format!("{} is null", piece.value), format!("it has no value in {name}, which needs one")));
        }
    }
    for column in lot.facts.columns.iter().filter(|column| super::lot::is_needed(column)) {
        if pieces.value_of(&column.name).is_none() {
            let text = format!("it has no value in {}, which needs one", quoted(&column.name));
            cases.push(("true".to_owned(), text));
        }
    }
    cases.extend(parents(lot, pieces, scope, given, is_dry)?);
    cases.extend(unique(lot, pieces));
    cases.extend(checked(lot, pieces, checks));
    if cases.is_empty() {
        return Ok("cast(null as text)".to_owned());
    }
    let cases: Vec<String> =
        cases.into_iter().map(|(holds, text)| format!("when {holds} then {}", literal(&text))).collect();
    Ok(format!("cast(case {} end as text)", cases.join(" ")))
}

fn taken(
    lot: &Lot<'_>,
    pieces: &Pieces,
    scope: &Scope,
    given: &str,
    is_dry: bool,
) -> Result<Vec<(String, String)>, RetentionError> {
    let (table, key, name) = (lot.target.table(), lot.target.key(), lot.name());
    let Some(value) = pieces.value_of(lot.target.subject.key.as_str()) else {
        return Ok(vec![("true".to_owned(), "the table has another key now".to_owned())]);
    };
    let mut leaving = String::new();
    let archived = lot.policy.rules.iter().find_map(|rule| match &rule.action {
        Action::Archive { into, by, .. } if *into == name => Some(by),
        _ => None,
    });
    if let (true, Some(by), Some(live)) = (is_dry, archived, &lot.sibling) {
        // archived rows of the same order are back in the live table by the time that it comes to these
        let given = given_to_archive(lot, scope, given);
        let is_leaving = archived_of(&lot.target, by, scope, "s", &given)?;
        let (live_table, live_key) = (live.table(), live.key());
        leaving = format!(
            " and not ({is_leaving} and not exists (select 1 from {live_table} as l where l.{live_key} = s.{key}))"
        );
    }
    let mut cases = vec![(
        format!("exists (select 1 from {table} as s where s.{key} = {value}{leaving})"),
        format!("its id is taken in {name}"),
    )];
    let goes_to_archive = archived.is_some();
    if let (Origin::Quarantine, false, Some(archive)) = (&lot.origin, goes_to_archive, &lot.sibling) {
        cases.push((
            format!("exists (select 1 from {} as s where s.{} = {value})", archive.table(), archive.key()),
            format!("its id is taken in {}", archive.subject.name),
        ));
    }
    if is_dry && matches!(lot.origin, Origin::Quarantine) {
        let place = match lot.dialect() {
            Dialect::Postgres => "o.id",
            Dialect::Sqlite => "o.place",
        };
        cases.push((
            format!(
                "exists (select 1 from tierkeep_quarantine as n where n.source = {} and n.row_key = o.row_key \
                 and n.id > {place} and {})",
                literal(name),
                is_of_quarantine(scope, "n", given)
            ),
            format!("its id is taken in {name}"),
        ));
    }
    Ok(cases)
}

/// What stands for the run or owner where it is compared with columns of the archive.
fn given_to_archive(lot: &Lot<'_>, scope: &Scope, given: &str) -> String {
    match (lot.dialect(), scope) {
        (Dialect::Postgres, Scope::Owner(_)) => format!("cast({given} as {})", super::lot::owner_type(&lot.target)),
        _ => given.to_owned(),
    }
}

/// Foreign keys of the table whose parents are not there.
fn parents(
    lot: &Lot<'_>,
    pieces: &Pieces,
    scope: &Scope,
    given: &str,
    is_dry: bool,
) -> Result<Vec<(String, String)>, RetentionError> {
    let mut cases = Vec::new();
    for foreign in &lot.facts.points_to {
        let values: Option<Vec<&str>> = foreign.columns.iter().map(|column| pieces.value_of(column)).collect();
        let Some(values) = values else { continue };
        let mut present: Vec<String> = values.iter().map(|value| format!("({value}) is null")).collect();
        let equal: Vec<String> = foreign
            .parent_columns
            .iter()
            .zip(&values)
            .map(|(column, value)| format!("p.{} = {value}", quoted(column)))
            .collect();
        present.push(format!("exists (select 1 from {} as p where {})", foreign.parent, equal.join(" and ")));
        if is_dry && let ([value], [column]) = (values.as_slice(), foreign.parent_columns.as_slice()) {
            present.extend(coming(lot, &foreign.parent, column, value, scope, given)?);
        }
        let names: Vec<String> = foreign.columns.iter().map(|column| quoted(column)).collect();
        cases.push((
            format!("not ({})", present.join(" or ")),
            format!("what it refers to by {} is gone", names.join(", ")),
        ));
    }
    Ok(cases)
}

/// Whether a parent comes back by the same order.
fn coming(
    lot: &Lot<'_>,
    parent: &str,
    column: &str,
    value: &str,
    scope: &Scope,
    given: &str,
) -> Result<Vec<String>, RetentionError> {
    let mut present = Vec::new();
    for subject in &lot.policy.subjects {
        if lot.survey.facts(subject.name)?.full_name() != parent || subject.key.as_str() != column {
            continue;
        }
        let given = match (lot.dialect(), scope) {
            // in quarantine owners are text
            (Dialect::Postgres, Scope::Owner(_)) => format!("cast({given} as text)"),
            _ => given.to_owned(),
        };
        present.push(format!(
            "exists (select 1 from tierkeep_quarantine as p where p.source = {} and p.row_key = cast({value} as text) and {})",
            literal(subject.name),
            is_of_quarantine(scope, "p", &given)
        ));
    }
    if let Origin::Archive { found, .. } = &lot.origin
        && lot.facts.full_name() == parent
        && lot.target.subject.key.as_str() == column
    {
        let (table, key) = (found.table(), found.key());
        present.push(format!(
            "exists (select 1 from {table} as p where p.{key} = {value} and {})",
            lot.is_of(scope, "p", given)?
        ));
    }
    Ok(present)
}

/// Unique indexes beside the key, over columns and for all rows.
fn unique(lot: &Lot<'_>, pieces: &Pieces) -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for index in lot.facts.indexes.iter().filter(|index| index.is_unique && index.predicate.is_none()) {
        let columns: Option<Vec<&str>> = index.columns.iter().map(Option::as_deref).collect();
        let Some(columns) = columns else { continue };
        if index.method != "btree" || columns == [lot.target.subject.key.as_str()] {
            continue;
        }
        let equal: Option<Vec<String>> =
            columns.iter().map(|column| Some(format!("s.{} = {}", quoted(column), pieces.value_of(column)?))).collect();
        if let Some(equal) = equal {
            cases.push((
                format!("exists (select 1 from {} as s where {})", lot.target.table(), equal.join(" and ")),
                format!("another row is the same by {}", index.name),
            ));
        }
    }
    cases
}

/// CHECK constraints by name and expression, each over columns that are written.
fn checked(lot: &Lot<'_>, pieces: &Pieces, checks: &[(String, String)]) -> Vec<(String, String)> {
    let values: Vec<String> =
        pieces.written.iter().map(|piece| format!("{} as {}", piece.value, quoted(&piece.name))).collect();
    let others = lot.facts.columns.iter().filter(|column| pieces.value_of(&column.name).is_none());
    let others: Vec<&str> = others.map(|column| column.name.as_str()).collect();
    let is_known = |text: &str| !others.iter().any(|other| text.contains(other));
    let known = checks.iter().filter(|(_, text)| is_known(text));
    known
        .map(|(name, text)| {
            (
                format!("(select ({text}) from (select {}) as s) is false", values.join(", ")),
                format!("the constraint {} forbids it", quoted(name)),
            )
        })
        .collect()
}
