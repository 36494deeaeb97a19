//! Random writers and readers: whatever is served is what the database said at the last position that was asked for, or later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use proptest::prelude::*;
use tierkeep_db::feed::Feed;
use tierkeep_db::query_cache::Origin;
use tierkeep_testkit::DatabaseClient;
use tokio_postgres::types::Type;

use crate::shop::{Shop, shown};

const QUERIES: [&str; 6] = [
    "select id::text, price::text from orders order by id",
    "select name from dear_names order by 1",
    "select c.name, count(o.id)::text from customers as c left join orders as o on o.customer = c.id group by 1 order by 1",
    "select sum(id)::text from visits",
    "select count(*)::text from visits_low where customer = 1",
    "with few as (select id from orders where price < 50) select id::text from few union select id::text from visits order by 1",
];

#[derive(Debug, Clone)]
enum Step {
    Write(usize, i64),
    Ask(usize),
    CatchUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..WRITES.len(), 1_i64..4).prop_map(|(door, n)| Step::Write(door, n)),
        5 => (0..QUERIES.len()).prop_map(Step::Ask),
        1 => Just(Step::CatchUp),
    ]
}

/// The last one is rolled back.
const WRITES: [&str; 9] = [
    "insert into orders values ($1 + 100, $1, 10 * $1) on conflict (id) do update set price = orders.price + 20",
    "delete from customers where id = $1",
    "insert into customers values ($1, 'name') on conflict do nothing",
    "insert into visits select n, $1 from generate_series(90, 105) as n",
    "update visits set id = id + 1 where customer = $1 and id < 900",
    "delete from visits_low where customer = $1",
    "with gone as (delete from visits where customer = $1 returning id) insert into visits select id, 3 from gone",
    "update customers set name = name || '!' where id <= $1",
    "update orders set price = 0 where customer = $1",
];

async fn write(writer: &DatabaseClient, door: usize, n: i64, is_noted: bool) {
    writer.batch_execute("begin").await.unwrap();
    if !is_noted {
        writer.batch_execute(Feed::MOVE_POSTGRES).await.unwrap();
    }
    let written = writer.query_typed(WRITES[door], &[(&n, Type::INT8)]).await;
    // An order of a customer who is gone is refused, and changes nothing.
    let is_kept = written.is_ok() && door + 1 < WRITES.len();
    writer.batch_execute(if is_kept { "commit" } else { "rollback" }).await.unwrap();
}

/// Whether each answer was one that the database gave since the feed was last asked; tells how many came from memory.
async fn run(steps: &[Step], spoil: bool) -> Result<usize, String> {
    let shop = Shop::open().await;
    let fresh = async |query: usize| shown(&shop.writer.query(QUERIES[query], &[]).await.unwrap());
    // For each query, what the database said since the feed was last asked.
    let mut said: HashMap<usize, Vec<Vec<String>>> = HashMap::new();
    for query in 0..QUERIES.len() {
        said.insert(query, vec![fresh(query).await]);
    }
    let mut hits = 0;
    for step in steps {
        match step {
            Step::Write(door, n) => {
                write(&shop.writer, *door, *n, !spoil).await;
                for (query, said) in &mut said {
                    said.push(fresh(*query).await);
                }
            }
            Step::CatchUp => {
                shop.queries.catch_up().await.unwrap();
                said.values_mut().for_each(|said| drop(said.drain(..said.len() - 1)));
            }
            Step::Ask(query) => {
                let answer = shop.ask(QUERIES[*query], &[]).await;
                hits += usize::from(answer.origin == Origin::Cache);
                let rows = shown(&answer.rows);
                if !said[query].contains(&rows) {
                    return Err(format!("{} gave {rows:?}, of {:?}", QUERIES[*query], said[query]));
                }
            }
        }
    }
    Ok(hits)
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answer_is_what_the_database_says(steps in prop::collection::vec(step(), 1..80)) {
        let run = in_runtime(run(&steps, false));
        prop_assert!(run.is_ok(), "{}", run.unwrap_err());
    }
}

/// The control: writers whose changes are not noted are found out, and answers do come from memory.
#[test]
fn oracle_notices_invalidation_that_does_not_come() {
    let steps: Vec<Step> = (0..40)
        .flat_map(|n| [Step::Ask(0), Step::Ask(0), Step::Write(0, 1 + n % 2), Step::CatchUp, Step::Ask(0)])
        .collect();

    assert!(in_runtime(run(&steps, false)).unwrap() >= 40);
    assert!(in_runtime(run(&steps, true)).is_err());
}

/// Writers, readers and the follower at the same time: a load that began before a change leaves nothing behind that is
/// served after the change was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_covered_is_never_unread() {
    let shop = Arc::new(Shop::open().await);
    let (is_over, covered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let prices = "select sum(price) from orders, customers where customers.id = orders.customer";
    let direct = async |shop: &Shop| -> i64 { shop.writer.query_one(prices, &[]).await.unwrap().get(0) };
    covered.store(direct(&shop).await, Ordering::SeqCst);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (shop, is_over, covered) = (Arc::clone(&shop), Arc::clone(&is_over), Arc::clone(&covered));
            tokio::spawn(async move {
                let mut hits = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let least = covered.load(Ordering::SeqCst);
                    let answer = shop.ask(prices, &[]).await;
                    let read: i64 = answer.rows[0].get(0);
                    assert!(read >= least, "{read} after {least} was covered, from {:?}", answer.origin);
                    hits += usize::from(answer.origin == Origin::Cache);
                    tokio::task::yield_now().await;
                }
                hits
            })
        })
        .collect();

    let writer = shop.db.client().await.unwrap();
    for _ in 0..150 {
        writer.batch_execute("update orders set price = price + 1 where id = 10").await.unwrap();
        let committed = direct(&shop).await;
        shop.queries.catch_up().await.unwrap();
        covered.store(committed, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);

    let mut hits = 0;
    for reader in readers {
        hits += reader.await.unwrap();
    }
    assert!(hits > 0, "answers came from memory");
}
