//! Processes on one machine that compete: one is killed, one stands still.
//!
//! The test runs itself as a child, which follows the schedule; its job writes a row, holding the fence, for each line that it
//! is told.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::Value;
use tierkeep_db::{Database, Error};
use tierkeep_schedule::{Attempt, Job, JobError, RunState, Scheduler};

use crate::fixture::{Node, PACE, Platform, on_both, open, task, told, write};

const CHILD: &str = "TIERKEEP_SCHEDULE_CHILD";

on_both!(killed_process_is_replaced_at_once, process_that_stood_still_writes_nothing_more);

/// A process that follows.
struct Follower {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(platform: &Platform) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, platform.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(child.stdout.take().context("it was piped")?).lines();
        Ok(Self { child, said })
    }

    fn tell(&mut self) -> Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().context("it was piped")?, "write")?)
    }

    fn hears(&mut self) -> Result<String> {
        for line in &mut self.said {
            // The harness writes the name of the test before, on the same line.
            if let Some((_, said)) = line?.split_once('@') {
                return Ok(said.to_owned());
            }
        }
        anyhow::bail!("the child ended without a word")
    }

    /// Makes the process stand still, and waits until it does: the signal is only on its way when `kill` ends.
    fn pause(&self) -> Result<()> {
        self.signal("-STOP")?;
        let pid = self.child.id().to_string();
        loop {
            let state = Command::new("ps").args(["-o", "state=", "-p", &pid]).output()?;
            match state.stdout.trim_ascii_start().first() {
                Some(b'T') => return Ok(()),
                Some(_) => {}
                None => anyhow::bail!("the child has ended"),
            }
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "kill {name} failed");
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes for each line.
struct Writes(Database);

#[async_trait]
impl Job for Writes {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        println!("@works");
        loop {
            let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
            if !matches!(line.await, Ok(Some(Ok(_)))) {
                return Err(JobError::Stopped);
            }
            match write(&self.0, &attempt.fence, true).await {
                Ok(()) => println!("@committed"),
                Err(Error::Fenced { .. }) => println!("@fenced"),
                Err(error) => println!("@{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(url) = std::env::var_os(CHILD) else { return };
    let db = open(url.to_str().unwrap()).await;
    let tasks = vec![(task("sweep"), Arc::new(Writes(db.clone())) as Arc<dyn Job>)];
    Scheduler::new(db, tasks).pace(PACE).follow(Default::default(), PACE.grace).await;
}

async fn killed_process_is_replaced_at_once(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let mut process = works(&platform).await?;
    process.tell()?;
    assert_eq!(process.hears()?, "committed");
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    let holder = node.sees(RunState::Works).await?.node.context("somebody works")?;
    assert!(holder.starts_with("process "), "{holder}");
    assert!(holder.contains(&process.child.id().to_string()) && ear.is_silent(), "{holder}");

    drop(process);

    let begun = ear.next().await?;
    assert_eq!(begun.attempt.number, 2);
    begun.succeeds();
    node.sees(RunState::Done).await?;
    node.stop().await
}

async fn process_that_stood_still_writes_nothing_more(platform: Platform) -> Result<()> {
    let db = open(&platform.url()).await;
    let (job, mut ear) = told();
    let mut process = works(&platform).await?;
    process.tell()?;
    assert_eq!(process.hears()?, "committed");
    process.pause()?;
    process.tell()?;
    platform.expire().await;
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    let begun = ear.next().await?;
    write(&db, &begun.attempt.fence, true).await?;

    process.signal("-CONT")?;

    assert_eq!(process.hears()?, "fenced");
    write(&db, &begun.attempt.fence, true).await?;
    assert_eq!(platform.work().await, [1, 2, 2]);
    begun.succeeds();
    assert_eq!(node.sees(RunState::Done).await?.attempts, 2);
    node.stop().await
}

/// A process that works.
async fn works(platform: &Platform) -> Result<Follower> {
    let (job, _ear) = told();
    platform.node(vec![(task("sweep"), job)]).await.run_due(&Default::default()).await?;
    platform.make_due().await;
    let mut process = Follower::start(platform)?;
    assert_eq!(process.hears()?, "works");
    Ok(process)
}
