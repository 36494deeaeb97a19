//! Periods against statements that are counted one execution at a time.

use proptest::prelude::*;

use super::*;

fn key(query_id: i64) -> QueryKey {
    QueryKey { user_id: 10, database_id: 5, query_id, is_top_level: true }
}

/// A server that counts each execution, and remembers them all.
#[derive(Debug, Clone, Default)]
struct Server {
    now_us: i64,
    reset_us: i64,
    evictions: u64,
    counted: HashMap<i64, (i64, Vec<f64>)>,
    /// When each execution was, and how long it took.
    history: Vec<(i64, i64, f64)>,
}

impl Server {
    fn run(&mut self, query_id: i64, ms: f64) {
        self.now_us += 1;
        self.counted.entry(query_id).or_insert_with(|| (self.now_us, Vec::new())).1.push(ms);
        self.history.push((self.now_us, query_id, ms));
    }

    fn evict(&mut self, query_id: i64) {
        self.now_us += 1;
        if self.counted.remove(&query_id).is_some() {
            self.evictions += 1;
        }
    }

    fn reset(&mut self) {
        self.now_us += 1;
        self.counted.clear();
        (self.evictions, self.reset_us) = (0, self.now_us);
    }

    fn snapshot(&self, tells_since: bool) -> QuerySnapshot {
        let mut queries: Vec<QueryCounters> = self
            .counted
            .iter()
            .map(|(query_id, (since, times))| QueryCounters {
                key: key(*query_id),
                text: format!("statement {query_id}"),
                calls: times.len() as u64,
                plans: 0,
                rows: Some(2 * times.len() as u64),
                execution: timing(times),
                planning: Timing::default(),
                blocks: Blocks { shared_hit: times.len() as u64, ..Blocks::default() },
                since_us: tells_since.then_some(*since),
            })
            .collect();
        queries.sort_by_key(|query| query.key);
        QuerySnapshot { taken_us: self.now_us, reset_us: Some(self.reset_us), evictions: Some(self.evictions), queries }
    }
}

fn timing(times: &[f64]) -> Timing {
    let (count, total_ms) = (times.len() as f64, times.iter().sum::<f64>());
    let mean = total_ms / count;
    let variance = times.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / count;
    Timing {
        total_ms,
        min_ms: times.iter().copied().fold(f64::INFINITY, f64::min),
        max_ms: times.iter().copied().fold(0.0, f64::max),
        stddev_ms: variance.sqrt(),
    }
}

#[test]
fn counter_that_went_down_counts_from_zero_and_the_list_is_incomplete() {
    let mut server = Server::default();
    (0..5).for_each(|_| server.run(1, 10.0));
    let earlier = server.snapshot(false);
    server.evict(1);
    server.run(1, 7.0);

    let period = server.snapshot(false).since(&earlier);

    assert_eq!((period.queries[0].calls, period.queries[0].total_ms()), (1, 7.0));
    assert_eq!(period.completeness, Completeness::Evicted { times: 1 });
}

#[test]
fn statement_that_is_counted_since_later_counts_from_zero_though_its_counter_rose() {
    let mut server = Server::default();
    server.run(1, 10.0);
    let (earlier, blind) = (server.snapshot(true), server.snapshot(false));
    server.evict(1);
    (0..3).for_each(|_| server.run(1, 4.0));

    assert_eq!(server.snapshot(true).since(&earlier).queries[0].calls, 3);
    assert_eq!(server.snapshot(false).since(&blind).queries[0].calls, 2, "what older extensions cannot tell");
}

#[test]
fn statement_that_is_gone_makes_the_list_incomplete_also_where_nobody_counts_evictions() {
    let mut server = Server::default();
    server.run(1, 1.0);
    let earlier = QuerySnapshot { evictions: None, reset_us: None, ..server.snapshot(false) };
    server.evict(1);

    let later = QuerySnapshot { evictions: None, reset_us: None, ..server.snapshot(false) };

    assert_eq!(later.since(&earlier).completeness, Completeness::Evicted { times: 0 });
    assert_eq!(earlier.since(&earlier).completeness, Completeness::Unknown);
}

