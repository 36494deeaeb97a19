//! The JSON values of a file, one after another: the elements of an array, or one value a line.
//!
//! Only where a value ends is decided here, so that an array of any size is read in bounded memory and one broken
//! statement does not take the others with it. What a value says is read later, from its own bytes.

use std::io::{self, BufRead, BufReader, Read};

/// Longest value that is read.
pub(super) const VALUE_BYTES: usize = 4 << 20;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Reads values.
pub(super) struct Elements<R> {
    source: BufReader<R>,
    shape: Option<Shape>,
    /// Line of the next byte.
    line: u64,
    value: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Lines,
    Array,
    Ended,
}

/// A stretch of the file that is a value, or would be one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Line on which it begins, from 1.
    pub(super) line: u64,
    /// Its bytes; only the beginning if it is broken.
    pub(super) bytes: &'a [u8],
    /// Why it cannot be read, if that is known already.
    pub(super) broken: Option<&'static str>,
}

const TOO_LONG: &str = "the statement is longer than 4 MiB; accepted: up to 4 MiB";
const CUT_OFF: &str = "the file ends inside the array; accepted: a JSON array that is closed, or one statement a line";
const BEHIND: &str = "there is something behind the array; accepted: one JSON array, or one statement a line";

impl<R: Read> Elements<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source: BufReader::with_capacity(BUFFER_BYTES, source), shape: None, line: 1, value: Vec::new() }
    }

    /// The next value; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Element<'_>>> {
        let shape = match self.shape {
            Some(shape) => shape,
            None => self.look()?,
        };
        let Some(first) = self.skip(|byte| byte.is_ascii_whitespace() || (shape == Shape::Array && byte == b','))?
        else {
            let cut_off = shape == Shape::Array;
            self.shape = Some(Shape::Ended);
            self.value.clear();
            return Ok(cut_off.then_some(Element { line: self.line, bytes: &self.value, broken: Some(CUT_OFF) }));
        };
        let line = self.line;
        let broken = match shape {
            Shape::Ended => return Ok(None),
            Shape::Lines => self.take(&mut LineScan)?.then_some(TOO_LONG),
            Shape::Array if first == b']' => {
                self.source.consume(1);
                self.shape = Some(Shape::Ended);
                self.value.clear();
                let behind = self.skip(|byte| byte.is_ascii_whitespace())?.is_some();
                return Ok(behind.then_some(Element { line: self.line, bytes: &self.value, broken: Some(BEHIND) }));
            }
            Shape::Array => {
                let mut scan = ValueScan::default();
                let too_long = self.take(&mut scan)?;
                let cut_off = !scan.ended && self.source.fill_buf()?.is_empty();
                if cut_off {
                    self.shape = Some(Shape::Ended);
                }
                if cut_off { Some(CUT_OFF) } else { too_long.then_some(TOO_LONG) }
            }
        };
        Ok(Some(Element { line, bytes: &self.value, broken }))
    }

    /// Whether the file is an array, from its first byte that says something.
    fn look(&mut self) -> io::Result<Shape> {
        if self.source.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.source.consume("\u{feff}".len());
        }
        let shape = match self.skip(|byte| byte.is_ascii_whitespace())? {
            Some(b'[') => {
                self.source.consume(1);
                Shape::Array
            }
            _ => Shape::Lines,
        };
        self.shape = Some(shape);
        Ok(shape)
    }

    /// Passes bytes over; the first one that is not passed over.
    fn skip(&mut self, passes: impl Fn(u8) -> bool) -> io::Result<Option<u8>> {
        loop {
            let chunk = self.source.fill_buf()?;
            let passed = chunk.iter().position(|&byte| !passes(byte)).unwrap_or(chunk.len());
            self.line += line_feeds(&chunk[..passed]);
            let first = chunk.get(passed).copied();
            let ended = chunk.is_empty();
            self.source.consume(passed);
            if first.is_some() || ended {
                return Ok(first);
            }
        }
    }

    /// Takes the bytes of one value; whether it was too long to keep.
    fn take(&mut self, scan: &mut impl Scan) -> io::Result<bool> {
        self.value.clear();
        let mut too_long = false;
        loop {
            let chunk = self.source.fill_buf()?;
            let end = scan.end(chunk);
            let taken = &chunk[..end.unwrap_or(chunk.len())];
            self.line += line_feeds(taken);
            let room = VALUE_BYTES - self.value.len();
            too_long |= taken.len() > room;
            self.value.extend_from_slice(&taken[..taken.len().min(room)]);
            let (taken, ended) = (taken.len(), end.is_some() || chunk.is_empty());
            self.source.consume(taken);
            if ended {
                return Ok(too_long);
            }
        }
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Finds where a value ends, over several chunks.
trait Scan {
    /// How many bytes of the chunk still belong to the value, if it ends there.
    fn end(&mut self, chunk: &[u8]) -> Option<usize>;
}

struct LineScan;

impl Scan for LineScan {
    fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        chunk.iter().position(|&byte| byte == b'\n')
    }
}

