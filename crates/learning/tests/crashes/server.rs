//! The server goes: sessions are ended, one of its processes is killed, all of it dies.

use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_retention::Ended;
use tierkeep_testkit::{DatabaseClient, PostgresServer};

use crate::chance::Chance;
use crate::connection::PATIENCE;
use crate::fixture::SMALL;
use crate::reference::Reference;
use crate::site::Site;
use crate::verdict::{Trial, judge};
use crate::worker::{Case, Trace, Worker};

/// The sessions of the worker.
const OTHERS: &str = "select pid from pg_stat_activity \
     where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()";

#[derive(Debug, Clone, Copy)]
enum Loss {
    /// `pg_terminate_backend` for all sessions.
    Sessions,
    /// SIGKILL for the server process of one session: the server ends all others, and recovers.
    Process,
    /// SIGKILL for the server.
    Server,
}

impl Loss {
    async fn happens(self, server: &PostgresServer, url: &str) {
        let client = DatabaseClient::connect(url).await.unwrap();
        match self {
            Self::Sessions => {
                let text = format!("select count(pg_terminate_backend(pid)) from ({OTHERS}) as others");
                client.query_one(&text, &[]).await.unwrap();
            }
            Self::Process => {
                let row = client.query_opt(&format!("{OTHERS} order by query_start desc limit 1"), &[]).await.unwrap();
                let Some(row) = row else { return };
                let pid: i32 = row.get(0);
                let killed =
                    tokio::process::Command::new("kill").args(["-9", &pid.to_string()]).status().await.unwrap();
                assert!(killed.success());
            }
            Self::Server => {
                drop(client);
                server.kill9().await.unwrap();
                server.start().await.unwrap();
            }
        }
    }
}

/// Until the server has recovered.
async fn answers(url: &str) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        loop {
            looks.tick().await;
            if let Ok(client) = DatabaseClient::connect(url).await
                && client.batch_execute("select 1").await.is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the server recovers");
}

async fn loses(server: &PostgresServer, site: &Site, points: usize, loss: Loss) -> Trace {
    let mut worker = Worker::start(&Case::of(site));
    worker.until_points(points).await;
    loss.happens(server, &site.url).await;
    let trace = worker.until_end().await;
    answers(&site.url).await;
    trace
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_of_the_server_dies_nothing_is_lost_or_doubled() {
    // a commit that was acknowledged survives the server's death, as anywhere
    let server = PostgresServer::builder().setting("synchronous_commit", "on").launch().await.unwrap();
    let reference = Reference::of(Dialect::Postgres, SMALL).await;
    let mut chance = Chance::new(1);
    let mut amid = 0;
    for round in 0..3 {
        let site = Site::on(&server, SMALL).await;
        let mut deaths = Vec::new();
        for loss in [Loss::Sessions, Loss::Process, Loss::Server] {
            let points = 4 + chance.below(u32::try_from(reference.points).unwrap() / 4);
            let trace = loses(&server, &site, points as usize, loss).await;
            println!("round {round}, {loss:?} at {points} places: {:?}", trace.ended);
            amid += u32::from(trace.is_amid() || trace.ended.as_ref().is_some_and(|ended| !ended.starts_with("done")));
            deaths.push(trace);
        }
        let trial = Trial {
            site: &site,
            reference: &reference,
            deaths: &deaths,
            has_writers: false,
            endings: &[Ended::Crashed, Ended::Failed],
        };
        let (findings, _) = Box::pin(judge(&trial)).await;
        assert!(findings.is_empty(), "round {round}:\n{}", findings.join("\n"));
    }
    assert!(amid >= 5, "{amid} of 9 losses met a run at work, the rest proves little");
}
