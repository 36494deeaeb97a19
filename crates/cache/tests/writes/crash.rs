//! Write-back under `kill -9`, at every step of the journal and of the source. S11.
//!
//! The test runs itself as a child, which ends itself with SIGKILL at its n-th step, for each n until it comes to the
//! end. After each death the source and the journal are looked at as the next process would find them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_cache::journal::{FileJournal, Journal, JournalError, Record};
use tierkeep_cache::{Ack, Cache, Operation, Postcard, Sink, SinkError, WriteBack};

const CHILD: &str = "TIERKEEP_CRASH_CHILD";
const KEYS: u64 = 3;
const ROUNDS: u64 = 6;

/// A source that is a file of lines, each an operation that it was given: `key version value`.
struct Lines {
    path: PathBuf,
    step: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl Sink<u64, u64> for Lines {
    async fn write(&self, batch: &[Operation<u64, u64>]) -> Result<(), SinkError> {
        (self.step)();
        let mut lines = String::new();
        for operation in batch {
            let value = operation.value.as_deref().map_or_else(|| "-".to_owned(), u64::to_string);
            writeln!(lines, "{} {} {value}", operation.key, operation.version).unwrap();
        }
        // One call: a process that is killed has written all of a batch or nothing, as in one transaction.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(SinkError::retry)?;
        (self.step)();
        Ok(())
    }
}

/// A journal that acknowledges before anything is durable.
struct Hasty(Arc<FileJournal>);

#[async_trait]
impl Journal for Hasty {
    async fn reserve(&self, count: u64) -> Result<u64, JournalError> {
        self.0.reserve(count).await
    }

    async fn append(&self, records: Vec<Record>) -> Result<(), JournalError> {
        let journal = Arc::clone(&self.0);
        drop(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            journal.append(records).await
        }));
        Ok(())
    }

    async fn settle(&self, numbers: Vec<u64>) -> Result<(), JournalError> {
        self.0.settle(numbers).await
    }

    async fn unsettled(&self) -> Result<Vec<Record>, JournalError> {
        self.0.unsettled().await
    }
}

async fn open(directory: &Path, hasty: bool, step: Arc<dyn Fn() + Send + Sync>) -> (Cache, WriteBack<u64, u64>) {
    let probe = Arc::clone(&step);
    // Small files, so that some are begun and deleted.
    let journal = FileJournal::builder(directory.join("journal")).file_bytes(400).probe(move |_| probe());
    let journal = Arc::new(journal.open().await.unwrap());
    let journal: Arc<dyn Journal> = if hasty { Arc::new(Hasty(journal)) } else { journal };
    let cache = Cache::builder("crash").build().unwrap();
    let view = cache.view::<u64, u64>("numbers").codec(Postcard::shape(1)).build().unwrap();
    let sink = Lines { path: directory.join("source"), step };
    let builder = view.write_back(sink, journal).flush_every(Duration::from_secs(3600)).batch(1000);
    (cache, builder.open().await.unwrap())
}

/// Not a test of its own: what the child does, which prints each acknowledgement.
#[tokio::test]
async fn child() {
    let Some(task) = std::env::var_os(CHILD) else { return };
    let task = task.into_string().unwrap();
    let (limit, rest) = task.split_once(' ').unwrap();
    let (hasty, directory) = rest.split_once(' ').unwrap();
    let (limit, steps) = (limit.parse::<u64>().unwrap(), AtomicU64::new(0));
    let step = move || {
        if steps.fetch_add(1, Ordering::SeqCst) + 1 == limit {
            let killed = Command::new("kill").arg("-9").arg(std::process::id().to_string()).status();
            panic!("still alive: {killed:?}");
        }
    };
    let (cache, writes) = open(Path::new(directory), hasty == "hasty", Arc::new(step)).await;
    let say = |what: &str, key: u64, version: u64, value: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n@{what} {key} {version} {value}").unwrap();
        out.flush().unwrap();
    };
    for round in 0..ROUNDS {
        for key in 0..KEYS {
            let value = 100 * (round + 1) + key;
            let ack = match (round + key) % 4 {
                0 | 1 => Ack::Journal,
                2 => Ack::Memory,
                _ => Ack::Db,
            };
            let deletes = value % 7 == 3;
            let accepted = match deletes {
                true => writes.delete(&key, ack).await,
                false => writes.put(&key, value, ack).await,
            };
            let text = if deletes { "-".to_owned() } else { value.to_string() };
            let what = if ack == Ack::Memory { "memory" } else { "safe" };
            say(what, key, accepted.unwrap().version, &text);
            let own = writes.get(&key).await.map(|own| *own);
            let expected = (!deletes && ack != Ack::Db).then_some(value);
            assert_eq!(own, expected, "its own write, until the source has it");
        }
        if round % 2 == 1 {
            writes.flush().await;
            say("flushed", 0, 0, "-");
        }
    }
    writes.drain(Duration::from_secs(60)).await.unwrap();
    say("end", 0, 0, "-");
    cache.close().await;
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    what: String,
    key: u64,
    version: u64,
    value: String,
}

fn parsed(line: &str) -> Option<Said> {
    let mut parts = line.split(' ');
    let number = |part: Option<&str>| part?.parse().ok();
    let what = parts.next()?.to_owned();
    let key = number(parts.next())?;
    let version = number(parts.next())?;
    Some(Said { what, key, version, value: parts.next()?.to_owned() })
}

