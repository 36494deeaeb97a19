//! Whether a column can keep every value of another one, exactly.

/// What can be said about the values of a column. Domains are looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// A whole number of 2, 4 or 8 bytes.
    Integer {
        /// How many.
        bytes: u8,
    },
    /// A decimal number.
    Numeric {
        /// Digits in all, and digits after the point; none if it takes any.
        limits: Option<(i32, i32)>,
    },
    /// A binary floating-point number of 4 or 8 bytes.
    Float {
        /// How many.
        bytes: u8,
    },
    /// Text.
    Text {
        /// The most characters it takes.
        max: Option<i32>,
    },
    /// Text that is padded with blanks.
    Padded {
        /// To how many characters.
        length: i32,
    },
    /// A date and time.
    Timestamp {
        /// Whether it is an instant, or a wall time of no place.
        with_zone: bool,
        /// Digits of a second; none if all that the database keeps.
        digits: Option<i32>,
    },
    /// Several values of one type; a dimension is no matter of the type.
    Array(Box<ColumnType>),
    /// Another type, known by how it is printed: it keeps the values of the same type only.
    Named(String),
    /// A column of SQLite.
    Sqlite {
        /// What becomes of a value that is written.
        affinity: Affinity,
        /// Whether values of another kind are refused.
        is_enforced: bool,
    },
}

/// What SQLite tries to make of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// Nothing.
    Blob,
    /// A whole number, if nothing is lost.
    Integer,
    /// A number, if nothing is lost.
    Numeric,
    /// A floating-point number.
    Real,
    /// Text, of numbers.
    Text,
}

/// How well a column keeps the values of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// The types are the same.
    Same,
    /// The types differ; each value fits, and comes back the same.
    Wider,
    /// Some value does not fit, is changed on its way, or cannot come back.
    Loses,
}

/// Whether a column of type `to` keeps every value of one of type `from` and can give it back.
///
/// Only what goes through an assignment in both directions counts, so a text does not keep numbers.
#[must_use]
pub fn keeping(from: &ColumnType, to: &ColumnType) -> Keeping {
    if from == to {
        Keeping::Same
    } else if is_wider(from, to) {
        Keeping::Wider
    } else {
        Keeping::Loses
    }
}

/// Decimal digits that any whole number of so many bytes fits into.
fn digits_of(bytes: u8) -> i32 {
    match bytes {
        2 => 5,
        4 => 10,
        _ => 19,
    }
}

fn is_wider(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType::{Array, Float, Integer, Named, Numeric, Padded, Sqlite, Text, Timestamp};
    match (from, to) {
        (Integer { bytes }, Integer { bytes: room }) => bytes <= room,
        (Integer { .. }, Numeric { limits: None }) => true,
        // A negative scale rounds.
        (Integer { bytes }, Numeric { limits: Some((digits, scale)) }) => {
            *scale >= 0 && digits - scale >= digits_of(*bytes)
        }
        (Integer { bytes }, Float { bytes: room }) => bytes < room,
        (Numeric { .. }, Numeric { limits: None }) => true,
        (Numeric { limits: Some((digits, scale)) }, Numeric { limits: Some((room, room_scale)) }) => {
            room_scale >= scale && room - room_scale >= digits - scale
        }
        (Float { bytes }, Float { bytes: room }) => bytes <= room,
        (Text { .. } | Padded { .. }, Text { max: None }) => true,
        (Text { max: Some(max) } | Padded { length: max }, Text { max: Some(room) } | Padded { length: room }) => {
            // Padding cannot be told from blanks that belong to the text.
            max <= room && (matches!(from, Padded { .. }) || matches!(to, Text { .. }))
        }
        // Between an instant and a wall time stands the session's zone.
        (Timestamp { with_zone, digits }, Timestamp { with_zone: other, digits: room }) => {
            with_zone == other && room.is_none_or(|room| digits.unwrap_or(6) <= room)
        }
        (Array(from), Array(to)) => is_wider(from, to) || from == to,
        // The way back leaves what it was.
        (Named(from), Named(to)) => from == "jsonb" && to == "json",
        (Sqlite { affinity, is_enforced }, Sqlite { affinity: room, is_enforced: refuses }) => {
            let is_number = |affinity: &Affinity| matches!(affinity, Affinity::Integer | Affinity::Numeric);
            let untouched = *room == Affinity::Blob || affinity == room || is_number(affinity) && is_number(room);
            // An enforced column has values of its own kind only; an ordinary one may have any.
            untouched && (!refuses || *is_enforced && affinity == room)
        }
        _ => false,
    }
}

impl ColumnType {
    /// The type of a column of PostgreSQL: `name` as in `pg_type`, `printed` as the database prints it.
    pub(crate) fn postgres(name: &str, modifier: i32, printed: &str) -> Self {
        let given = (modifier >= 0).then_some(modifier);
        match name {
            "int2" => Self::Integer { bytes: 2 },
            "int4" => Self::Integer { bytes: 4 },
            "int8" => Self::Integer { bytes: 8 },
            "float4" => Self::Float { bytes: 4 },
            "float8" => Self::Float { bytes: 8 },
            "numeric" => Self::Numeric {
                // Both lie in one number, behind a header of four; the scale has a sign since version 15.
                limits: given
                    .map(|modifier| modifier - 4)
                    .map(|both| (both >> 16 & 0xffff, ((both & 0x7ff) ^ 1024) - 1024)),
            },
            "text" => Self::Text { max: None },
            "varchar" => Self::Text { max: given.map(|modifier| modifier - 4) },
            "bpchar" if given.is_some() => Self::Padded { length: modifier - 4 },
            "timestamp" | "timestamptz" => Self::Timestamp { with_zone: name == "timestamptz", digits: given },
            _ => Self::Named(printed.to_owned()),
        }
    }

