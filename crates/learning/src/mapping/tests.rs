//! What a mapping renders and refuses.

use super::*;

fn found(columns: &[(&str, &str)]) -> Vec<CatalogColumn> {
    columns
        .iter()
        .map(|(name, type_name)| CatalogColumn {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            nullable: true,
        })
        .collect()
}

fn django() -> Mapping {
    serde_json::from_value(serde_json::json!({
        "preset": "none",
        "study_sessions": {
            "table": "study_studysession", "user_id": "student_id", "start_time": "started_at",
            "duration_minutes": "minutes", "is_active": "not finished",
        },
    }))
    .unwrap()
}

#[test]
fn a_prefix_names_the_platforms_columns_and_fills_the_missing_ones() {
    let columns = found(&[
        ("id", "bigint"),
        ("student_id", "bigint"),
        ("started_at", "timestamp with time zone"),
        ("minutes", "integer"),
        ("finished", "boolean"),
    ]);

    let prefix = django().projection(Source::StudySessions, Dialect::Postgres, KeyType::Int, &columns).unwrap();

    assert!(prefix.contains(r#""student_id" as "user_id""#), "{prefix}");
    assert!(prefix.contains(r#"not "finished" as "is_active""#), "{prefix}");
    assert!(prefix.contains(r#"cast(null as numeric) as "focus_score""#), "{prefix}");
    assert!(prefix.ends_with(r#"from "study_studysession")"#), "{prefix}");
}

#[test]
fn a_name_that_the_table_does_not_have_is_named_with_what_it_has() {
    let error = django()
        .projection(
            Source::StudySessions,
            Dialect::Postgres,
            KeyType::Int,
            &found(&[("id", "bigint"), ("who", "bigint")]),
        )
        .unwrap_err()
        .to_string();

    assert!(error.contains("student_id") && error.contains("who"), "{error}");
}

#[test]
fn a_needed_column_must_be_there() {
    let columns = found(&[("id", "uuid"), ("user_id", "uuid")]);
    let mapping = Mapping { preset: Preset::None, ..Mapping::default() };

    let error =
        mapping.projection(Source::StudySessions, Dialect::Postgres, KeyType::Uuid, &columns).unwrap_err().to_string();

    assert!(error.contains("start_time"), "{error}");
}

#[test]
fn an_unknown_canonical_column_is_refused_with_the_known_ones() {
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "users": { "zone": "tz" } })).unwrap();

    let error = mapping.check().unwrap_err().to_string();

    assert!(error.contains("zone") && error.contains("time_zone"), "{error}");
}

#[test]
fn only_booleans_are_negated() {
    let mut mapping = django();
    mapping.study_sessions.columns.insert("duration_minutes".into(), "not minutes".into());
    let columns = found(&[
        ("id", "bigint"),
        ("student_id", "bigint"),
        ("started_at", "timestamp with time zone"),
        ("minutes", "integer"),
        ("finished", "boolean"),
    ]);

    assert!(mapping.projection(Source::StudySessions, Dialect::Postgres, KeyType::Int, &columns).is_err());
}
