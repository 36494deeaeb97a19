//! The YAML that the files of `deploy/` are written in: blocks of keys and items, texts, and lists on one line. What else
//! YAML knows is refused, so that a file that passes here means the same to every reader.

use std::collections::BTreeSet;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn at(&self, path: &str) -> &Self {
        path.split('.').fold(self, |value, key| value.get(key).unwrap_or_else(|| panic!("no {key} of {path}")))
    }

    pub(super) fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("{self:?} is no text") };
        text
    }

    pub(super) fn list(&self) -> &[Self] {
        let Self::List(items) = self else { panic!("{self:?} is no list") };
        items
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        let Self::Map(entries) = self else { panic!("{self:?} has no keys") };
        entries
    }

    /// All texts below, with the key under which each one lies.
    pub(super) fn texts(&self) -> Vec<(&str, &str)> {
        fn below<'a>(key: &'a str, value: &'a Yaml, found: &mut Vec<(&'a str, &'a str)>) {
            match value {
                Yaml::Text(text) => found.push((key, text)),
                Yaml::List(items) => items.iter().for_each(|item| below(key, item, found)),
                Yaml::Map(entries) => entries.iter().for_each(|(key, value)| below(key, value, found)),
            }
        }
        let mut found = Vec::new();
        below("", self, &mut found);
        found
    }
}

/// Reads a file, or says in which line it cannot be read.
pub(super) fn read(text: &str) -> Result<Yaml, String> {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().map(|(number, line)| (number + 1, line)).collect();
    let mut reader = Reader { lines, at: 0, anchors: BTreeSet::new() };
    let value = reader.block(0)?;
    match reader.next() {
        None => Ok(value),
        Some((number, line)) => Err(format!("line {number} belongs to nothing: {line}")),
    }
}

struct Reader<'a> {
    lines: Vec<(usize, &'a str)>,
    at: usize,
    anchors: BTreeSet<String>,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

impl<'a> Reader<'a> {
    /// The next line that says something.
    fn next(&mut self) -> Option<(usize, &'a str)> {
        while let Some((number, line)) = self.lines.get(self.at) {
            let said = line.trim();
            if !said.is_empty() && !said.starts_with('#') {
                return Some((*number, line));
            }
            self.at += 1;
        }
        None
    }

    /// Keys or items that begin in this column.
    fn block(&mut self, column: usize) -> Result<Yaml, String> {
        let (mut map, mut list) = (Vec::new(), Vec::new());
        while let Some((number, line)) = self.next() {
            let bad = |why: &str| Err(format!("line {number}: {why}: {line}"));
            if line.contains('\t') {
                return bad("a tab");
            }
            if indent(line) < column {
                break;
            }
            if indent(line) > column {
                return bad("indented too far");
            }
            let said = &line[column..];
            if let Some(item) = said.strip_prefix("- ") {
                if !map.is_empty() {
                    return bad("an item among keys");
                }
                list.push(self.item(column, item)?);
                continue;
            }
            let Some((key, value)) =
                said.split_once(':').filter(|(_, value)| value.is_empty() || value.starts_with(' '))
            else {
                return bad("no key");
            };
            if !list.is_empty() {
                return bad("a key among items");
            }
            if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-<".contains(&byte)) {
                return bad("a key with other letters");
            }
            if map.iter().any(|(name, _)| name == key) {
                return bad("a key for the second time");
            }
            self.at += 1;
            let value = self.value(column, number, value.trim())?;
            map.push((key.to_owned(), value));
        }
        Ok(if list.is_empty() { Yaml::Map(map) } else { Yaml::List(list) })
    }

    /// What stands behind a dash: keys that begin there, or one value.
    fn item(&mut self, column: usize, item: &'a str) -> Result<Yaml, String> {
        let (number, line) = self.lines[self.at];
        let is_map = !item.starts_with(['"', '\'', '[', '|']) && (item.contains(": ") || item.ends_with(':'));
        if !is_map {
            self.at += 1;
            return self.value(column, number, item);
        }
        // the dash is as good as two blanks
        let blanks: &'static str = "                        ";
        let shown = format!("{}{}", &blanks[..column + 2], &line[column + 2..]);
        self.lines[self.at] = (number, Box::leak(shown.into_boxed_str()));
        self.block(column + 2)
    }

    fn value(&mut self, column: usize, number: usize, value: &str) -> Result<Yaml, String> {
        let bad = |why: &str| Err(format!("line {number}: {why}: {value}"));
        match value.as_bytes().first() {
            None => self.deeper(column, number),
            Some(b'&') => {
                let (name, rest) = value[1..].split_once(' ').unwrap_or((&value[1..], ""));
                self.anchors.insert(name.to_owned());
                self.value(column, number, rest)
            }
            Some(b'*') if self.anchors.contains(&value[1..]) => Ok(Yaml::Text(value.to_owned())),
            Some(b'*') => bad("a name that nothing has"),
            Some(b'|') if value == "|" => self.text(column),
            Some(b'[') => list(value).map_or_else(|| bad("no list"), Ok),
            Some(b'{') if value == "{}" => Ok(Yaml::Map(Vec::new())),
            Some(b'{' | b'|' | b'>' | b'!' | b'%' | b'@' | b'`') => bad("a form that is not used here"),
            Some(_) => scalar(value).map_or_else(|| bad("no text"), |text| Ok(Yaml::Text(text))),
        }
    }

    fn deeper(&mut self, column: usize, number: usize) -> Result<Yaml, String> {
        match self.next() {
            Some((_, line)) if indent(line) > column => self.block(indent(line)),
            _ => Err(format!("line {number}: a key without a value")),
        }
    }

    /// Lines as they are, which lie deeper than their key.
    fn text(&mut self, column: usize) -> Result<Yaml, String> {
        let mut text = String::new();
        let Some((_, first)) = self.lines.get(self.at) else { return Err("a text without lines".to_owned()) };
        let begin = indent(first);
        if begin <= column {
            return Err(format!("a text without lines before: {first}"));
        }
        while let Some((_, line)) = self.lines.get(self.at) {
            if !line.trim().is_empty() && indent(line) < begin {
                break;
            }
            text.push_str(line.get(begin..).unwrap_or(""));
            text.push('\n');
            self.at += 1;
        }
        Ok(Yaml::Text(text))
    }
}

