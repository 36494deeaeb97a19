//! Processes on one machine that compete: one is killed, one stands still.
//!
//! The test runs itself as a child, which takes the lease and does a batch for each line that it is told.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use tierkeep_retention::RetentionError;

use crate::fixture::{Platform, batch, on_both, open, take};

const CHILD: &str = "TIERKEEP_LEASE_CHILD";

on_both!(killed_process_is_replaced_at_once, process_that_stood_still_commits_nothing);

/// A process that works.
struct Holder {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(platform: &Platform) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, platform.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(child.stdout.take().context("it was piped")?).lines();
        let mut holder = Self { child, said };
        assert_eq!(holder.hears()?, "held");
        Ok(holder)
    }

    fn tell(&mut self) -> Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().context("it was piped")?, "batch")?)
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

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn child() {
    let Some(url) = std::env::var_os(CHILD) else { return };
    let db = open(url.to_str().unwrap()).await;
    let hold = take(&db).await.unwrap();
    println!("@held");
    for _ in std::io::stdin().lines() {
        match batch(&db, Some(&hold.keeper()), 1).await {
            Ok(()) => println!("@committed"),
            Err(error) => println!("@{error:?}"),
        }
    }
}

async fn killed_process_is_replaced_at_once(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let mut holder = Holder::start(&platform)?;
    holder.tell()?;
    assert_eq!(holder.hears()?, "committed");
    let busy = take(&db).await;
    let pid = holder.child.id();
    assert!(
        matches!(&busy, Err(RetentionError::Busy { holder, .. }) if holder.starts_with(&format!("process {pid}"))),
        "{busy:?}"
    );

    let session = platform.value("select session from tierkeep_retention").await.context("it has proof")?.parse()?;
    drop(holder);

    if platform.is_postgres() {
        // The server notices within milliseconds.
        platform.gone(session).await;
    }
    let successor = take(&db).await?;
    batch(&db, Some(&successor.keeper()), 2).await?;
    assert_eq!(platform.work().await, [1, 2]);
    Ok(())
}

async fn process_that_stood_still_commits_nothing(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let mut holder = Holder::start(&platform)?;
    holder.tell()?;
    assert_eq!(holder.hears()?, "committed");
    holder.pause()?;
    holder.tell()?;
    platform.expire().await;
    let successor = take(&db).await?;
    batch(&db, Some(&successor.keeper()), 2).await?;

    holder.signal("-CONT")?;

    assert_eq!(holder.hears()?, "Fenced");
    batch(&db, Some(&successor.keeper()), 2).await?;
    assert_eq!(platform.work().await, [1, 2, 2]);
    Ok(())
}
