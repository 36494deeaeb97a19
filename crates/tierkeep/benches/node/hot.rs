//! What a hit in memory costs over HTTP, against a bare axum handler that answers the same bytes.
//!
//! Clients and servers share the cores, so requests a second say what both cost; CPU time of the server says what it costs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tierkeep_testkit::SqliteFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bare::Bare;
use crate::installation;
use crate::node::Node;

/// Learners who are asked about in turn.
const LEARNERS: u64 = 1000;
const CONNECTIONS: u64 = 32;
/// Of one round, and of what precedes all rounds.
const REQUESTS: u64 = 64_000;
const PAIRS: usize = 6;
const NODE: usize = 0;
const SAME_BYTES: usize = 1;
const SAME_BODY: usize = 2;

/// What one round has cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    took: Duration,
}

pub(crate) async fn report() -> Result<()> {
    println!("\nhot: {REQUESTS} times daily over HTTP from memory a round, {CONNECTIONS} connections, A B C C B A");
    let file = SqliteFile::new()?;
    installation::on_sqlite(&file, LEARNERS, 20 * LEARNERS).await?;
    let node = Node::start(&file.url(), None, &["--no-scheduler"])?;
    let mut reader = node.reader().await?;
    for learner in 1..=LEARNERS {
        reader.get(&path(learner)).await?;
    }
    let asked = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path(1));
    let (head, body) = reader.send(&asked).await?;
    ensure!(head.contains("x-cache: l1"), "it is not in memory:\n{head}");
    println!("  an answer has {} bytes of head and {} of body", head.len(), body.len());
    let same_bytes = Bare::start(head, body)?;
    let same_body = Bare::start("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", body)?;

    let hosts = [node.host(), &same_bytes.host, &same_body.host];
    let cpu = |which: usize| match which {
        NODE => node.cpu(),
        SAME_BYTES => same_bytes.cpu(),
        _ => same_body.cpu(),
    };
    let mut rounds: [Vec<Cost>; 3] = Default::default();
    for host in hosts {
        round(host).await?;
    }
    for _ in 0..PAIRS.div_ceil(2) {
        for which in [NODE, SAME_BYTES, SAME_BODY, SAME_BODY, SAME_BYTES, NODE] {
            let before = cpu(which)?;
            let took = round(hosts[which]).await?;
            rounds[which].push(Cost { cpu: cpu(which)? - before, took });
        }
    }
    for (name, rounds) in ["tierkeep", "axum, same bytes", "axum, same body"].iter().zip(&rounds) {
        let cpu = spread(rounds.iter().map(|cost| cost.cpu.as_secs_f64() * 1e6 / REQUESTS as f64));
        let rate = spread(rounds.iter().map(|cost| REQUESTS as f64 / cost.took.as_secs_f64()));
        println!("  {name:<17} {} µs of CPU a request, {} requests/s", cpu.of(2), rate.of(0));
    }
    for (name, bare) in [("same bytes", &rounds[SAME_BYTES]), ("same body", &rounds[SAME_BODY])] {
        let pairs = || rounds[NODE].iter().zip(bare);
        let cpu = spread(pairs().map(|(node, bare)| node.cpu.as_secs_f64() / bare.cpu.as_secs_f64()));
        let rate = spread(pairs().map(|(node, bare)| bare.took.as_secs_f64() / node.took.as_secs_f64()));
        println!("  tierkeep / axum, {name}: {} in CPU a request, {} in requests/s", cpu.of(2), rate.of(2));
    }
    println!("  (wanted: at most 1.25 in CPU, at least 0.85 in requests/s)");
    Ok(())
}

fn path(learner: u64) -> String {
    format!("/v1/users/{learner}/stats/daily")
}

/// Asks as often as a round has it, each connection again as soon as it is answered.
async fn round(host: &str) -> Result<Duration> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for (first, stream) in (0..).zip(streams) {
        clients.spawn(client(stream, first));
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(began.elapsed())
}

async fn client(mut stream: TcpStream, first: u64) -> Result<()> {
    let questions: Vec<String> = (0..LEARNERS / CONNECTIONS)
        .map(|n| format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path(1 + (first + n * CONNECTIONS) % LEARNERS)))
        .collect();
    let mut buffer = vec![0; 16 * 1024];
    for question in questions.iter().cycle().take(usize::try_from(REQUESTS / CONNECTIONS)?) {
        stream.write_all(question.as_bytes()).await?;
        let (mut filled, mut whole) = (0, None);
        while whole.is_none_or(|whole| filled < whole) {
            let read = stream.read(&mut buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if whole.is_none() {
                whole = length(&buffer[..filled])?;
            }
        }
        ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
    }
    Ok(())
}

/// The bytes of an answer whose head is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = &answer[..end];
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|name| name == NAME).context("answers say their length")? + NAME.len();
    let digits = head[at..].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let body: usize = str::from_utf8(digits)?.parse()?;
    Ok(Some(end + 4 + body))
}

/// The middle one of some numbers, the least and the largest.
struct Spread {
    middle: f64,
    least: f64,
    largest: f64,
}

fn spread(numbers: impl Iterator<Item = f64>) -> Spread {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let last = numbers.len() - 1;
    Spread { middle: (numbers[last / 2] + numbers[numbers.len() / 2]) / 2.0, least: numbers[0], largest: numbers[last] }
}

impl Spread {
    fn of(&self, digits: usize) -> String {
        let Self { middle, least, largest } = self;
        format!("{middle:.digits$} ({least:.digits$} to {largest:.digits$})")
    }
}
