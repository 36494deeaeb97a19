use proptest::prelude::*;

use super::*;

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

#[test]
fn names_that_a_database_would_change_are_refused() {
    assert_eq!(Ident::new(""), Err(StatementError::EmptyName));
    assert!(matches!(Ident::new("a\0b"), Err(StatementError::NulInName { .. })));
    assert!(Ident::new(&"x".repeat(63)).is_ok());
    assert!(matches!(Ident::new(&"x".repeat(64)), Err(StatementError::LongName { .. })));
    assert!(matches!(Ident::new(&"ü".repeat(32)), Err(StatementError::LongName { .. })));
}

#[test]
fn table_names_are_read_with_and_without_schema_and_quotes() {
    for (text, quoted) in [
        ("t", r#""t""#),
        ("s.t", r#""s"."t""#),
        (r#""a.b".t"#, r#""a.b"."t""#),
        (r#"s."say ""hi""""#, r#""s"."say ""hi""""#),
        ("Core Sessions", r#""Core Sessions""#),
    ] {
        assert_eq!(text.parse::<TableName>().unwrap().quoted(), quoted, "{text}");
    }
}

#[test]
fn texts_that_are_no_table_name_are_refused() {
    for text in ["", ".", "a.", ".a", "a.b.c", r#""a"#, r#""a"b"#, r#"a"b"#, r#""".t"#] {
        assert!(text.parse::<TableName>().is_err(), "{text}");
    }
}

#[test]
fn every_expression_is_rendered_for_both_dialects() {
    let columns = [
        (ident("id"), ColumnExpr::Column(ident("uuid"))),
        (ident("open"), ColumnExpr::Not(ident("finished"))),
        (ident("user"), ColumnExpr::Cast(ident("user id"), SqlType::Uuid)),
        (ident("started"), ColumnExpr::Utc(ident("at"))),
        (ident("ended"), ColumnExpr::Null(SqlType::Timestamptz)),
        (ident("note"), ColumnExpr::EmptyText),
        (ident("pauses"), ColumnExpr::Zero),
        (ident("deleted"), ColumnExpr::False),
    ];
    let table = "core.t".parse().unwrap();

    let render = |dialect| projection(dialect, &ident("study_sessions"), &table, &columns);

    assert_eq!(
        render(Dialect::Postgres),
        r#""study_sessions" as not materialized (select "uuid" as "id", not "finished" as "open", cast("user id" as uuid) as "user", cast("at" as timestamp) at time zone 'UTC' as "started", cast(null as timestamptz) as "ended", cast('' as text) as "note", 0 as "pauses", false as "deleted" from "core"."t")"#
    );
    assert_eq!(
        render(Dialect::Sqlite),
        r#""study_sessions" as not materialized (select "uuid" as "id", not "finished" as "open", cast("user id" as text) as "user", "at" as "started", cast(null as integer) as "ended", cast('' as text) as "note", 0 as "pauses", false as "deleted" from "core"."t")"#
    );
}

#[test]
fn sqlite_table_with_the_canonical_name_is_no_circular_reference() {
    let columns = [(ident("id"), ColumnExpr::Column(ident("uuid")))];

    let cte = projection(Dialect::Sqlite, &ident("study_sessions"), &"study_sessions".parse().unwrap(), &columns);

    assert_eq!(cte, r#""study_sessions" as not materialized (select "uuid" as "id" from "main"."study_sessions")"#);
}

#[test]
fn prefix_stands_before_a_select() {
    let ctes = ["a as (select 1)".to_owned(), "b as (select 2)".to_owned()];

    assert_eq!(
        with_prefix(&ctes, "select * from a, b").unwrap(),
        "with a as (select 1), b as (select 2) select * from a, b"
    );
    assert_eq!(with_prefix(&[], "select 1").unwrap(), "select 1");
}

#[test]
fn comments_before_the_statement_are_passed_over() {
    for statement in ["-- why\n  SELECT 1", "/* with */ select 1", "-- a\n/* b */\n-- c\nselect 1", "\n\tselect(1)"] {
        assert!(with_prefix(&["a as (select 1)".to_owned()], statement).is_ok(), "{statement}");
    }
}

#[test]
fn statements_that_are_no_select_get_no_prefix() {
    for statement in
        ["with x as (select 1) select 1", "delete from t", "", "-- only", "/* open", "selected", "; select 1"]
    {
        assert!(with_prefix(&[], statement).is_err(), "{statement}");
    }
}

proptest! {
    #[test]
    fn table_name_is_read_back_as_it_is_shown(
        schema in proptest::option::of("[^\0]{1,15}"),
        name in "[^\0]{1,15}",
    ) {
        let table = TableName::new(schema.map(|s| ident(&s)), ident(&name));

        prop_assert_eq!(table.to_string().parse::<TableName>(), Ok(table.clone()));
        prop_assert_eq!(table.quoted().parse::<TableName>(), Ok(table));
    }

    #[test]
    fn any_text_is_a_table_name_or_refused_without_panic(text in "\\PC{0,40}") {
        let _ = text.parse::<TableName>();
    }
}
