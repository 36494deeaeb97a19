//! CSV records (RFC 4180) one after another, in bounded memory whatever the file holds.
//!
//! Most lines hold no quote: they are split where they lie in the buffer, some three times as fast as the state machine of
//! csv-core, which reads all others. A test holds the two against each other.

use std::io::{self, Read};
use std::ops::Range;

use csv_core::ReadRecordResult;

/// Longest record that is read, in bytes of its fields.
pub(super) const RECORD_BYTES: usize = 4 << 20;
/// Longest field that is read.
pub(super) const FIELD_BYTES: usize = 1 << 20;
/// Most fields of a record.
const FIELDS: usize = 4096;
/// Bytes read at once; a line that fits is split where it lies.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of a record that are kept as they stood, to be shown.
const RAW_BYTES: usize = 4097;

/// Reads records.
pub(super) struct RecordReader<R> {
    source: R,
    buffer: Vec<u8>,
    unread: Range<usize>,
    exhausted: bool,
    begun: bool,
    /// Line of the first unread byte.
    line: u64,
    machine: csv_core::Reader,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    fields: Vec<Range<u32>>,
    raw: Vec<u8>,
}

/// What stands at a place where a record should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Record(Record<'a>),
    Unreadable(Unreadable<'a>),
}

/// The fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Line on which the record begins, from 1.
    pub(super) line: u64,
    /// The beginning of the record as it stands in the file.
    pub(super) raw: &'a [u8],
    content: &'a [u8],
    fields: &'a [Range<u32>],
}

impl<'a> Record<'a> {
    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The content of a field, quotes removed.
    ///
    /// # Panics
    /// If there is no such field.
    pub(super) fn field(&self, number: usize) -> &'a [u8] {
        let Range { start, end } = self.fields[number];
        &self.content[start as usize..end as usize]
    }

    /// Bytes of all fields.
    pub(super) fn bytes(&self) -> usize {
        self.content.len()
    }
}

/// Bytes that are no record we can read; reading goes on behind them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable<'a> {
    /// Line on which it begins, from 1.
    pub(super) line: u64,
    /// The field to blame, if it is one.
    pub(super) field: Option<usize>,
    /// What is wrong, and what is accepted.
    pub(super) reason: &'static str,
    /// Its beginning.
    pub(super) raw: &'a [u8],
}

const TOO_LONG: &str =
    "the record is longer than 4 MiB, or a quote in it is never closed; accepted: records of up to 4 MiB";
const TOO_MANY: &str = "the record has more than 4,096 fields";
const FIELD_TOO_LONG: &str = "the field is longer than 1 MiB; accepted: up to 1 MiB";
const NOT_CLOSED: &str = "the file ends inside a quoted field; accepted: a quote that is opened is closed";

impl<R: Read> RecordReader<R> {
    pub(super) fn new(source: R) -> Self {
        let mut machine = csv_core::Reader::new();
        // it strips a byte order mark from the first bytes it sees, which need not be those of the file
        let _ = machine.read_record(b"\n", &mut [0; 8], &mut [0; 8]);
        Self {
            source,
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            exhausted: false,
            begun: false,
            line: 1,
            machine,
            unquoted: vec![0; 64 * 1024],
            ends: vec![0; 64],
            fields: Vec::new(),
            raw: Vec::new(),
        }
    }

