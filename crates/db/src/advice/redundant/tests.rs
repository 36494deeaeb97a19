use super::*;
use crate::advice::facts::ExistingKey;
use crate::statement::{IndexKey, IndexMethod};

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

fn index(name: &str, columns: &[&str]) -> ExistingIndex {
    let key = |column: &&str| ExistingKey {
        column: Some(ident(column)),
        expression: None,
        is_descending: false,
        nulls_first: false,
        is_default: true,
    };
    ExistingIndex {
        schema: ident("public"),
        name: ident(name),
        keys: columns.iter().map(key).collect(),
        include: Vec::new(),
        predicate: None,
        is_unique: false,
        is_constraint: false,
        is_valid: true,
        method: Some(IndexMethod::Tree),
        bytes: 0,
        scans: Some(7),
    }
}

fn reasons(
    indexes: Vec<ExistingIndex>,
    foreign_keys: &[&str],
    suggested: &[IndexDefinition],
) -> Vec<(String, RedundantReason)> {
    let foreign_keys = foreign_keys.iter().map(|column| vec![ident(column)]).collect();
    let table = TableFacts { indexes, foreign_keys, scans: Some(1000), ..TableFacts::default() };
    let facts = Facts { tables: [("public.t".parse().unwrap(), table)].into(), has_trigrams: false };
    let found = redundant(Dialect::Postgres, &facts, suggested, &["by_workload".to_owned()].into());
    found.into_iter().map(|redundant| (redundant.index.to_string(), redundant.reason)).collect()
}

#[test]
fn of_equal_indexes_the_first_or_the_one_of_a_constraint_stays() {
    let key = ExistingIndex { is_constraint: true, is_unique: true, ..index("z_key", &["a"]) };

    assert_eq!(
        reasons(vec![index("one", &["a"]), index("two", &["a"])], &[], &[]),
        [("two".to_owned(), RedundantReason::Duplicate { of: ident("one") })]
    );
    assert_eq!(
        reasons(vec![index("one", &["a"]), key], &[], &[]),
        [("one".to_owned(), RedundantReason::Duplicate { of: ident("z_key") })]
    );
}

#[test]
fn beginning_of_another_index_could_go_unless_it_differs_or_is_unique() {
    let wide = index("wide", &["a", "b"]);
    let descending = {
        let mut index = index("descending", &["a"]);
        index.keys[0].is_descending = true;
        index
    };
    let partial = ExistingIndex { predicate: Some("(b IS NULL)".to_owned()), ..index("partial", &["a"]) };
    let unique = ExistingIndex { is_unique: true, ..index("unique", &["a"]) };

    assert_eq!(
        reasons(vec![index("narrow", &["a"]), wide.clone()], &[], &[]),
        [("narrow".to_owned(), RedundantReason::Prefix { of: ident("wide") })]
    );
    for other in [descending, partial, unique, index("other", &["b"])] {
        assert_eq!(reasons(vec![other.clone(), wide.clone()], &[], &[]), [], "{other:?}");
    }
}

#[test]
fn suggestion_that_begins_like_an_index_replaces_it() {
    let suggested = IndexDefinition {
        method: IndexMethod::Tree,
        table: "public.t".parse().unwrap(),
        keys: vec![IndexKey::ascending(ident("a")), IndexKey::ascending(ident("b"))],
        include: Vec::new(),
        predicate: None,
    };

    assert_eq!(
        reasons(vec![index("narrow", &["a"])], &[], std::slice::from_ref(&suggested)),
        [("narrow".to_owned(), RedundantReason::Prefix { of: suggested.name() })]
    );
}

#[test]
fn unused_index_could_go_unless_a_foreign_key_needs_it() {
    let unused = ExistingIndex { scans: Some(0), ..index("unused", &["a"]) };
    let unknown = ExistingIndex { scans: None, ..index("unknown", &["a"]) };
    let broken = ExistingIndex { is_valid: false, ..index("broken", &["a"]) };

    assert_eq!(reasons(vec![unused.clone()], &[], &[]), [("unused".to_owned(), RedundantReason::Unused)]);
    assert_eq!(reasons(vec![unused.clone()], &["a"], &[]), []);
    let by_workload = ExistingIndex { name: ident("by_workload"), ..unused.clone() };
    assert_eq!(reasons(vec![by_workload], &[], &[]), []);
    assert_eq!(reasons(vec![unknown], &[], &[]), []);
    assert_eq!(reasons(vec![broken], &["a"], &[]), [("broken".to_owned(), RedundantReason::Invalid)]);
    let key = ExistingIndex { is_constraint: true, ..unused };
    assert_eq!(reasons(vec![key], &[], &[]), [], "never one behind a constraint");
}
