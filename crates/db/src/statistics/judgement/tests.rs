//! Indexes that are judged, and those that must stay.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::statistics::{IndexKey, IndexRole, Scans};

fn key(column: &str) -> IndexKey {
    IndexKey { expression: column.to_owned(), is_column: true, rules: "asc".to_owned() }
}

fn index(name: &str, columns: &[&str]) -> Index {
    Index {
        name: format!("public.{name}").parse().unwrap(),
        table: "public.t".parse().unwrap(),
        method: "btree".to_owned(),
        keys: columns.iter().map(|column| key(column)).collect(),
        included: Vec::new(),
        predicate: None,
        definition: String::new(),
        roles: Vec::new(),
        is_unique: false,
        is_valid: true,
        is_in_progress: false,
        scans: Examined::Found(Scans { count: 9, last: None }),
        size: Examined::Found(Bytes(8192)),
        expected_size: Examined::not_examined("a test"),
    }
}

fn never_scanned(index: Index) -> Index {
    Index { scans: Examined::Found(Scans { count: 0, last: None }), ..index }
}

fn with_role(role: IndexRole, index: Index) -> Index {
    Index { roles: vec![role], ..index }
}

fn foreign_key(columns: &[&str]) -> ForeignKey {
    ForeignKey {
        name: "fk".to_owned(),
        table: "public.t".parse().unwrap(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        refers_to: "public.other".parse().unwrap(),
        rows: Examined::Found(Estimate(1)),
    }
}

const WINDOW: ScanWindow =
    ScanWindow { since_reset: Some(Duration::from_secs(36 * 3600)), is_replica: false, replicas: 2 };

fn reading(indexes: Vec<Index>, foreign_keys: Vec<ForeignKey>) -> IndexReading {
    IndexReading { indexes, foreign_keys, window: Examined::Found(WINDOW) }
}

fn told(indexes: Vec<Index>, foreign_keys: Vec<ForeignKey>) -> Vec<String> {
    judge(&reading(indexes, foreign_keys)).iter().map(ToString::to_string).collect()
}

#[test]
fn unused_index_is_told_with_its_window_and_the_replicas_that_were_not_seen() {
    assert_eq!(
        told(vec![never_scanned(index("i", &["a"]))], vec![]),
        ["public.i on public.t was never scanned, counted for 1.5 days on this server, not on its 2 replicas: \
             drop index concurrently \"public\".\"i\" (frees 8.0 KiB)"]
    );
}

#[test]
fn index_with_a_role_is_never_told_to_be_dropped() {
    for role in [
        IndexRole::PrimaryKey,
        IndexRole::Unique,
        IndexRole::Exclusion,
        IndexRole::ReplicaIdentity,
        IndexRole::Partition,
        IndexRole::Clustered,
    ] {
        let kept = with_role(role, never_scanned(index("kept", &["a"])));

        assert_eq!(told(vec![kept, index("wide", &["a", "b"])], vec![]), [] as [String; 0]);
    }
}

#[test]
fn last_index_of_a_foreign_key_stays_and_a_second_one_goes() {
    let (one, two) = (never_scanned(index("one", &["a", "x"])), never_scanned(index("two", &["a", "y"])));

    let findings = told(vec![one.clone(), two], vec![foreign_key(&["a"])]);

    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(told(vec![one], vec![foreign_key(&["a"])]).is_empty());
}

#[test]
fn scans_that_nobody_counted_are_not_none() {
    let unknown = Index { scans: Examined::not_examined("a replica"), ..index("i", &["a"]) };

    assert!(told(vec![unknown], vec![]).is_empty());
    let blind = IndexReading {
        window: Examined::not_examined("SQLite does not count scans"),
        ..reading(vec![never_scanned(index("i", &["a"]))], vec![])
    };
    assert!(judge(&blind).is_empty());
}

#[test]
fn of_two_equal_indexes_the_one_goes_that_nobody_needs() {
    let constraint = with_role(IndexRole::Unique, never_scanned(index("z", &["a"])));

    let findings = judge(&reading(vec![index("a", &["a"]), constraint], vec![]));

    let wanted = Shortcoming::Duplicate { index: "public.a".parse().unwrap(), of: "public.z".parse().unwrap() };
    assert_eq!(findings.iter().map(|finding| &finding.shortcoming).collect::<Vec<_>>(), [&wanted]);
}

#[test]
fn prefix_is_redundant_only_with_the_same_method_condition_expressions_and_rules() {
    let long = index("long", &["a", "b"]);
    let short = index("short", &["a"]);
    let mut other_rules = short.clone();
    other_rules.keys[0].rules = "text_pattern_ops".to_owned();
    let mut expression = short.clone();
    expression.keys[0] = IndexKey { expression: "lower(a)".to_owned(), is_column: false, rules: "asc".to_owned() };
    let spared = [
        Index { method: "hash".to_owned(), ..short.clone() },
        Index { predicate: Some("a > 0".to_owned()), ..short.clone() },
        Index { included: vec!["c".to_owned()], ..short.clone() },
        other_rules,
        expression,
        index("short", &["b"]),
    ];

    assert!(told(vec![long.clone(), short.clone()], vec![])[0].contains("repeats the beginning of public.long"));
    let carried = Index { included: vec!["b".to_owned()], ..short };
    assert_eq!(told(vec![long.clone(), carried], vec![]).len(), 1, "the other one has b as well");
    for index in spared {
        assert_eq!(told(vec![long.clone(), index.clone()], vec![]), [] as [String; 0], "{index:?}");
    }
}

#[test]
fn unused_index_that_takes_over_the_queries_of_another_stays() {
    let heir = never_scanned(index("long", &["a", "b"]));

    let findings = told(vec![heir.clone(), index("short", &["a"])], vec![]);

    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("public.short on public.t repeats the beginning of public.long"));
    assert_eq!(told(vec![heir, never_scanned(index("short", &["a"]))], vec![]).len(), 2, "nobody asked either");
}

