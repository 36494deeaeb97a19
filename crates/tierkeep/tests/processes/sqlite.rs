//! One node on SQLite, other processes that write, and deaths.

use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tierkeep_testkit::SqliteFile;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::{History, PATIENCE, Trouble};
use crate::node::Node;
use crate::postgres::head;
use crate::readers::{self, QUIET, WRITTEN, addresses};
use crate::writers::{self, ROWS_OF_SQLITE, note_first};

/// How often each of them is killed.
const DEATHS: usize = 3;

fn tierkeep(file: &SqliteFile, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
    command.args(arguments).args(["--database", &file.url()]);
    command.current_dir(file.path().parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that imports sessions of a learner whom nobody reads is killed in the middle.
async fn kill_an_import(file: &SqliteFile) {
    let csv = file.path().with_extension("csv");
    let lines: String = (1_000..40_000).map(|id| format!("{id},9,2026-01-29T08:00:00Z,30\n")).collect();
    std::fs::write(&csv, ["id,user_id,start_time,duration_minutes\n", &lines].concat()).unwrap();
    let mut child = tierkeep(file, &["import", "--sessions", csv.to_str().unwrap()]).spawn().unwrap();
    let path = file.path().to_owned();
    let has_begun = move || {
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        let count: i64 = connection
            .query_row("select count(*) from study_sessions where user_id = 9", (), |row| row.get(0))
            .unwrap();
        count > 0
    };
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while child.try_wait().unwrap().is_none() && !has_begun() {
        looks.tick().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_serves_nothing_old_whoever_writes_and_dies() {
    let file = SqliteFile::new().unwrap();
    assert!(tierkeep(&file, &["migrate", "--ids", "int"]).status().unwrap().success());
    Connection::open(file.path()).unwrap().execute_batch(ROWS_OF_SQLITE).unwrap();
    let history = History::default();
    note_first(&history);
    let node = Node::start(&file.url(), None, "2026-01-31T14:00:00Z").await;
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    readers::start(&mut tasks, 0, node.host(), &history, &stop);
    writers::on_sqlite(&mut tasks, file.path().to_owned(), WRITTEN, &history, &stop);

    for _ in 0..DEATHS {
        node.until(&addresses(QUIET)[0], |tier| tier == "l1").await;
        history.trouble_begins(0..=0, Trouble::Gone);
        node.kill9();
        node.run().await;
        history.trouble_ends();
        node.until(&addresses(QUIET)[0], |tier| tier == "l1").await;
        kill_an_import(&file).await;
        readers::some_reads(&history).await;
    }
    stop.cancel();
    while let Some(ended) = tokio::time::timeout(PATIENCE, tasks.join_next()).await.expect("all end") {
        ended.unwrap();
    }

    let (totals, violations) = (history.totals(), history.violations());
    println!("{totals:?}");
    assert!(violations.is_empty(), "{} broken\n{}\n{}", violations.len(), head(&violations), node.log());
    // nobody sees everything at once: the same reads break a promise that was not given
    assert!(!history.violations_of(Duration::ZERO).is_empty(), "the checker would have found nothing old");
    for (what, least) in [("l1", 50), ("l3", 50), ("writes", 50)] {
        let times = totals.get(what).copied().unwrap_or(0);
        assert!(times >= least, "a run with {times} of {what} proves nothing: {totals:?}");
    }
}
