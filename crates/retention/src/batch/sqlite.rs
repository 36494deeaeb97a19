//! Batches on SQLite, inside the transaction that has the write lock, so that nobody sees them half done.

use std::collections::BTreeMap;

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde_json::{Map, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Batch, Place, count};
use crate::error::RetentionError;
use crate::restore::Cell;
use crate::rule::{Action, Policy, Sweep};
use crate::statements::{Found, archive_of};

/// The statements of one sweep, without anything borrowed: it goes to the thread that owns the connection.
#[derive(Debug, Clone)]
pub(crate) struct Mover {
    name: String,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    /// Statements for the first batch, and for those that begin behind a place.
    Archive([Vec<String>; 2]),
    Quarantine {
        /// Pick, insert, delete.
        statements: Vec<String>,
        /// Names of the columns, in the order in which the first statement reads them.
        columns: Vec<String>,
        /// Statements that say who stays, and turn what refers to the others.
        turning: Option<(String, Vec<String>)>,
    },
    Anonymise(String),
    Nothing,
}

impl Mover {
    pub(crate) fn new(policy: &Policy, sweep: &Sweep<'_>, found: &Found<'_>) -> Result<Self, RetentionError> {
        let work = match sweep.action() {
            Action::Archive { .. } => {
                let (into, by, at) = archive_of(sweep.action(), policy).expect("an archive says where");
                let texts = |is_begun| Ok::<_, RetentionError>(split(&found.archive(sweep, into, by, at, is_begun)?));
                Work::Archive([texts(false)?, texts(true)?])
            }
            Action::Quarantine { survivor } => {
                let mut turning = None;
                if let Some(survivor) = survivor {
                    let (mut turns, mut of) = (Vec::new(), String::new());
                    for dependant in &found.subject.dependants {
                        let child = policy.subject(dependant.subject);
                        let mut statements = split(&found.repoint_sqlite(survivor, child, &dependant.column)?);
                        of = statements.pop().unwrap_or_default();
                        turns.extend(statements);
                    }
                    turning = Some((of, turns)).filter(|(of, _)| !of.is_empty());
                }
                Work::Quarantine {
                    statements: split(&found.quarantine(sweep)?),
                    columns: found.columns.iter().map(|column| column.name.clone()).collect(),
                    turning,
                }
            }
            Action::Anonymise(columns) => Work::Anonymise(found.anonymise(sweep, columns)?),
            Action::Delete | Action::DeleteDependants { .. } => Work::Nothing,
        };
        Ok(Self { name: sweep.name().to_owned(), work })
    }

    /// Whether its batches go by age, and not by where rows lie.
    pub(crate) fn goes_by_age(&self) -> bool {
        matches!(self.work, Work::Archive(_))
    }

    /// The same moves without the deletion, and the deletion, for tests that must notice.
    #[cfg(feature = "crash-points")]
    pub(crate) fn copying(&self) -> (Self, String) {
        let Work::Archive(mut texts) = self.work.clone() else { return (self.clone(), String::new()) };
        let mut deletion = String::new();
        for statements in &mut texts {
            let (delete, digest) = statements[4].split_once("returning ").expect("a move returns what it deletes");
            let from = delete.strip_prefix("delete ").expect("a move deletes");
            let kept = ["select ", digest, " ", from].concat();
            delete.clone_into(&mut deletion);
            statements[4] = kept;
        }
        (Self { name: self.name.clone(), work: Work::Archive(texts) }, deletion)
    }

    /// Moves a batch. `place`: where to begin, `None` = at the beginning; `span`: how many row numbers are looked at.
    pub(crate) fn run(
        &self,
        tx: &Transaction<'_>,
        run: i64,
        rows: i64,
        place: Option<&Place>,
        span: i64,
    ) -> Result<Batch, RetentionError> {
        let window = match place {
            Some(Place::From(first)) => (*first, first.saturating_add(span)),
            _ => (i64::MIN, i64::MIN.saturating_add(span)),
        };
        match &self.work {
            Work::Archive(texts) => self.archive(tx, texts, run, rows, place),
            Work::Quarantine { statements, columns, turning } => {
                self.quarantine(tx, statements, columns, turning.as_ref(), run, rows, window)
            }
            Work::Anonymise(text) => {
                let done = tx.prepare_cached(text)?.execute((rows, window.0, window.1))? as u64;
                Ok(Batch { picked: done, kinds: BTreeMap::from([(self.name.clone(), done)]), ..Batch::default() })
            }
            Work::Nothing => Ok(Batch::default()),
        }
    }