#[derive(Default)]
struct ValueScan {
    depth: u64,
    in_text: bool,
    escaped: bool,
    ended: bool,
}

impl Scan for ValueScan {
    fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let end = chunk.iter().enumerate().find_map(|(at, &byte)| self.step(byte).map(|included| at + included));
        self.ended = end.is_some();
        end
    }
}

impl ValueScan {
    /// Whether the value ends with this byte (1) or before it (0).
    fn step(&mut self, byte: u8) -> Option<usize> {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_text = false;
                    return (self.depth == 0).then_some(1);
                }
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b']' | b',' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return Some(0),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return (self.depth == 0).then_some(1);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(source: impl Read) -> Vec<(u64, Result<String, &'static str>)> {
        let mut elements = Elements::new(source);
        let mut all = Vec::new();
        while let Some(Element { line, bytes, broken }) = elements.next().unwrap() {
            let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
            all.push((line, broken.map_or(Ok(text), Err)));
        }
        assert!(elements.value.capacity() <= 2 * VALUE_BYTES);
        all
    }

    fn ok(line: u64, text: &str) -> (u64, Result<String, &'static str>) {
        (line, Ok(text.to_owned()))
    }

    #[test]
    fn an_array_and_lines_give_the_same_values() {
        let array = "\u{feff}\n[{\"a\": \"]}\\\"\"},\n [1, {\"b\": []}], 5,\"x,\"\n]\n";
        let lines = "{\"a\": \"]}\\\"\"}\r\n\n  [1, {\"b\": []}]\n5\n\"x,\"";

        assert_eq!(
            read_all(array.as_bytes()),
            [ok(2, r#"{"a": "]}\""}"#), ok(3, r#"[1, {"b": []}]"#), ok(3, "5"), ok(3, r#""x,""#)]
        );
        assert_eq!(
            read_all(lines.as_bytes()),
            [ok(1, r#"{"a": "]}\""}"#), ok(3, r#"[1, {"b": []}]"#), ok(4, "5"), ok(5, r#""x,""#)]
        );
    }

    #[test]
    fn files_without_a_value_have_none() {
        for text in ["", " \n\n", "[]", "[ ]\n", "\u{feff}"] {
            assert_eq!(read_all(text.as_bytes()), [], "{text:?}");
        }
    }

    #[test]
    fn an_array_that_is_cut_off_or_goes_on_is_reported_once() {
        assert_eq!(read_all("[1,\n2".as_bytes()), [ok(1, "1"), (2, Err(CUT_OFF))]);
        assert_eq!(read_all("[{\"a\":\"".as_bytes()), [(1, Err(CUT_OFF))]);
        assert_eq!(read_all("[1,".as_bytes()), [ok(1, "1"), (1, Err(CUT_OFF))]);
        assert_eq!(read_all("[1]\n[2]".as_bytes()), [ok(1, "1"), (2, Err(BEHIND))]);
    }

    #[test]
    fn a_value_that_is_too_long_is_passed_over_in_bounded_memory() {
        let long = || b"{\"a\": \"".chain(io::repeat(b'x').take(12 << 20));

        assert_eq!(read_all(long().chain("\"}\n2".as_bytes())), [(1, Err(TOO_LONG)), ok(2, "2")]);
        assert_eq!(read_all(b"[".chain(long()).chain("\"},\n2]".as_bytes())), [(1, Err(TOO_LONG)), ok(2, "2")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes: Vec<u8>, array: bool) {
            let start: &[u8] = if array { b"[" } else { b"" };
            read_all(start.chain(bytes.as_slice()));
        }

        #[test]
        fn values_of_an_array_are_those_that_serde_reads(texts: Vec<String>, numbers: Vec<i64>) {
            let all = serde_json::json!([texts, numbers, {"k": texts}, null, texts.first(), numbers.first()]);
            let read: Vec<serde_json::Value> = read_all(serde_json::to_string_pretty(&all).unwrap().as_bytes())
                .into_iter()
                .map(|(_, text)| serde_json::from_str(&text.unwrap()).unwrap())
                .collect();

            prop_assert_eq!(serde_json::Value::Array(read), all);
        }
    }
}
