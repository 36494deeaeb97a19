//! Pages by key against a slow model: all rows sorted, and cut.

use std::cmp::Ordering;

use proptest::prelude::*;
use tierkeep_db::keyset::{CursorKey, Keyset, KeysetError, Start};
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{
    Comparison, Database, Direction, Error, Filter, Nulls, PageSize, Row, Selection, SelectionError, SortColumn, Value,
};

use crate::fixture::{Bases, check, idents, key, numbers, run, selection};

/// A row: an integer, a text, a number that is never null, and the id.
type Model = (Option<i64>, Option<String>, f64, i64);

/// The names of its columns.
const NAMES: [&str; 4] = ["a", "b", "c", "id"];

/// A column of the order by its place in the row.
#[derive(Debug, Clone, Copy)]
struct Sorted {
    place: usize,
    direction: Direction,
    nulls: Nulls,
}

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Model>,
    order: Vec<Sorted>,
    size: u32,
    least: Option<i64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let text = proptest::option::weighted(0.7, prop::sample::select(vec!["", "a", "B", "ä"]).prop_map(str::to_owned));
    let row = (proptest::option::weighted(0.7, 0..3_i64), text, prop::sample::select(vec![0.5, 1.5, f64::INFINITY]));
    let rows = prop::collection::vec(row, 0..14);
    let direction = prop::sample::select(vec![Direction::Ascending, Direction::Descending]);
    let nulls = prop::sample::select(vec![Nulls::First, Nulls::Last]);
    let columns = prop::collection::vec((direction, nulls), 4);
    let places = prop::sample::subsequence(vec![0_usize, 1, 2], 0..=2).prop_shuffle();
    (rows, places, columns, 1..5_u32, proptest::option::of(0..3_i64)).prop_map(
        |(rows, places, columns, size, least)| {
            let order = places
                .into_iter()
                .chain([3])
                .map(|place| Sorted {
                    place,
                    direction: columns[place].0,
                    nulls: if place < 2 { columns[place].1 } else { Nulls::Never },
                })
                .collect();
            let rows = rows.into_iter().zip(1..).map(|((a, b, c), id)| (a, b, c, id)).collect();
            Case { rows, order, size, least }
        },
    )
}

