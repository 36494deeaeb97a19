//! Rows that could not be stored: counted, the first ones kept, all of them written to a file if asked for.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::key::UserId;

/// How many rejects are kept for display.
const KEPT: usize = 10;
/// Most bytes of a rejected record that are repeated.
const SHOWN_BYTES: usize = 4096;

/// A row, or a statement, that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Name of the file.
    pub file: Arc<str>,
    /// Line on which the record begins, from 1; 0 = a row that was made of several records.
    pub line: u64,
    /// The column, or the field of a statement, that is wrong; `None` if the record as a whole is.
    pub column: Option<String>,
    /// What is wrong, and what is accepted.
    pub reason: String,
    /// The record as it stands in the file: at most its first 4 KiB, and what is not UTF-8 replaced. Empty
    /// if it is about a learner who was erased.
    pub record: String,
}

impl Reject {
    /// A reject of a raw record.
    pub(super) fn new(file: &Arc<str>, line: u64, column: Option<&str>, reason: String, raw: &[u8]) -> Self {
        let mut shown = &raw[..raw.len().min(SHOWN_BYTES)];
        if shown.len() < raw.len() {
            // do not cut a character in two: a replacement sign would suggest that the file is broken
            let whole = |bytes: &[u8]| bytes.utf8_chunks().last().is_none_or(|last| last.invalid().is_empty());
            shown = (0..4).map(|cut| &shown[..shown.len() - cut]).find(|bytes| whole(bytes)).unwrap_or(shown);
        }
        let record = String::from_utf8_lossy(shown).into_owned();
        Self { file: Arc::clone(file), line, column: column.map(str::to_owned), reason, record }
    }

    /// A reject of a row about a learner who was erased; the record is not repeated.
    pub(super) fn of_erased(file: &Arc<str>, line: u64, learner: UserId) -> Self {
        let reason = format!("learner {learner} was erased; accepted: rows about others");
        Self { file: Arc::clone(file), line, column: None, reason, record: String::new() }
    }
}

/// `sessions.csv:12: column focus_score: "x" is not …`, without the record: it may hold personal data.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(column) = &self.column {
            write!(f, "{column}: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Where rejects go. One sink serves the imports of several files.
#[derive(Default)]
pub struct Rejects {
    count: u64,
    first: Vec<Reject>,
    file: Option<Box<dyn Write + Send>>,
}

impl fmt::Debug for Rejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejects").field("count", &self.count).field("first", &self.first).finish_non_exhaustive()
    }
}

impl Rejects {
    /// Counts rejects and keeps the first ten.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also writes every reject as CSV: `file,line,column,reason,record`. Wrap files in a `BufWriter`.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn to_file(mut file: impl Write + Send + 'static) -> io::Result<Self> {
        file.write_all(b"file,line,column,reason,record\n")?;
        Ok(Self { file: Some(Box::new(file)), ..Self::default() })
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first ten.
    #[must_use]
    pub fn first(&self) -> &[Reject] {
        &self.first
    }

    /// Writes out what is buffered; call it when all imports are done.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    pub(super) fn add(&mut self, reject: Reject) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let column = reject.column.as_deref().unwrap_or_default();
            writeln!(
                file,
                "{},{},{},{},{}",
                Quoted(&reject.file),
                reject.line,
                Quoted(column),
                Quoted(&reject.reason),
                Quoted(&reject.record)
            )?;
        }
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(reject);
        }
        Ok(())
    }
}

/// A CSV field, quoted where it must be.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(['"', ',', '\n', '\r']) {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        } else {
            f.write_str(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reject(line: u64, raw: &[u8]) -> Reject {
        Reject::new(&Arc::from("a.csv"), line, Some("id"), "\"x\" is no id".to_owned(), raw)
    }

    #[test]
    fn the_file_of_rejects_is_csv_again() {
        let file = Shared::default();
        let mut rejects = Rejects::to_file(file.clone()).unwrap();

        rejects.add(reject(7, b"x,\"two\nlines\"")).unwrap();
        rejects.finish().unwrap();

        let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "file,line,column,reason,record\na.csv,7,id,\"\"\"x\"\" is no id\",\"x,\"\"two\nlines\"\"\"\n"
        );
    }

    #[test]
    fn only_the_first_ten_are_kept() {
        let mut rejects = Rejects::new();
        for line in 0..25 {
            rejects.add(reject(line, b"x")).unwrap();
        }

        assert_eq!((rejects.count(), rejects.first().len()), (25, 10));
        assert_eq!(rejects.first()[9].to_string(), "a.csv:9: id: \"x\" is no id");
    }

    #[test]
    fn a_long_record_is_clipped_between_characters() {
        let raw = format!("x{}", "🦀".repeat(5000));

        let shown = reject(1, raw.as_bytes()).record;

        assert!(shown.len() <= 4096 && raw.starts_with(&shown), "{}", shown.len());
    }
}
