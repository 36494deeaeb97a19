//! Faults that the same judgement must not miss.

use tierkeep_db::Dialect;
use tierkeep_retention::{Ended, Fault, TORN};

use crate::fixture::SMALL;
use crate::observer::Observer;
use crate::points::killed_at;
use crate::reference::Reference;
use crate::site::Site;
use crate::verdict::{Trial, judge};
use crate::worker::{Case, Worker};

/// What is found after a worker with a fault was killed where that shows.
async fn torn(dialect: Dialect, fault: Fault, (point, visit): (&str, u32)) -> Vec<String> {
    let reference = Reference::of(dialect, SMALL).await;
    let site = Site::copy(dialect, SMALL).await;
    let observer = Observer::start(site.url.clone());
    let death = killed_at(&site, Case::of(&site).with_fault(fault).stopping_at(point, visit)).await;
    let deaths = [death];
    let trial =
        Trial { site: &site, reference: &reference, deaths: &deaths, has_writers: false, endings: &[Ended::Crashed] };
    let (mut findings, _) = Box::pin(judge(&trial)).await;
    findings.extend(observer.end().await.findings);
    println!("{dialect:?}, {fault:?}: {} findings", findings.len());
    findings
}

fn assert_found(findings: &[String], expected: &str) {
    assert!(findings.iter().any(|finding| finding.contains(expected)), "nobody said {expected:?}: {findings:?}");
}

async fn move_in_two(dialect: Dialect) {
    let findings = Box::pin(torn(dialect, Fault::MoveInTwo, (TORN, 5))).await;

    assert_found(&findings, "once too often");
    assert_found(&findings, "not as after an undisturbed run");
    assert_found(&findings, "sessions, different sessions and courses, not");
}

async fn record_apart(dialect: Dialect) {
    let findings = Box::pin(torn(dialect, Fault::RecordApart, (TORN, 2))).await;

    assert_found(&findings, "by the record");
}

async fn delete_unexported(dialect: Dialect) {
    let findings = Box::pin(torn(dialect, Fault::DeleteUnexported, ("deletion-committed", 1))).await;

    assert_found(&findings, "is nowhere");
}

/// Without a death the faults do no harm that is seen afterwards: it is the crash that is caught.
async fn faults_alone_leave_no_trace(dialect: Dialect) {
    for fault in [Fault::MoveInTwo, Fault::RecordApart] {
        let reference = Reference::of(dialect, SMALL).await;
        let site = Site::copy(dialect, SMALL).await;
        let trace = Worker::start(&Case::of(&site).with_fault(fault)).until_end().await;
        assert!(trace.visits(TORN) > 1, "{trace:?}");

        let trial = Trial { site: &site, reference: &reference, deaths: &[], has_writers: false, endings: &[] };
        assert_eq!(Box::pin(judge(&trial)).await.0, [""; 0]);
    }
}

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres)).await;
            })+
        }
    };
}

on_both!(move_in_two, record_apart, delete_unexported, faults_alone_leave_no_trace);
