//! Values in SQLite's five storage classes, and as JSON for lists.

use rusqlite::types::{Value as Stored, ValueRef};

use super::{Kind, Value, ValueError, civil};

impl Value {
    /// What SQLite stores.
    pub(crate) fn encode_sqlite(&self) -> Result<Stored, ValueError> {
        Ok(match self {
            Self::Null => Stored::Null,
            Self::Bool(flag) => Stored::Integer((*flag).into()),
            Self::Integer(number) | Self::Instant(number) => Stored::Integer(*number),
            Self::Float(number) if number.is_nan() => return Err(ValueError::NanOnSqlite),
            Self::Float(number) => Stored::Real(*number),
            Self::Numeric(text) | Self::Text(text) | Self::Json(text) => Stored::Text(text.clone()),
            Self::Bytes(bytes) => Stored::Blob(bytes.clone()),
            Self::Uuid(uuid) => Stored::Text(uuid.to_string()),
            Self::Date(days) => Stored::Text(civil::format(*days).ok_or_else(|| ValueError::OutOfRange {
                given: days.to_string(),
                wanted: "dates on sqlite, years 0 to 9999".to_owned(),
            })?),
        })
    }

    /// What SQLite gave.
    pub(crate) fn decode_sqlite(stored: ValueRef<'_>) -> Result<Self, ValueError> {
        Ok(match stored {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Float(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8(text.to_vec()).map_err(|_| {
                ValueError::Malformed { kind: Kind::Text, text: String::from_utf8_lossy(text).into_owned() }
            })?),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        })
    }

    /// The value as an element of a JSON array that `json_each` turns into what SQLite stores.
    pub(crate) fn write_json(&self, out: &mut String) -> Result<(), ValueError> {
        match self.encode_sqlite()? {
            Stored::Null => out.push_str("null"),
            Stored::Integer(number) => out.push_str(&number.to_string()),
            // the shortest text that is read back as the same number
            Stored::Real(number) if number.is_finite() => out.push_str(&format!("{number:e}")),
            Stored::Text(text) if !text.contains('\0') => json_text(&text, out),
            Stored::Real(_) | Stored::Text(_) | Stored::Blob(_) => {
                return Err(ValueError::Mismatch {
                    kind: self.kind(),
                    wanted: "a list or a key on sqlite".to_owned(),
                    accepted: "null, a finite number, or a text without NUL characters",
                });
            }
        }
        Ok(())
    }
}

/// A JSON array of these values.
pub(crate) fn json_list(values: &[Value]) -> Result<String, ValueError> {
    let mut out = String::from("[");
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        value.write_json(&mut out)?;
    }
    out.push(']');
    Ok(out)
}

fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
