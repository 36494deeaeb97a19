//! One attempt at a run: the job, its lease, its limits, and how it ended.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tierkeep_db::{Error, Fence};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Known, Node};
use crate::claim::fence_name;
use crate::presence::Proof;
use crate::rows::transaction;
use crate::tables::{self, Asker, Ending, Taken};
use crate::{Attempt, JobError, RunEntry, ScheduleError};

/// Bytes of what a job tells that are kept.
const OUTPUT: usize = 64 * 1024;
/// Characters of why it failed that are kept.
const ERROR: usize = 4 * 1024;
/// How long it is tried to write down how an attempt ended; then its lease says that it is over.
const LAST_WORD: Duration = Duration::from_secs(60);
/// The same when the node ends.
const LAST_WORD_OF_NODE: Duration = Duration::from_secs(5);
/// Before the next attempt at a run whose job stopped without having been asked to: not at once for ever.
const UNASKED: Duration = Duration::from_secs(1);

/// Why a job was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Time,
    Lost,
    Node,
}

/// Does the job of a run that was taken, in a transaction that began at `asked_at`, and writes down how it ended. None: it has passed
/// to somebody else. `patience` is what the job has to stop when the node ends.
///
/// If the future is dropped, so is the job; the run keeps its lease, but the proof that its node lives is given up.
pub(super) async fn work(
    node: &Node,
    known: &Arc<Known>,
    taken: Taken,
    asked_at: Instant,
    proof: Proof,
    stop: &CancellationToken,
    patience: Duration,
) -> Result<Option<RunEntry>, ScheduleError> {
    let task = &known.task;
    let began = Instant::now();
    node.counts.began(&task.name, taken.lag.try_into().unwrap_or_default());
    let asked_to_stop = CancellationToken::new();
    let attempt = Attempt {
        run: taken.run,
        task: task.name.clone(),
        due: taken.due,
        number: taken.number,
        fence: Fence::new(fence_name(&task.name), taken.token),
        stop: asked_to_stop.clone(),
    };
    let job = Arc::clone(&known.job);
    let mut job = AbortOnDropHandle::new(tokio::spawn(async move { job.run(&attempt).await }));

    let mut cause = None;
    let mut give_up: Option<Instant> = None;
    let ended = {
        let mut lost = std::pin::pin!(keep(node, &taken, asked_at, &proof));
        loop {
            let given_up = async {
                match give_up {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            let (now, grace) = tokio::select! {
                biased;
                ended = &mut job => break Some(ended),
                () = given_up => break None,
                () = stop.cancelled(), if cause.is_none() => { cause = Some(Cause::Node); (Instant::now(), patience) }
                () = sleep_until(began + task.time_limit), if cause.is_none() => {
                    cause = Some(Cause::Time);
                    (Instant::now(), node.pace.grace)
                }
                () = &mut lost, if cause != Some(Cause::Lost) => { cause = Some(Cause::Lost); (Instant::now(), node.pace.grace) }
            };
            asked_to_stop.cancel();
            give_up = Some(give_up.map_or(now + grace, |at| at.min(now + grace)));
        }
    };
    drop(job);
    asked_to_stop.cancel();

    let failed = |error: String| Ending::Failed {
        error: cut(&error),
        pause: task.retries.pause_after(taken.failures.saturating_add(1)),
    };
    let ending = match (ended, cause) {
        (Some(Ok(Ok(value))), _) => Ending::Done { output: output(&value) },
        (Some(Ok(Err(JobError::Refused(error)))), _) => Ending::Refused { error: cut(&error) },
        (_, Some(Cause::Time)) => failed(format!("took longer than {:?}", task.time_limit)),
        (Some(Ok(Err(JobError::Failed(error)))), _) => failed(error),
        (Some(Err(error)), _) if error.is_panic() => failed(panic_text(error)),
        (Some(_), None) => Ending::Stopped { pause: UNASKED },
        (Some(_) | None, _) => Ending::Stopped { pause: Duration::ZERO },
    };
    let took = began.elapsed();
    let entry = write_down(node, known, &taken, &ending, stop).await?;
    drop(proof);
    node.counts.ended(&task.name, Some(took), entry.as_ref());
    match &entry {
        Some(entry) => {
            tracing::info!(task = %task.name, run = %taken.run, state = %entry.state, ?took, "an attempt has ended");
            node.tell(entry);
        }
        None => {
            tracing::warn!(task = %task.name, run = %taken.run, "a run has passed to another node while it worked here");
        }
    }
    Ok(entry)
}

/// Renews the lease until it is lost: the run has passed to somebody else, or no renewal succeeded in its time by our clock.
async fn keep(node: &Node, taken: &Taken, asked_at: Instant, proof: &Proof) {
    let lease = node.pace.lease;
    let mut until = asked_at + lease;
    let mut next = asked_at + lease / 3;
    loop {
        sleep_until(next.min(until)).await;
        let asked_at = Instant::now();
        let asker = Asker { session: proof.show(), ..node.asker() };
        let taken = taken.clone();
        let renewed = async { Ok::<_, Error>(transaction!(&node.db, rows => tables::renew(rows, &taken, &asker))) };
        match timeout_at(until, renewed).await {
            Ok(Ok(true)) => (until, next) = (asked_at + lease, asked_at + lease / 3),
            Ok(Err(error)) if Instant::now() < until => {
                tracing::debug!(%error, "a lease was not renewed");
                next = Instant::now() + lease / 10;
            }
            _ => return,
        }
    }
}

/// Tries until it is written, or for as long as that is worth it.
async fn write_down(
    node: &Node,
    known: &Arc<Known>,
    taken: &Taken,
    ending: &Ending,
    stop: &CancellationToken,
) -> Result<Option<RunEntry>, ScheduleError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let (task, taken, ending) = (known.task.clone(), taken.clone(), ending.clone());
        let ended = async { Ok::<_, Error>(transaction!(&node.db, rows => tables::end(rows, &task, &taken, &ending))) };
        let limit = if stop.is_cancelled() { LAST_WORD_OF_NODE } else { LAST_WORD };
        let error = match timeout(limit, ended).await {
            Ok(Ok(entry)) => return Ok(entry),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if began.elapsed() + pause >= limit {
            let silent = || Error::Closed;
            return Err(error.unwrap_or_else(silent).into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// What is kept of what a job tells.
fn output(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= OUTPUT {
        return text;
    }
    json!({ "left_out": format!("{} bytes; at most {OUTPUT} are kept", text.len()) }).to_string()
}

/// What is kept of why it failed: PostgreSQL keeps no text with a zero in it.
fn cut(text: &str) -> String {
    text.chars().filter(|letter| *letter != '\0').take(ERROR).collect()
}

fn panic_text(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.as_deref().unwrap_or("no message"))
}