    /// The next record; `None` at the end of the file. Lines with nothing on them are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        if !self.skip_line_ends()? {
            return Ok(None);
        }
        let line = self.line;
        if let Some(content) = self.split_line()? {
            let content = &self.buffer[content];
            let raw = &content[..content.len().min(RAW_BYTES)];
            return Ok(Some(Found::Record(Record { line, raw, content, fields: &self.fields })));
        }

        let unreadable = |field, reason| Found::Unreadable(Unreadable { line, field, reason, raw: &[] });
        let mut found = match self.run_machine()? {
            Err(reason) => unreadable(None, reason),
            Ok(content) => match self.fields.iter().position(|field| field.len() > FIELD_BYTES) {
                Some(field) => unreadable(Some(field), FIELD_TOO_LONG),
                None => {
                    Found::Record(Record { line, raw: &[], content: &self.unquoted[..content], fields: &self.fields })
                }
            },
        };
        let (Found::Record(Record { raw, .. }) | Found::Unreadable(Unreadable { raw, .. })) = &mut found;
        *raw = &self.raw;
        Ok(Some(found))
    }

    /// Reads until the buffer is full or the source is exhausted; whether there is anything new.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let before = self.unread.end;
        while !self.exhausted && self.unread.end < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.unread.end..]) {
                Ok(0) => self.exhausted = true,
                Ok(count) => self.unread.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.begun {
            self.begun = true;
            if self.buffer[..self.unread.end].starts_with("\u{feff}".as_bytes()) {
                self.unread.start = "\u{feff}".len();
            }
        }
        Ok(self.unread.end > before)
    }

    /// Whether there is a byte after line ends are passed over.
    fn skip_line_ends(&mut self) -> io::Result<bool> {
        loop {
            let Some(&byte) = self.buffer[self.unread.clone()].first() else {
                if self.fill()? {
                    continue;
                }
                return Ok(false);
            };
            match byte {
                b'\n' => self.line += 1,
                b'\r' => {}
                _ => return Ok(true),
            }
            self.unread.start += 1;
        }
    }

    /// Splits a line without a quote where it lies; `None`, and nothing read, if it is not such a line.
    fn split_line(&mut self) -> io::Result<Option<Range<usize>>> {
        loop {
            match self.scan_line() {
                Scan::Line { content, next } => {
                    let start = self.unread.start;
                    self.unread.start = next;
                    self.line += 1;
                    return Ok(Some(start..start + content));
                }
                Scan::Other => return Ok(None),
                // only a full buffer, or a file without a last line end, is read no further
                Scan::NoEnd if self.unread.len() == self.buffer.len() || !self.fill()? => return Ok(None),
                Scan::NoEnd => {}
            }
        }
    }

    fn scan_line(&mut self) -> Scan {
        let bytes = &self.buffer[self.unread.clone()];
        self.fields.clear();
        let mut begin = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            // comma, quote, carriage return and line feed; everything else is above
            if byte > b',' {
                continue;
            }
            match byte {
                b',' => {
                    self.fields.push(begin..at as u32);
                    begin = at as u32 + 1;
                }
                b'\n' | b'\r' => {
                    let ending = match (byte, bytes.get(at + 1)) {
                        (b'\n', _) => 1,
                        (_, Some(b'\n')) => 2,
                        (_, Some(_)) => return Scan::Other,
                        (_, None) => return Scan::NoEnd,
                    };
                    self.fields.push(begin..at as u32);
                    if self.fields.len() > FIELDS {
                        return Scan::Other;
                    }
                    return Scan::Line { content: at, next: self.unread.start + at + ending };
                }
                b'"' => return Scan::Other,
                _ => {}
            }
        }
        Scan::NoEnd
    }

    /// Reads any record; the length of its content in `unquoted`, or why it was passed over.
    fn run_machine(&mut self) -> io::Result<Result<usize, &'static str>> {
        self.raw.clear();
        let (mut content, mut count) = (0, 0);
        let mut refused = None;
        loop {
            let at_end = self.unread.is_empty() && !self.fill()?;
            // a line end at the end of the file completes the last record, unless a quote is open
            let input = if at_end { b"\n".as_slice() } else { &self.buffer[self.unread.clone()] };
            let (result, read, written, ended) =
                self.machine.read_record(input, &mut self.unquoted[content..], &mut self.ends[count..]);
            if !at_end {
                let consumed = &input[..read];
                self.line += consumed.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.raw.extend_from_slice(&consumed[..consumed.len().min(RAW_BYTES - self.raw.len())]);
                self.unread.start += read;
            }
            if refused.is_none() {
                content += written;
                count += ended;
            }
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::InputEmpty if at_end => {
                    self.machine.reset();
                    return Ok(Err(refused.unwrap_or(NOT_CLOSED)));
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.unquoted.len() < RECORD_BYTES => {
                    self.unquoted.resize((self.unquoted.len() * 2).min(RECORD_BYTES), 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < FIELDS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull => {
                    refused.get_or_insert(TOO_LONG);
                    (content, count) = (0, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    refused.get_or_insert(TOO_MANY);
                    (content, count) = (0, 0);
                }
                ReadRecordResult::End => return Ok(Err(NOT_CLOSED)),
            }
        }
        if let Some(reason) = refused {
            return Ok(Err(reason));
        }
        self.fields.clear();
        let mut begin = 0;
        for &end in &self.ends[..count] {
            self.fields.push(begin..end as u32);
            begin = end as u32;
        }
        while self.raw.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.raw.pop();
        }
        Ok(Ok(content))
    }
}

enum Scan {
    /// A line of so many bytes, and where the next one begins.
    Line { content: usize, next: usize },
    /// A line that needs the state machine.
    Other,
    /// The bytes end before the line does.
    NoEnd,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, Result<Vec<String>, &'static str>);

    fn read_all(source: impl Read) -> Vec<Owned> {
        let mut reader = RecordReader::new(source);
        let mut all = Vec::new();
        while let Some(found) = reader.next().unwrap() {
            all.push(match found {
                Found::Record(record) => {
                    let text = |number| String::from_utf8_lossy(record.field(number)).into_owned();
                    (record.line, Ok((0..record.len()).map(text).collect()))
                }
                Found::Unreadable(unreadable) => (unreadable.line, Err(unreadable.reason)),
            });
        }
        assert!(reader.unquoted.len() <= RECORD_BYTES && reader.buffer.len() == BUFFER_BYTES);
        assert!(reader.raw.capacity() <= 4 * RAW_BYTES && reader.ends.len() <= FIELDS);
        all
    }

    fn record(line: u64, fields: &[&str]) -> Owned {
        (line, Ok(fields.iter().map(ToString::to_string).collect()))
    }

