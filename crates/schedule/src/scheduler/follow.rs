//! Following the tables: when to look, what to take, and what works on this node.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tierkeep_db::{Database, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::attempt::work;
use super::{Known, Node};
use crate::claim::zone_name;
use crate::error::is_locked;
use crate::presence::{Presence, prove};
use crate::rows::{Row, Rows as _, read, sql, transaction};
use crate::tables::{self, Asker, Attended, Wanted};
use crate::{RunEntry, ScheduleError};

/// How long a look that has begun may go on when the node ends: it may have taken a run.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// What ended within the node's patience has this long to be written down.
const FAREWELL: Duration = Duration::from_secs(6);
/// Between two tries while the database cannot be reached: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What works on this node; dropping it drops the jobs.
struct Works {
    attempts: JoinSet<Option<Result<Option<RunEntry>, ScheduleError>>>,
    /// Places of the tasks.
    busy: Arc<Mutex<BTreeSet<usize>>>,
    presence: Arc<Presence>,
}

/// For what a task is looked at.
struct How {
    /// Otherwise only to see whether its node lives.
    is_due: bool,
    /// What chance is computed from.
    seed: Option<u64>,
    /// How long the job has to stop when the node ends.
    patience: Duration,
}

/// Removes a task from those that work, in whichever way its attempt ends.
struct Busy(Arc<Mutex<BTreeSet<usize>>>, usize);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

pub(super) async fn follow(node: &Node, stop: CancellationToken, patience: Duration) {
    let mut works = Works::new();
    let mut is_registered = false;
    let mut outage: Option<Duration> = None;
    let mut next_look = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = works.attempts.join_next() => {}
            () = sleep_until(next_look) => {}
        }
        let look = async {
            if !is_registered {
                register(node).await?;
                is_registered = true;
            }
            look(node, &mut works, &stop, patience).await
        };
        let looked = tokio::select! {
            looked = timeout(node.pace.lease.max(LAST_LOOK), look) => looked,
            () = async { stop.cancelled().await; sleep(LAST_LOOK).await } => break,
        };
        let wait = match looked {
            Ok(Ok(wait)) => {
                if outage.take().is_some() {
                    tracing::info!("the schedule can be read again");
                }
                wait
            }
            failed => {
                let wait = outage.map_or(BACKOFF.0, |wait| (wait * 2).min(BACKOFF.1));
                if outage.replace(wait).is_none() {
                    let error = match failed {
                        Ok(Err(error)) => ScheduleError::from(error).to_string(),
                        _ => "no answer".to_owned(),
                    };
                    tracing::warn!(error, "the schedule cannot be read: it is tried again until it can");
                }
                wait
            }
        };
        next_look = Instant::now() + wait;
    }
    // What works was asked to stop by the same token, and gives up by itself.
    let drained = timeout(patience + FAREWELL, async { while works.attempts.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("what worked could not be given back in time: its leases pass on by themselves");
    }
}

pub(super) async fn run_due(node: &Node, stop: &CancellationToken) -> Result<Vec<RunEntry>, ScheduleError> {
    register(node).await?;
    let mut works = Works::new();
    let mut ended = Vec::new();
    let mut failed = None;
    // Only what is due now: tasks at short distances would never let it return.
    let mut now = None;
    loop {
        if !stop.is_cancelled() && failed.is_none() {
            let looked = async {
                let wanted = poll(node).await?;
                let now = *now.get_or_insert(wanted.iter().map(|wanted| wanted.now).max().unwrap_or_default());
                for (place, known) in node.tasks.iter().enumerate() {
                    let wanted = wanted.iter().find(|wanted| wanted.name == known.task.name.as_str());
                    let Some(wanted) = wanted else { continue };
                    let is_due = wanted.at.is_some_and(|at| at <= now);
                    if is_due || wanted.is_to_be_probed {
                        let how = How { is_due, seed: None, patience: node.pace.grace };
                        ended.extend(works.attend(node, place, how, stop).await?);
                    }
                }
                Ok::<_, Error>(())
            };
            failed = looked.await.err();
        }
        match works.attempts.join_next().await {
            Some(Ok(Some(Ok(entry)))) => ended.extend(entry),
            Some(Ok(Some(Err(error)))) => return Err(error),
            Some(_) => {}
            None => return failed.map_or(Ok(ended), |error| Err(error.into())),
        }
    }
}

