//! What people are told.

use std::collections::BTreeMap;
use std::time::Duration;

use tierkeep_learning::retention::{Cutoffs, PHASES};
use tierkeep_learning::store::Keep;
use tierkeep_retention::{Report, RunId, TablePlan, TableReport};

use super::*;

fn cleanup() -> Cleanup {
    let at = |text: &str| text.parse().unwrap();
    let cutoffs = Cutoffs {
        now: at("2026-06-01T12:00:00Z"),
        archive: at("2025-06-01T12:00:00Z"),
        delete: at("2023-06-02T12:00:00Z"),
        purge: at("2026-03-03T12:00:00Z"),
    };
    Cleanup { phases: PHASES.to_vec(), cutoffs, keep: Keep::Summaries }
}

fn planned(phase: &str, rule: &str, rows: u64) -> Planned {
    Planned {
        phase: phase.to_owned(),
        rule: rule.to_owned(),
        subject: "study_sessions".to_owned(),
        rows,
        bytes: Some(rows * 321),
        batches: rows.div_ceil(1000),
        ..Planned::default()
    }
}

fn a_plan() -> Plan {
    let ages = |planned: Planned, first: &str, last: &str| Planned {
        ages: Some((first.to_owned(), last.to_owned())),
        ..planned
    };
    Plan {
        rules: vec![
            Planned { samples: vec!["12".to_owned(), "907".to_owned()], ..planned("invalid", "bad_rating", 2) },
            // as PostgreSQL and as SQLite write them
            ages(planned("archive", "archive", 41_234), "2023-01-02 08:00:00+00", "2025-05-31 23:59:59.5+00"),
            ages(planned("delete", "archived_sessions", 7), "1651392000000000", "1685000000000000"),
            Planned {
                dependants: vec![("study_sessions".to_owned(), 3), ("course_progress".to_owned(), 0)],
                bytes: None,
                ..planned("delete", "inactive_users", 1)
            },
            planned("purge", "quarantined", 0),
        ],
        tables: vec![TablePlan {
            subject: "study_sessions".to_owned(),
            table: "\"study_sessions\"".to_owned(),
            rows: 100_000,
            bytes: Some(32_100_000),
        }],
        objections: vec!["it would delete 7 of 20 rows of study_sessions_archive".to_owned()],
    }
}

fn an_outcome(ended: Ended, reason: Option<&str>) -> Outcome {
    let report = Report {
        rules: BTreeMap::from([("bad_rating".to_owned(), 2), ("archive".to_owned(), 41_230)]),
        left: BTreeMap::from([("archive".to_owned(), 4)]),
        batches: 44,
        files: vec!["tierkeep-export/run-7-1.csv.gz".to_owned()],
        tables: vec![TableReport {
            subject: "study_sessions".to_owned(),
            bytes_before: Some(32_100_000),
            bytes_after: Some(20_000_000),
            ..TableReport::default()
        }],
        ..Report::default()
    };
    Outcome {
        run: RunId::new(7).unwrap(),
        plan: a_plan(),
        report,
        ended,
        reason: reason.map(str::to_owned),
        took: Duration::from_millis(8340),
    }
}

#[test]
fn a_dry_run_says_what_would_be_done_and_that_nothing_was() {
    let directory = Path::new("tierkeep-export");

    insta::assert_snapshot!("plan", plan(&a_plan(), &cleanup(), Some(directory), false));

    let forced = plan(&a_plan(), &cleanup(), None, true);
    assert!(forced.contains("It is carried out all the same: it would delete 7"), "{forced}");
    assert!(forced.contains("is not exported, and nothing brings it back"), "{forced}");
}

#[test]
fn a_run_says_what_it_did_and_what_undoes_it() {
    insta::assert_snapshot!("done", outcome(&an_outcome(Ended::Done, None)));
}

#[test]
fn a_run_that_stopped_says_how_it_goes_on() {
    let text = outcome(&an_outcome(Ended::Signal, Some("it was told to end")));

    let told = text.split_once("\n\n").unwrap().1;
    assert!(told.starts_with("Run 7 stopped early: 41232 rows in 44 batches, 8.3 s.\nIt was told to end.\n"), "{told}");
    assert!(told.contains("The same command goes on where this run ended."), "{told}");
    assert!(told.ends_with("tierkeep restore --run 7\n"), "{told}");
}

#[test]
fn sizes_have_three_digits_at_most() {
    for (bytes, text) in [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (32_100_000, "31 MiB"),
        (5_000_000_000, "4.7 GiB"),
        (9_000_000_000_000, "8.2 TiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
