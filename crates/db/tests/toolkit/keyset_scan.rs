//! What is there during a whole scan is seen once, whatever else comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tierkeep_db::keyset::{Keyset, Start};
use tierkeep_db::raw::{Params, Raw};
use tierkeep_db::{Database, Nulls, PageSize, SortColumn};

use crate::fixture::{Bases, check, key, numbers, run, selection};

/// What happens between two pages.
#[derive(Debug, Clone)]
enum Change {
    Insert { id: i64, a: Option<i64> },
    Delete { id: i64 },
}

/// Rows in steps of ten, so that there is room between them.
const ROWS: i64 = 20;

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![
        (1..ROWS * 10, proptest::option::weighted(0.7, 0..4_i64)).prop_map(|(id, a)| Change::Insert { id, a }),
        (1..=ROWS).prop_map(|row| Change::Delete { id: row * 10 }),
    ];
    prop::collection::vec(prop::collection::vec(change, 0..4), 30)
}

/// Walks all pages and makes the changes between them; returns what was seen, and what was there all the time.
async fn scan(db: &Database, keyset: &Keyset, start: Start<'_>, changes: &[Vec<Change>]) -> (Vec<i64>, BTreeSet<i64>) {
    run(db, "delete from t").await;
    let write = async |sql: &str, params: Params| {
        Raw::new(db.dialect(), sql, params).unwrap().write(db).await.unwrap();
    };
    for row in 1..=ROWS {
        let a = (row % 5 > 0).then_some(row % 4);
        write("insert into t (id, a) values (:id, :a)", Params::named([("id", row * 10)]).with("a", a)).await;
    }
    let mut stable: BTreeSet<i64> = numbers(db, "select id from t").await.into_iter().collect();
    let size = PageSize::new(3).unwrap();
    let mut page = keyset.load(db, start, size).await.unwrap();
    let mut seen = Vec::new();
    let mut steps = changes.iter();
    loop {
        seen.extend(page.items.iter().map(|row| row.get::<i64>("id").unwrap()));
        let towards = if start == Start::First { page.next } else { page.previous };
        let Some(cursor) = towards else { return (seen, stable) };
        for change in steps.next().map_or(&[] as &[Change], Vec::as_slice) {
            match change {
                Change::Insert { id, a } => {
                    let sql = "insert into t (id, a) values (:id, :a) on conflict (id) do nothing";
                    write(sql, Params::named([("id", *id)]).with("a", *a)).await;
                }
                Change::Delete { id } => {
                    stable.remove(id);
                    write("delete from t where id = :id", Params::named([("id", *id)])).await;
                }
            }
        }
        page = keyset.load(db, Start::At(&cursor), size).await.unwrap();
    }
}

/// Rows that were there all the time and were not seen exactly once.
fn wrong(seen: &[i64], stable: &BTreeSet<i64>) -> Vec<i64> {
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    for id in seen {
        *times.entry(*id).or_default() += 1;
    }
    stable.iter().filter(|id| times.get(id) != Some(&1)).copied().collect()
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run("create table t (id integer not null primary key, a integer)").await;
    bases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_stay_are_seen_once_while_others_come_and_go() {
    let bases = bases().await;
    let order = vec![SortColumn::descending("a").nulls(Nulls::First), SortColumn::ascending("id")];
    let keyset = Keyset::checked(bases.postgres(), selection("t", &["a", "id"]), order, key()).await.unwrap();

    check(24, &changes(), async |changes| {
        for db in &bases.all {
            for start in [Start::First, Start::Last] {
                let (seen, stable) = scan(db, &keyset, start, &changes).await;
                prop_assert_eq!(wrong(&seen, &stable), Vec::<i64>::new());
            }
        }
        Ok(())
    });
}

#[tokio::test]
async fn an_order_that_is_not_total_is_found_by_the_same_check() {
    let bases = bases().await;
    let order = vec![SortColumn::ascending("a")];
    let keyset = Keyset::assuming_unique(selection("t", &["a", "id"]), order, key()).unwrap();

    for db in &bases.all {
        let (seen, stable) = scan(db, &keyset, Start::First, &[]).await;
        assert!(!wrong(&seen, &stable).is_empty(), "a key of one column with ties skips rows");
    }
}

#[tokio::test]
async fn writers_beside_the_scan_do_not_disturb_it() {
    let bases = bases().await;
    run(bases.postgres(), "insert into t select i * 10, i % 7 from generate_series(1, 2000) as i").await;
    let order = vec![SortColumn::ascending("a"), SortColumn::descending("id")];
    let keyset = Keyset::checked(bases.postgres(), selection("t", &["a", "id"]), order, key()).await.unwrap();
    let Database::Postgres(pool) = bases.postgres().clone() else { panic!("no pool") };
    let stop = tokio_util::sync::CancellationToken::new();
    let writer = tokio::spawn({
        let (pool, stop) = (pool.clone(), stop.clone());
        async move {
            let connection = pool.get().await.unwrap();
            let mut rounds = 0;
            while !stop.is_cancelled() {
                connection
                    .batch_execute(
                        "insert into t select i * 10 + 5, i % 7 from generate_series(1, 2000) as i where random() < 0.05
                         on conflict (id) do nothing;
                         delete from t where id % 10 = 5 and random() < 0.5",
                    )
                    .await
                    .unwrap();
                rounds += 1;
            }
            rounds
        }
    });

    let mut seen = Vec::new();
    let mut page = keyset.load(bases.postgres(), Start::First, PageSize::new(10).unwrap()).await.unwrap();
    loop {
        seen.extend(page.items.iter().map(|row| row.get::<i64>("id").unwrap()));
        let Some(next) = page.next else { break };
        page = keyset.load(bases.postgres(), Start::At(&next), PageSize::new(10).unwrap()).await.unwrap();
    }
    stop.cancel();

    assert!(writer.await.unwrap() > 0);
    assert_eq!(wrong(&seen, &(1..=2000).map(|row| row * 10).collect()), [] as [i64; 0]);
}

#[tokio::test]
async fn a_page_whose_rows_are_gone_leads_back() {
    let bases = bases().await;
    let order = vec![SortColumn::ascending("id")];
    let size = PageSize::new(2).unwrap();

    for db in &bases.all {
        let keyset = Keyset::checked(db, selection("t", &["id"]), order.clone(), key()).await.unwrap();
        run(db, "insert into t (id) values (1), (2), (3), (4)").await;
        let next = keyset.load(db, Start::First, size).await.unwrap().next.unwrap();
        run(db, "delete from t where id > 2").await;

        let empty = keyset.load(db, Start::At(&next), size).await.unwrap();
        assert!(empty.items.is_empty() && !empty.has_next && empty.has_previous);
        let back = keyset.load(db, Start::At(&empty.previous.unwrap()), size).await.unwrap();
        assert_eq!(back.map(|row| row.get::<i64>("id").unwrap()).items, [1, 2]);
        assert!(!back.has_next && !back.has_previous);

        run(db, "delete from t").await;
        let nothing = keyset.load(db, Start::At(&next), size).await.unwrap();
        assert!(!nothing.has_next && !nothing.has_previous && nothing.next.is_none() && nothing.previous.is_none());
    }
}