/// Makes the rows of the tasks; the node that started last says when they are due. Nothing is written if all is as it was.
async fn register(node: &Node) -> Result<(), Error> {
    let rows = read!(&node.db, rows => rows.query(sql!("tasks"), &[]));
    let is_new = |known: &&Arc<Known>| {
        let row = rows.iter().find(|row| row.text(0) == Some(known.task.name.as_str()));
        let (timing, zone) = (known.task.timing.to_string(), zone_name(&known.task.zone));
        let is_lost = |row: &Row| row.flag(1) && row.int(4).is_none();
        let is_other = |row: &Row| !row.flag(7) && row.flag(1) != known.task.is_enabled;
        let is_moved = |row: &Row| row.text(2) != Some(&timing) || row.text(3) != Some(&zone);
        row.is_none_or(|row| is_moved(row) || is_lost(row) || is_other(row))
    };
    let tasks: Vec<_> = node.tasks.iter().filter(is_new).map(|known| known.task.clone()).collect();
    if tasks.is_empty() {
        return Ok(());
    }
    transaction!(&node.db, rows => tables::register(rows, &tasks, true));
    Ok(())
}

async fn poll(node: &Node) -> Result<Vec<Wanted>, Error> {
    let names: Vec<&str> = node.tasks.iter().map(|known| known.task.name.as_str()).collect();
    let names = names.join(",");
    Ok(read!(&node.db, rows => tables::poll(rows, &names)))
}

/// One look: takes what may begin, and returns when to look again.
async fn look(node: &Node, works: &mut Works, stop: &CancellationToken, patience: Duration) -> Result<Duration, Error> {
    if !works.attempts.is_empty()
        && let Database::Postgres(pool) = &node.db
    {
        // Again, if it was cut.
        works.presence.show(pool).await;
    }
    let mut wait = node.pace.longest;
    let mut is_idle = true;
    for Wanted { name, at, now, is_to_be_probed } in poll(node).await? {
        let Some(place) = node.tasks.iter().position(|known| known.task.name.as_str() == name) else { continue };
        if works.is_busy(place) {
            continue;
        }
        let until = at.map(|at| Duration::from_micros(u64::try_from(at.saturating_sub(now)).unwrap_or_default()));
        let is_due = until == Some(Duration::ZERO);
        if is_due || is_to_be_probed {
            is_idle = false;
            works.attend(node, place, How { is_due, seed: Some(node.seed), patience }, stop).await?;
        }
        wait = until.map_or(wait, |until| wait.min(until));
    }
    if is_idle && works.attempts.is_empty() {
        // If nothing works nothing need be proven.
        works.presence.leave();
    }
    Ok(wait.max(node.pace.shortest).min(node.pace.longest.max(node.pace.shortest)))
}

impl Works {
    fn new() -> Self {
        Self { attempts: JoinSet::new(), busy: Arc::default(), presence: Arc::default() }
    }

    fn is_busy(&self, place: usize) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&place)
    }

    /// Takes the run of a task that may begin, if there is one; a run that was given up instead.
    async fn attend(
        &mut self,
        node: &Node,
        place: usize,
        How { is_due, seed, patience }: How,
        stop: &CancellationToken,
    ) -> Result<Option<RunEntry>, Error> {
        let known: Arc<Known> = Arc::clone(&node.tasks[place]);
        if self.is_busy(place) {
            return Ok(None);
        }
        let proof = prove(&node.db, &self.presence, &known.task.name).await;
        let asker = Asker { session: proof.show(), seed, ..node.asker() };
        if !is_due && asker.session.is_none() {
            // Its node lives.
            return Ok(None);
        }
        let asked_at = Instant::now();
        let attended = {
            let known = Arc::clone(&known);
            async { Ok::<_, Error>(transaction!(&node.db, rows => tables::attend(rows, &known, &asker))) }
        };
        match attended.await {
            Err(error) if is_locked(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(Attended::Nothing) => Ok(None),
            Ok(Attended::GaveUp(entry)) => {
                node.counts.ended(&known.task.name, None, entry.as_ref());
                if let Some(entry) = &entry {
                    node.tell(entry);
                }
                Ok(entry)
            }
            Ok(Attended::Taken(taken)) => {
                self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
                let busy = Busy(Arc::clone(&self.busy), place);
                let (node, stop) = (node.clone(), stop.clone());
                self.attempts.spawn(async move {
                    let _busy = busy;
                    let ended = work(&node, &known, taken, asked_at, proof, &stop, patience).await;
                    if let Err(error) = &ended {
                        tracing::error!(task = %known.task.name, %error, "how a run ended could not be written down");
                    }
                    Some(ended)
                });
                Ok(None)
            }
        }
    }
}
