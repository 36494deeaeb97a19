//! Bringing rows back on SQLite, row by row in the transaction that has the write lock: each is written and read again, and only
//! one that arrived as it left stays where it arrived.

use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::Scope;
use super::lot::{Lot, Origin, Piece, Pieces, Turned, is_needed, quoted};
use super::reasons::why;
use super::working::{Candidate, Done};
use crate::batch::sqlite::{digest, kept, split, unkept};
use crate::error::RetentionError;
use crate::preflight::{Generated, Identity};
use crate::statements::{fill, literal, statement};

/// A value exactly as it is stored: texts need not be UTF-8.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    /// Its bits, so that equal means the same.
    Real(u64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    pub(crate) fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number.to_bits()),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    pub(crate) fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(bits) => ValueRef::Real(f64::from_bits(*bits)),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.value()))
    }
}

/// What a lot needs to be carried out, without anything borrowed: it goes to the thread that owns the connection.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    read: String,
    /// The table that rows are kept in, and the column that tells them apart there.
    origin: (String, String),
    names: Vec<String>,
    is_quarantine: bool,
    turned: Vec<Turned>,
    scope: Value,
    name: &'static str,
    table: String,
    key: String,
    /// For rows by the columns they have.
    shapes: HashMap<Vec<String>, Shape>,
    is_dry: bool,
}

#[derive(Debug, Clone)]
struct Shape {
    look: String,
    /// Columns that are written, by their number among those of the row; the last is whether the column has a default for
    /// rows that have no value of it.
    written: Vec<(String, usize, bool)>,
}

/// The statements of a lot for rows that have one of these sets of columns.
pub(super) fn texts(
    lot: &Lot<'_>,
    scope: &Scope,
    shapes: impl IntoIterator<Item = Vec<String>>,
    is_dry: bool,
) -> Result<Texts, RetentionError> {
    let mut texts = Texts {
        read: String::new(),
        origin: lot.kept_in(),
        names: Vec::new(),
        is_quarantine: !lot.is_move(),
        turned: lot.turned()?,
        scope: given(scope),
        name: lot.name(),
        table: lot.target.table(),
        key: lot.target.subject.key.as_str().to_owned(),
        shapes: HashMap::new(),
        is_dry,
    };
    let kept = match &lot.origin {
        Origin::Archive { found, .. } => {
            texts.names = found.columns.iter().map(|column| column.name.clone()).collect();
            texts.shapes.insert(texts.names.clone(), shape(lot, scope, &texts.names, is_dry)?);
            texts.names.iter().map(|name| format!("o.{}", quoted(name))).collect::<Vec<_>>().join(", ")
        }
        Origin::Quarantine => {
            for names in shapes {
                let shape = shape(lot, scope, &names, is_dry)?;
                texts.shapes.insert(names, shape);
            }
            "o.run_id, o.content".to_owned()
        }
    };
    let (origin, place) = &texts.origin;
    let of = lot.is_of(scope, "o", "?2")?;
    let places = [("kept", kept.as_str()), ("origin", origin), ("place", place), ("scope", &of)];
    texts.read = split(&fill(include_str!("sql/sqlite/bring.sql"), &places)).swap_remove(0);
    Ok(texts)
}

fn shape(lot: &Lot<'_>, scope: &Scope, names: &[String], is_dry: bool) -> Result<Shape, RetentionError> {
    let mut pieces: Pieces = lot.pieces(names, |number, column| Piece {
        name: column.name.clone(),
        value: format!("o.c{number}"),
        unfit: None,
        is_needed: is_needed(column),
    });
    pieces.gone = lot.gone(names).map(|(number, name)| (name.clone(), format!("o.c{number} is not null"))).collect();
    let values: Vec<String> = (0..names.len()).map(|number| format!("?{} as c{number}", number + 4)).collect();
    let checks: Vec<(String, String)> = lot
        .facts
        .checks
        .iter()
        .map(|check| (check.name.clone().unwrap_or_default(), check.text.trim_start_matches("check ").to_owned()))
        .collect();
    let why = why(lot, &pieces, scope, "o.scope", &checks, is_dry)?;
    let look = fill(statement!(lot.dialect(), "look"), &[("why", &why), ("values", &values.join(", "))]);
    let mut written = Vec::new();
    for column in lot.facts.columns.iter().filter(|column| column.generated == Generated::No) {
        if let Some(number) = names.iter().position(|name| lot.facts.is_same(name, &column.name)) {
            let may_default = !column.nullable && (column.has_default || column.identity != Identity::No);
            written.push((column.name.clone(), number, may_default));
        }
    }
    Ok(Shape { look, written })
}

