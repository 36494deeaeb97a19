//! An object of JSON, field by field: everything that is wrong with it is found at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tierkeep_learning::instant;
use tierkeep_learning::key::{Key, KeyType};
use tierkeep_learning::session_change::FieldFault;

use jiff::Timestamp;

/// An object with its fields in the order given; a name that is given twice is there twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A reader of an object that gathers faults.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: &'a Object,
    faults: Vec<FieldFault>,
}

/// What is accepted for an instant.
const INSTANT: &str = "an instant with its offset from UTC, such as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00, \
                       from 0001-01-02 to 9998-12-31";

impl<'a> Fields<'a> {
    /// Refuses names that are not among these, and the second of one name.
    pub(super) fn of(object: &'a Object, known: &[&'static str]) -> Self {
        let mut faults = Vec::new();
        for (at, (name, value)) in object.0.iter().enumerate() {
            let is_known = known.iter().any(|known| known == name);
            let is_first = object.0[..at].iter().all(|(other, _)| other != name);
            let accepted = match (is_known, is_first) {
                (true, true) => continue,
                (true, false) => "this field once".to_owned(),
                (false, _) => format!("only {}", known.join(", ")),
            };
            faults.push(FieldFault::new(&super::error::clip(name), &value.to_string(), accepted));
        }
        Self { object, faults }
    }

    /// Every fault, if there is one.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldFault>> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    /// Notes a fault that is not of one field's own making.
    pub(super) fn fault(&mut self, fault: FieldFault) {
        self.faults.push(fault);
    }

    /// A field that `read` takes; `None` if it is absent, or was noted as a fault.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let (_, value) = self.object.0.iter().find(|(known, _)| known == name)?;
        let taken = read(value);
        if taken.is_none() {
            // the text itself, as quotes would only be escaped again; but "30" is not 30
            let text = value.as_str().filter(|text| serde_json::from_str::<Value>(text).is_err());
            let given = text.map_or_else(|| value.to_string(), str::to_owned);
            self.faults.push(FieldFault::new(name, &given, accepted));
        }
        taken
    }

    /// A field that must be there.
    pub(super) fn needed<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if self.object.0.iter().all(|(known, _)| known != name) {
            self.faults.push(FieldFault::new(name, "", accepted));
        }
        self.read(name, accepted, read)
    }

    /// A field that may be null.
    pub(super) fn nullable<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<Option<T>> {
        self.read(name, &format!("{accepted}, or null"), |value| {
            if value.is_null() { Some(None) } else { read(value).map(Some) }
        })
    }

    pub(super) fn instant(&mut self, name: &'static str) -> Option<Timestamp> {
        self.read(name, INSTANT, as_instant)
    }

    pub(super) fn needed_instant(&mut self, name: &'static str) -> Option<Timestamp> {
        self.needed(name, INSTANT, as_instant)
    }

    pub(super) fn nullable_instant(&mut self, name: &'static str) -> Option<Option<Timestamp>> {
        self.nullable(name, INSTANT, as_instant)
    }

    pub(super) fn nullable_key(&mut self, name: &'static str) -> Option<Option<Key>> {
        self.nullable(name, "a UUID or a 64-bit integer", as_key)
    }

    /// A text of at most `longest` characters; null is the empty one.
    pub(super) fn text(&mut self, name: &'static str, longest: usize) -> Option<String> {
        let accepted = if longest == usize::MAX {
            "text without NUL, or null for none".to_owned()
        } else {
            format!("text of at most {longest} characters without NUL, or null for none")
        };
        self.read(name, &accepted, |value| {
            let text = if value.is_null() { "" } else { value.as_str()? };
            (!text.contains('\0') && text.chars().nth(longest).is_none()).then(|| text.to_owned())
        })
    }

    /// One of some names; null or the empty text is none.
    pub(super) fn one_of(&mut self, name: &'static str, names: &[&str]) -> Option<String> {
        self.read(name, &format!("{}, or null for none", names.join(", ")), |value| {
            let text = if value.is_null() { "" } else { value.as_str()? };
            (text.is_empty() || names.contains(&text)).then(|| text.to_owned())
        })
    }
}

/// An integer in a range.
pub(super) fn integer<T: TryFrom<i64>>(range: std::ops::RangeInclusive<i64>) -> impl Fn(&Value) -> Option<T> {
    move |value| {
        let number = value.as_i64().filter(|number| range.contains(number))?;
        T::try_from(number).ok()
    }
}

/// A key, as a number or as text.
pub(super) fn as_key(value: &Value) -> Option<Key> {
    serde_json::from_value(value.clone()).ok()
}

/// A UUID as text or an integer, of the type given.
pub(super) fn key_of(keys: KeyType) -> impl Fn(&Value) -> Option<Key> {
    move |value| as_key(value).filter(|key| key.key_type() == keys)
}

fn as_instant(value: &Value) -> Option<Timestamp> {
    instant::parse(value.as_str()?).ok()
}
