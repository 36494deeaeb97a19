//! A database with one learner, and processes that work with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tierkeep_testkit::SqliteFile;

use crate::PATIENCE;

/// A number that stands nowhere by chance.
pub(crate) const LEARNER: &str = "704242917";
/// That learner, and a session.
const ROWS: &str = "
    insert into users (id) values (704242917);
    insert into study_sessions (id, user_id, start_time, duration_minutes)
    select 1, id, 1769760000000000, 25 from users;
";
/// The present of all nodes.
const NOW: &str = "2026-01-31T14:00:00Z";

/// A database with one learner.
pub(crate) struct Place {
    pub(crate) file: SqliteFile,
    directory: TempDir,
}

impl Place {
    /// One whose processes are configured like this.
    pub(crate) fn new(config: &str) -> Self {
        let place = Self { file: SqliteFile::new().unwrap(), directory: tempfile::tempdir().unwrap() };
        std::fs::write(place.directory.path().join("tierkeep.toml"), config).unwrap();
        assert!(place.tierkeep(&["migrate", "--ids", "int"]).status().unwrap().success());
        place.run(ROWS);
        place
    }

    pub(crate) fn run(&self, sql: &str) {
        let connection = Connection::open(self.file.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// A command in this place, which knows nothing of the environment but what is said.
    pub(crate) fn tierkeep(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
        command.args(arguments).args(["--now", NOW, "--database", &self.file.url()]).current_dir(self.directory.path());
        for variable in ["CONFIG", "DATABASE_URL", "REDIS_URL", "LISTEN", "LOG", "TOKEN"] {
            command.env_remove(format!("TIERKEEP_{variable}"));
        }
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        command
    }

    /// A node that listens.
    pub(crate) fn serve(&self) -> Node {
        self.serve_knowing(&[])
    }

    /// One that finds these variables in its environment.
    pub(crate) fn serve_knowing(&self, variables: &[(&str, &str)]) -> Node {
        let mut command = self.tierkeep(&["serve", "--json", "--no-scheduler", "--listen", "127.0.0.1:0"]);
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", self.log()));
        Node { child, host: started["address"].as_str().unwrap().trim_start_matches("http://").to_owned() }
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// A process that serves.
pub(crate) struct Node {
    child: Child,
    host: String,
}

impl Node {
    /// The status and the tier of an answer.
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", self.host).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let tier = answer.lines().find_map(|line| line.strip_prefix("x-cache: ")).unwrap_or_default();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), tier.to_owned())
    }

    /// Tells it to end, and how long that took.
    pub(crate) fn end(mut self) -> Duration {
        let began = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        began.elapsed()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