#[test]
fn reset_makes_everything_count_from_zero() {
    let mut server = Server::default();
    server.run(1, 1.0);
    let earlier = server.snapshot(false);
    server.reset();
    (0..3).for_each(|_| server.run(1, 1.0));

    let period = server.snapshot(false).since(&earlier);

    assert_eq!(period.queries[0].calls, 3);
    assert_eq!((period.from_us, period.completeness), (Some(server.reset_us), Completeness::Complete));
}

#[test]
fn slowest_are_ordered_by_what_was_asked_and_bounded() {
    let mut server = Server::default();
    (0..100).for_each(|_| server.run(1, 50.0));
    server.run(2, 900.0);
    (0..1000).for_each(|_| server.run(3, 0.1));
    let period = server.snapshot(true).whole();
    let ids = |wanted| period.slowest(wanted).iter().map(|query| query.key.query_id).collect::<Vec<_>>();
    let every = SlowQueries { threshold_ms: 0.0, ..SlowQueries::default() };

    assert_eq!(ids(every), [1, 2, 3]);
    assert_eq!(ids(SlowQueries { by: SlowestBy::Mean, ..every }), [2, 1, 3]);
    assert_eq!(ids(SlowQueries { threshold_ms: 50.0, ..every }), [1, 2]);
    assert_eq!(ids(SlowQueries { limit: 1, ..every }), [1]);
    assert_eq!(ids(SlowQueries::default()), [2]);
}

#[test]
fn statement_is_one_line() {
    let mut server = Server::default();
    server.run(1, 12.0);
    server.run(1, 4.0);
    let mut query = server.snapshot(true).queries.remove(0);
    query.text = format!("select\n  {}", "x".repeat(200));
    query.blocks = Blocks { shared_hit: 3, shared_read: 1, temp_read: 0, temp_written: 9 };

    assert_eq!(
        query.to_string(),
        format!(
            "16.0 ms in 2 calls, mean 8.00 ms (4.00 to 12.00, deviation 4.00), 4 rows, 75 % of blocks in memory, \
             9 temporary blocks written: select {}…",
            "x".repeat(113)
        )
    );
}

#[derive(Debug, Clone)]
enum Step {
    Run(i64, f64),
    Evict(i64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0_i64..4, 1_u32..1000).prop_map(|(id, ms)| Step::Run(id, f64::from(ms) / 8.0)),
        2 => (0_i64..4).prop_map(Step::Evict),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    /// Where the extension tells since when, a period holds exactly what ran since the earlier reading and was not thrown
    /// away after; and it says so if anything was.
    #[test]
    fn period_holds_what_ran_in_it(before in prop::collection::vec(step(), 0..40), after in prop::collection::vec(step(), 0..40)) {
        let mut server = Server::default();
        let apply = |server: &mut Server, steps: &[Step]| for step in steps {
            match step {
                Step::Run(id, ms) => server.run(*id, *ms),
                Step::Evict(id) => server.evict(*id),
                Step::Reset => server.reset(),
            }
        };
        apply(&mut server, &before);
        let earlier = server.snapshot(true);
        apply(&mut server, &after);
        let period = server.snapshot(true).since(&earlier);

        for id in 0..4 {
            let since = server.counted.get(&id).map(|(since, _)| *since);
            let kept: Vec<f64> = server
                .history
                .iter()
                .filter(|(at, which, _)| *which == id && *at > earlier.taken_us && since.is_some_and(|since| *at >= since))
                .map(|(_, _, ms)| *ms)
                .collect();
            let Some(found) = period.queries.iter().find(|query| query.key == key(id)) else {
                prop_assert!(kept.is_empty());
                continue;
            };
            let wanted = timing(&kept);
            prop_assert_eq!(found.calls, kept.len() as u64);
            prop_assert_eq!(found.rows, Some(2 * found.calls));
            prop_assert!((found.total_ms() - wanted.total_ms).abs() < 1e-6);
            prop_assert!((found.execution.stddev_ms - wanted.stddev_ms).abs() < 1e-3);
        }
        let ran = server.history.iter().filter(|(at, ..)| *at > earlier.taken_us).count() as u64;
        let told: u64 = period.queries.iter().map(|query| query.calls).sum();
        let was_reset = server.reset_us > earlier.taken_us;
        prop_assert!(told <= ran);
        if told < ran && !was_reset {
            let is_incomplete = matches!(period.completeness, Completeness::Evicted { .. });
            prop_assert!(is_incomplete);
        }
    }
}