    fn archive(
        &self,
        tx: &Transaction<'_>,
        texts: &[Vec<String>; 2],
        run: i64,
        rows: i64,
        place: Option<&Place>,
    ) -> Result<Batch, RetentionError> {
        register_digest(tx)?;
        let place = match place {
            Some(Place::Behind { age, key }) => Some((age, key)),
            _ => None,
        };
        let texts = &texts[usize::from(place.is_some())];
        let [make, clear, pick, copy, delete, ends] = texts.as_slice() else {
            return Err(RetentionError::Mismatch("the statements of a batch are not six".to_owned()));
        };
        tx.prepare_cached(make)?.execute([])?;
        tx.prepare_cached(clear)?.execute([])?;
        let picked = match place {
            Some((age, key)) => tx.prepare_cached(pick)?.execute((rows, None::<i64>, age, key))?,
            None => tx.prepare_cached(pick)?.execute([rows])?,
        } as u64;
        let (arrived, digest_arrived) = digests(tx.prepare_cached(copy)?.query((None::<i64>, run))?)?;
        let (left, digest_left) = digests(tx.prepare_cached(delete)?.query([])?)?;
        if count(left) != picked {
            return Err(RetentionError::Mismatch(format!("{}: {picked} rows were picked and {left} left", self.name)));
        }
        let (first_age, last_age, last_key): (Option<String>, Option<String>, Option<String>) =
            tx.prepare_cached(ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Batch {
            picked,
            kinds: BTreeMap::from([(self.name.clone(), count(left))]),
            repointed: 0,
            digest_left,
            digest_arrived,
            first_age,
            last: last_age.clone().zip(last_key),
            last_age,
        }
        .checked(&self.name, left, arrived)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one variant, taken apart by the caller")]
    fn quarantine(
        &self,
        tx: &Transaction<'_>,
        statements: &[String],
        columns: &[String],
        turning: Option<&(String, Vec<String>)>,
        run: i64,
        rows: i64,
        window: (i64, i64),
    ) -> Result<Batch, RetentionError> {
        let [pick, insert, delete] = statements else {
            return Err(RetentionError::Mismatch("the statements of a batch are not three".to_owned()));
        };
        let mut batch = Batch::default();
        let picked: Vec<(i64, String, String, Option<String>, String)> = tx
            .prepare_cached(pick)?
            .query_map((rows, window.0, window.1), |row| {
                let mut content = Map::new();
                for (place, name) in columns.iter().enumerate() {
                    content.insert(name.clone(), kept(row.get_ref(place + 4)?));
                }
                let content = serde_json::Value::Object(content).to_string();
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, content))
            })?
            .collect::<Result<_, _>>()?;
        batch.picked = picked.len() as u64;
        for (row, kind, key, owner, content) in picked {
            if let Some((of, turns)) = turning {
                batch.repointed += turn(tx, of, turns, row, run)?;
            }
            tx.prepare_cached(insert)?.execute((run, &kind, &key, &owner, &content))?;
            let gone = tx.prepare_cached(delete)?.execute([row])?;
            if gone != 1 {
                return Err(RetentionError::Mismatch(format!("{kind}: a row was copied and {gone} were deleted")));
            }
            *batch.kinds.entry(kind).or_default() += 1;
        }
        Ok(batch)
    }
}

/// Turns what refers to a duplicate to the row that stays.
fn turn(tx: &Transaction<'_>, of: &str, turns: &[String], row: i64, run: i64) -> Result<u64, RetentionError> {
    let keys = tx.prepare_cached(of)?.query_row([row], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((survivor, duplicate)): Option<(Value, Value)> = keys else { return Ok(0) };
    let mut turned = 0;
    for pair in turns.chunks(2) {
        let [note, update] = pair else { continue };
        tx.prepare_cached(note)?.execute((&duplicate, &survivor, run))?;
        turned += tx.prepare_cached(update)?.execute((&duplicate, &survivor))? as u64;
    }
    Ok(turned)
}

/// A value as it is kept in quarantine: text, whole numbers and nothing as JSON has them, the rest with its kind.
pub(crate) fn kept(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!({ "real": number.to_string() }),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "text": hex(bytes) }),
        },
        ValueRef::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

/// The value that was [`kept`]; `None` if it is not what that writes.
pub(crate) fn unkept(value: &serde_json::Value) -> Option<Cell> {
    Some(match value {
        serde_json::Value::Null => Cell::Null,
        serde_json::Value::Number(number) => Cell::Integer(number.as_i64()?),
        serde_json::Value::String(text) => Cell::Text(text.clone().into_bytes()),
        serde_json::Value::Object(kind) => {
            let (kind, text) = kind.iter().next()?;
            let text = text.as_str()?;
            match kind.as_str() {
                "real" => Cell::Real(text.parse::<f64>().ok()?.to_bits()),
                "text" => Cell::Text(unhex(text)?),
                "blob" => Cell::Blob(unhex(text)?),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    pairs.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The statements of a text.
pub(crate) fn split(text: &str) -> Vec<String> {
    text.split(";\n").map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// How many digests a statement returned, and their sum: the order of the rows does not matter, how often one occurs does.
fn digests(mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<(i64, Option<String>)> {
    let (mut count, mut sum) = (0, 0_i64);
    while let Some(row) = rows.next()? {
        count += 1;
        sum = sum.wrapping_add(row.get(0)?);
    }
    Ok((count, (count > 0).then(|| sum.to_string())))
}

/// Digest of a row, with the types and lengths of its values.
pub(crate) fn digest<'a>(row: impl Iterator<Item = ValueRef<'a>>) -> i64 {
    // gathered first: a state of the hash for parts is larger than most rows
    let mut bytes = Vec::with_capacity(256);
    let mut add = |kind: u8, value: &[u8]| {
        bytes.push(kind);
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
    };
    for value in row {
        match value {
            ValueRef::Null => add(0, &[]),
            ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
            ValueRef::Real(number) => add(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => add(3, text),
            ValueRef::Blob(blob) => add(4, blob),
        }
    }
    xxh3_64(&bytes).cast_signed()
}

/// Makes the digest known to a connection, once.
fn register_digest(db: &Connection) -> Result<(), RetentionError> {
    let known = "select exists (select 1 from pragma_function_list where name = 'tierkeep_digest')";
    if !db.prepare_cached(known)?.query_row([], |row| row.get::<_, bool>(0))? {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        db.create_scalar_function("tierkeep_digest", -1, flags, |row| {
            Ok(digest((0..row.len()).map(|place| row.get_raw(place))))
        })?;
    }
    Ok(())
}
