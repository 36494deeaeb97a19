use proptest::prelude::*;

use super::*;

fn text(dialect: Dialect, sql: &str, params: Params) -> String {
    Raw::new(dialect, sql, params).unwrap().statement().sql().to_owned()
}

fn a() -> Params {
    Params::named([("a", 1_i64)])
}

#[test]
fn only_what_stands_alone_is_a_parameter() {
    for (sql, expected) in [
        ("select ':a', \":a\", :a", "select ':a', \":a\", $1"),
        ("select 'it''s :a' || :a", "select 'it''s :a' || $1"),
        ("select E'it\\'s :a', :a", "select E'it\\'s :a', $1"),
        ("select :a -- :a\n, :a /* :a /* :a */ ' */", "select $1 -- :a\n, $1 /* :a /* :a */ ' */"),
        ("select $$ :a ; $$, $x$ $$ :a $x$, :a", "select $$ :a ; $$, $x$ $$ :a $x$, $1"),
        ("select :a::text, x::int, f(n := :a)", "select $1::text, x::int, f(n := $1)"),
        ("select j ? 'k', j ?| array[:a], j @? '$.a'", "select j ? 'k', j ?| array[$1], j @? '$.a'"),
        ("select a[1:2], a$1b, :a;  -- end", "select a[1:2], a$1b, $1"),
        ("select 'ä:a', :a/2", "select 'ä:a', $1/2"),
    ] {
        assert_eq!(text(Dialect::Postgres, sql, a()), expected);
    }
    assert_eq!(text(Dialect::Sqlite, "select [:a], `:a`, :a", a()), "select [:a], `:a`, ?1");
}

#[test]
fn lists_are_one_parameter_on_both_databases() {
    let list = || Params::none().list("a", [1_i64, 2]);

    assert_eq!(text(Dialect::Postgres, "select x IN ( :a )", list()), "select x = any($1)");
    assert_eq!(text(Dialect::Postgres, "select x not in (:a) or y", list()), "select x <> all($1) or y");
    assert_eq!(text(Dialect::Postgres, "select x = any(:a)", list()), "select x = any($1)");
    assert_eq!(text(Dialect::Sqlite, "select x in (:a)", list()), "select x in (select value from json_each(?1))");
    assert_eq!(text(Dialect::Postgres, "select min(:a)", a()), "select min($1)");
    assert_eq!(text(Dialect::Postgres, "select x in (:a, 2)", a()), "select x in ($1, 2)");
    assert_eq!(
        Raw::new(Dialect::Sqlite, "select max(:a)", list()),
        Err(RawError::ListOutsideIn { placeholder: ":a".to_owned() })
    );
}

#[test]
fn places_are_numbers_on_both_databases() {
    let two = || Params::positional([1_i64, 2]);

    assert_eq!(text(Dialect::Sqlite, "select $2, $1, $2", two()), "select ?1, ?2, ?1");
    let missing = Raw::new(Dialect::Sqlite, "select $1, $2, $3", two()).unwrap_err();
    assert_eq!(missing.to_string(), "parameter $3 has no value, given are: 2 by place");
    let zero = Raw::new(Dialect::Sqlite, "select $0, $1, $2", two()).unwrap_err();
    assert!(matches!(zero, RawError::Missing { .. }));
}

#[test]
fn what_is_not_used_is_refused() {
    let unused = Raw::new(Dialect::Postgres, "select ':a'", a()).unwrap_err();
    assert_eq!(unused.to_string(), "a value was given for :a, which the statement does not use");
}

#[test]
fn exactly_one_statement_is_accepted() {
    let refused = |sql: &str| Raw::new(Dialect::Postgres, sql, Params::none()).unwrap_err();

    assert_eq!(refused("select 1; drop table t"), RawError::SeveralStatements { at: 10 });
    assert_eq!(refused("select 1;;"), RawError::SeveralStatements { at: 9 });
    assert_eq!(refused(" -- nothing\n /* at all */ "), RawError::Empty);
    assert_eq!(refused(";"), RawError::Empty);
    assert_eq!(text(Dialect::Postgres, "select ';' ; /* end */ ", Params::none()), "select ';' ");
}

#[test]
fn what_does_not_end_is_named() {
    for (sql, what) in [
        ("select 'a", "a literal"),
        ("select \"a", "a quoted name"),
        ("select /* /* */", "a comment"),
        ("select $x$ $y$", "a dollar-quoted text"),
    ] {
        assert_eq!(
            Raw::new(Dialect::Postgres, sql, Params::none()),
            Err(RawError::Unfinished { at: 7, what }),
            "{sql}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_literal_keeps_what_it_holds(inside in "[ -~ä]{0,20}") {
        let literal = ["select '", &inside.replace('\'', "''"), "'"].concat();
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let sql = [literal.as_str(), ", :a"].concat();
            let sign = if dialect == Dialect::Postgres { "$1" } else { "?1" };
            prop_assert_eq!(text(dialect, &sql, a()), [literal.as_str(), ", ", sign].concat());
        }
    }

    #[test]
    fn no_text_is_a_panic(sql in "[-a:;'\"$/*?\\\\()ein \u{e4}0-9\\[\\]`]{0,30}") {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let _ = Raw::new(dialect, &sql, a());
        }
    }
}