/// A page of rows that are to come back.
pub(super) fn page(
    db: &Connection,
    text: &str,
    scope: &Scope,
    rows: i64,
    after: Option<&Candidate>,
) -> Result<Vec<Candidate>, RetentionError> {
    let mut given_all: Vec<Value> = vec![rows.into(), given(scope)];
    if let Some(last) = after {
        given_all.extend(last.age.clone().map(Value::Text));
        given_all.push(Value::Text(last.place.clone()));
    }
    let mut statement = db.prepare_cached(text)?;
    let found = statement.query_map(params_from_iter(given_all), |row| {
        Ok(Candidate { place: row.get(0)?, age: row.get(1)?, key: row.get(2)?, shape: row.get(3)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn count(db: &Connection, text: &str, scope: &Scope) -> Result<i64, RetentionError> {
    Ok(db.query_row(text, [given(scope)], |row| row.get(0))?)
}

/// The sets of columns that some quarantined rows have.
pub(super) fn shapes(db: &Connection, some: &[Candidate]) -> Result<Vec<Vec<String>>, RetentionError> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for candidate in some {
        let content = "select content from tierkeep_quarantine where id = ?1";
        let content = db.prepare_cached(content)?.query_row([&candidate.place], |row| row.get(0)).optional()?;
        if let Some((names, _)) = content.map(|content: String| unpacked(&content)).transpose()?
            && !found.contains(&names)
        {
            found.push(names);
        }
    }
    Ok(found)
}

/// Looks at some rows, or brings them back.
pub(super) fn bring(db: &Connection, texts: &Texts, some: &[Candidate], until: i64) -> Result<Done, RetentionError> {
    let mut done = Done::default();
    let (mut left, mut arrived) = (0_i64, 0_i64);
    for candidate in some {
        let Some((run, names, cells)) = read(db, texts, candidate)? else {
            done.left += 1;
            continue;
        };
        let Some(shape) = texts.shapes.get(&names) else {
            // changed since it was looked at
            done.left += 1;
            continue;
        };
        let mut given: Vec<&dyn ToSql> = vec![&candidate.place, &candidate.key, &texts.scope];
        given.extend(cells.iter().map(|cell| cell as &dyn ToSql));
        let why: Option<String> =
            db.prepare_cached(&shape.look)?.query_row(params_from_iter(given), |row| row.get(0))?;
        if let Some(why) = why {
            done.stays.push((candidate.place.clone(), why));
            continue;
        }
        let key = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(&texts.key))
            .map_or(Cell::Null, |at| cells[at].clone());
        if !texts.is_dry {
            db.execute_batch("savepoint tierkeep_row")?;
            match write(db, texts, shape, candidate, &cells, &key, until) {
                Ok((gone, came)) if gone == came => {
                    db.execute_batch("release tierkeep_row")?;
                    left = left.wrapping_add(digest(gone.iter().map(Cell::value)));
                    arrived = arrived.wrapping_add(digest(came.iter().map(Cell::value)));
                }
                other => {
                    let why = match other {
                        Ok(_) => "its values do not fit the columns as they are now".to_owned(),
                        Err(error) => refusal(&error).ok_or(error)?,
                    };
                    db.execute_batch("rollback to tierkeep_row; release tierkeep_row")?;
                    done.stays.push((candidate.place.clone(), why));
                    continue;
                }
            }
        }
        done.moved += 1;
        if texts.is_quarantine {
            done.turned += turn_back(db, texts, run, &candidate.key, &key)?;
        }
    }
    if done.moved > 0 && !texts.is_dry {
        done.digest_left = Some(left.to_string());
        done.digest_arrived = Some(arrived.to_string());
    }
    Ok(done)
}

type Kept = (i64, Vec<String>, Vec<Cell>);

fn read(db: &Connection, texts: &Texts, candidate: &Candidate) -> Result<Option<Kept>, RetentionError> {
    let mut statement = db.prepare_cached(&texts.read)?;
    let place = &candidate.place;
    if texts.is_quarantine {
        let kept = statement.query_row((place, &texts.scope), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((run, content)): Option<(i64, String)> = kept else { return Ok(None) };
        let (names, cells) = unpacked(&content)?;
        return Ok(Some((run, names, cells)));
    }
    let cells = statement
        .query_row((place, &texts.scope), |row| {
            (0..texts.names.len()).map(|at| Ok(Cell::of(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
        })
        .optional()?;
    Ok(cells.map(|cells| (0, texts.names.clone(), cells)))
}

/// Names and values of a quarantined row.
fn unpacked(content: &str) -> Result<(Vec<String>, Vec<Cell>), RetentionError> {
    let unreadable = |why: String| RetentionError::Unreadable { place: "a row of tierkeep_quarantine".to_owned(), why };
    let content: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(content).map_err(|error| unreadable(format!("its content is not JSON: {error}")))?;
    let (mut names, mut cells) = (Vec::new(), Vec::new());
    for (name, value) in content {
        cells.push(unkept(&value).ok_or_else(|| unreadable(format!("its value of {name} has no meaning")))?);
        names.push(name);
    }
    Ok((names, cells))
}

/// Writes a row, takes it away where it was kept, and gives what left and what arrived.
fn write(
    db: &Connection,
    texts: &Texts,
    shape: &Shape,
    candidate: &Candidate,
    cells: &[Cell],
    key: &Cell,
    until: i64,
) -> Result<(Vec<Cell>, Vec<Cell>), RetentionError> {
    // rows that were kept before a column was there have no value of it
    let written = shape.written.iter().filter(|(_, at, may_default)| !(*may_default && cells[*at] == Cell::Null));
    let (columns, values): (Vec<String>, Vec<Cell>) =
        written.map(|(name, at, _)| (quoted(name), cells[*at].clone())).unzip();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let (origin, place) = &texts.origin;
    let text = fill(
        include_str!("sql/sqlite/bring.sql"),
        &[
            ("table", &texts.table),
            ("columns", &columns.join(", ")),
            ("values", &places.join(", ")),
            ("origin", origin),
            ("place", place),
            ("source", &literal(texts.name)),
            ("key", &quoted(&texts.key)),
        ],
    );
    let statements = split(&text);
    let [_, insert, delete, exempt, look] = statements.as_slice() else {
        return Err(RetentionError::Mismatch("the statements of a row are not five".to_owned()));
    };
    db.prepare_cached(insert)?.execute(params_from_iter(&values))?;
    let gone = db.prepare_cached(delete)?.execute([&candidate.place])?;
    if gone != 1 {
        return Err(RetentionError::Mismatch(format!("a row was copied and {gone} were deleted")));
    }
    db.prepare_cached(exempt)?.execute((&candidate.key, until))?;
    let came = db.prepare_cached(look)?.query_row([key], |row| {
        (0..columns.len()).map(|at| Ok(Cell::of(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
    })?;
    Ok((values, came))
}

/// What the table says of a row that it does not take; `None`: it is not about the row.
fn refusal(error: &RetentionError) -> Option<String> {
    match error {
        RetentionError::Sqlite(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Some(format!("the table does not take it: {error}"))
        }
        _ => None,
    }
}

fn given(scope: &Scope) -> Value {
    match scope {
        Scope::Run(run) => run.get().into(),
        Scope::Owner(owner) => owner.clone().into(),
    }
}

/// Turns what was turned from a row back to it, or counts it.
fn turn_back(db: &Connection, texts: &Texts, run: i64, row_key: &str, key: &Cell) -> Result<u64, RetentionError> {
    let mut turned = 0;
    for (number, each) in texts.turned.iter().enumerate() {
        let family = each.family();
        let places =
            [("table", each.table.as_str()), ("reference", &each.reference), ("key", &each.key), ("family", &family)];
        if texts.is_dry {
            let text = fill(include_str!("sql/sqlite/turned_back.sql"), &places);
            let rows: i64 = db.prepare_cached(&text)?.query_row((run, row_key), |row| row.get(0))?;
            turned += rows.unsigned_abs();
        } else {
            let text = fill(include_str!("sql/sqlite/turn_reference.sql"), &places);
            turned += db.prepare_cached(&text)?.execute((run, row_key, key))? as u64;
        }
        let is_same = |other: &Turned| other.family() == family && other.name == each.name;
        if !texts.turned[..number].iter().any(is_same) {
            turned += turn_back_quarantined(db, texts, each, run, row_key, key)?;
        }
    }
    if !texts.is_dry {
        db.prepare_cached(include_str!("sql/sqlite/turn_back.sql"))?.execute((run, row_key))?;
    }
    Ok(turned)
}

fn turn_back_quarantined(
    db: &Connection,
    texts: &Texts,
    each: &Turned,
    run: i64,
    row_key: &str,
    key: &Cell,
) -> Result<u64, RetentionError> {
    let family = each.family();
    let statements = split(&fill(include_str!("sql/sqlite/turn_quarantined.sql"), &[("family", &family)]));
    let [look, put] = statements.as_slice() else {
        return Err(RetentionError::Mismatch("the statements of a reference are not two".to_owned()));
    };
    let rows: Vec<(i64, String, String)> = db
        .prepare_cached(look)?
        .query_map((run, row_key), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut turned = 0;
    for (id, content, survivor) in rows {
        let Ok(serde_json::Value::Object(mut content)) = serde_json::from_str(&content) else { continue };
        let named = match content.get(&each.name) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        if named != survivor {
            continue;
        }
        turned += 1;
        if !texts.is_dry {
            content.insert(each.name.clone(), kept(key.value()));
            let content = serde_json::Value::Object(content).to_string();
            db.prepare_cached(put)?.execute((id, content))?;
        }
    }
    Ok(turned)
}
