//! Programs that write plain SQL.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tierkeep_testkit::DatabaseClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::{History, PATIENCE};
use crate::http::{get, get_after, patch};
use crate::readers::addresses;

/// Time between two writes of a writer.
const PAUSE: Duration = Duration::from_millis(25);

/// What there is at the beginning: a session of each learner, with a minute for the first write.
pub(crate) const ROWS_OF_POSTGRES: &str = "
    insert into users (id) values (1), (2), (3), (4), (5), (6);
    insert into study_sessions (id, user_id, start_time, duration_minutes)
    select id, id, '2026-01-30T08:00:00Z', 1 from users;
";

pub(crate) const ROWS_OF_SQLITE: &str = "
    insert into users (id) values (1), (2), (3), (4), (5), (6);
    insert into study_sessions (id, user_id, start_time, duration_minutes)
    select id, id, 1769760000000000, 1 from users;
";

/// Notes the minutes that all have at the beginning.
pub(crate) fn note_first(history: &History) {
    for user in 1..=6 {
        let number = history.begin(user);
        history.acknowledge(user, number);
    }
}

/// How a writer commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each statement at once.
    Single,
    /// In transactions that others overtake.
    Long,
}

/// Writes some learners' sessions in turn, until `stop`; connects anew when the connection breaks.
pub(crate) fn on_postgres(
    writers: &mut JoinSet<()>,
    url: String,
    users: [i64; 2],
    manner: Manner,
    history: &History,
    stop: &CancellationToken,
) {
    let (history, stop) = (history.clone(), stop.clone());
    writers.spawn(async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut client = None;
        for user in users.into_iter().cycle() {
            ticks.tick().await;
            if stop.is_cancelled() {
                return;
            }
            if client.is_none() {
                client = DatabaseClient::connect(&url).await.ok();
            }
            let Some(connected) = &client else { continue };
            let number = history.begin(user);
            match put(connected, user, number, manner, &mut ticks).await {
                Ok(()) => history.acknowledge(user, number),
                Err(_) => client = None,
            }
        }
    });
}

async fn put(
    client: &DatabaseClient,
    user: i64,
    number: u64,
    manner: Manner,
    ticks: &mut tokio::time::Interval,
) -> anyhow::Result<()> {
    let update = "update study_sessions set duration_minutes = $1 where user_id = $2";
    let minutes = i32::try_from(number)?;
    if manner == Manner::Long {
        client.batch_execute("begin").await?;
        client.execute(update, &[&minutes, &user]).await?;
        // others commit meanwhile
        for _ in 0..3 {
            ticks.tick().await;
        }
        client.batch_execute("commit").await?;
    } else {
        client.execute(update, &[&minutes, &user]).await?;
    }
    Ok(())
}

/// Learner whose session is written through the API, and by nobody else.
const OF_API: i64 = 6;

/// Writes through one node's API, and reads its own writes: there, and with the position on the other node.
pub(crate) fn by_api(
    writers: &mut JoinSet<()>,
    host: Arc<Mutex<String>>,
    other: Arc<Mutex<String>>,
    history: &History,
    stop: &CancellationToken,
) {
    let (history, stop) = (history.clone(), stop.clone());
    writers.spawn(async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            ticks.tick().await;
            let number = history.begin(OF_API);
            let at = |host: &Mutex<String>| host.lock().unwrap().clone();
            let address = &addresses(OF_API)[(number % 3) as usize];
            let body = serde_json::json!({ "duration_minutes": number });
            let written = patch(&at(&host), &format!("/v1/sessions/{OF_API}"), &body).await;
            if written.status != 200 {
                continue;
            }
            history.acknowledge(OF_API, number);
            let own = get(&at(&host), address).await;
            history.own_write("on its node", number, own.status, &own.tier, own.body["total_duration"].as_u64());
            if let Some(position) = written.position {
                let far = get_after(&at(&other), address, &position).await;
                history.own_write(
                    "with its position",
                    number,
                    far.status,
                    &far.tier,
                    far.body["total_duration"].as_u64(),
                );
            }
        }
    });
}

/// Writes some learners' sessions in turn, on a connection for each write.
pub(crate) fn on_sqlite(
    writers: &mut JoinSet<()>,
    path: PathBuf,
    users: [i64; 4],
    history: &History,
    stop: &CancellationToken,
) {
    let (history, stop) = (history.clone(), stop.clone());
    writers.spawn(async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for user in users.into_iter().cycle() {
            ticks.tick().await;
            if stop.is_cancelled() {
                return;
            }
            let number = history.begin(user);
            let path = path.clone();
            let written = tokio::task::spawn_blocking(move || {
                let connection = Connection::open(path)?;
                connection.busy_timeout(PATIENCE)?;
                let update = "update study_sessions set duration_minutes = ?1 where user_id = ?2";
                connection.execute(update, (i64::try_from(number).unwrap(), user))
            });
            assert_eq!(written.await.unwrap().unwrap(), 1);
            history.acknowledge(user, number);
        }
    });
}
