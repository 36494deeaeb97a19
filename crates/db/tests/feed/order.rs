//! Positions are one order for everybody, and nothing is missing below one that was seen.

use std::collections::BTreeMap;

use anyhow::Result;
use tierkeep_db::feed::FeedEvent;
use tierkeep_testkit::DatabaseClient;

use crate::fixture::{Platform, touched};

/// The cursor that loses events: it believes that ids appear in their order.
struct NaiveCursor {
    last: i64,
    seen: Vec<i64>,
}

impl NaiveCursor {
    async fn poll(&mut self, db: &DatabaseClient) -> Result<()> {
        for row in db.query("select id, key from tierkeep_outbox where id > $1 order by id", &[&self.last]).await? {
            self.last = row.get("id");
            self.seen.extend(row.get::<_, Option<i64>>("key"));
        }
        Ok(())
    }
}

async fn insert(db: &DatabaseClient, id: i64) -> Result<()> {
    db.execute("insert into archive values ($1, $1, 'epoch')", &[&id]).await?;
    Ok(())
}

#[tokio::test]
async fn event_that_commits_late_is_not_lost_and_a_cursor_on_ids_loses_it() -> Result<()> {
    let mut platform = Platform::watched().await?;
    let (slow, quick) = (platform.db.client().await?, platform.db.client().await?);
    let last = quick.query_one("select max(id) from tierkeep_outbox", &[]).await?.get(0);
    let mut naive = NaiveCursor { last, seen: Vec::new() };

    slow.batch_execute("begin").await?;
    insert(&slow, 1).await?;
    insert(&quick, 2).await?;
    let first = platform.news().await?;
    naive.poll(&quick).await?;
    slow.batch_execute("commit").await?;
    let second = platform.news().await?;
    naive.poll(&quick).await?;

    assert_eq!(first, [touched("archive", 2, 0, 0)], "nobody waits for the slow one");
    assert_eq!(second, [touched("archive", 1, 0, 0)]);
    assert_eq!(naive.seen, [2], "the negative control: the naive cursor loses the slow one");
    Ok(())
}

#[tokio::test]
async fn poll_that_finds_nothing_takes_no_transaction_id() -> Result<()> {
    let platform = Platform::watched().await?;
    let db = platform.poller().await?;
    db.batch_execute("begin").await?;

    platform.feed.poll_postgres(&db, platform.after, 10).await?;

    let assigned: Option<String> = db.query_one("select pg_current_xact_id_if_assigned()::text", &[]).await?.get(0);
    assert_eq!(assigned, None);
    insert(&platform.writer, 1).await?;
    platform.feed.poll_postgres(&db, platform.after, 10).await?;
    let assigned: Option<String> = db.query_one("select pg_current_xact_id_if_assigned()::text", &[]).await?.get(0);
    assert!(assigned.is_some(), "the control: numbering does");
    db.batch_execute("rollback").await?;
    Ok(())
}

#[tokio::test]
async fn node_that_numbers_is_waited_for_so_that_a_poll_tells_all_that_was_committed() -> Result<()> {
    let platform = Platform::watched().await?;
    insert(&platform.writer, 1).await?;
    let (a, b) = (platform.poller().await?, platform.poller().await?);

    // One node is in the middle of numbering, and has not seen what is written now.
    a.batch_execute("begin").await?;
    let at_a = platform.feed.poll_postgres(&a, platform.after, 10).await?;
    insert(&platform.writer, 2).await?;
    let (at_b, committed) = tokio::join!(platform.feed.poll_postgres(&b, platform.after, 10), async {
        until_somebody_waits(&platform.writer).await?;
        a.batch_execute("commit").await
    });
    committed?;
    let at_b = at_b?;

    assert_eq!(keys(&at_a.events), [1]);
    assert_eq!(keys(&at_b.events), [1, 2]);
    assert_eq!(at_b.events[0].position, at_a.events[0].position);
    Ok(())
}