#[test]
fn invalid_index_is_told_unless_it_is_being_built_and_covers_nothing() {
    let invalid = Index { is_valid: false, ..index("broken", &["a", "b"]) };

    let findings = told(vec![invalid.clone(), index("short", &["a"])], vec![]);

    assert_eq!(findings.len(), 1);
    assert!(findings[0].starts_with("public.broken on public.t is left of a build that failed"), "{}", findings[0]);
    assert!(told(vec![Index { is_in_progress: true, ..invalid }], vec![]).is_empty());
}

#[test]
fn oversized_index_is_built_anew() {
    let large = |size| Index {
        size: Examined::Found(Bytes(size)),
        expected_size: Examined::Found(Estimate(size / 2)),
        ..index("i", &["a"])
    };

    assert_eq!(
        told(vec![large(64 << 20)], vec![]),
        ["public.i on public.t takes 64.0 MiB, a new build ~32.0 MiB: \
          reindex index concurrently \"public\".\"i\" (frees 32.0 MiB)"]
    );
    assert!(told(vec![large(1 << 19)], vec![]).is_empty(), "too small to matter");
}

#[test]
fn foreign_key_is_served_by_any_order_of_its_columns_and_not_by_a_part_of_the_rows() {
    let key = || vec![foreign_key(&["a", "b"])];
    let partial = Index { predicate: Some("a > 0".to_owned()), ..index("i", &["a", "b"]) };

    assert!(told(vec![index("i", &["b", "a", "c"])], key()).is_empty());
    assert_eq!(
        told(vec![index("i", &["a", "c", "b"])], key()),
        ["public.t (a, b) refers to public.other and has no index: each delete there reads all of it: \
          create index concurrently on \"public\".\"t\" (\"a\", \"b\")"]
    );
    assert_eq!(told(vec![partial], key()).len(), 1);
}

fn any_index(number: usize) -> impl Strategy<Value = Index> {
    let columns = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
    (columns, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.9)).prop_map(
        move |(mut columns, is_used, has_role, is_valid)| {
            let mut seen = BTreeSet::new();
            columns.retain(|column| seen.insert(*column));
            let index = Index { is_valid, ..index(&format!("i{number}"), &columns) };
            let index = if is_used { index } else { never_scanned(index) };
            if has_role { with_role(IndexRole::Unique, index) } else { index }
        },
    )
}

fn many() -> impl Strategy<Value = Vec<Index>> {
    (0..7_usize).prop_flat_map(|count| (0..count).map(any_index).collect::<Vec<_>>())
}

proptest! {
    /// When everything that was named is gone, whatever was used or held something up still is.
    #[test]
    fn doing_all_that_is_told_at_once_takes_nothing_away_that_is_needed(
        indexes in many(),
        keys in prop::collection::vec(prop::sample::subsequence(vec!["a", "b", "c"], 1..3), 0..3),
    ) {
        let keys: Vec<ForeignKey> = keys.iter().map(|columns| foreign_key(columns)).collect();
        let reading = reading(indexes.clone(), keys.clone());
        let findings = judge(&reading);
        prop_assert_eq!(&findings, &judge(&reading), "the same again");

        let gone: Vec<&TableName> = findings
            .iter()
            .filter(|finding| finding.command.starts_with("drop"))
            .filter_map(|finding| match &finding.shortcoming {
                Shortcoming::Invalid { index }
                | Shortcoming::Duplicate { index, .. }
                | Shortcoming::Redundant { index, .. }
                | Shortcoming::Unused { index, .. } => Some(index),
                _ => None,
            })
            .collect();
        let left: Vec<&Index> = indexes.iter().filter(|index| !gone.contains(&&index.name)).collect();
        for index in &indexes {
            let stays = left.iter().any(|other| other.name == index.name);
            prop_assert!(stays || index.roles.is_empty());
            let is_used = index.is_valid && index.scans.found().is_some_and(|scans| scans.count > 0);
            let served = left.iter().any(|other| other.is_valid && other.keys.starts_with(&index.keys));
            prop_assert!(!is_used || served, "{:?} is used and nothing serves its queries", index.name);
        }
        for key in &keys {
            let was_served = indexes.iter().any(|index| key.is_served_by(index));
            prop_assert!(!was_served || left.iter().any(|index| key.is_served_by(index)));
        }
    }
}
