//! Rust source with comments and literals told apart, as far as text rules need it.

use super::SourceFile;

/// A Rust file in two readings; offsets and lines are those of the original text.
pub(super) struct RustText {
    /// Without comments and without what stands in string and character literals.
    pub(super) code: String,
    /// Without comments.
    pub(super) with_literals: String,
    /// Line from which everything is test code; the whole file has 1.
    tests_from: Option<usize>,
}

impl RustText {
    /// Reads a file; `None` if it is not Rust.
    pub(super) fn read(file: &SourceFile) -> Option<Self> {
        if !file.path.ends_with(".rs") {
            return None;
        }
        let (code, with_literals) = mask(&file.text);
        let tests_from = if is_test_file(&file.path) { Some(1) } else { trailing_tests(&code) };
        Some(Self { code, with_literals, tests_from })
    }

    /// Whether a line, counted from one, belongs to tests.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.tests_from.is_some_and(|from| line >= from)
    }

    /// First line of test code at the end of the file.
    pub(super) fn tests_from(&self) -> Option<usize> {
        self.tests_from
    }
}

/// Whether a whole file is test code: below a `tests` directory, or a module's `tests.rs`.
pub(super) fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Line of the last `#[cfg(test)]` that stands at the margin before `mod tests {`.
fn trailing_tests(code: &str) -> Option<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let last = lines.iter().rposition(|line| line.trim_end() == "#[cfg(test)]")?;
    let follows = lines[last + 1..].iter().find(|line| !line.is_empty() && !line.starts_with("#["))?;
    (follows.starts_with("mod tests") && follows.trim_end().ends_with('{')).then_some(last + 1)
}

/// The text without comments and literals, and the text without comments. What is left out becomes
/// spaces, byte for byte.
fn mask(text: &str) -> (String, String) {
    let mut masked =
        Masked { code: String::with_capacity(text.len()), with_literals: String::with_capacity(text.len()) };
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Kind::Comment)
        } else if rest.starts_with("/*") {
            (block_comment(rest), Kind::Comment)
        } else if let Some(length) = (!after_word).then(|| raw_string(rest)).flatten() {
            (length, Kind::Literal)
        } else if first == '"' {
            (quoted(rest, '"'), Kind::Literal)
        } else if first == '\'' && is_character(rest) {
            (quoted(rest, '\''), Kind::Literal)
        } else {
            (first.len_utf8(), Kind::Code)
        };
        let (token, following) = rest.split_at(length);
        masked.push(token, kind);
        after_word = kind == Kind::Code && (first.is_alphanumeric() || first == '_');
        rest = following;
    }
    (masked.code, masked.with_literals)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Literal,
    Comment,
}

struct Masked {
    code: String,
    with_literals: String,
}

impl Masked {
    fn push(&mut self, token: &str, kind: Kind) {
        let blank = || token.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        match kind {
            Kind::Code => self.code.push_str(token),
            Kind::Literal | Kind::Comment => self.code.extend(blank()),
        }
        match kind {
            Kind::Code | Kind::Literal => self.with_literals.push_str(token),
            Kind::Comment => self.with_literals.extend(blank()),
        }
    }
}

/// Length of a block comment with those nested in it.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of a raw string that starts here, with its prefix; `None` if none does.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"')))?;
    let hashes = text[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let start = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// Length of a literal between quotes, in which a backslash takes the quote's meaning away.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether an apostrophe starts a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> RustText {
        RustText::read(&SourceFile::new(path, text)).unwrap()
    }

    #[test]
    fn comments_are_blank_in_both_readings() {
        let text = read("a.rs", "a // b\n/* c /* d */ e */ f");

        assert_eq!(text.code, "a     \n                  f");
        assert_eq!(text.with_literals, text.code);
    }

    #[test]
    fn literals_are_blank_in_one_reading() {
        let source = r##"f("a // \" b", r#"c "d" e"#, 'x', '\'', b'"') + g"##;

        let text = read("a.rs", source);

        assert_eq!(text.with_literals, source);
        assert_eq!(text.code.split_whitespace().collect::<Vec<_>>(), ["f(", ",", ",", ",", ",", "b", ")", "+", "g"]);
        assert_eq!(text.code.len(), source.len());
    }

    #[test]
    fn lifetime_is_no_character() {
        assert_eq!(read("a.rs", "fn f<'a>(x: &'a str) {}").code, "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn word_that_ends_in_r_starts_no_raw_string() {
        assert_eq!(read("a.rs", r#"attr"x" y"#).code, "attr    y");
    }

    #[test]
    fn trailing_test_module_is_test_code() {
        let text = read("a.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n");

        assert!(!text.is_test(2));
        assert!(text.is_test(3));
    }

    #[test]
    fn declaration_of_a_test_module_ends_nothing() {
        assert!(!read("a.rs", "#[cfg(test)]\nmod tests;\n\nfn f() {}\n").is_test(4));
    }

    #[test]
    fn files_of_tests_are_test_code_from_the_start() {
        assert!(read("crates/a/tests/b.rs", "").is_test(1));
        assert!(read("crates/a/src/b/tests.rs", "").is_test(1));
        assert!(!read("crates/a/src/contests.rs", "").is_test(1));
    }
}
