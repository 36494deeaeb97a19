//! Bodies of JSON: read strictly, and refused with the field and what it accepts.

use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::strict::Strict;

/// Longest message of serde's that an answer repeats, in characters: it quotes what it was given.
const SHOWN: usize = 300;

/// What does not fit in a body that is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The field, as `sessions[3].start_time`; `None` = the body as a whole.
    pub field: Option<String>,
    /// What is wrong with it.
    pub reason: String,
    /// What would have been accepted, where that is known.
    pub accepted: Option<String>,
}

/// Reads a body that is one JSON value.
///
/// # Errors
/// [`ApiError::Syntax`] for what is no JSON, [`ApiError::Shape`] for JSON of another shape.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        refusal(&path, &error.into_inner())
    })?;
    json.end().map_err(|error| refusal(".", &error))?;
    Ok(value)
}

fn refusal(path: &str, error: &serde_json::Error) -> ApiError {
    let message = error.to_string();
    if !error.is_data() {
        return ApiError::Syntax(format!("the body is no JSON: {}", clip(&message)));
    }
    ApiError::Shape(misfit(path, &message))
}

/// Takes a message of serde's, or of a value that refuses itself, apart.
fn misfit(path: &str, message: &str) -> Misfit {
    // the place in the text helps nobody who has the field
    let message = message.rsplit_once(" at line ").map_or(message, |(said, _)| said);
    // what stands last was not quoted from the body
    let expected = message.rfind(", expected ").map(|at| (at, ", expected ".len()));
    let named = message.rfind("; accepted: ").map(|at| (at, "; accepted: ".len()));
    let (reason, accepted) = match expected.max(named) {
        Some((at, length)) => (&message[..at], Some(in_json(&message[at + length..]))),
        None => (message, None),
    };
    let path = Some(path).filter(|path| *path != ".");
    let field = match (reason.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')), path) {
        (Some(missing), Some(path)) => Some(format!("{path}.{missing}")),
        (Some(missing), None) => Some(missing.to_owned()),
        (None, path) => path.map(str::to_owned),
    };
    Misfit { field: field.map(|field| clip(&field)), reason: clip(reason), accepted: accepted.map(|text| clip(&text)) }
}

/// What serde expects, in the words of JSON.
fn in_json(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => expected.trim_start_matches("one of ").replace('`', ""),
    }
}

fn clip(message: &str) -> String {
    match message.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        rows: Vec<Inner>,
        kind: Option<Kind>,
        pair: Option<(i8, String)>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: u16,
        #[serde(default)]
        more: Option<Box<Inner>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        Named { name: String },
        Of(Inner),
    }

    fn inner(count: u16) -> Inner {
        Inner { count, more: None }
    }

    #[test]
    fn what_is_described_is_read() {
        let table = [
            (r#"{"rows":[]}"#, Outer { rows: vec![], kind: None, pair: None }),
            (
                r#" {"rows":[{"count":1,"more":{"count":2}}],"kind":"plain","pair":[-1,"a"]} "#,
                Outer {
                    rows: vec![Inner { count: 1, more: Some(Box::new(inner(2))) }],
                    kind: Some(Kind::Plain),
                    pair: Some((-1, "a".to_owned())),
                },
            ),
            (
                r#"{"rows":[],"kind":{"named":{"name":"x"}}}"#,
                Outer { rows: vec![], kind: Some(Kind::Named { name: "x".to_owned() }), pair: None },
            ),
            (
                r#"{"rows":[],"kind":{"of":{"count":3}}}"#,
                Outer { rows: vec![], kind: Some(Kind::Of(inner(3))), pair: None },
            ),
        ];
        for (body, expected) in table {
            assert_eq!(read::<Outer>(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        // what serde alone would take
        assert!(serde_json::from_str::<Outer>(r#"[[[1,null]],null,null]"#).is_ok());
        for (body, field) in [
            ("[[],null,null]", None),
            (r#"{"rows":[[1,null]]}"#, Some("rows[0]")),
            (r#"{"rows":[{"count":1,"more":[2,null]}]}"#, Some("rows[0].more")),
            (r#"{"rows":[],"kind":{"of":[3,null]}}"#, Some("kind.of")),
        ] {
            let Err(ApiError::Shape(misfit)) = read::<Outer>(body.as_bytes()) else { panic!("{body} was taken") };
            assert_eq!((misfit.field.as_deref(), misfit.accepted.as_deref()), (field, Some("an object")), "{body}");
        }
    }

    #[test]
    fn a_misfit_names_the_field_and_what_it_accepts() {
        let table = [
            ("{}", Some("rows"), "missing field `rows`", None),
            (r#"{"rows":[{}]}"#, Some("rows[0].count"), "missing field `count`", None),
            (r#"{"rows":[],"x":1}"#, Some("x"), "unknown field `x`", Some("rows, kind, pair")),
            (r#"{"rows":[{"count":-1}]}"#, Some("rows[0].count"), "invalid value: integer `-1`", Some("an integer")),
            (
                r#"{"rows":[{"count":"a, expected b at line 1"}]}"#,
                Some("rows[0].count"),
                "invalid type: string \"a, expected b at line 1\"",
                Some("an integer"),
            ),
            (r#"{"rows":{}}"#, Some("rows"), "invalid type: map", Some("an array")),
            (r#"{"rows":[],"kind":"odd"}"#, Some("kind"), "unknown variant `odd`", Some("plain, named, of")),
            ("7", None, "invalid type: integer `7`", Some("an object")),
            ("null", None, "invalid type: null", Some("an object")),
        ];
        for (body, field, reason, accepted) in table {
            let Err(ApiError::Shape(misfit)) = read::<Outer>(body.as_bytes()) else { panic!("{body} was taken") };
            let told = (misfit.field.as_deref(), misfit.reason.as_str(), misfit.accepted.as_deref());
            assert_eq!(told, (field, reason, accepted), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_apart() {
        for body in ["", "{", "{\"rows\":[]} {}", "rows", "{'rows':[]}", "{\"rows\":[],}", "\u{feff}{\"rows\":[]}"] {
            assert!(matches!(read::<Outer>(body.as_bytes()), Err(ApiError::Syntax(_))), "{body}");
        }
        assert!(matches!(read::<Outer>(b"{\"rows\":[],\"\xff\":1}"), Err(ApiError::Syntax(_) | ApiError::Shape(_))));
    }
}