/// Ends when a session waits for a lock in this database.
async fn until_somebody_waits(watcher: &DatabaseClient) -> std::result::Result<(), tokio_postgres::Error> {
    let waiting = "select exists (select from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock')";
    while !watcher.query_one(waiting, &[]).await?.get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn poll_reads_in_pieces_of_its_limit() -> Result<()> {
    let platform = Platform::watched().await?;
    platform.writer.batch_execute("insert into archive select i, i, 'epoch' from generate_series(1, 5) as i").await?;
    let db = platform.poller().await?;
    let (mut after, mut pieces) = (platform.after, Vec::new());

    loop {
        let polled = platform.feed.poll_postgres(&db, after, 2).await?;
        pieces.push(polled.events.len());
        after = polled.events.last().map_or(after, |event| event.position);
        if !polled.more {
            break;
        }
    }

    assert_eq!(pieces, [2, 2, 1]);
    Ok(())
}

/// Random transactions on several connections, polls of several nodes in between: every committed event reaches each node
/// once and in the same order.
#[tokio::test]
async fn every_committed_event_reaches_every_node_once_and_in_one_order() -> Result<()> {
    let mut lost_by_naive = 0;
    for seed in 1..=4_u64 {
        let platform = Platform::watched().await?;
        let mut random = Random(seed);
        let mut writers = Vec::new();
        for _ in 0..6 {
            writers.push((platform.db.client().await?, Vec::new(), false));
        }
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push((platform.poller().await?, platform.after, Vec::<FeedEvent>::new()));
        }
        let last = platform.writer.query_one("select max(id) from tierkeep_outbox", &[]).await?.get(0);
        let mut naive = NaiveCursor { last, seen: Vec::new() };
        let mut committed = Vec::new();
        let mut next_id = 1;

        for step in 0..400 {
            let is_ending = step >= 380;
            let (writer, open, is_open) = &mut writers[random.below(6)];
            match random.below(5) {
                0 | 1 if !is_ending => {
                    if !*is_open {
                        writer.batch_execute("begin").await?;
                        *is_open = true;
                    }
                    insert(writer, next_id).await?;
                    open.push(next_id);
                    next_id += 1;
                }
                2 if *is_open => {
                    let is_kept = random.below(4) > 0;
                    writer.batch_execute(if is_kept { "commit" } else { "rollback" }).await?;
                    if is_kept {
                        committed.append(open);
                    }
                    open.clear();
                    *is_open = false;
                }
                _ => {
                    let (db, after, seen) = &mut nodes[random.below(3)];
                    let polled = platform.feed.poll_postgres(db, *after, 3).await?;
                    *after = polled.events.last().map_or(*after, |event| event.position);
                    seen.extend(polled.events);
                    naive.poll(&platform.writer).await?;
                }
            }
        }
        for (writer, open, is_open) in &mut writers {
            if *is_open {
                writer.batch_execute("commit").await?;
                committed.append(open);
            }
        }
        for (db, after, seen) in &mut nodes {
            seen.extend(platform.feed.poll_postgres(db, *after, 100_000).await?.events);
        }
        naive.poll(&platform.writer).await?;

        committed.sort_unstable();
        for (_, _, seen) in &nodes {
            assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position), "seed {seed}");
            assert_eq!(seen, &nodes[0].2, "seed {seed}: one order");
            let mut keys = keys(seen);
            keys.sort_unstable();
            assert_eq!(keys, committed, "seed {seed}: each once");
        }
        let times = naive.seen.iter().fold(BTreeMap::new(), |mut times, key| {
            *times.entry(*key).or_insert(0) += 1;
            times
        });
        lost_by_naive += committed.iter().filter(|key| !times.contains_key(key)).count();
    }
    assert!(lost_by_naive > 0, "the negative control loses nothing under this schedule, so it proves nothing");
    Ok(())
}

fn keys(events: &[FeedEvent]) -> Vec<i64> {
    events.iter().filter_map(|event| event.key.as_ref()?.parse().ok()).collect()
}

/// Numbers that look random and repeat with the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}