    /// Gives a few bytes at a time, so that every record meets the end of a read.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn quotes_line_ends_and_blank_lines_are_those_of_rfc_4180() {
        let text = "\u{feff}a,b\r\n1,\"x,\"\"y\"\"\r\nz\"\r\n\r\n,\n\"q\",2";

        assert_eq!(
            read_all(text.as_bytes()),
            [record(1, &["a", "b"]), record(2, &["1", "x,\"y\"\r\nz"]), record(5, &["", ""]), record(6, &["q", "2"])]
        );
    }

    #[test]
    fn a_byte_order_mark_is_one_only_at_the_beginning() {
        assert_eq!(
            read_all("\u{feff}\"a\"\n\u{feff}\"b\"\n".as_bytes()),
            [record(1, &["a"]), record(2, &["\u{feff}\"b\""])]
        );
    }

    #[test]
    fn an_unclosed_quote_is_reported_on_the_line_it_began() {
        assert_eq!(read_all("a\nb,\"c\nd\n".as_bytes()), [record(1, &["a"]), (2, Err(NOT_CLOSED))]);
        assert_eq!(read_all("\"".as_bytes()), [(1, Err(NOT_CLOSED))]);
    }

    #[test]
    fn an_unclosed_quote_swallows_a_large_file_in_bounded_memory() {
        let lines = io::repeat(b'\n').take(12 << 20);

        let all = read_all("id\n1,\"".as_bytes().chain(lines));

        assert_eq!(all, [record(1, &["id"]), (2, Err(TOO_LONG))]);
    }

    #[test]
    fn a_field_or_record_that_is_too_long_is_passed_over() {
        for (length, reason) in [((1 << 20) + 1, FIELD_TOO_LONG), (10 << 20, TOO_LONG)] {
            for quote in ["", "\""] {
                let text = format!("a,b\n1,{quote}{}{quote}\n2,c\n", "x".repeat(length));

                assert_eq!(
                    read_all(text.as_bytes()),
                    [record(1, &["a", "b"]), (2, Err(reason)), record(3, &["2", "c"])]
                );
            }
        }
        let longest = "x".repeat(FIELD_BYTES);
        assert_eq!(read_all(longest.as_bytes()), [record(1, &[&longest])]);
    }

    #[test]
    fn a_record_of_too_many_fields_is_passed_over() {
        for quote in ["", "\"\""] {
            let text = format!("{quote}{}\nb\n", ",".repeat(FIELDS));

            assert_eq!(read_all(text.as_bytes()), [(1, Err(TOO_MANY)), record(2, &["b"])]);
        }
    }

    /// csv-core alone, as the slow and obvious model.
    fn model(mut input: &[u8]) -> Vec<Vec<String>> {
        let mut machine = csv_core::Reader::new();
        let _ = machine.read_record(b"\n", &mut [0; 8], &mut [0; 8]);
        let (mut output, mut ends) = (vec![0; 1 << 16], vec![0; 1 << 12]);
        let mut all = Vec::new();
        let (mut content, mut count) = (0, 0);
        loop {
            let (result, read, written, ended) = machine.read_record(input, &mut output[content..], &mut ends[count..]);
            input = &input[read..];
            content += written;
            count += ended;
            match result {
                ReadRecordResult::End => return all,
                ReadRecordResult::Record => {
                    let mut begin = 0;
                    let mut take =
                        |end| String::from_utf8_lossy(&output[std::mem::replace(&mut begin, end)..end]).into_owned();
                    all.push(ends[..count].iter().map(|&end| take(end)).collect());
                    (content, count) = (0, 0);
                }
                _ => {}
            }
        }
    }

    fn csv_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b",".to_vec()),
            3 => Just(b"\n".to_vec()),
            1 => Just(b"\r\n".to_vec()),
            1 => Just(b"\r".to_vec()),
            2 => Just(b"\"".to_vec()),
            1 => Just("é🦀".as_bytes().to_vec()),
            4 => "[a-z0-9 ]{1,6}".prop_map(String::into_bytes),
            1 => any::<Vec<u8>>(),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_csv_core_reads_them(bytes in csv_like(), at_once in 1usize..40) {
            let read = read_all(Dripping(&bytes, at_once));
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);

            // an open quote at the end is an error here and a field there
            let mut expected = model(bytes);
            if read.last().is_some_and(|(_, fields)| fields.is_err()) {
                expected.pop();
            }
            let records: Vec<_> = read.iter().filter_map(|(_, fields)| fields.clone().ok()).collect();
            prop_assert_eq!(records, expected);
        }

        #[test]
        fn lines_are_counted_by_line_feeds(bytes in csv_like()) {
            let mut before = 0;
            for (line, _) in read_all(bytes.as_slice()) {
                prop_assert!(line >= before.max(1));
                before = line;
            }
            prop_assert!(before <= 1 + bytes.iter().filter(|&&byte| byte == b'\n').count() as u64);
        }
    }
}
