//! The client against a server that does as it is told, on a port that the system chooses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;

/// What the server does with a request on a connection.
#[derive(Clone)]
enum Act {
    /// Sends this.
    Say(Vec<u8>),
    /// Sends this and ends the connection.
    SayAndEnd(Vec<u8>),
    /// Sends this and then nothing more.
    SayAndHang(Vec<u8>),
    /// Ends the connection.
    End,
}

/// A server that acts in this order, whatever it is asked, and then ends each connection.
struct Scripted {
    address: String,
    requests: Receiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::sync_channel(1000);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            let mut acts = acts.into_iter();
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                while let Some(request) = request(&mut stream) {
                    let _unheard = sender.send(request);
                    match acts.next().unwrap_or(Act::End) {
                        Act::Say(bytes) => drop(stream.write_all(&bytes)),
                        Act::SayAndEnd(bytes) => {
                            drop(stream.write_all(&bytes));
                            break;
                        }
                        Act::SayAndHang(bytes) => {
                            drop(stream.write_all(&bytes));
                            hanging.push(stream.try_clone().unwrap());
                            break;
                        }
                        Act::End => break,
                    }
                }
            }
        });
        Self { address, requests, connections }
    }

    fn request(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// Head and body of the next request.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

fn ok(fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n{body}")
        .into()
}

fn say(fields: &str, body: &str) -> Act {
    Act::Say(ok(fields, body))
}

fn settings(nodes: &[&str]) -> Settings {
    Settings {
        nodes: nodes.iter().map(|node| Address::parse(node).unwrap()).collect(),
        token: None,
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        bound: Duration::from_secs(1),
        max_stale: Duration::from_secs(3600),
        kept_bytes: 1 << 20,
        max_body: 1 << 20,
    }
}

fn client(server: &Scripted) -> NodeClient {
    NodeClient::new(settings(&[&server.address]))
}

fn impatient(nodes: &[&str]) -> NodeClient {
    NodeClient::new(Settings { timeout: Duration::from_millis(200), ..settings(nodes) })
}

fn get(path: &str) -> Request<'_> {
    Request {
        method: Method::Get,
        path,
        body: None,
        learner: Some("a"),
        position: 0,
        idempotency_key: None,
        is_write: false,
    }
}

fn write(path: &str) -> Request<'_> {
    Request { method: Method::Post, body: Some(b"{}"), is_write: true, ..get(path) }
}

/// Asks at an instant.
fn ask_at(client: &NodeClient, request: Request<'_>, now: Instant) -> Result<Reply, NodeError> {
    match client.begin(request, now)? {
        Begun::Done(reply) => Ok(reply),
        Begun::Ask(mut errand) => {
            errand.run();
            client.settle(errand, now)
        }
    }
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    let server = Scripted::new(vec![say("x-cache: l2\r\n", "[1]"), say("", "[2]"), say("", "[3]")]);
    let client = client(&server);

    let first = client.call(get("/1")).unwrap();
    client.call(get("/2")).unwrap();
    client.call(get("/3")).unwrap();

    assert_eq!((&*first.body, first.tier.as_deref(), first.source), ("[1]", Some("l2"), Source::Fetched));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_fresh_answer_is_given_again_then_asked_whether_it_holds() {
    let unchanged = Act::Say(b"HTTP/1.1 304 Not Modified\r\netag: \"t\"\r\nx-cache: l1\r\n\r\n".to_vec());
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]"), unchanged, say("etag: \"u\"\r\n", "[2]")]);
    let client = client(&server);
    let start = Instant::now();

    ask_at(&client, get("/"), start).unwrap();
    let kept = ask_at(&client, get("/"), start + Duration::from_millis(999)).unwrap();
    let unchanged = ask_at(&client, get("/"), start + Duration::from_millis(1000)).unwrap();
    let kept_again = ask_at(&client, get("/"), start + Duration::from_millis(1999)).unwrap();
    let changed = ask_at(&client, get("/"), start + Duration::from_millis(2000)).unwrap();

    assert_eq!((kept.source, unchanged.source, kept_again.source), (Source::Kept, Source::Unchanged, Source::Kept));
    assert_eq!((&*unchanged.body, unchanged.tier.as_deref()), ("[1]", Some("l1")));
    assert_eq!((changed.source, &*changed.body), (Source::Fetched, "[2]"));
    assert!(!server.request().contains("If-None-Match"));
    assert!(server.request().contains("If-None-Match: \"t\"\r\n"));
}

