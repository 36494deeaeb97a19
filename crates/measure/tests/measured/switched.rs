//! The switch and the report, which are the whole program's: these tests look at functions of their own, and the one that switches
//! runs in a process of its own.

use std::process::Command;

use tierkeep_measure::{Report, is_enabled, measured, report, reset, set_enabled};

use crate::endings::counted;

#[measured("switched::sync")]
fn call() -> u8 {
    7
}

#[measured("switched::async")]
async fn call_later() -> u8 {
    7
}

/// Marks the process that switches: its other tests do not run.
const ALONE: &str = "switching_off_counts_nothing_and_reset_forgets";

#[tokio::test]
async fn switching_off_counts_nothing_and_reset_forgets() {
    let alone = std::env::args().any(|argument| argument == "--exact")
        && std::env::args().any(|argument| argument.ends_with(ALONE));
    if !alone {
        let this = std::env::current_exe().unwrap();
        let run = Command::new(this).args(["--exact", &format!("switched::{ALONE}")]).output().unwrap();
        let output = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success() && output.contains("1 passed"), "{output}");
        return;
    }

    call();
    set_enabled(false);
    assert_eq!((call(), call_later().await, is_enabled()), (7, 7, false));
    assert_eq!((report().functions.len(), counted("switched::sync").calls()), (1, 1));

    set_enabled(true);
    call_later().await;
    assert_eq!(report().functions.len(), 2);

    reset();
    assert_eq!(report().functions, []);
    call();
    assert_eq!(counted("switched::sync").calls(), 1);
}

#[measured("switched::shown")]
fn shown(error: bool) -> Result<(), ()> {
    if error { Err(()) } else { Ok(()) }
}

#[test]
fn a_report_is_a_table_and_json_that_reads_back() {
    let _ = (shown(false), shown(true));
    let report = report();

    let json = report.to_json().unwrap();
    let read: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(read, report);
    let line = |text: &str| text.lines().find(|line| line.contains("switched::shown")).unwrap().to_owned();
    let text = line(&report.to_string());
    assert_eq!(text.split_whitespace().take(5).collect::<Vec<_>>(), ["switched::shown", "2", "1", "0", "0"]);
    assert!(line(&report.to_markdown()).starts_with("| switched::shown | 2 | 1 | 0 | 0 | "));
    assert!(report.functions.is_sorted_by(|left, right| left.name < right.name));
}
