//! Pages by number.

use tierkeep_db::offset::{Count, Depth, Listing, OffsetError, PageNumber, Total};
use tierkeep_db::{Comparison, Error, Filter, PageSize, Row, Selection, SelectionError, SortColumn};

use crate::fixture::{Bases, run, selection};

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.get("id").unwrap()).collect()
}

async fn bases() -> Bases {
    let bases = Bases::new().await;
    bases.run("create table t (id integer not null primary key, a integer)").await;
    run(bases.postgres(), "insert into t select i, i % 2 from generate_series(1, 25) as i").await;
    let series = "with recursive s (i) as (select 1 union all select i + 1 from s where i < 25)";
    run(bases.sqlite(), &[series, " insert into t select i, i % 2 from s"].concat()).await;
    bases
}

fn listing(rows: Selection) -> Listing {
    Listing::new(rows, vec![SortColumn::descending("id")]).unwrap()
}

fn odd() -> Selection {
    selection("t", &["id", "a"]).filter(Filter::equal("a", 1_i64)).unwrap()
}

#[tokio::test]
async fn pages_are_cut_from_the_order_and_counted_only_when_asked() {
    let bases = bases().await;
    let size = PageSize::new(5).unwrap();

    for db in &bases.all {
        let second = listing(odd()).load(db, PageNumber::new(2).unwrap(), size).await.unwrap();
        assert_eq!(ids(&second.items), [15, 13, 11, 9, 7]);
        assert!(second.has_more);
        assert_eq!((second.total, second.pages, second.depth), (None, None, Depth::Shallow));

        let last = listing(odd()).count(Count::Exact).load(db, PageNumber::new(3).unwrap(), size).await.unwrap();
        assert_eq!((ids(&last.items), last.has_more), (vec![5, 3, 1], false));
        assert_eq!((last.total, last.pages), (Some(Total::Exact(13)), Some(3)));

        let beyond = listing(odd()).load(db, PageNumber::new(4).unwrap(), size).await.unwrap();
        assert!(beyond.items.is_empty() && !beyond.has_more);
    }
}

#[tokio::test]
async fn a_total_says_how_certain_it_is() {
    let bases = bases().await;
    bases.run("analyze").await;
    let size = PageSize::new(5).unwrap();

    for (db, is_postgres) in bases.all.iter().zip([true, false]) {
        let total = async |rows: Selection, count: Count| {
            listing(rows).count(count).load(db, PageNumber::new(1).unwrap(), size).await.unwrap().total.unwrap()
        };

        assert_eq!(total(odd(), Count::AtMost(12)).await, Total::AtLeast(12));
        assert_eq!(total(odd(), Count::AtMost(13)).await, Total::Exact(13));
        assert_eq!(total(odd(), Count::AtMost(u64::MAX)).await, Total::Exact(13));
        assert_eq!(total(selection("t", &["id"]), Count::Estimated).await, Total::Estimated(25));
        let filtered = if is_postgres { Total::Estimated(13) } else { Total::Exact(13) };
        assert_eq!(total(odd(), Count::Estimated).await, filtered);
    }
}

#[tokio::test]
async fn an_estimate_without_statistics_is_counted_on_sqlite() {
    let bases = bases().await;

    let page = listing(selection("t", &["id"])).count(Count::Estimated);
    let page = page.load(bases.sqlite(), PageNumber::new(1).unwrap(), PageSize::default()).await.unwrap();

    assert_eq!(page.total, Some(Total::Exact(25)));
}

#[tokio::test]
async fn what_lies_before_a_page_is_said_or_refused() {
    let bases = bases().await;
    let size = PageSize::new(1000).unwrap();

    for db in &bases.all {
        let page = async |number: i64, deepest: u64| {
            listing(odd()).deepest(deepest).load(db, PageNumber::new(number).unwrap(), size).await
        };

        assert_eq!(page(11, 10_000).await.unwrap().depth, Depth::Deep { skipped: 10_000 });
        let refused = page(12, 10_000).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "page 12 skips 11000 rows, accepted are up to 10000: leaf by key, or narrow the filter"
        );
        let endless = listing(odd()).load(db, PageNumber::new(i64::MAX).unwrap(), size).await.unwrap_err();
        assert!(matches!(endless, Error::Offset(OffsetError::TooDeep { .. })), "{endless}");
    }
}

#[test]
fn there_is_no_page_before_the_first_and_none_without_order() {
    for given in [0, -1, i64::MIN] {
        assert_eq!(PageNumber::new(given), Err(OffsetError::PageNumber { given }));
    }
    let unordered = Listing::new(odd(), Vec::new()).unwrap_err();
    assert!(matches!(unordered, Error::Offset(OffsetError::NoOrder)));
    let unknown = Listing::new(odd(), vec![SortColumn::ascending("ID2")]).unwrap_err();
    assert!(matches!(unknown, Error::Selection(SelectionError::UnknownColumn { .. })));
    let field = odd().filter(Filter::compare("aa", Comparison::Less, 1_i64)).unwrap_err();
    assert_eq!(field.to_string(), "\"t\" has no column `aa`, did you mean `a`?");
}