/// Runs a child that dies at this step; what it said, and whether it came to its end.
fn run(directory: &Path, limit: u64, hasty: bool) -> (Vec<Said>, bool) {
    let mode = if hasty { "hasty" } else { "careful" };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{limit} {mode} {}", directory.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<Said> = lines.filter_map(|line| parsed(line.unwrap().strip_prefix('@')?)).collect();
    let lived = child.wait().unwrap().success();
    (said, lived)
}

/// What the source was given, and what it has, `guarded`: because it takes only what is newer.
fn source(directory: &Path, guarded: bool) -> Result<HashMap<u64, (u64, String)>, String> {
    let text = std::fs::read_to_string(directory.join("source")).unwrap_or_default();
    let mut rows: HashMap<u64, (u64, String)> = HashMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let (key, version, value) = (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].to_owned());
        let row = rows.entry(key).or_default();
        if guarded && version <= row.0 {
            continue;
        }
        if version < row.0 {
            return Err(format!("{key} went back from {} to {version}", row.0));
        }
        *row = (version, value);
    }
    Ok(rows)
}

/// What must hold of the source after the next process has handed over what the journal kept.
fn check(said: &[Said], rows: &HashMap<u64, (u64, String)>) -> Result<(), String> {
    let mut written: HashMap<(u64, u64), &str> = HashMap::new();
    let mut safe: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for said in said {
        match said.what.as_str() {
            "flushed" | "end" => safe.extend(last.iter().map(|(key, version)| (*key, *version))),
            what => {
                if last.insert(said.key, said.version).is_some_and(|before| before >= said.version) {
                    return Err(format!("versions of {} do not grow", said.key));
                }
                written.insert((said.key, said.version), &said.value);
                if what == "safe" {
                    safe.insert(said.key, said.version);
                }
            }
        }
    }
    for (key, version) in &safe {
        let Some((have, value)) = rows.get(key) else {
            return Err(format!("{key} is lost, version {version} was acknowledged"));
        };
        if have < version {
            return Err(format!("{key} has version {have}, {version} was acknowledged"));
        }
        // A version that nobody heard of was on its way when the process died.
        if written.get(&(*key, *have)).is_some_and(|expected| expected != value) {
            return Err(format!("{key} has {value} at version {have}"));
        }
    }
    Ok(())
}

/// The next process: hands over what is left, and takes one more write of each key, which must win.
async fn recover(directory: &Path, said: &[Said]) -> Result<(), String> {
    let (_cache, writes) = open(directory, false, Arc::new(|| {})).await;
    let drained = writes.flush().await;
    if drained != 0 {
        return Err(format!("{drained} keys are dirty still"));
    }
    check(said, &source(directory, true)?)?;
    for key in 0..KEYS {
        writes.put(&key, 7_000 + key, Ack::Db).await.unwrap();
    }
    writes.drain(Duration::from_secs(60)).await.unwrap();
    let rows = source(directory, true)?;
    for key in 0..KEYS {
        if rows[&key].1 != (7_000 + key).to_string() {
            return Err(format!("a write after the crash did not reach {key}: {:?}", rows[&key]));
        }
    }
    Ok(())
}

/// Kills a child at each step, checks, and counts the deaths; a child that lives is the last.
async fn kill_at_every_step(hasty: bool, guarded: bool) -> Result<u64, String> {
    for limit in 1..1_000 {
        let directory = tempfile::tempdir().unwrap();
        let (said, lived) = run(directory.path(), limit, hasty);
        let ended = said.last().is_some_and(|said| said.what == "end");
        assert_eq!(lived, ended, "the child dies by our hand or not at all: {said:?}");
        recover(directory.path(), &said).await.map_err(|wrong| format!("killed at step {limit}: {wrong}"))?;
        if !guarded {
            source(directory.path(), false).map_err(|wrong| format!("killed at step {limit}: {wrong}"))?;
        }
        if lived {
            return Ok(limit - 1);
        }
    }
    panic!("the child never comes to its end");
}

#[tokio::test]
async fn s11_killed_at_every_step_no_acknowledged_write_is_lost_or_undone() {
    let deaths = kill_at_every_step(false, true).await.unwrap();

    assert!(deaths > 50, "{deaths}");
}

#[tokio::test]
async fn s11_killed_again_while_it_recovers_no_acknowledged_write_is_lost_or_undone() {
    let mut deaths = 0;
    for limit in 1..13 {
        let directory = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        for limit in [3 * limit, 1 + limit * 7 % 23, 1 + limit * 5 % 19] {
            let (more, lived) = run(directory.path(), limit, false);
            deaths += usize::from(!lived);
            said.extend(more);
        }
        recover(directory.path(), &said).await.unwrap_or_else(|wrong| panic!("{limit}: {wrong}"));
    }
    assert!(deaths > 30, "{deaths}");
}

#[tokio::test]
async fn s11_the_check_finds_a_journal_that_acknowledges_before_it_is_durable() {
    let found = kill_at_every_step(true, true).await;

    assert!(found.as_ref().is_err_and(|wrong| wrong.contains("acknowledged")), "{found:?}");
}

#[tokio::test]
async fn s11_the_check_finds_a_source_that_takes_what_is_older() {
    let found = kill_at_every_step(false, false).await;

    assert!(found.as_ref().is_err_and(|wrong| wrong.contains("went back")), "{found:?}");
}
