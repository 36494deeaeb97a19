//! A `tierkeep serve` that is started, killed and started again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::history::{BOUND, PATIENCE};
use crate::http::get;

/// How a node is started.
#[derive(Debug)]
pub(crate) struct Node {
    directory: TempDir,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
    /// Where it listens, which another start changes.
    host: Arc<Mutex<String>>,
}

impl Node {
    pub(crate) async fn start(database: &str, redis: Option<&str>, now: &str) -> Self {
        Self::configured(database, redis, now, "").await
    }

    /// One whose configuration says more than how fresh its answers are.
    pub(crate) async fn configured(database: &str, redis: Option<&str>, now: &str, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!("[freshness]\nbound = \"{}ms\"\n{more}", BOUND.as_millis());
        std::fs::write(directory.path().join("tierkeep.toml"), config).unwrap();
        let mut arguments = ["serve", "--json", "--listen", "127.0.0.1:0", "--now", now, "--database", database]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(redis.iter().flat_map(|url| ["--redis".to_owned(), (*url).to_owned()]));
        let node = Self { directory, arguments, child: Mutex::default(), host: Arc::default() };
        node.run().await;
        node
    }

    pub(crate) fn host(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.host)
    }

    /// Starts it, after a kill, and waits until it listens.
    pub(crate) async fn run(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
        command.args(&self.arguments).current_dir(self.directory.path());
        for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG"] {
            command.env_remove(format!("TIERKEEP_{variable}"));
        }
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        command.stdout(Stdio::piped()).stderr(log);
        let started = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (child, line)
        });
        let (child, line) = tokio::time::timeout(PATIENCE, started).await.expect("the node starts").unwrap();
        *self.child.lock().unwrap() = Some(child);
        let started: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", self.log()));
        started["address"].as_str().unwrap().trim_start_matches("http://").clone_into(&mut self.host.lock().unwrap());
    }

    /// Kills it, as the kernel does.
    pub(crate) fn kill9(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.lock().unwrap();
        let id = child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until it has ended, and tells how long that took and how it ended.
    pub(crate) async fn ended(&self) -> (Duration, Option<i32>) {
        let (began, mut child) = (Instant::now(), self.child.lock().unwrap().take().expect("it runs"));
        let waiting = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
        let code = tokio::time::timeout(PATIENCE, waiting).await.expect("it ends").unwrap();
        (began.elapsed(), code)
    }

    /// Waits until it has said something.
    pub(crate) async fn until_log(&self, words: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let waiting = async {
            while !self.log().contains(words) {
                looks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("not {words:?} in\n{}", self.log());
        }
    }

    /// Waits until an address is answered as expected.
    pub(crate) async fn until(&self, path: &str, expected: impl Fn(&str) -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let mut last = String::new();
        let waiting = async {
            loop {
                looks.tick().await;
                let host = self.host.lock().unwrap().clone();
                let answer = get(&host, path).await;
                last = format!("{} {}", answer.status, answer.tier);
                if expected(&answer.tier) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{path} is answered by {last}\n{}", self.log());
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill9();
    }
}
