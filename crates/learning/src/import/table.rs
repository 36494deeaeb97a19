//! CSV files of the three tables, record by record into rows.

use std::io::Read;
use std::sync::Arc;

use jiff::Timestamp;

use super::channel::{Batch, Ended, Feeder};
use super::header::{Column, Header, accepted};
use super::record::{Found, Record, RecordReader, Unreadable};
use super::{ImportError, Reject, field};
use crate::calendar::Zone;
use crate::key::{ContentId, CourseProgressId, Key, KeyError, KeyType, SessionId, UserId};
use crate::rows::{ProgressRow, SessionRow, UserRow};

mod columns;

/// Rows that are stored together. Of 200,000 sessions in benches/import.rs, 40,000 at once were at most a tenth faster on
/// either store and held 40 MiB more; 10,000 made no clear difference on a busy machine.
pub(super) const CHUNK_ROWS: usize = 20_000;
/// Bytes of fields after which rows are sent on although they are few, so that long notes do not gather.
const CHUNK_BYTES: usize = 8 << 20;
/// How many records are looked at for a key.
const LOOKED_AT: usize = 1000;

const INSTANTS: &str = "an instant with an offset, from 0001-01-02 to 9998-12-31, such as 2026-01-31T08:00:00Z";

/// A row of a table, as a CSV record holds it.
pub(super) trait TableRow: Sized + Send + 'static {
    /// The columns, each at its number.
    const COLUMNS: &'static [Column];
    /// The column of the row's own key.
    const ID: Column;

    /// Reads a record.
    fn read(cells: &Cells<'_>) -> Result<Self, Fault>;

    /// Rows on their way.
    fn batch(rows: Vec<Self>) -> Batch;
}

/// Why a record is not a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    column: Option<&'static str>,
    reason: String,
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct Counted {
    /// Records, the header not counted.
    pub(super) rows: u64,
    /// Columns that were passed over.
    pub(super) unknown_columns: Vec<String>,
}

/// Reads a file and feeds its rows.
pub(super) fn read<R: TableRow>(
    file: &str,
    source: impl Read,
    key_type: KeyType,
    feeder: &mut Feeder,
) -> Result<Counted, Ended> {
    let shared: Arc<str> = Arc::from(file);
    let mut records = RecordReader::new(source);
    let header = read_header::<R>(file, &mut records)?;
    let mut count = 0;
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    let mut bytes = 0;
    while let Some(found) = next(file, &mut records)? {
        count += 1;
        match found {
            Found::Record(record) => match Cells::new(&header, &record, key_type).and_then(|cells| R::read(&cells)) {
                Ok(row) => {
                    rows.push(row);
                    lines.push(record.line);
                    bytes += record.bytes();
                }
                Err(Fault { column, reason }) => {
                    feeder.reject(Reject::new(&shared, record.line, column, reason, record.raw))?;
                }
            },
            Found::Unreadable(Unreadable { line, field, reason, raw }) => {
                let column = field.and_then(|field| header.names().get(field).map(String::as_str));
                feeder.reject(Reject::new(&shared, line, column, reason.to_owned(), raw))?;
            }
        }
        if rows.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
            let capacity = rows.len();
            let full = std::mem::replace(&mut rows, Vec::with_capacity(capacity));
            feeder.send_lines(R::batch(full), std::mem::take(&mut lines))?;
            bytes = 0;
        }
    }
    if !rows.is_empty() {
        feeder.send_lines(R::batch(rows), lines)?;
    }
    Ok(Counted { rows: count, unknown_columns: header.into_unknown() })
}

