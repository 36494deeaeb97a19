//! The second level on real servers: what it promises, and what happens when things go wrong.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod faults;
mod leases;
mod locks;
mod numbers;
mod patterns;
mod tags;
mod values;
mod watching;

use std::time::{Duration, Instant};

use _core::remote::{Remote, Settings, Ttl, When, Write};
use tierkeep_testkit::RedisServer;

/// What an answer may come late by: these machines are busy.
const MARGIN: Duration = Duration::from_secs(10);

/// A private server and a handle to it. The server ends when this is dropped.
struct World {
    /// Runs what the server's handle awaits.
    runtime: tokio::runtime::Runtime,
    server: RedisServer,
    remote: Remote,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let builder =
            settings.iter().fold(RedisServer::builder(), |builder, (name, value)| builder.setting(name, value));
        let server = runtime.block_on(builder.launch()).unwrap();
        let remote = Remote::new(&patient(&server)).unwrap();
        Self { runtime, server, remote }
    }

    /// Another process, as far as the server can tell.
    fn another(&self) -> Remote {
        Remote::new(&patient(&self.server)).unwrap()
    }

    /// A command that does not go through ours.
    fn run(&self, command: &[&[u8]]) -> redis::Value {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut words = redis::Cmd::new();
        command.iter().for_each(|word| _ = words.arg(*word));
        words.query(&mut client.get_connection().unwrap()).unwrap()
    }
}

fn patient(server: &RedisServer) -> Settings {
    Settings::new(&[server.url()]).unwrap().socket_timeout(MARGIN)
}

/// A value that is right by itself and stays.
fn plain<'a>(key: &'a [u8], bytes: &'a [u8]) -> Write<'a> {
    Write { key, bytes, ttl: Ttl::Forever, when: When::Always, lease: None, tags: &[] }
}

fn bytes(remote: &Remote, key: &[u8]) -> Option<Vec<u8>> {
    remote.get(key).unwrap().map(|entry| entry.bytes)
}

/// Awaits what must come.
fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + MARGIN;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came");
        std::thread::yield_now();
    }
}
