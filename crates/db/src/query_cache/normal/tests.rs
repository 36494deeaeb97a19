//! Spellings that are one, and those that must not become one.

use proptest::prelude::*;

use super::*;

fn pg(text: &str) -> String {
    normalised(Dialect::Postgres, text)
}

#[test]
fn white_space_comments_and_case_do_not_matter() {
    let wanted = "select a, b from t where a = $1";

    for text in [
        "SELECT a, b FROM t WHERE a = $1;",
        "  select a,\n\tb from t /* one /* two */ */ where a = $1 ; ",
        "select a, b -- what\nfrom t --\nwhere A = $1",
        "/**/select a, b from t where a = $1-- the end",
    ] {
        assert_eq!(pg(text), wanted);
    }
}

#[test]
fn what_is_quoted_is_kept() {
    for text in [
        "'It''s  A'",
        "\"Odd  \"\"Name\"",
        "$$ Kept  -- all $$",
        "$Tag$ $$ ' $Tag$",
        "e'\\'  A'",
        "select '/*  A'",
        "x_e'\\'",
    ] {
        assert_eq!(pg(text), text);
    }
    assert_eq!(normalised(Dialect::Sqlite, "SELECT [A  b], `C  d` FROM T"), "select [A  b], `C  d` from t");
    assert_ne!(normalised(Dialect::Sqlite, "select :A, :a"), normalised(Dialect::Sqlite, "select :a, :a"));
    assert_eq!(pg("'a  "), "'a  ", "as it is, if it does not end");
    assert_eq!(pg("A /* b  "), "a /* b  ");
}

#[test]
fn statements_that_differ_stay_different() {
    for (one, other) in [
        ("select 'A'", "select 'a'"),
        ("select 'a' 'b'", "select 'a'\n'b'"),
        ("select 'a  b'", "select 'a b'"),
        ("select \"A\"", "select \"a\""),
        ("select a b", "select ab"),
        ("select 1 - -1", "select 1"),
        ("select e'\\' -- '", "select '\\' -- '"),
        ("select $$A$$", "select $$a$$"),
        ("select $1", "select $2"),
        ("select 'a;'", "select 'a'"),
        ("select a -- '\n from t", "select a"),
    ] {
        assert_ne!(pg(one), pg(other));
    }
}

/// A piece of a statement and a spelling of it.
fn piece() -> impl Strategy<Value = (String, String)> {
    let word = prop::sample::select(vec!["select", "from", "t", "name", "=", "$1", ",", "(", ")", "1.5"]);
    let literal = prop::sample::select(vec!["'A  b'", "\"C /* d\"", "$$ e -- $$", "'it''s'", "e'\\''"]);
    prop_oneof![
        4 => (word, any::<bool>()).prop_map(|(word, upper)| {
            (word.to_owned(), if upper { word.to_uppercase() } else { word.to_owned() })
        }),
        1 => literal.prop_map(|text| (text.to_owned(), text.to_owned())),
    ]
}

fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![" ", "  ", "\t ", " /* A '\" */ ", " /* /* b */ -- */"])
}

proptest! {
    /// The pieces, with single spaces, whatever stands between them; and once is as good as twice.
    #[test]
    fn spelling_is_found_again(pieces in prop::collection::vec((piece(), gap()), 1..30)) {
        let wanted: Vec<&str> = pieces.iter().map(|((wanted, _), _)| wanted.as_str()).collect();
        let spelt: String = pieces.iter().map(|((_, spelt), gap)| format!("{spelt}{gap}")).collect();

        let normal = pg(&spelt);

        prop_assert_eq!(&normal, &wanted.join(" "));
        prop_assert_eq!(pg(&normal), normal);
    }

    #[test]
    fn any_text_is_taken(text in "[-/*'\"$eE;A \n\\\\`\\[\\]é]{0,30}") {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let normal = normalised(dialect, &text);
            prop_assert!(normal.len() <= text.len());
        }
    }
}
