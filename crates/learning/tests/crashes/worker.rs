//! The process that cleans up and is killed: this binary, started again for its one "test" of that name.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tierkeep_retention::{Fault, install};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::connection::PATIENCE;
use crate::site::{Site, clean_up};

/// Where a worker finds what it is to do.
const CASE: &str = "TIERKEEP_CRASH_CASE";

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    url: String,
    exports: PathBuf,
    rows: u32,
    /// At which place it stands still, and at which visit.
    stop: Option<(String, u32)>,
    /// What it does wrongly.
    fault: Option<String>,
}

impl Case {
    pub(crate) fn of(site: &Site) -> Self {
        Self { url: site.url.clone(), exports: site.exports(), rows: site.size.batch, stop: None, fault: None }
    }

    pub(crate) fn stopping_at(self, point: &str, visit: u32) -> Self {
        Self { stop: Some((point.to_owned(), visit)), ..self }
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(format!("{fault:?}")), ..self }
    }

    fn fault(&self) -> Option<Fault> {
        let known = [Fault::MoveInTwo, Fault::RecordApart, Fault::DeleteUnexported];
        let name = self.fault.as_ref()?;
        Some(known.into_iter().find(|fault| format!("{fault:?}") == *name).expect("the fault is known"))
    }
}

/// Not a test of anything unless it was started by one.
#[test]
fn worker() {
    #[expect(clippy::disallowed_methods, reason = "arguments are the harness's; this is how a test is told something")]
    let Ok(case) = std::env::var(CASE) else { return };
    let case: Case = serde_json::from_str(&case).unwrap();
    let (visits, stop) = (Mutex::new(0), case.stop.clone());
    println!();
    install(
        move |point| {
            say(&format!("point {point}"));
            let Some((at, visit)) = &stop else { return };
            if at == point {
                let mut visits = visits.lock().unwrap();
                *visits += 1;
                if *visits == *visit {
                    say("stopped");
                    loop {
                        std::thread::park();
                    }
                }
            }
        },
        case.fault(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(clean_up(&case.url, "worker", case.exports, case.rows));
    say(&match done {
        Ok(outcome) => format!("ended {} {}", outcome.ended, outcome.reason.unwrap_or_default()),
        Err(error) => format!("ended error {error}"),
    });
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// A worker at work.
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    trace: Trace,
}

/// What a worker has told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) points: Vec<String>,
    /// Whether it stands where it was to stop.
    pub(crate) is_stopped: bool,
    /// How its run ended, unless it was killed before.
    pub(crate) ended: Option<String>,
}

impl Worker {
    pub(crate) fn start(case: &Case) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["worker::worker", "--exact", "--nocapture"]).env(CASE, serde_json::to_string(case).unwrap());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, trace: Trace::default() }
    }

    /// Whether it has told something more.
    async fn listen(&mut self) -> bool {
        let next = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let Some(line) = next.expect("the worker goes on").unwrap() else { return false };
        if let Some(point) = line.strip_prefix("point ") {
            self.trace.points.push(point.to_owned());
        } else if let Some(ended) = line.strip_prefix("ended ") {
            self.trace.ended = Some(ended.to_owned());
        } else if line == "stopped" {
            self.trace.is_stopped = true;
        }
        true
    }

    /// Until it has been at so many places, or ends before.
    pub(crate) async fn until_points(&mut self, points: usize) -> bool {
        while self.trace.points.len() < points {
            if !self.listen().await {
                return false;
            }
        }
        true
    }

    /// Until it stands where it was to stop, or ends before.
    pub(crate) async fn until_stopped(&mut self) -> bool {
        while !self.trace.is_stopped {
            if !self.listen().await {
                return false;
            }
        }
        true
    }

    /// Until it ends by itself.
    pub(crate) async fn until_end(mut self) -> Trace {
        while self.listen().await {}
        self.child.wait().await.unwrap();
        self.trace
    }

    /// Kills it, as the kernel does.
    pub(crate) async fn kill(mut self) -> Trace {
        self.child.start_kill().unwrap();
        self.until_end().await
    }
}

impl Trace {
    pub(crate) fn visits(&self, point: &str) -> u32 {
        u32::try_from(self.points.iter().filter(|visited| *visited == point).count()).unwrap()
    }

    /// Whether it was at work on the rows.
    pub(crate) fn is_amid(&self) -> bool {
        self.visits("run-recorded") == 1 && self.visits("work-done") == 0
    }
}