#[test]
fn an_answer_is_fresh_from_the_question_on_and_not_from_its_coming() {
    let unchanged = Act::Say(b"HTTP/1.1 304 Not Modified\r\netag: \"t\"\r\n\r\n".to_vec());
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]"), unchanged]);
    let client = client(&server);
    let slow = Duration::from_millis(400);
    let mut asked = Instant::now();

    for _ in 0..2 {
        let Ok(Begun::Ask(mut errand)) = client.begin(get("/"), asked) else { panic!("what is kept is old") };
        errand.run();
        client.settle(errand, asked + slow).unwrap();

        assert!(client.kept("/", Some("a"), 0, asked + Duration::from_millis(999)).is_some());
        asked += Duration::from_millis(1000);
        assert!(client.kept("/", Some("a"), 0, asked).is_none(), "it is of the moment of the question, perhaps");
    }
}

#[test]
fn what_this_process_wrote_is_seen_by_its_next_read() {
    let position = "x-tierkeep-position: 41\r\n";
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]"), say(position, "{}"), say("etag: \"u\"\r\n", "[2]")]);
    let client = client(&server);

    client.call(get("/")).unwrap();
    let written = client.call(write("/sessions")).unwrap();
    let read = client.call(Request { position: 41, ..get("/") }).unwrap();

    assert_eq!((written.position, &*read.body), (Some(41), "[2]"));
    server.request();
    assert!(server.request().ends_with("\r\n\r\n{}"));
    assert!(server.request().contains("X-Tierkeep-Position: 41\r\n"));
}

#[test]
fn a_read_that_began_before_a_write_leaves_nothing_behind() {
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]"), say("etag: \"u\"\r\n", "[2]")]);
    let client = client(&server);
    let now = Instant::now();
    let Ok(Begun::Ask(mut errand)) = client.begin(get("/"), now) else { panic!("nothing is kept yet") };
    errand.run();

    client.forget(Some("a"));
    client.settle(errand, now).unwrap();

    assert_eq!(&*ask_at(&client, get("/"), now).unwrap().body, "[2]");
}