impl Case {
    /// The ids that are selected, in order.
    fn sorted(&self) -> Vec<i64> {
        let mut rows: Vec<&Model> =
            self.rows.iter().filter(|row| self.least.is_none_or(|least| row.0.is_some_and(|a| a >= least))).collect();
        rows.sort_by(|left, right| {
            let by_column = |sorted: &Sorted| match sorted.place {
                0 => sorted.compare(left.0.as_ref(), right.0.as_ref()),
                1 => sorted.compare(left.1.as_ref(), right.1.as_ref()),
                2 => sorted.compare(Some(&left.2), Some(&right.2)),
                _ => sorted.compare(Some(&left.3), Some(&right.3)),
            };
            self.order.iter().map(by_column).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        rows.into_iter().map(|row| row.3).collect()
    }

    fn keyset(&self) -> Keyset {
        let mut selection = selection("t", &NAMES);
        if let Some(least) = self.least {
            selection = selection.filter(Filter::compare("a", Comparison::AtLeast, least)).unwrap();
        }
        let order = self.order.iter().map(|sorted| {
            let column = match sorted.direction {
                Direction::Ascending => SortColumn::ascending(NAMES[sorted.place]),
                Direction::Descending => SortColumn::descending(NAMES[sorted.place]),
            };
            column.nulls(sorted.nulls)
        });
        Keyset::assuming_unique(selection, order.collect(), key()).unwrap()
    }
}

impl Sorted {
    fn compare<T: PartialOrd>(&self, left: Option<&T>, right: Option<&T>) -> Ordering {
        let nulls = |null_first: Ordering| if self.nulls == Nulls::First { null_first } else { null_first.reverse() };
        match (left, right) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => nulls(Ordering::Less),
            (Some(_), None) => nulls(Ordering::Greater),
            (Some(left), Some(right)) => {
                let order = left.partial_cmp(right).unwrap();
                if self.direction == Direction::Descending { order.reverse() } else { order }
            }
        }
    }
}

async fn fill(db: &Database, rows: &[Model]) {
    run(db, "delete from t").await;
    for (a, b, c, id) in rows {
        let params = Params::named([("id", *id)]).with("a", *a).with("b", b.clone()).with("c", *c);
        let insert = Raw::new(db.dialect(), "insert into t (a, b, c, id) values (:a, :b, :c, :id)", params).unwrap();
        insert.write(db).await.unwrap();
    }
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.get("id").unwrap()).collect()
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    let table = "(a bigint, b text collate \"C\", c double precision not null, id bigint not null primary key)";
    run(bases.postgres(), &["create table t ", table].concat()).await;
    run(bases.sqlite(), "create table t (a integer, b text, c real not null, id integer primary key)").await;
    bases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_both_ways_are_the_ordered_rows_cut() {
    let bases = bases().await;

    check(120, &cases(), async |case| {
        let expected = case.sorted();
        let size = PageSize::new(case.size).unwrap();
        let pages: Vec<Vec<i64>> = expected.chunks(case.size as usize).map(<[i64]>::to_vec).collect();
        let from_end: Vec<Vec<i64>> = expected.rchunks(case.size as usize).map(<[i64]>::to_vec).collect();
        let keyset = case.keyset();
        for db in &bases.all {
            fill(db, &case.rows).await;

            let mut page = keyset.load(db, Start::First, size).await.unwrap();
            let mut walked = vec![ids(&page.items)];
            prop_assert!(!page.has_previous && page.previous.is_none());
            while let Some(next) = page.next.clone() {
                prop_assert!(page.has_next && page.has_more);
                page = keyset.load(db, Start::At(&next), size).await.unwrap();
                prop_assert!(page.has_previous);
                walked.push(ids(&page.items));
            }
            prop_assert!(!page.has_next && !page.has_more);
            prop_assert_eq!(walked.concat(), expected.clone());
            prop_assert_eq!(walked.len(), pages.len().max(1));

            // back again from the last page, by its own cursor
            let mut back = vec![ids(&page.items)];
            while let Some(previous) = page.previous.clone() {
                page = keyset.load(db, Start::At(&previous), size).await.unwrap();
                prop_assert!(page.has_next);
                back.push(ids(&page.items));
            }
            back.reverse();
            prop_assert_eq!(back, walked);

            // and from the end
            let mut page = keyset.load(db, Start::Last, size).await.unwrap();
            prop_assert!(!page.has_next && page.next.is_none());
            let mut walked = vec![ids(&page.items)];
            while let Some(previous) = page.previous.clone() {
                page = keyset.load(db, Start::At(&previous), size).await.unwrap();
                walked.push(ids(&page.items));
            }
            prop_assert!(!page.has_previous);
            if !expected.is_empty() {
                prop_assert_eq!(walked, from_end.clone());
            }
        }
        Ok(())
    });
}

#[tokio::test]
async fn pages_of_a_statement_of_the_caller() {
    let bases = bases().await;

    for db in &bases.all {
        fill(db, &(1..=5).map(|id| (Some(id % 2), None, 0.5, id)).collect::<Vec<_>>()).await;
        let sql = "select id, a * :factor as score from t where id > :least -- and more";
        let raw = Raw::new(db.dialect(), sql, Params::named([("factor", 10_i64), ("least", 1)])).unwrap();
        let rows = Selection::of_query(raw.statement(), &idents(&["id", "score"]))
            .filter(Filter::within("score", [0_i64, 10]))
            .unwrap();
        let order = vec![SortColumn::descending("score"), SortColumn::ascending("id").nulls(Nulls::Never)];
        let keyset = Keyset::assuming_unique(rows.clone(), order.clone(), key()).unwrap();

        let first = keyset.load(db, Start::First, PageSize::new(3).unwrap()).await.unwrap();
        let next = first.next.clone().unwrap();
        let second = keyset.load(db, Start::At(&next), PageSize::new(3).unwrap()).await.unwrap();

        assert_eq!([ids(&first.items), ids(&second.items)].concat(), [3, 5, 2, 4]);
        let refused = Keyset::checked(db, rows, order, key()).await.unwrap_err();
        assert!(matches!(refused, Error::Keyset(KeysetError::NotATable)), "{refused}");
    }
}

#[tokio::test]
async fn an_order_is_checked_against_the_catalog() {
    let bases = bases().await;
    bases.run("create unique index t_a on t (a); create unique index t_half on t (c) where a = 1").await;

    for db in &bases.all {
        let checked = async |order: Vec<SortColumn>| Keyset::checked(db, selection("t", &NAMES), order, key()).await;

        checked(vec![SortColumn::ascending("b"), SortColumn::ascending("id")]).await.unwrap();
        // unique, yet nulls are not; unique, yet not of all rows
        for order in [vec![SortColumn::ascending("a")], vec![SortColumn::ascending("c")]] {
            let refused = checked(order).await.unwrap_err().to_string();
            assert!(refused.ends_with("end the order with id"), "{refused}");
        }
        let unknown = checked(vec![SortColumn::ascending("idd")]).await.unwrap_err();
        assert!(matches!(unknown, Error::Selection(SelectionError::UnknownColumn { nearest: Some(_), .. })));
        let twice = checked(vec![SortColumn::ascending("id"), SortColumn::descending("id")]).await.unwrap_err();
        assert!(matches!(twice, Error::Keyset(KeysetError::ColumnTwice { .. })));
        assert!(matches!(checked(Vec::new()).await.unwrap_err(), Error::Keyset(KeysetError::NoOrder)));
        let absent = Keyset::checked(db, selection("nothing", &["id"]), vec![SortColumn::ascending("id")], key()).await;
        assert!(matches!(absent.unwrap_err(), Error::Keyset(KeysetError::NoTable { .. })));
    }
}

#[tokio::test]
async fn a_cursor_of_anything_else_is_refused() {
    let bases = bases().await;
    bases.run("create table u (a integer, id integer not null primary key)").await;
    let size = PageSize::new(2).unwrap();

    for db in &bases.all {
        fill(db, &(1..=5).map(|id| (Some(id), None, 0.5, id)).collect::<Vec<_>>()).await;
        let keyset = |table: &str, least: i64, order: SortColumn, key: CursorKey| {
            let rows = selection(table, &["a", "id"]).filter(Filter::compare("a", Comparison::AtLeast, least)).unwrap();
            Keyset::assuming_unique(rows, vec![order.nulls(Nulls::Never)], key).unwrap()
        };
        let by_id = || SortColumn::ascending("id");
        let cursor = keyset("t", 1, by_id(), key()).load(db, Start::First, size).await.unwrap().next.unwrap();
        let refusal = async |keyset: Keyset, cursor: &str| match keyset.load(db, Start::At(cursor), size).await {
            Err(Error::Keyset(error)) => error,
            other => panic!("{other:?}"),
        };

        let other_key = CursorKey::new(b"a key of somebody else").unwrap();
        let same = || keyset("t", 1, by_id(), key());
        assert_eq!(refusal(keyset("t", 2, by_id(), key()), &cursor).await, KeysetError::OtherFilter);
        assert_eq!(
            refusal(keyset("t", 1, SortColumn::descending("id"), key()), &cursor).await,
            KeysetError::OtherOrder
        );
        assert_eq!(refusal(keyset("u", 1, by_id(), key()), &cursor).await, KeysetError::OtherOrder);
        assert_eq!(refusal(keyset("t", 1, by_id(), other_key), &cursor).await, KeysetError::Signature);
        assert_eq!(refusal(same(), &cursor[..20]).await, KeysetError::Damaged);
        assert_eq!(refusal(same(), "no cursor").await, KeysetError::Damaged);
        assert_eq!(refusal(same(), "").await, KeysetError::Damaged);
    }
}

#[tokio::test]
async fn a_broken_promise_about_nulls_is_noticed() {
    let bases = bases().await;
    let order = vec![SortColumn::ascending("a").nulls(Nulls::Never), SortColumn::ascending("id").nulls(Nulls::Never)];
    let keyset = Keyset::assuming_unique(selection("t", &NAMES), order, key()).unwrap();

    fill(bases.sqlite(), &[(None, None, 0.5, 1), (Some(1), None, 0.5, 2)]).await;
    let refused = keyset.load(bases.sqlite(), Start::First, PageSize::new(1).unwrap()).await.unwrap_err();

    assert_eq!(
        refused.to_string(),
        "column `a` was said to have no nulls and has one: say where nulls stand in the order"
    );
}

#[tokio::test]
async fn filters_are_refused_by_name_or_hold_what_they_say() {
    let bases = bases().await;
    let null = selection("t", &NAMES).filter(Filter::equal("a", Value::Null)).unwrap_err();
    assert_eq!(null.to_string(), "column `a` is compared with null, which holds of no row: use `Filter::Null`");
    let far = selection("t", &NAMES).filter(Filter::Null("surname".to_owned())).unwrap_err();
    assert_eq!(far.to_string(), "\"t\" has no column `surname`, accepted are: a, b, c, id");

    for db in &bases.all {
        fill(db, &[(None, None, 0.5, 1), (Some(1), Some("x".to_owned()), 1.5, 2), (Some(2), None, 2.5, 3)]).await;
        let found = async |filter: Filter| {
            let rows = selection("t", &NAMES).filter(filter).unwrap();
            let keyset = Keyset::assuming_unique(rows, vec![SortColumn::ascending("id")], key()).unwrap();
            ids(&keyset.load(db, Start::First, PageSize::default()).await.unwrap().items)
        };

        assert_eq!(found(Filter::Null("a".to_owned())).await, [1]);
        assert_eq!(found(Filter::equal("a", 1_i64).negated()).await, [1, 3]);
        assert_eq!(
            found(Filter::Any(vec![Filter::equal("b", "x"), Filter::compare("c", Comparison::Less, 1.0)])).await,
            [1, 2]
        );
        assert_eq!(found(Filter::Any(Vec::new())).await, [] as [i64; 0]);
        assert_eq!(found(Filter::within("id", [3_i64, 9])).await, [3]);
        let own = tierkeep_db::Condition::Null(tierkeep_db::Operand::Column("b"));
        assert_eq!(
            found(Filter::All(vec![Filter::Holds(own), Filter::compare("id", Comparison::Greater, 1_i64)])).await,
            [3]
        );
    }
}

#[tokio::test]
async fn cursors_keep_every_value_in_full() {
    let bases = Bases::new().await;
    let db = bases.postgres();
    run(
        db,
        "create table t (id bigint not null primary key, at timestamptz, n numeric, f double precision, u uuid, d date,
             b bytea, s text);
         insert into t select i, timestamptz '2026-11-22 10:00:00.000001+00' + (i % 5) * interval '1 microsecond',
             (array['1.0', '1.00', '1.000000000000000000001', 'NaN', '-0.1'])[i % 5 + 1]::numeric,
             (array['0.1', '0.30000000000000004', 'NaN', 'Infinity', '-0'])[i % 5 + 1]::float8,
             ('00000000-0000-4000-8000-00000000000' || i % 3)::uuid, date '2026-11-22' - (i % 4)::int,
             decode(lpad(to_hex(i % 6), 2, '0'), 'hex'), chr(228 + (i % 3)::int)
             from generate_series(1, 40) as i;
         insert into t values (41, 'infinity', null, null, null, '-infinity', '', ''), (42, '-infinity', null, null, null, null, null, null)",
    )
    .await;
    let columns = ["id", "at", "n", "f", "u", "d", "b", "s"];

    for column in &columns[1..] {
        for (order, words) in
            [(SortColumn::ascending(column), "asc nulls last"), (SortColumn::descending(column), "desc nulls last")]
        {
            let order = vec![order, SortColumn::ascending("id")];
            let keyset = Keyset::checked(db, selection("t", &columns), order, key()).await.unwrap();
            let mut page = keyset.load(db, Start::First, PageSize::new(1).unwrap()).await.unwrap();
            let mut walked = ids(&page.items);
            while let Some(next) = page.next {
                page = keyset.load(db, Start::At(&next), PageSize::new(1).unwrap()).await.unwrap();
                walked.extend(ids(&page.items));
            }
            let sql = ["select id from t order by ", column, " ", words, ", id"].concat();
            assert_eq!(walked, numbers(db, &sql).await, "{column} {words}");
        }
    }
}