/// `["a", b]` on one line.
fn list(text: &str) -> Option<Yaml> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let end = match rest.as_bytes()[0] {
            quote @ (b'"' | b'\'') => rest[1..].find(char::from(quote))? + 2,
            _ => rest.find(',').unwrap_or(rest.len()),
        };
        items.push(Yaml::Text(scalar(rest[..end].trim())?));
        rest = rest[end..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(Yaml::List(items))
}

/// A text in quotes or without. Escapes are not used, apart from a doubled single quote.
fn scalar(text: &str) -> Option<String> {
    if let Some(inside) = text.strip_prefix('"') {
        return inside.strip_suffix('"').filter(|inside| !inside.contains(['"', '\\'])).map(str::to_owned);
    }
    if let Some(inside) = text.strip_prefix('\'') {
        let inside = inside.strip_suffix('\'')?.replace("''", "\u{0}");
        return (!inside.contains('\'')).then(|| inside.replace('\u{0}', "'"));
    }
    (!text.contains(": ") && !text.contains(" #") && !text.ends_with(':')).then(|| text.to_owned())
}

#[test]
fn what_is_read_is_what_was_meant() {
    let text = "# a comment\nname: 'it''s'\nlist: [\"a, b\", c, 'd e']\nitems:\n  - key: 1\n    expr: |\n      a\n      # b\n  - key: 2\n\
                plain:\n  - one\n  - \"two: 2\"\nempty: {}\nx-y: &y\n  a: b\nz:\n  <<: *y\n";

    let read = read(text).unwrap();

    let texts = |value: &Yaml| value.list().iter().map(|item| item.text().to_owned()).collect::<Vec<_>>();
    assert_eq!(read.at("name").text(), "it's");
    assert_eq!(texts(read.at("list")), ["a, b", "c", "d e"]);
    assert_eq!(texts(read.at("plain")), ["one", "two: 2"]);
    assert_eq!(read.at("items").list()[0].at("expr").text(), "a\n# b\n");
    assert_eq!(read.at("items").list()[1].at("key").text(), "2");
    assert_eq!(read.at("empty").entries().len(), 0);
    assert_eq!(read.at("x-y.a").text(), "b");
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    for text in [
        "a: 1\na: 2\n",
        "a:\n",
        "a: b: c\n",
        "a: \"x\n",
        "a: [x\n",
        "a: 1\n   b: 2\n",
        "\ta: 1\n",
        "- a\nb: 1\n",
        "a: *b\n",
        "a: >\n  x\n",
        "a: yes # no\n",
        "just words\n",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}
