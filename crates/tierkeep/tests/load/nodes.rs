//! Nodes as processes, and what they have used.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::Client;
use crate::learners::NOW;

/// Lives so short that answers end all the time, and little memory, so that it is full at once.
const CONFIG: &str = "
[cache]
l1 = \"8MiB\"
[cache.ttl]
daily = \"5s\"
weekly = \"5s\"
monthly = \"5s\"
analytics = \"5s\"
streaks = \"5s\"
heatmap = \"5s\"
courses = \"5s\"
global = \"5s\"
";

/// Longest time for a start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `tierkeep serve`; ended when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    directory: TempDir,
    pub(crate) client: Arc<Client>,
}

impl Node {
    /// Starts one and waits until it listens.
    pub(crate) async fn start(database: &str, redis: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tierkeep.toml"), CONFIG).unwrap();
        let mut command =
            command(&["serve", "--json", "--listen", "127.0.0.1:0", "--now", NOW, "--database", database]);
        if let Some(redis) = redis {
            command.args(["--redis", redis]);
        }
        let log = File::create(directory.path().join("log")).unwrap();
        command.current_dir(&directory).stdout(Stdio::piped()).stderr(log);
        let started = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (child, line)
        });
        let (child, line) = tokio::time::timeout(PATIENCE, started).await.expect("the node starts").unwrap();
        let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        let started: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", log()));
        let host = started["address"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { child, directory, client: Arc::new(Client::new(host)) }
    }

    /// What it has resident, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a living process has memory");
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Descriptors that are open.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// CPU time so far: user and system, in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // the name in brackets may hold anything
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, with nothing of this process's surroundings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
    command.args(arguments);
    for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG", "TOKEN"] {
        command.env_remove(format!("TIERKEEP_{variable}"));
    }
    command
}
