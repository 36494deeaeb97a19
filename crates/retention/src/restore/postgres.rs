//! Bringing rows back on PostgreSQL: one statement to a batch.

use std::collections::BTreeMap;

use tierkeep_db::Connection;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use super::Scope;
use super::lot::{Lot, Origin, Piece, Pieces, Turned, is_needed, quoted};
use super::working::{Candidate, Done};
use crate::batch::postgres::in_text;
use crate::error::RetentionError;
use crate::preflight::ColumnFacts;
use crate::statements::{fill, literal, statement};

/// Expressions of a table's own: its CHECK constraints, and the defaults of columns that need a value.
const EXPRESSIONS: &str = "select 'check', c.conname::text, pg_get_expr(c.conbin, c.conrelid) \
    from pg_constraint as c where c.conrelid = to_regclass($1) and c.contype = 'c' \
    union all \
    select 'default', a.attname::text, pg_get_expr(d.adbin, d.adrelid) \
    from pg_attribute as a join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum \
    where a.attrelid = to_regclass($1) and a.attnotnull and a.attgenerated = '' and not a.attisdropped";

/// What is known of a lot's table beside its columns.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    checks: Vec<(String, String)>,
    defaults: BTreeMap<String, String>,
}

/// The statements for rows of one lot that have the same columns.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    bring: String,
    look: String,
    turn: String,
    turned: String,
}

