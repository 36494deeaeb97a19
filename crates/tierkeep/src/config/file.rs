//! The file: TOML, every key of which is known.

use std::path::Path;

use serde::Deserialize;
use tierkeep_learning::mapping::Mapping;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::log::FILTER;
use super::setting::{Given, settings};
use super::{ConfigError, Loaded, Origin};

/// Reads the file's text into `loaded`.
pub(super) fn read(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), ConfigError> {
    let lines = Lines { path, text };
    let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        place: lines.place(error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    })?;
    for (name, value) in document.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("mapping", DeValue::Table(_)) => read_mapping(loaded, &lines, text, name)?,
            (section, DeValue::Table(keys)) => read_section(loaded, &lines, section, name, keys)?,
            // what most want to say of the log, without a section
            ("log", _) => read_key(loaded, &lines, FILTER, name, value)?,
            (key, _) => read_key(loaded, &lines, key, name, value)?,
        }
    }
    Ok(())
}

fn read_section(
    loaded: &mut Loaded,
    lines: &Lines<'_>,
    section: &str,
    name: &Spanned<impl AsRef<str>>,
    keys: &DeTable<'_>,
) -> Result<(), ConfigError> {
    if !is_section(section) && keys.is_empty() {
        let sections = settings().filter_map(|setting| setting.key.rsplit_once('.')).map(|(of, _)| of);
        return Err(unknown(lines.place(name.span().start), "section", section, sections.chain(["mapping"])));
    }
    for (name, value) in keys {
        let key = format!("{section}.{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(keys) if is_section(&key) => read_section(loaded, lines, &key, name, keys)?,
            _ => read_key(loaded, lines, &key, name, value)?,
        }
    }
    Ok(())
}

fn is_section(name: &str) -> bool {
    settings().any(|setting| setting.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn read_key(
    loaded: &mut Loaded,
    lines: &Lines<'_>,
    key: &str,
    name: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
) -> Result<(), ConfigError> {
    if !settings().any(|setting| setting.key == key) {
        return Err(unknown(
            lines.place(name.span().start),
            "key",
            key,
            settings().map(|setting| setting.key).chain(["log"]),
        ));
    }
    let origin = Origin::File(lines.path.to_owned(), lines.number(name.span().start));
    loaded.set(key, &given(value.get_ref()), origin)
}

fn given<'a>(value: &'a DeValue<'_>) -> Given<'a> {
    match value {
        DeValue::String(text) => Given::Text(text),
        DeValue::Boolean(value) => Given::Bool(*value),
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_or(Given::Other("integer"), Given::Integer),
        DeValue::Float(number) => number.as_str().replace('_', "").parse().map_or(Given::Other("float"), Given::Number),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map_or(Given::Other("array"), Given::List)
        }
        other => Given::Other(other.type_str()),
    }
}

/// The mapping knows its own keys, so it reads itself.
fn read_mapping(
    loaded: &mut Loaded,
    lines: &Lines<'_>,
    text: &str,
    name: &Spanned<impl AsRef<str>>,
) -> Result<(), ConfigError> {
    #[derive(Deserialize)]
    struct Document<T> {
        mapping: T,
    }
    let mapping: Document<Mapping> = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(name.span().start, |span| span.start);
        // a span of the whole table begins before its header
        ConfigError::Mapping { place: lines.place(at.max(name.span().start)), reason: with_nearest(error.message()) }
    })?;
    let shown: Document<serde_json::Value> = toml::from_str(text).map_err(|error| ConfigError::Mapping {
        place: lines.place(name.span().start),
        reason: error.message().to_owned(),
    })?;
    loaded.config.mapping = mapping.mapping;
    loaded.mapping = shown.mapping;
    loaded.origins.insert("mapping", Origin::File(lines.path.to_owned(), lines.number(name.span().start)));
    Ok(())
}

/// serde lists the fields it knows; people want the one they meant.
fn with_nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(given) if message.starts_with("unknown field") => match nearest(given, quoted) {
            Some(known) => format!("unknown key `{given}`; the nearest known one is `{known}`"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

fn unknown(place: String, what: &'static str, key: &str, known: impl IntoIterator<Item = &'static str>) -> ConfigError {
    let nearest = nearest(key, known).unwrap_or_default().to_owned();
    ConfigError::Unknown { place, what, key: key.to_owned(), nearest }
}

/// The most similar of some names; of several the first.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().min_by_key(|name| strsim::damerau_levenshtein(given, name))
}

/// Turns offsets into lines.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn number(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
    }

    fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), self.number(offset))
    }
}