#[test]
fn a_connection_that_the_node_closed_is_tried_again_for_reads() {
    let server = Scripted::new(vec![Act::SayAndEnd(ok("", "[1]")), say("", "[2]")]);
    let client = client(&server);

    client.call(get("/1")).unwrap();
    let again = client.call(get("/2")).unwrap();

    assert_eq!(&*again.body, "[2]");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_write_that_may_have_happened_is_not_sent_again() {
    let other = Scripted::new(vec![say("", "{}")]);
    let server = Scripted::new(vec![say("", "[1]"), Act::End]);
    let client = NodeClient::new(settings(&[&server.address, &other.address]));
    client.call(get("/1")).unwrap();

    let refused = client.call(write("/sessions"));

    assert!(matches!(refused, Err(NodeError::Unavailable(_))), "{refused:?}");
    server.request();
    server.request();
    assert!(server.requests.try_recv().is_err());
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn chunks_are_put_together() {
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
        1\r\n[\r\n3;x=y\r\n1,2\r\n1\r\n]\r\n0\r\ntrailer: t\r\n\r\n";
    let server = Scripted::new(vec![Act::Say(chunked.to_vec()), say("", "[3]")]);
    let client = client(&server);

    assert_eq!(&*client.call(get("/1")).unwrap().body, "[1,2]");
    assert_eq!(&*client.call(get("/2")).unwrap().body, "[3]");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn what_no_node_says_is_an_error_and_never_an_answer() {
    let json = "content-type: application/json\r\n";
    let table: Vec<(&str, Act)> = vec![
        ("garbage", Act::SayAndEnd(b"\x16\x03\x01 what is this\r\n\r\n".to_vec())),
        ("ends at once", Act::End),
        ("cut head", Act::SayAndEnd(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        ("cut body", Act::SayAndEnd(format!("HTTP/1.1 200 OK\r\n{json}content-length: 9\r\n\r\n[1]").into())),
        (
            "cut chunk",
            Act::SayAndEnd(format!("HTTP/1.1 200 OK\r\n{json}transfer-encoding: chunked\r\n\r\n9\r\n[1]").into()),
        ),
        (
            "wrong chunk",
            Act::Say(
                format!("HTTP/1.1 200 OK\r\n{json}transfer-encoding: chunked\r\n\r\n1\r\n[1]\r\n0\r\n\r\n").into(),
            ),
        ),
        ("no length", Act::SayAndEnd(format!("HTTP/1.1 200 OK\r\n{json}\r\n[1]").into())),
        (
            "two lengths",
            Act::Say(format!("HTTP/1.1 200 OK\r\n{json}content-length: 3\r\ncontent-length: 4\r\n\r\n[1]").into()),
        ),
        (
            "length and chunks",
            Act::Say(
                format!("HTTP/1.1 200 OK\r\n{json}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n").into(),
            ),
        ),
        ("no number", Act::Say(format!("HTTP/1.1 200 OK\r\n{json}content-length: -1\r\n\r\n").into())),
        (
            "compressed",
            Act::Say(format!("HTTP/1.1 200 OK\r\n{json}content-encoding: gzip\r\ncontent-length: 3\r\n\r\n[1]").into()),
        ),
        ("giant head", Act::Say(format!("HTTP/1.1 200 OK\r\ny: {}", "y".repeat(200_000)).into())),
        ("many fields", Act::Say(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(100)).into())),
        ("giant body", Act::Say(format!("HTTP/1.1 200 OK\r\n{json}content-length: 99999999999\r\n\r\n").into())),
        (
            "giant chunk",
            Act::Say(format!("HTTP/1.1 200 OK\r\n{json}transfer-encoding: chunked\r\n\r\nffffffff\r\n").into()),
        ),
        ("a page", Act::Say(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<hi>".to_vec())),
        ("no JSON", say("", "{\"a\":")),
        (
            "no UTF-8",
            Act::Say(ok("", "\"x\"").into_iter().map(|byte| if byte == b'x' { 0xff } else { byte }).collect()),
        ),
        ("unasked 304", Act::Say(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec())),
        ("elsewhere", Act::Say(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("protocol", Act::Say(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec())),
        ("status 999", Act::Say(b"HTTP/1.1 999 ?\r\ncontent-length: 0\r\n\r\n".to_vec())),
        (
            "page as error",
            Act::Say(b"HTTP/1.1 404 No\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<hi>".to_vec()),
        ),
    ];

    for (name, act) in table {
        let server = Scripted::new(vec![act, say("", "[7]")]);
        let client = client(&server);
        let begun = Instant::now();

        let answer = client.call(get("/1"));

        assert!(answer.is_err(), "{name}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{name} took {:?}", begun.elapsed());
        // nothing of it is left in the way of the next
        assert_eq!(client.call(get("/2")).map(|reply| reply.body.to_string()).as_deref(), Ok("[7]"), "{name}");
    }
}

#[test]
fn a_slow_node_costs_the_time_limit_and_no_more() {
    let hanging = [
        Act::SayAndHang(Vec::new()),
        Act::SayAndHang(b"HTTP/1.1 200".to_vec()),
        Act::SayAndHang(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[".to_vec()),
    ];
    for act in hanging {
        let server = Scripted::new(vec![act]);
        let client = impatient(&[&server.address]);
        let begun = Instant::now();

        let answer = client.call(get("/"));

        assert!(matches!(&answer, Err(NodeError::Unavailable(why)) if why.contains("in time")), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn the_next_node_answers_for_one_that_does_not() {
    let unavailable = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec();
    for act in [Act::End, Act::SayAndHang(Vec::new()), Act::Say(unavailable)] {
        let first = Scripted::new(vec![act]);
        let second = Scripted::new(vec![say("", "[2]")]);
        let client = impatient(&[&first.address, &second.address]);

        let reply = client.call(get("/")).unwrap();

        assert_eq!((&*reply.body, reply.node), ("[2]", Some(1)));
    }
}

#[test]
fn an_old_answer_is_given_as_stale_for_so_long_when_no_node_answers() {
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]")]);
    let client = client(&server);
    let start = Instant::now();
    ask_at(&client, get("/"), start).unwrap();

    let stale = ask_at(&client, get("/"), start + Duration::from_secs(3599)).unwrap();
    let too_old = ask_at(&client, get("/"), start + Duration::from_secs(3600));
    let from_before_a_write = ask_at(&client, Request { position: 9, ..get("/") }, start + Duration::from_secs(2));

    assert_eq!((stale.source, &*stale.body), (Source::Stale, "[1]"));
    assert!(matches!(too_old, Err(NodeError::Unavailable(_))));
    assert!(matches!(from_before_a_write, Err(NodeError::Unavailable(_))));
    let counts = client.counts();
    assert_eq!((counts.fetched, counts.stale, counts.failed), (1, 1, 2));
}

#[test]
fn a_refusal_is_passed_on_and_ends_what_was_kept() {
    let body = "{\"type\":\"urn:tierkeep:problem:unknown-learner\"}";
    let refusal = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = Scripted::new(vec![say("etag: \"t\"\r\n", "[1]"), Act::Say(refusal.into())]);
    let client = client(&server);
    let start = Instant::now();
    ask_at(&client, get("/"), start).unwrap();

    let refused = ask_at(&client, get("/"), start + Duration::from_secs(2)).unwrap();
    let afterwards = ask_at(&client, get("/"), start + Duration::from_secs(2));

    assert_eq!((refused.status, &*refused.body), (404, body));
    assert!(afterwards.is_err(), "the answer from before the refusal is not given as stale");
}

#[test]
fn a_node_that_fails_five_times_is_left_alone_for_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = NodeClient::new(settings(&[&address]));
    let start = Instant::now();
    for _ in 0..5 {
        assert!(matches!(client.begin(get("/"), start), Ok(Begun::Ask(_))));
        ask_at(&client, get("/"), start).unwrap_err();
    }

    let barred = client.begin(get("/"), start + Duration::from_millis(900));
    let probe = client.begin(get("/"), start + Duration::from_secs(1));

    assert!(matches!(&barred, Err(NodeError::Unavailable(why)) if why.contains("cannot be reached")), "{barred:?}");
    assert!(matches!(probe, Ok(Begun::Ask(_))));
}

#[test]
fn no_more_than_eight_connections_wait_and_thirty_two_are_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (open, working, most) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, at_work, highest) = (Arc::clone(&open), working, Arc::clone(&most));
    let deadline = Instant::now() + Duration::from_secs(20);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (counted, at_work, highest) = (Arc::clone(&counted), Arc::clone(&at_work), Arc::clone(&highest));
            thread::spawn(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                while request(&mut stream).is_some() {
                    highest.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // until as many as may be are under way, which shows that no more come
                    while highest.load(Ordering::SeqCst) < 32 {
                        assert!(Instant::now() < deadline, "{highest:?} at once");
                        thread::yield_now();
                    }
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    if stream.write_all(&ok("", "[1]")).is_err() {
                        break;
                    }
                }
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let client = Arc::new(NodeClient::new(Settings { timeout: Duration::from_secs(20), ..settings(&[&address]) }));

    let callers: Vec<_> = (0..80)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || (0..5).for_each(|_| assert_eq!(&*client.call(get("/")).unwrap().body, "[1]")))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());

    while open.load(Ordering::SeqCst) > IDLE && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(open.load(Ordering::SeqCst) <= IDLE, "{open:?}");
    assert_eq!(most.load(Ordering::SeqCst), 32);
}

#[test]
fn what_would_change_the_request_is_refused() {
    let client = NodeClient::new(settings(&["http://127.0.0.1:9"]));
    for path in ["", "x", "/a b", "/a\r\nHost: b", "/ü"] {
        assert!(matches!(client.call(get(path)), Err(NodeError::Invalid(_))), "{path}");
    }
    let keyed = Request { idempotency_key: Some("a\r\nx: y"), ..write("/") };
    assert!(matches!(client.call(keyed), Err(NodeError::Invalid(_))));
}
