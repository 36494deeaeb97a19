//! The table of archived sessions: the columns of the platform's sessions, and when and by which run they were archived.
//!
//! It has no default, since a default may use a sequence that belongs to the platform's table, which could then not be
//! dropped; and no NOT NULL, since the platform may allow tomorrow what it forbids today.

use std::collections::BTreeMap;

use tierkeep_db::{CatalogColumn, Ident, TableName};

use crate::mapping::{Mapping, Source};
use crate::store::StoreError;

/// Our columns: when a row was archived, and by which run, so that the run can be undone.
pub(super) const ARCHIVED_AT: &str = "archived_at";
const ARCHIVED_BY: &str = "archived_by";
/// What the comment on an archive of ours begins with.
const MARK: &str = "tierkeep: archived sessions";

/// Whether this is the comment of a table that Tierkeep made.
pub(super) fn is_ours(comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| comment.starts_with(MARK))
}

/// The statement that marks the table as ours.
pub(super) fn mark(archive: &TableName) -> String {
    format!("comment on table {} is '{MARK} of an attached platform'", archive.quoted())
}

/// The statement that marks the table as one that was left behind.
pub(super) fn mark_kept(archive: &TableName) -> String {
    format!("comment on table {} is '{MARK}, kept by tierkeep detach'", archive.quoted())
}

/// The statements that make the archive.
pub(super) fn create(mapping: &Mapping, sessions: &[CatalogColumn]) -> Result<Vec<String>, StoreError> {
    let archive = mapping.archive();
    if let Some(taken) = sessions.iter().find(|column| [ARCHIVED_AT, ARCHIVED_BY].contains(&column.name.as_str())) {
        return Err(StoreError::Attaching(format!(
            "{} has a column {}, which the archive needs for itself",
            mapping.table(Source::StudySessions).quoted(),
            taken.name
        )));
    }
    let id = mapping.column(Source::StudySessions, "id")?;
    let mut statements = vec![format!(
        "create table {} (like {}, {ARCHIVED_AT} timestamptz not null default now(), {ARCHIVED_BY} bigint, primary key ({}))",
        archive.quoted(),
        mapping.table(Source::StudySessions).quoted(),
        id.quoted(),
    )];
    let needed: Vec<&CatalogColumn> =
        sessions.iter().filter(|column| !column.nullable && column.name != id.as_str()).collect();
    statements.extend(loosen(&archive, &needed)?);
    statements.push(mark(&archive));
    let (user, start) =
        (mapping.column(Source::StudySessions, "user_id")?, mapping.column(Source::StudySessions, "start_time")?);
    statements.push(format!("create index on {} ({}, {})", archive.quoted(), user.quoted(), start.quoted()));
    statements.push(format!("create index on {} ({})", archive.quoted(), start.quoted()));
    if mapping.has(Source::StudySessions, "course_progress_id", sessions) {
        // sessions of a removed duplicate of a course are looked up by it
        let course = mapping.column(Source::StudySessions, "course_progress_id")?.quoted();
        statements.push(format!("create index on {} ({course}) where {course} is not null", archive.quoted()));
    }
    Ok(statements)
}

/// The statements that give the archive what the platform's sessions have got since: names, columns, types.
pub(super) fn adjust(
    mapping: &Mapping,
    before: Option<&Mapping>,
    archive: &[CatalogColumn],
    sessions: &[CatalogColumn],
) -> Result<Vec<String>, StoreError> {
    let table = mapping.archive();
    let has = |columns: &[CatalogColumn], name: &str| columns.iter().any(|column| column.name == name);
    let mut statements = Vec::new();
    let mut known: Vec<CatalogColumn> = archive.to_vec();
    let (old, new) = (
        before.map_or_else(BTreeMap::new, |before| before.column_names(Source::StudySessions)),
        mapping.column_names(Source::StudySessions),
    );
    for (canonical, name) in &new {
        let Some(former) = old.get(canonical).filter(|former| *former != name) else { continue };
        let is_renamed = has(&known, former.as_str()) && !has(sessions, former.as_str());
        if is_renamed && has(sessions, name.as_str()) && !has(&known, name.as_str()) {
            statements.push(format!(
                "alter table {} rename column {} to {}",
                table.quoted(),
                former.quoted(),
                name.quoted()
            ));
            for column in known.iter_mut().filter(|column| column.name == former.as_str()) {
                name.as_str().clone_into(&mut column.name);
            }
        }
    }
    if !has(&known, ARCHIVED_BY) {
        statements.push(format!("alter table {} add column {ARCHIVED_BY} bigint", table.quoted()));
    }
    for column in sessions {
        let name = ident(&column.name)?.quoted();
        match known.iter().find(|known| known.name == column.name) {
            // the type is as the server prints it
            None => statements.push(format!("alter table {} add column {name} {}", table.quoted(), column.type_name)),
            Some(known) if known.type_name != column.type_name => statements.push(format!(
                "alter table {} alter column {name} type {} using {name}::{}",
                table.quoted(),
                column.type_name,
                column.type_name
            )),
            Some(_) => {}
        }
    }
    let id = mapping.column(Source::StudySessions, "id")?;
    let tight = |column: &&CatalogColumn| !column.nullable && column.name != id.as_str() && column.name != ARCHIVED_AT;
    statements.extend(loosen(&table, &known.iter().filter(tight).collect::<Vec<_>>())?);
    Ok(statements)
}

fn loosen(table: &TableName, columns: &[&CatalogColumn]) -> Result<Option<String>, StoreError> {
    let mut actions = Vec::new();
    for column in columns {
        actions.push(format!("alter column {} drop not null", ident(&column.name)?.quoted()));
    }
    Ok((!actions.is_empty()).then(|| format!("alter table {} {}", table.quoted(), actions.join(", "))))
}

pub(super) fn ident(name: &str) -> Result<Ident, StoreError> {
    Ident::new(name).map_err(|error| StoreError::Attaching(error.to_string()))
}
