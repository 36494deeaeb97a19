//! The first line of a CSV file: which field of a record is which column.

use super::ImportError;
use super::record::Record;

/// Most columns a table has here.
const COLUMNS: usize = 24;
/// Most names that one message repeats.
const NAMED: usize = 5;

/// A column of a table, as files name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its place among the columns of the table.
    pub(super) number: usize,
    /// Our name.
    pub(super) name: &'static str,
    /// The platform's name, where it differs.
    also: Option<&'static str>,
    required: bool,
}

impl Column {
    /// A column that every file has.
    pub(super) const fn required(number: usize, name: &'static str) -> Self {
        Self { number, name, also: None, required: true }
    }

    /// A column that files may leave out.
    pub(super) const fn optional(number: usize, name: &'static str) -> Self {
        Self { number, name, also: None, required: false }
    }

    /// The same column under two names.
    pub(super) const fn also(self, name: &'static str) -> Self {
        Self { also: Some(name), ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.also == Some(name)
    }
}

/// Where the columns of a table are in the records of one file.
#[derive(Debug)]
pub(super) struct Header {
    fields: [Option<usize>; COLUMNS],
    names: Vec<String>,
    unknown: Vec<String>,
}

impl Header {
    /// Finds the columns of a table. Others are passed over: a platform's further columns are in its exports, too. But a
    /// file that fits another of `tables` better was given for the wrong one.
    pub(super) fn read(
        file: &str,
        columns: &'static [Column],
        tables: &[(&str, &'static [Column])],
        record: &Record<'_>,
    ) -> Result<Self, ImportError> {
        let refuse =
            |reason: String| ImportError::Header { file: file.to_owned(), reason, accepted: accepted(columns) };
        let names = Vec::with_capacity(record.len());
        let mut header = Self { fields: [None; COLUMNS], names, unknown: Vec::new() };
        let (mut unknown, mut doubled) = (Vec::new(), Vec::new());
        for field in 0..record.len() {
            let name = std::str::from_utf8(record.field(field))
                .map_err(|_| refuse("is not UTF-8 text; other encodings are not read".to_owned()))?;
            match columns.iter().find(|column| column.is_called(name)) {
                None => {
                    if !unknown.contains(&name) {
                        unknown.push(name);
                    }
                    header.names.push(crate::key::clip(name));
                }
                Some(column) => {
                    if header.fields[column.number].replace(field).is_some() {
                        doubled.push(name);
                    }
                    header.names.push(column.name.to_owned());
                }
            }
        }
        let missing: Vec<&str> = columns
            .iter()
            .filter(|column| column.required && header.fields[column.number].is_none())
            .map(|column| column.name)
            .collect();
        if doubled.is_empty() && missing.is_empty() {
            if let Some(reason) = fits_better(tables, columns, record) {
                return Err(refuse(reason));
            }
            header.unknown = unknown.into_iter().map(crate::key::clip).collect();
            return Ok(header);
        }
        // a needed column is often missing because it is called something else
        let faults =
            [(unknown, "names the unknown column"), (doubled, "names twice the column"), (missing, "lacks the column")];
        let mut reasons: Vec<String> = faults.iter().filter_map(|(names, what)| said(what, names)).collect();
        if record.len() == 1 && record.field(0).iter().any(|byte| matches!(byte, b';' | b'\t')) {
            reasons.push("separates its names with something else than commas".to_owned());
        }
        Err(refuse(reasons.join(" and ")))
    }

    /// Which field of a record a column is; `None` if the file does not have it.
    pub(super) fn field(&self, column: &Column) -> Option<usize> {
        self.fields[column.number]
    }

    /// Our names of the columns, and the file's of those we do not know, in the order of the fields.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns that are passed over.
    pub(super) fn into_unknown(self) -> Vec<String> {
        self.unknown
    }
}

/// `id (or uuid), email, [last_login]`: the columns that a file may have, the optional ones in brackets.
pub(super) fn accepted(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| {
        let also = column.also.map(|name| format!(" (or {name})")).unwrap_or_default();
        if column.required { format!("{}{also}", column.name) } else { format!("[{}{also}]", column.name) }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Why a file is one of another table, if it has what that needs and names more of its columns than of ours.
fn fits_better(tables: &[(&str, &[Column])], ours: &[Column], record: &Record<'_>) -> Option<String> {
    let is_named = |column: &Column| {
        (0..record.len()).any(|field| std::str::from_utf8(record.field(field)).is_ok_and(|name| column.is_called(name)))
    };
    let count = |columns: &[Column]| columns.iter().filter(|column| is_named(column)).count();
    let fits = |columns: &[Column]| columns.iter().all(|column| !column.required || is_named(column));
    let own = count(ours);
    let (table, theirs) = tables.iter().find(|(_, columns)| count(columns) > own && fits(columns))?;
    Some(format!("is one of {table}: it names {} columns of that table and {own} of this one", count(theirs)))
}

fn said(what: &str, names: &[&str]) -> Option<String> {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("{:?}", crate::key::clip(name))).collect();
    let plural = if names.len() > 1 { "s" } else { "" };
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    (!names.is_empty()).then(|| format!("{what}{plural} {}{more}", shown.join(", ")))
}
