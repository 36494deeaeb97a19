//! Somebody who looks on: all places in one statement, so in one snapshot, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tierkeep_db::Dialect;

use crate::connection::Connection;
use crate::fixture::WRITERS;

/// Between two looks, so that two processors have time for the rest.
const PAUSE: Duration = Duration::from_millis(3);

pub(crate) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) looks: u64,
    /// Looks at which something had moved since the one before.
    pub(crate) changes: u64,
    pub(crate) findings: Vec<String>,
}

impl Observer {
    pub(crate) fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn(move || runtime.block_on(look_on(url, is_over)));
        Self { stop, thread }
    }

    pub(crate) async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Release);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}

async fn look_on(url: String, is_over: Arc<AtomicBool>) -> Seen {
    let connection = Connection::open(&url).await.unwrap();
    let statement = statement(connection.dialect());
    let (mut seen, mut first, mut former) = (Seen::default(), None, Vec::new());
    let mut ticks = tokio::time::interval(PAUSE);
    while !is_over.load(Ordering::Acquire) {
        ticks.tick().await;
        let numbers = connection.numbers(&statement).await.unwrap();
        seen.looks += 1;
        let whole = numbers[..3].to_vec();
        let expected = first.get_or_insert_with(|| whole.clone());
        if whole != *expected && seen.findings.len() < 3 {
            seen.findings.push(format!(
                "look {}: {whole:?} sessions, different sessions and courses, not {expected:?}; by place {:?}",
                seen.looks,
                &numbers[3..]
            ));
        }
        seen.changes += u64::from(!former.is_empty() && former != numbers);
        former = numbers;
    }
    seen
}

/// Rows of the population in all places, and deleted ones by the record: of sessions, of different sessions, of courses; then
/// how they are spread.
fn statement(dialect: Dialect) -> String {
    let dependants = |subject: &str| match dialect {
        Dialect::Postgres => format!(
            "(select coalesce(sum(cast(cast(report as json) #>> '{{dependants,inactive_users,{subject}}}' as bigint)), 0) \
             from tierkeep_run)"
        ),
        Dialect::Sqlite => format!(
            "(select coalesce(sum(json_extract(report, '$.dependants.inactive_users.{subject}')), 0) from tierkeep_run)"
        ),
    };
    let count = |table: &str| format!("(select count(*) from {table} where id < {WRITERS})");
    let quarantined = |is: &str| {
        format!(
            "(select count(*) from tierkeep_quarantine where source {is} 'course_progress' \
             and cast(row_key as bigint) < {WRITERS})"
        )
    };
    let deleted = format!(
        "((select coalesce(sum(rows), 0) from tierkeep_run_batch where rule = 'archived_sessions') + {} + {})",
        dependants("study_sessions"),
        dependants("study_sessions_archive")
    );
    let different = format!(
        "(select count(*) from (select id from study_sessions where id < {WRITERS} \
         union select id from study_sessions_archive where id < {WRITERS} \
         union select cast(row_key as bigint) from tierkeep_quarantine where source <> 'course_progress' \
         and cast(row_key as bigint) < {WRITERS}) as ids)"
    );
    let (live, archived) = (count("study_sessions"), count("study_sessions_archive"));
    let (bad, courses, doubled) = (quarantined("<>"), count("course_progress"), quarantined("="));
    let gone = dependants("course_progress");
    let values = [
        format!("{live} + {archived} + {bad} + {deleted}"),
        format!("{different} + {deleted}"),
        format!("{courses} + {doubled} + {gone}"),
        live,
        archived,
        bad,
        deleted,
        courses,
    ];
    let values: Vec<String> = values.iter().map(|value| format!("cast({value} as bigint)")).collect();
    format!("select {}", values.join(", "))
}
