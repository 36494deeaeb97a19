//! A kill at each place between two effects, at the first, the second and the last visit.

use tierkeep_db::Dialect;
use tierkeep_retention::{Ended, POINTS};

use crate::fixture::SMALL;
use crate::reference::Reference;
use crate::site::Site;
use crate::verdict::{Trial, judge};
use crate::worker::{Case, Trace, Worker};

#[derive(Debug, Clone, Copy)]
enum Visit {
    First,
    Second,
    Last,
}

impl Visit {
    /// Its number, unless it is another one as well.
    fn of(self, visits: u32) -> Option<u32> {
        match self {
            Self::First => Some(1),
            Self::Second => (visits >= 2).then_some(2),
            Self::Last => (visits >= 3).then_some(visits),
        }
    }
}

/// A worker that is killed where it was to stop.
pub(crate) async fn killed_at(site: &Site, case: Case) -> Trace {
    let mut worker = Worker::start(&case);
    worker.until_stopped().await;
    let trace = worker.kill().await;
    assert!(trace.is_stopped, "{case:?} was not met on {}: {:?}", site.url, trace.ended);
    trace
}

async fn every_point(dialect: Dialect, visit: Visit) {
    let reference = Reference::of(dialect, SMALL).await;
    let (mut kills, mut broken) = (0, Vec::new());
    for point in POINTS {
        let visits = reference.visits.get(point).copied().unwrap_or(0);
        assert!(visits > 0, "{point} is never met");
        let Some(number) = visit.of(visits) else { continue };
        let site = Site::copy(dialect, SMALL).await;
        let death = killed_at(&site, Case::of(&site).stopping_at(point, number)).await;
        kills += 1;
        let deaths = [death];
        let trial = Trial {
            site: &site,
            reference: &reference,
            deaths: &deaths,
            has_writers: false,
            endings: &[Ended::Crashed],
        };
        let (findings, _) = Box::pin(judge(&trial)).await;
        broken.extend(findings.into_iter().map(|finding| format!("killed at {point}, visit {number}: {finding}")));
    }
    println!("{dialect:?}, {visit:?} visits: {kills} kills; a run has {:?}", reference.visits);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let least = match visit {
        Visit::First => POINTS.len(),
        Visit::Second => 14,
        Visit::Last => 10,
    };
    assert!(kills >= least, "{kills} kills prove little");
}

macro_rules! visits {
    ($($name:ident: $dialect:ident, $visit:ident;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            Box::pin(every_point(Dialect::$dialect, Visit::$visit)).await;
        })+
    };
}

visits! {
    a_kill_at_the_first_visit_of_any_place_on_postgres: Postgres, First;
    a_kill_at_the_first_visit_of_any_place_on_sqlite: Sqlite, First;
    a_kill_at_the_second_visit_of_any_place_on_postgres: Postgres, Second;
    a_kill_at_the_second_visit_of_any_place_on_sqlite: Sqlite, Second;
    a_kill_at_the_last_visit_of_any_place_on_postgres: Postgres, Last;
    a_kill_at_the_last_visit_of_any_place_on_sqlite: Sqlite, Last;
}
