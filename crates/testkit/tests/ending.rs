//! A server ends with the process that started it, even if that is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest time for a server to end once its process is gone. PostgreSQL itself waits 5 s for a
/// backend that does not react before it kills it.
const DEADLINE: Duration = Duration::from_secs(20);

/// The scratch server program with its server running.
struct Scratch {
    program: Child,
    pid: String,
    directory: PathBuf,
}

impl Scratch {
    fn start(kind: &str) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tierkeep-testkit"))
            .arg(kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut line = || lines.next().expect("the program prints three lines").unwrap();
        let (_url, pid, directory) = (line(), line(), line());
        Self { program, pid, directory: PathBuf::from(directory) }
    }
}

fn is_running(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}

/// Waits until the process and the directory are gone; false if they are still there at the deadline.
async fn is_gone(pid: &str, directory: &Path) -> bool {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    tokio::time::timeout(DEADLINE, async {
        while is_running(pid) || directory.exists() {
            ticks.tick().await;
        }
    })
    .await
    .is_ok()
}

async fn killed_program_leaves_nothing(kind: &str) {
    let mut scratch = Scratch::start(kind);
    assert!(is_running(&scratch.pid) && scratch.directory.exists());

    // SIGKILL: no destructor and no handler runs.
    scratch.program.kill().unwrap();
    scratch.program.wait().unwrap();

    assert!(is_gone(&scratch.pid, &scratch.directory).await);
}

#[tokio::test]
async fn postgres_of_a_killed_process_is_gone() {
    killed_program_leaves_nothing("postgres").await;
}

#[tokio::test]
async fn redis_of_a_killed_process_is_gone() {
    killed_program_leaves_nothing("redis").await;
}

#[tokio::test]
async fn server_is_gone_before_its_process_returns() {
    let mut scratch = Scratch::start("postgres");

    drop(scratch.program.stdin.take());
    scratch.program.wait().unwrap();

    assert!(!is_running(&scratch.pid));
    assert!(!scratch.directory.exists());
}