/// The type of the first key that can be read.
pub(super) fn first_key_type<R: TableRow>(file: &str, source: impl Read) -> Result<Option<KeyType>, ImportError> {
    let mut records = RecordReader::new(source);
    let header = read_header::<R>(file, &mut records)?;
    let Some(id) = header.field(&R::ID) else { return Ok(None) };
    for _ in 0..LOOKED_AT {
        match next(file, &mut records)? {
            None => break,
            Some(Found::Record(record)) if record.len() == header.names().len() => {
                if let Some(key) = field::key(record.field(id)) {
                    return Ok(Some(key.key_type()));
                }
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

fn read_header<R: TableRow>(file: &str, records: &mut RecordReader<impl Read>) -> Result<Header, ImportError> {
    match next(file, records)? {
        None => Err(ImportError::Empty { file: file.to_owned(), accepted: accepted(R::COLUMNS) }),
        Some(Found::Record(record)) => Header::read(file, R::COLUMNS, &columns::TABLES, &record),
        Some(Found::Unreadable(unreadable)) => Err(ImportError::Header {
            file: file.to_owned(),
            reason: format!("cannot be read: {}", unreadable.reason),
            accepted: accepted(R::COLUMNS),
        }),
    }
}

fn next<'a>(file: &str, records: &'a mut RecordReader<impl Read>) -> Result<Option<Found<'a>>, ImportError> {
    records.next().map_err(|source| ImportError::Read { file: file.to_owned(), source })
}

/// A record seen as the columns of its table. A column that the file does not have is empty.
pub(super) struct Cells<'a> {
    header: &'a Header,
    record: &'a Record<'a>,
    key_type: KeyType,
}

impl<'a> Cells<'a> {
    fn new(header: &'a Header, record: &'a Record<'a>, key_type: KeyType) -> Result<Self, Fault> {
        let (found, needed) = (record.len(), header.names().len());
        if found != needed {
            let reason = format!("the record has {found} fields; accepted: {needed}, as many as the header");
            return Err(Fault { column: None, reason });
        }
        Ok(Self { header, record, key_type })
    }

    fn bytes(&self, column: &Column) -> &'a [u8] {
        self.header.field(column).map_or(&[], |field| self.record.field(field))
    }

    /// `None` if the cell is empty.
    fn filled<T>(
        &self,
        column: &Column,
        read: impl FnOnce(&[u8]) -> Option<T>,
        wording: impl FnOnce() -> String,
    ) -> Result<Option<T>, Fault> {
        let bytes = self.bytes(column);
        if bytes.is_empty() {
            return Ok(None);
        }
        match read(bytes) {
            Some(value) => Ok(Some(value)),
            None => Err(Fault { column: Some(column.name), reason: format!("{} is not {}", shown(bytes), wording()) }),
        }
    }

    fn key(&self, column: &Column) -> Result<Option<Key>, Fault> {
        let bytes = self.bytes(column);
        if bytes.is_empty() {
            return Ok(None);
        }
        field::key_of(bytes, self.key_type).map(Some).ok_or_else(|| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let error = match field::key(bytes) {
                Some(_) => KeyError::OtherType { text: crate::key::clip(&text), expected: self.key_type },
                None => KeyError::Unreadable(crate::key::clip(&text)),
            };
            Fault { column: Some(column.name), reason: error.to_string() }
        })
    }

    fn instant(&self, column: &Column) -> Result<Option<Timestamp>, Fault> {
        self.filled(column, field::instant, || format!("an instant; accepted: {INSTANTS}"))
    }

    fn truth(&self, column: &Column) -> Result<Option<bool>, Fault> {
        self.filled(column, field::truth, || "a truth value; accepted: t, f, true, false, 1, 0".to_owned())
    }

    fn i32(&self, column: &Column) -> Result<Option<i32>, Fault> {
        let wording = || format!("an integer of the column; accepted: {} to {}", i32::MIN, i32::MAX);
        self.filled(column, |bytes| field::integer(bytes)?.try_into().ok(), wording)
    }

    fn i16(&self, column: &Column) -> Result<Option<i16>, Fault> {
        let wording = || format!("an integer of the column; accepted: {} to {}", i16::MIN, i16::MAX);
        self.filled(column, |bytes| field::integer(bytes)?.try_into().ok(), wording)
    }

    fn hundredths(&self, column: &Column) -> Result<Option<i16>, Fault> {
        let wording = || "a decimal of the column; accepted: -9.99 to 9.99 with at most two decimals".to_owned();
        self.filled(column, field::hundredths, wording)
    }

    fn zone(&self, column: &Column) -> Result<Option<String>, Fault> {
        let Some(text) = self.optional_text(column)? else { return Ok(None) };
        match Zone::new(&text) {
            Ok(zone) => Ok(Some(zone.name().to_owned())),
            Err(error) => Err(Fault { column: Some(column.name), reason: error.to_string() }),
        }
    }

    fn text(&self, column: &Column) -> Result<String, Fault> {
        let bytes = self.bytes(column);
        let fault = |reason: String| Fault { column: Some(column.name), reason };
        if bytes.is_empty() {
            return Ok(String::new());
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            fault(format!("the text is not UTF-8 from its byte {} on; accepted: UTF-8", error.valid_up_to() + 1))
        })?;
        if bytes.contains(&0) {
            return Err(fault(
                "the text holds a NUL, which databases do not store; accepted: any other character".to_owned(),
            ));
        }
        Ok(text.to_owned())
    }

    fn optional_text(&self, column: &Column) -> Result<Option<String>, Fault> {
        self.text(column).map(|text| Some(text).filter(|text| !text.is_empty()))
    }
}

/// A value that the column cannot do without.
fn needed<T>(column: &Column, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault { column: Some(column.name), reason: "is empty; a value is needed".to_owned() })
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", crate::key::clip(&String::from_utf8_lossy(bytes)))
}
