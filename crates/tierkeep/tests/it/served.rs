//! A place where the binary is at home: a database, a directory with a configuration, and nodes that are processes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep_db::Dialect;

use crate::fixture::{NOW, run, tierkeep};
use crate::node::Installation;
use crate::serve::signal;

/// For what must happen some time, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The names of the tasks.
pub(crate) const TASKS: [&str; 4] =
    ["precompute-active-cache", "cleanup-expired-cache", "archive-old-data", "update-analytics"];

/// A configuration by which every task is due every second.
pub(crate) fn every_second() -> String {
    TASKS.iter().fold("[schedule]\n".to_owned(), |text, task| text + task + " = \"every 1s\"\n")
}

/// A database and a directory.
pub(crate) struct Site {
    pub(crate) installation: Installation,
    pub(crate) directory: TempDir,
    redis: Option<String>,
}

impl Site {
    /// With the learners of the fixture, and a configuration.
    pub(crate) async fn new(dialect: Dialect, config: &str) -> Self {
        let installation = Installation::new(dialect).await;
        let site = Self { installation, directory: tempfile::tempdir().unwrap(), redis: None };
        site.configure(config);
        site
    }

    /// All its processes share a Redis.
    pub(crate) fn with_redis(self, url: String) -> Self {
        Self { redis: Some(url), ..self }
    }

    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.directory.path().join("tierkeep.toml"), config).unwrap();
    }

    fn common(&self) -> Vec<String> {
        let mut flags = ["--now", NOW, "--database", &self.installation.url()].map(str::to_owned).to_vec();
        flags.extend(self.redis.iter().flat_map(|url| ["--redis".to_owned(), url.clone()]));
        flags
    }

    /// The binary with arguments, not yet begun.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tierkeep(&self.directory);
        command.args(arguments).args(self.common());
        command
    }

    /// Exit code, stdout, stderr.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let common = self.common();
        let arguments = arguments.iter().copied().chain(common.iter().map(String::as_str));
        run(&self.directory, &arguments.collect::<Vec<_>>())
    }

    /// Exit code, the document on stdout, stderr.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (i32, Value, String) {
        let (code, stdout, stderr) = self.run(&[arguments, &["--json"]].concat());
        let document = if stdout.is_empty() { Value::Null } else { serde_json::from_str(&stdout).unwrap() };
        (code, document, stderr)
    }

    /// The document of a command that succeeds.
    pub(crate) fn told(&self, arguments: &[&str]) -> Value {
        let (code, document, stderr) = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        document
    }

    /// A node.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Served {
        let log = self.directory.path().join("log");
        let to = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(to).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut served = Served { child, host: String::new(), log };
        let started: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", served.log()));
        started["address"].as_str().unwrap().trim_start_matches("http://").clone_into(&mut served.host);
        served
    }

    /// Makes tasks due, as if their time had come a second ago.
    pub(crate) async fn make_due(&self, tasks: &[&str]) {
        let names = tasks.iter().map(|task| format!("'{task}'")).collect::<Vec<_>>().join(", ");
        let ago = match self.installation.dialect() {
            Dialect::Sqlite => "cast(round((julianday('now') - 2440587.5) * 86400) as integer) * 1000000 - 1000000",
            Dialect::Postgres => "now() - interval '1 second'",
        };
        let update = "update tierkeep_schedule set next_at = AGO where name in (NAMES)";
        self.installation.run(&update.replace("AGO", ago).replace("NAMES", &names)).await;
    }

    /// Runs of which something is true, as another program counts them.
    pub(crate) async fn runs(&self, condition: &str) -> i64 {
        self.installation.number(&["select count(*) from tierkeep_schedule_run where ", condition].concat()).await
    }

    /// Waits until there are so many.
    pub(crate) async fn until_runs(&self, condition: &str, least: i64) {
        let waiting = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            while self.runs(condition).await < least {
                looks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let (history, log) = (self.run(&["schedule", "history"]).1, self.log());
            panic!("not {least} runs with {condition}:\n{history}\n{log}");
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// A node that runs.
pub(crate) struct Served {
    child: Child,
    host: String,
    log: PathBuf,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Value,
}

impl Told {
    /// The value of a header, or nothing.
    pub(crate) fn header(&self, wanted: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, value)| value)
    }

    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:tierkeep:problem:")
    }
}

impl Served {
    /// Asks with a token, or without one if it is empty; a body of null is none.
    pub(crate) fn send(&self, token: &str, method: &str, path: &str, body: &Value) -> Told {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.host);
        if !token.is_empty() {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Told { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(json!(body)) }
    }

    pub(crate) fn get(&self, path: &str) -> Told {
        self.send("", "GET", path, &Value::Null)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Told {
        self.send("", "POST", path, body)
    }

    /// Which tier answers.
    pub(crate) fn tier(&self, path: &str) -> String {
        let told = self.get(path);
        assert_eq!(told.status, 200, "{path}: {told:?}");
        told.header("x-cache").to_owned()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.host)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        signal(&self.child, "TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