    /// The type of a column of SQLite by the rules of its manual, section 3.1 of "Datatypes".
    pub(crate) fn sqlite(declared: &str, is_strict: bool, is_row_number: bool) -> Self {
        let upper = declared.to_ascii_uppercase();
        if is_strict {
            let (affinity, is_enforced) = match upper.as_str() {
                "INT" | "INTEGER" => (Affinity::Integer, true),
                "REAL" => (Affinity::Real, true),
                "TEXT" => (Affinity::Text, true),
                "BLOB" => (Affinity::Blob, true),
                _ => (Affinity::Blob, false),
            };
            return Self::Sqlite { affinity, is_enforced };
        }
        let has = |part: &str| upper.contains(part);
        let affinity = if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") || upper.is_empty() {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        };
        Self::Sqlite { affinity, is_enforced: is_row_number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(printed: &str) -> ColumnType {
        let numbers: Vec<i32> = printed
            .split(|c: char| !c.is_ascii_digit() && c != '-')
            .skip(1)
            .filter_map(|number| number.parse().ok())
            .collect();
        let name = printed.split('(').next().unwrap();
        let modifier = match (name, numbers.as_slice()) {
            ("numeric", [digits, scale]) => (digits << 16 | scale & 0x7ff) + 4,
            ("varchar" | "bpchar", [length]) => length + 4,
            ("timestamptz", [digits]) => *digits,
            _ => -1,
        };
        ColumnType::postgres(name, modifier, printed)
    }

    fn all(cases: &[(&str, &str)], expected: Keeping) {
        for (from, to) in cases {
            assert_eq!(keeping(&postgres(from), &postgres(to)), expected, "{from} in {to}");
        }
    }

    #[test]
    fn wider_types_keep_all_values() {
        all(
            &[
                ("int2", "int4"),
                ("int4", "int8"),
                ("int4", "numeric"),
                ("int4", "numeric(12,2)"),
                ("int2", "float4"),
                ("int4", "float8"),
                ("numeric(5,2)", "numeric(6,2)"),
                ("numeric(5,2)", "numeric(6,3)"),
                ("numeric(5,2)", "numeric"),
                ("numeric(5,-2)", "numeric(7,0)"),
                ("float4", "float8"),
                ("varchar(80)", "varchar(81)"),
                ("varchar(80)", "text"),
                ("bpchar(3)", "bpchar(4)"),
                ("bpchar(3)", "varchar(3)"),
                ("timestamptz(3)", "timestamptz"),
                ("jsonb", "json"),
            ],
            Keeping::Wider,
        );
    }

    #[test]
    fn narrower_and_other_types_lose_something() {
        all(
            &[
                ("int8", "int4"),
                ("int8", "float8"),
                ("int4", "float4"),
                ("int4", "numeric(10,2)"),
                ("int4", "numeric(12,-1)"),
                ("numeric(5,2)", "numeric(6,1)"),
                ("numeric(5,2)", "numeric(5,3)"),
                ("numeric", "numeric(30,2)"),
                ("numeric", "float8"),
                ("float8", "numeric"),
                ("float8", "float4"),
                ("text", "varchar(1024)"),
                ("text", "bpchar(9)"),
                ("varchar(3)", "bpchar(3)"),
                ("timestamptz", "timestamp"),
                ("timestamp", "timestamptz"),
                ("timestamptz", "timestamptz(3)"),
                ("date", "timestamptz"),
                ("int4", "text"),
                ("json", "jsonb"),
                ("mood", "other_mood"),
            ],
            Keeping::Loses,
        );
    }

    #[test]
    fn equal_types_are_the_same() {
        all(&[("numeric(5,-2)", "numeric(5,-2)"), ("text", "varchar"), ("mood", "mood")], Keeping::Same);
    }

    #[test]
    fn arrays_go_by_their_elements() {
        let array = |of: &str| ColumnType::Array(Box::new(postgres(of)));

        assert_eq!(keeping(&array("int4"), &array("int8")), Keeping::Wider);
        assert_eq!(keeping(&array("text"), &array("varchar(3)")), Keeping::Loses);
        assert_eq!(keeping(&array("text"), &postgres("text")), Keeping::Loses);
    }

    #[test]
    fn sqlite_goes_by_affinity_and_strictness() {
        let plain = |declared: &str| ColumnType::sqlite(declared, false, false);
        let strict = |declared: &str| ColumnType::sqlite(declared, true, false);
        let kept = |from: &ColumnType, to: &ColumnType| keeping(from, to) != Keeping::Loses;

        assert!(kept(&plain("varchar(80)"), &plain("text")));
        assert!(kept(&plain("bigint"), &plain("integer")));
        assert!(kept(&plain("decimal(5,2)"), &plain("bigint")), "both make the same of each value");
        assert!(kept(&plain("datetime"), &plain("")), "nothing is done to a value");
        assert!(kept(&plain("text"), &strict("ANY")));
        assert!(kept(&strict("TEXT"), &plain("text")));
        assert!(kept(&strict("INT"), &strict("INTEGER")));
        assert!(!kept(&plain("integer"), &strict("INTEGER")), "an ordinary column may hold any text");
        assert!(!kept(&plain("integer"), &ColumnType::sqlite("INTEGER", false, true)), "nor may a row number");
        assert!(!kept(&plain("text"), &plain("integer")), "007 would become 7");
        assert!(!kept(&plain("integer"), &plain("real")), "beyond 2^53");
        assert!(!kept(&plain(""), &plain("text")));
        assert!(!kept(&strict("ANY"), &strict("TEXT")));
        assert!(!kept(&strict("INTEGER"), &strict("BLOB")));
    }
}