impl Expressions {
    pub(super) async fn read(db: &Client, lot: &Lot<'_>) -> Result<Self, RetentionError> {
        let mut known = Self::default();
        for row in db.query_typed(EXPRESSIONS, &[(&lot.target.table(), Type::TEXT)]).await? {
            let (kind, name, text): (&str, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            match kind {
                "check" => known.checks.push((name, text)),
                _ => drop(known.defaults.insert(name, text)),
            }
        }
        Ok(known)
    }
}

/// The statements for rows with these columns; of archived rows all have the same.
pub(super) fn texts(
    lot: &Lot<'_>,
    scope: &Scope,
    known: &Expressions,
    shape: Option<&str>,
) -> Result<Texts, RetentionError> {
    let pieces = match (&lot.origin, shape) {
        (Origin::Archive { .. }, _) => archived(lot, known),
        (Origin::Quarantine, shape) => {
            let names: Vec<String> = serde_json::from_str(shape.unwrap_or("[]")).unwrap_or_default();
            quarantined(lot, known, &names)
        }
    };
    let turned = lot.turned()?;
    let (bring, look) = (statement!(lot.dialect(), "bring"), statement!(lot.dialect(), "look"));
    Ok(Texts {
        bring: lot.move_postgres(bring, &pieces, scope, &known.checks, false)?,
        look: lot.move_postgres(look, &pieces, scope, &known.checks, true)?,
        turn: turn_back(&turned),
        turned: turned_back(&turned),
    })
}

fn archived(lot: &Lot<'_>, known: &Expressions) -> Pieces {
    let Origin::Archive { found, .. } = &lot.origin else { unreachable!("only for archived rows") };
    let names: Vec<String> = found.columns.iter().map(|column| column.name.clone()).collect();
    let mut pieces = lot.pieces(&names, |_, column| {
        let (kept, name) = (format!("o.{}", quoted(&column.name)), &column.name);
        let kept_type = found.columns.iter().find(|known| known.name == *name).map_or("", |known| &known.type_name);
        let is_same = kept_type == column.type_name;
        let value = if is_same { kept.clone() } else { cast_text(&kept, &column.type_name) };
        let unfit = (!is_same).then(|| {
            let back = cast_text(&value, kept_type);
            format!("cast({back} as text) is distinct from cast({kept} as text)")
        });
        piece(column, value, unfit, known)
    });
    pieces.gone = lot.gone(&names).map(|(_, name)| (name.clone(), format!("o.{} is not null", quoted(name)))).collect();
    pieces
}

fn quarantined(lot: &Lot<'_>, known: &Expressions, names: &[String]) -> Pieces {
    let kept = |name: &str| format!("(o.content ->> {})", literal(name));
    let mut pieces = lot.pieces(names, |_, column| {
        let kept = kept(&column.name);
        let value = format!("cast({kept} as {})", column.type_name);
        let unfit = format!("cast({value} as text) is distinct from {kept}");
        piece(column, value, Some(unfit), known)
    });
    pieces.gone = lot.gone(names).map(|(_, name)| (name.clone(), format!("{} is not null", kept(name)))).collect();
    pieces
}

/// A value as if it had been written: whatever the type is, its text can be read.
fn cast_text(value: &str, to: &str) -> String {
    format!("cast(cast({value} as text) as {to})")
}

fn piece(column: &ColumnFacts, value: String, unfit: Option<String>, known: &Expressions) -> Piece {
    // rows that were kept before the column was there have no value of it
    let value = match known.defaults.get(&column.name) {
        Some(default) => format!("cast(coalesce({value}, {default}) as {})", column.type_name),
        None => value,
    };
    Piece { name: column.name.clone(), value, unfit, is_needed: is_needed(column) }
}

/// What holds of a row `d` that was turned from one that is back to one that it still names.
fn still_names(turned: &Turned) -> String {
    let Turned { key, key_type, reference, reference_type, .. } = turned;
    format!(
        "r.source in ({}) and d.{key} = cast(r.row_key as {key_type}) and d.{reference} = cast(r.survivor as {reference_type})",
        turned.family()
    )
}

/// The same of a quarantined row `q`.
fn still_names_in_quarantine(turned: &Turned) -> String {
    let (family, name) = (turned.family(), literal(&turned.name));
    format!(
        "r.source in ({family}) and q.source in ({family}) and q.row_key = r.row_key and q.content ->> {name} = r.survivor"
    )
}

/// Quarantined rows are of a family once, however many of its tables have the column.
fn by_family(turned: &[Turned]) -> impl Iterator<Item = &Turned> {
    let is_first = |at: &usize| {
        let same = |other: &Turned| other.family() == turned[*at].family() && other.name == turned[*at].name;
        !turned[..*at].iter().any(same)
    };
    (0..turned.len()).filter(is_first).map(|at| &turned[at])
}

fn turn_back(turned: &[Turned]) -> String {
    let mut parts = Vec::new();
    for each in turned {
        let still_names = still_names(each);
        let places = [
            ("table", each.table.as_str()),
            ("reference", &each.reference),
            ("type", &each.reference_type),
            ("still_names", &still_names),
        ];
        parts.push(fill(include_str!("sql/postgres/turn_reference.sql"), &places));
    }
    for each in by_family(turned) {
        let (name, still_names) = (literal(&each.name), still_names_in_quarantine(each));
        let places = [("name", name.as_str()), ("still_names", &still_names)];
        parts.push(fill(include_str!("sql/postgres/turn_quarantined.sql"), &places));
    }
    let (mut turns, mut counts) = (Vec::new(), vec!["cast(0 as bigint)".to_owned()]);
    for (number, part) in parts.iter().enumerate() {
        turns.push(format!("turned_{number} as (\n    {part}\n)"));
        counts.push(format!("(select count(*) from turned_{number})"));
    }
    if turns.is_empty() {
        turns.push("nothing as (select 1)".to_owned());
    }
    let places = [("turned", turns.join(",\n")), ("counts", counts.join(" + "))];
    fill(include_str!("sql/postgres/turn_back.sql"), &places.each_ref().map(|(name, text)| (*name, text.as_str())))
}

fn turned_back(turned: &[Turned]) -> String {
    let mut counts = vec!["cast(0 as bigint)".to_owned()];
    for each in turned {
        counts.push(format!("(select count(*) from back as r, {} as d where {})", each.table, still_names(each)));
    }
    for each in by_family(turned) {
        let names = still_names_in_quarantine(each);
        counts.push(format!("(select count(*) from back as r, tierkeep_quarantine as q where {names})"));
    }
    fill(include_str!("sql/postgres/turned_back.sql"), &[("counts", &counts.join(" + "))])
}

/// A page of rows that are to come back; the last one of the page before says where it begins.
pub(super) async fn page(
    db: &mut Connection,
    text: &str,
    scope: &Scope,
    rows: i64,
    after: Option<&Candidate>,
) -> Result<Vec<Candidate>, RetentionError> {
    let statement = db.prepared(text).await?;
    let tx = db.transaction().await?;
    tx.batch_execute(in_text()).await?;
    let given = given(scope);
    let found = match after {
        None => tx.query(&statement, &[&rows, &*given]).await?,
        Some(last) => match &last.age {
            Some(age) => tx.query(&statement, &[&rows, &*given, age, &last.place]).await?,
            None => tx.query(&statement, &[&rows, &*given, &last.place]).await?,
        },
    };
    let candidate = |row: &Row| -> Result<Candidate, RetentionError> {
        Ok(Candidate { place: row.try_get(0)?, age: row.try_get(1)?, key: row.try_get(2)?, shape: row.try_get(3)? })
    };
    let found = found.iter().map(candidate).collect();
    tx.rollback().await?;
    found
}

pub(super) async fn count(db: &Connection, text: &str, scope: &Scope) -> Result<i64, RetentionError> {
    let statement = db.prepared(text).await?;
    Ok(db.query_one(&statement, &[&*given(scope)]).await?.try_get(0)?)
}

/// What would become of some rows that have the same columns.
pub(super) async fn look(
    db: &mut Connection,
    texts: &Texts,
    scope: &Scope,
    some: &[Candidate],
) -> Result<Done, RetentionError> {
    let statement = db.prepared(&texts.look).await?;
    let turned = db.prepared(&texts.turned).await?;
    let tx = db.transaction().await?;
    tx.batch_execute(in_text()).await?;
    let mut done = Done::default();
    let (mut runs, mut keys): (Vec<i64>, Vec<String>) = (Vec::new(), Vec::new());
    for row in tx.query(&statement, &[&places(some), &*given(scope)]).await? {
        match row.try_get::<_, Option<String>>(1)? {
            Some(why) => done.stays.push((row.try_get(0)?, why)),
            None => {
                done.moved += 1;
                runs.push(row.try_get(2)?);
                keys.push(row.try_get(3)?);
            }
        }
    }
    done.turned = tx.query_one(&turned, &[&runs, &keys]).await?.try_get::<_, i64>(0)?.unsigned_abs();
    tx.rollback().await?;
    Ok(done)
}

/// The statements of a batch on a connection.
pub(super) struct Prepared {
    bring: tokio_postgres::Statement,
    turn: tokio_postgres::Statement,
}

impl Prepared {
    pub(super) async fn new(db: &Connection, texts: &Texts) -> Result<Self, RetentionError> {
        Ok(Self { bring: db.prepared(&texts.bring).await?, turn: db.prepared(&texts.turn).await? })
    }
}

/// Brings some rows back that have the same columns, in the caller's transaction.
pub(super) async fn bring(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    scope: &Scope,
    some: &[Candidate],
    until: i64,
    turns: bool,
) -> Result<Done, RetentionError> {
    // a foreign key that is checked at the end would refuse all of the batch then
    tx.batch_execute("set constraints all immediate").await?;
    let row = tx.query_one(&prepared.bring, &[&places(some), &*given(scope), &until]).await?;
    let (picked, gone, came): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (digest_left, digest_arrived): (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
    if gone != came || digest_left != digest_arrived {
        return Err(RetentionError::Mismatch(format!(
            "{gone} rows left where they were kept and {came} arrived, digests {} and {}",
            digest_left.as_deref().unwrap_or("none"),
            digest_arrived.as_deref().unwrap_or("none"),
        )));
    }
    let stays: Option<Vec<String>> = row.try_get(5)?;
    let why: Option<Vec<String>> = row.try_get(6)?;
    let mut done = Done {
        moved: gone.unsigned_abs(),
        left: (some.len() as u64).saturating_sub(picked.unsigned_abs()),
        stays: stays.unwrap_or_default().into_iter().zip(why.unwrap_or_default()).collect(),
        turned: 0,
        digest_left,
        digest_arrived,
    };
    if turns && done.moved > 0 {
        let runs: Option<Vec<i64>> = row.try_get(7)?;
        let keys: Option<Vec<String>> = row.try_get(8)?;
        let turned = tx.query_one(&prepared.turn, &[&runs.unwrap_or_default(), &keys.unwrap_or_default()]).await?;
        done.turned = turned.try_get::<_, i64>(0)?.unsigned_abs();
    }
    Ok(done)
}

fn places(some: &[Candidate]) -> Vec<&str> {
    some.iter().map(|candidate| candidate.place.as_str()).collect()
}

fn given(scope: &Scope) -> Box<dyn ToSql + Sync + Send + '_> {
    match scope {
        Scope::Run(run) => Box::new(run.get()),
        Scope::Owner(owner) => Box::new(owner.as_str()),
    }
}
