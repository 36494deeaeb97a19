//! `serve` as a process: from the first line to the last.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::fixture::tierkeep;

pub(crate) fn start(command: &mut Command) -> (Child, Value) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let started = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    (child, started)
}

pub(crate) fn ask(address: &str, path: &str) -> String {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_it_in_order() {
    for name in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let (child, started) = start(tierkeep(&directory).args(["serve", "--json", "--listen", "127.0.0.1:0"]));
        let address = started["address"].as_str().unwrap();

        // what was hot before is read first, and there is nothing
        let answer =
            std::iter::repeat_with(|| ask(address, "/readyz")).find(|answer| !answer.contains("\"warming\"")).unwrap();
        signal(&child, name);
        let output = child.wait_with_output().unwrap();

        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("on loopback only") && stderr.ends_with("stopped\n"), "{stderr}");
        assert!(directory.path().join("tierkeep.db").exists());
        assert!(!directory.path().join("tierkeep.db-wal").exists(), "the database was closed");
    }
}

#[test]
fn the_demo_has_three_addresses_that_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (child, started) = start(tierkeep(&directory).args(["serve", "--demo", "--json", "--listen", "127.0.0.1:0"]));
    let address = started["address"].as_str().unwrap();
    let examples: Vec<&str> = started["examples"].as_array().unwrap().iter().filter_map(Value::as_str).collect();

    let answers: Vec<String> =
        examples.iter().map(|example| ask(address, example.strip_prefix(address).unwrap())).collect();
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(answers.len(), 3);
    let json = |answer: &str| -> Value { serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap() };
    assert!(json(&answers[0])["total_sessions"].as_u64().unwrap() > 0);
    assert!(json(&answers[1])["recommendations"].as_array().is_some());
    assert_eq!(json(&answers[2])["total_users"], 200);
    assert!(directory.path().join("tierkeep-demo.db").exists());
    assert!(!directory.path().join("tierkeep.db").exists());
}
