//! Archived rows back to the platform's table, column for column.

use tierkeep_db::columns_postgres;
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::StoreError;
use super::archive::ident;
use super::survey::refuse;
use crate::mapping::{Mapping, Source};

/// How many of the rows that stay are named.
const NAMED: usize = 20;

/// Moves all rows by one statement, and tells how many. Rows whose id is live, or whose parents are gone, would stay: then
/// it is refused, to be rolled back.
pub(super) async fn restore(tx: &Transaction<'_>, mapping: &Mapping) -> Result<u64, StoreError> {
    let (archive, sessions) = (mapping.archive(), mapping.table(Source::StudySessions));
    let Some(live) = columns_postgres(tx.client(), &sessions).await? else {
        return refuse(&format!("there is no table {} for the archived sessions to go back to", sessions.quoted()));
    };
    let known = columns_postgres(tx.client(), &archive).await?.unwrap_or_default();
    let made = tx.query_typed(include_str!("catalog/generated.sql"), &[(&sessions.quoted(), Type::TEXT)]).await?;
    let made: Vec<String> = made.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in &live {
        if let Some(stored) = known.iter().find(|known| known.name == column.name)
            && !made.contains(&column.name)
        {
            let name = ident(&column.name)?.quoted();
            values.push(if stored.type_name == column.type_name {
                name.clone()
            } else {
                format!("{name}::{}", column.type_name)
            });
            names.push(name);
        }
    }
    let id = mapping.column(Source::StudySessions, "id")?.quoted();
    let conditions = conditions(tx, &sessions.quoted(), &id, &known).await?;
    let (archive, sessions) = (archive.quoted(), sessions.quoted());
    // names of columns come last: a name may be spelled like a place
    let statement = include_str!("catalog/restore.sql")
        .replace("{archive}", &archive)
        .replace("{sessions}", &sessions)
        .replace("{conditions}", &conditions.join(" and "))
        .replace("{names}", &names.join(", "))
        .replace("{values}", &values.join(", "));
    let moved = tx.execute(&statement, &[]).await.map_err(not_taken_back)?;
    let ids = include_str!("catalog/archived_ids.sql").replace("{archive}", &archive).replace("{id}", &id);
    let left = tx.query(&ids, &[]).await?;
    if left.is_empty() {
        return Ok(moved);
    }
    let shown: Vec<&str> = left.iter().take(NAMED).map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let more = if left.len() > NAMED { ", …" } else { "" };
    refuse(&format!(
        "{} archived sessions cannot go back to {sessions}, as their id is live or what they refer to is gone: {}{more}. \
         Nothing was changed: correct or delete them, or detach with --keep-archive",
        left.len(),
        shown.join(", ")
    ))
}

/// What must hold of an archived row `a` for the platform's table to take it.
async fn conditions(
    tx: &Transaction<'_>,
    sessions: &str,
    id: &str,
    known: &[tierkeep_db::CatalogColumn],
) -> Result<Vec<String>, StoreError> {
    let mut conditions = vec![format!("not exists (select from {sessions} as s where s.{id} = a.{id})")];
    for row in tx.query_typed(include_str!("catalog/parents.sql"), &[(&sessions, Type::TEXT)]).await? {
        let parent: &str = row.try_get("parent")?;
        let (children, parents): (Vec<String>, Vec<String>) = (row.try_get("children")?, row.try_get("parents")?);
        if !children.iter().all(|child| known.iter().any(|column| column.name == *child)) {
            continue;
        }
        let (mut absent, mut equal) = (Vec::new(), Vec::new());
        for (child, parent) in children.iter().zip(&parents) {
            let (child, parent) = (ident(child)?.quoted(), ident(parent)?.quoted());
            absent.push(format!("a.{child} is null"));
            equal.push(format!("p.{parent} = a.{child}"));
        }
        conditions.push(format!(
            "({} or exists (select from {parent} as p where {}))",
            absent.join(" or "),
            equal.join(" and ")
        ));
    }
    Ok(conditions)
}

/// What the platform's table says of rows that it does not take.
pub(super) fn not_taken_back(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(refused) => StoreError::Attaching(format!(
            "the platform's table does not take its archived sessions back, and nothing was changed: {}",
            refused.message()
        )),
        None => error.into(),
    }
}
