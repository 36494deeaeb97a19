//! What one node of an installation does for all: one at a time, and nothing where there is nothing to do.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tierkeep::clock::Clock;
use tierkeep::upkeep::{Done, Retention, Upkeep, start};
use tierkeep_db::Dialect;
use tierkeep_learning::store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::{Installation, on_both};

on_both!(
    one_node_folds_and_another_only_after_its_lease,
    a_node_that_ends_hands_over_at_once,
    an_idle_installation_is_not_written_to,
    what_everybody_was_told_is_pruned,
    a_failure_is_logged_once,
    it_runs_until_it_is_stopped,
);

const KEPT: Retention = Retention { keep: Duration::from_secs(3600), most: 100_000, most_bytes: u64::MAX };
const LONGER: &str = "update study_sessions set duration_minutes = duration_minutes + 1 where duration_minutes > 0";

/// A node's upkeep, its store, and what it has done.
struct Part {
    upkeep: Upkeep,
    store: Arc<dyn Store>,
    done: Arc<Done>,
    stop: CancellationToken,
}

impl Part {
    async fn new(installation: &Installation, retention: Retention) -> Self {
        let (store, done) = (installation.store().await, Arc::<Done>::default());
        let upkeep = Upkeep::new(Arc::clone(&store), retention, Clock::Wall, Arc::clone(&done));
        Self { upkeep, store, done, stop: CancellationToken::new() }
    }

    /// One look, as the node would take it: whether a change waits is what the feed says.
    async fn look(&mut self, now: Instant) {
        let waits = self.store.changes(1).await.unwrap().unwrap().unfolded;
        self.upkeep.once(now, waits, &self.stop).await;
    }

    async fn unfolded(&self) -> bool {
        self.store.changes(1).await.unwrap().unwrap().unfolded
    }
}

fn expire(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "update tierkeep_lease set until = 1",
        Dialect::Postgres => "update tierkeep_lease set until = now() - interval '1 second'",
    }
}

async fn one_node_folds_and_another_only_after_its_lease(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (mut one, mut other) = (Part::new(&installation, KEPT).await, Part::new(&installation, KEPT).await);
    let now = Instant::now();

    installation.run(LONGER).await;
    one.look(now).await;
    assert_eq!((one.done.folded(), one.done.holds_lease(), one.unfolded().await), (1, true, false));

    installation.run(LONGER).await;
    other.look(now).await;
    assert_eq!((other.done.folded(), other.done.holds_lease(), other.unfolded().await), (0, false, true));

    // the first one dies
    drop(one);
    installation.run(expire(dialect)).await;
    other.look(now).await;
    assert_eq!((other.done.folded(), other.done.holds_lease(), other.unfolded().await), (1, true, false));
}

async fn a_node_that_ends_hands_over_at_once(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (mut one, mut other) = (Part::new(&installation, KEPT).await, Part::new(&installation, KEPT).await);
    installation.run(LONGER).await;
    one.look(Instant::now()).await;
    installation.run(LONGER).await;

    one.upkeep.end().await;
    other.look(Instant::now()).await;

    assert_eq!((one.done.holds_lease(), other.done.folded(), other.done.holds_lease()), (false, 1, true));
}

/// What would differ if any row had been written or locked: tuples with their transactions, or SQLite's count of commits
/// by others.
enum Marks {
    Sqlite(Connection),
    Postgres(tierkeep_testkit::DatabaseClient),
}

impl Marks {
    async fn of(installation: &Installation) -> Self {
        match installation {
            Installation::Sqlite(file) => Self::Sqlite(Connection::open(file.path()).unwrap()),
            Installation::Postgres(database) => Self::Postgres(database.client().await.unwrap()),
        }
    }

    async fn read(&self) -> Vec<String> {
        match self {
            Self::Sqlite(db) => {
                let version: i64 = db.query_row("pragma data_version", [], |row| row.get(0)).unwrap();
                vec![version.to_string()]
            }
            Self::Postgres(client) => {
                let rows = "select query_to_xml(format('select ctid, xmin, xmax from %I', tablename), true, true, tablename)::text
                            from pg_tables where schemaname = 'public' order by tablename";
                client.query(rows, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }
}

async fn an_idle_installation_is_not_written_to(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let mut parts = [Part::new(&installation, KEPT).await, Part::new(&installation, KEPT).await];
    let marks = Marks::of(&installation).await;
    let mut now = Instant::now();
    for part in &mut parts {
        part.look(now).await;
    }
    let before = marks.read().await;

    // ten minutes of two nodes
    for _ in 0..120 {
        now += Duration::from_secs(5);
        for part in &mut parts {
            part.look(now).await;
        }
    }

    assert_eq!(marks.read().await, before);
    installation.run(LONGER).await;
    parts[0].look(now).await;
    assert_ne!(marks.read().await, before, "a write would have been seen");
}

async fn what_everybody_was_told_is_pruned(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let mut part = Part::new(&installation, KEPT).await;
    let began = Instant::now();
    installation.run(LONGER).await;
    part.look(began).await;
    assert_eq!(part.done.pruned(), 0, "it is not an hour old");

    installation
        .run(match dialect {
            Dialect::Sqlite => "update tierkeep_outbox set at = at - 7200000000",
            Dialect::Postgres => "update tierkeep_outbox set at = at - interval '2 hours'",
        })
        .await;
    part.look(began + Duration::from_secs(59)).await;
    let too_early = part.done.pruned();
    part.look(began + Duration::from_secs(60)).await;

    assert_eq!(too_early, 0);
    assert!(part.done.pruned() >= 1);
    let told = part.store.changes(1).await.unwrap().unwrap();
    assert!(told.learners.is_empty() && told.everybody.is_some(), "who is further behind begins anew: {told:?}");
}

/// A log that can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("tierkeep::upkeep")).map(str::to_owned).collect()
    }
}

async fn a_failure_is_logged_once(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let mut part = Part::new(&installation, KEPT).await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let log = log.clone();
        move || log.clone()
    });
    let _this_thread = tracing::subscriber::set_default(subscriber.finish());
    part.upkeep.once(Instant::now(), true, &part.stop).await;

    installation.run("alter table tierkeep_lease rename to elsewhere").await;
    for _ in 0..3 {
        part.upkeep.once(Instant::now(), true, &part.stop).await;
    }
    let failing = log.lines();
    installation.run("alter table elsewhere rename to tierkeep_lease").await;
    for _ in 0..3 {
        part.upkeep.once(Instant::now(), true, &part.stop).await;
    }

    let lines = log.lines();
    assert_eq!((failing.len(), lines.len()), (1, 2), "{lines:#?}");
    assert!(failing[0].contains("WARN") && failing[0].contains("by reads only"), "{failing:?}");
    assert!(failing[0].contains("tierkeep_lease"), "it says why: {failing:?}");
    assert!(lines[1].contains("INFO") && lines[1].contains("again"), "{lines:?}");
}

async fn it_runs_until_it_is_stopped(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let part = Part::new(&installation, KEPT).await;
    let done = Arc::clone(&part.done);
    installation.run(LONGER).await;

    let task = start(part.upkeep, || true, part.stop.clone());
    let folding = async {
        while done.folded() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), folding).await.unwrap();
    part.stop.cancel();
    task.await.unwrap();

    let next = installation.store().await.take_lease("upkeep", "another", Duration::from_secs(5)).await.unwrap();
    assert!(!done.holds_lease() && next.is_some(), "it was handed over");
}
