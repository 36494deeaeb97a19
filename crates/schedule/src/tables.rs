//! What is done in one transaction, on either database.

use std::str::FromStr as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tierkeep_db::Error;

use crate::claim::{OpenRun, Pick, fence_name, pick, zone_name};
use crate::rows::{Row, Rows, sql};
use crate::run::instant;
use crate::scheduler::Known;
use crate::{RunEntry, RunId, RunState, Task, Timing, due};

/// Runs that are removed per statement: far below what a writer on SQLite waits for.
const PRUNED_AT_ONCE: i64 = 500;

/// What a run says when whoever did it ended without a word.
pub(crate) const GONE: &str = "the node that did it is gone";

/// Who would work.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) node: String,
    /// What proves that it lives; on SQLite also that whoever had the lock of the task's file has not.
    pub(crate) session: Option<i64>,
    pub(crate) lease: Duration,
    /// What chance is computed from; none: what is due begins at once.
    pub(crate) seed: Option<u64>,
}

/// A run that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) run: RunId,
    pub(crate) due: Timestamp,
    pub(crate) number: u32,
    pub(crate) token: i64,
    /// Attempts before that count against the retries.
    pub(crate) failures: u32,
    pub(crate) is_asked_for: bool,
    pub(crate) is_only_here: bool,
    /// How long after it could have begun.
    pub(crate) lag: SignedDuration,
}

/// What came of a look at a task.
#[derive(Debug)]
pub(crate) enum Attended {
    Nothing,
    Taken(Taken),
    /// Whoever worked at it is gone, and it was the last attempt.
    GaveUp(Option<RunEntry>),
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Done {
        output: String,
    },
    /// `pause`: until the next attempt; none: it was the last.
    Failed {
        error: String,
        pause: Option<Duration>,
    },
    Refused {
        error: String,
    },
    Stopped {
        pause: Duration,
    },
}

/// When a task wants attention.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) at: Option<i64>,
    pub(crate) now: i64,
    /// Earlier, if whoever works at it does not live any more.
    pub(crate) is_to_be_probed: bool,
}

pub(crate) async fn poll(rows: &impl Rows, names: &str) -> Result<Vec<Wanted>, Error> {
    let wanted = |row: &Row| Wanted {
        name: row.text(0).unwrap_or_default().to_owned(),
        at: row.int(1),
        now: row.number(2),
        is_to_be_probed: row.flag(3),
    };
    Ok(rows.query(sql!("poll"), &[names.into()]).await?.iter().map(wanted).collect())
}

pub(crate) async fn now(rows: &impl Rows) -> Result<Timestamp, Error> {
    let row = rows.first(sql!("clock"), &[]).await?;
    Ok(instant(row.map_or(0, |row| row.number(0))))
}

/// Makes the rows of tasks. With `overwrite` those that were computed from something else are computed anew.
pub(crate) async fn register(rows: &impl Rows, tasks: &[Task], overwrite: bool) -> Result<(), Error> {
    let mut tasks: Vec<&Task> = tasks.iter().collect();
    // Two that start at once lock them in the same order.
    tasks.sort_by(|one, other| one.name.cmp(&other.name));
    for task in tasks {
        let (name, timing, zone) = (task.name.as_str(), task.timing.to_string(), zone_name(&task.zone));
        let (timing, zone) = (timing.as_str(), zone.as_str());
        match rows.first(sql!("task_lock"), &[name.into()]).await? {
            None => {
                let next = task.timing.next_after(now(rows).await?, &task.zone).filter(|_| task.is_enabled);
                let next = next.map(Timestamp::as_microsecond);
                let values = [name.into(), task.is_enabled.into(), timing.into(), zone.into(), next.into()];
                rows.query(sql!("task_add"), &values).await?;
            }
            Some(row) if overwrite => {
                let mut seen = Seen::read(&row);
                if !seen.is_switched && seen.is_enabled != task.is_enabled {
                    turn(rows, task, &seen, task.is_enabled, false).await?;
                    tracing::info!(task = name, enabled = task.is_enabled, "the configuration has switched a task");
                    // as it is now, for what follows
                    seen = match rows.first(sql!("task_lock"), &[name.into()]).await? {
                        Some(row) => Seen::read(&row),
                        None => continue,
                    };
                }
                if seen.is_of(task) && (seen.next_at.is_some() || !seen.is_enabled) {
                    continue;
                }
                let next = task.timing.next_after(seen.now, &task.zone).filter(|_| seen.is_enabled);
                let next = next.map(Timestamp::as_microsecond);
                rows.query(sql!("task_move"), &[name.into(), timing.into(), zone.into(), next.into()]).await?;
                tracing::info!(task = name, timing, zone, "when a task is due has changed");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Plans what is due, and takes what may begin or what has lost its node.
pub(crate) async fn attend(rows: &impl Rows, known: &Known, asker: &Asker) -> Result<Attended, Error> {
    let task = &known.task;
    rows.query(sql!("limits"), &[]).await?;
    let Some(row) = rows.first(sql!("task_try"), &[task.name.as_str().into()]).await? else {
        return Ok(Attended::Nothing);
    };
    let seen = Seen::read(&row);
    let mut open = open_runs(rows, task, asker).await?;
    // What is due while it works is missed, and planned when it has ended.
    if !open.iter().any(|run| run.works) && plan(rows, known, &seen, asker.seed).await? {
        open = open_runs(rows, task, asker).await?;
    }
    match pick(&open, seen.is_enabled, seen.now, task.retries) {
        Pick::Nothing => Ok(Attended::Nothing),
        Pick::Take { run, failures } => Ok(Attended::Taken(begin(rows, task, run, failures, seen.now, asker).await?)),
        Pick::GiveUp { run, failures } => Ok(Attended::GaveUp(give_up(rows, task, run, failures).await?)),
    }
}

/// A run on this node alone; the number of the one that is in the way if one works.
pub(crate) async fn begin_here(rows: &impl Rows, task: &Task, asker: &Asker) -> Result<Result<Taken, RunId>, Error> {
    rows.query(sql!("limits"), &[]).await?;
    let now = lock(rows, task).await?.now;
    for run in open_runs(rows, task, asker).await?.iter().filter(|run| run.works) {
        if !run.is_lost {
            return Ok(Err(run.id));
        }
        give_up(rows, task, run, run.failures + 1).await?;
    }
    let run = add(rows, task, now, now, Wish::Here).await?;
    let run = OpenRun { is_asked_for: true, is_only_here: true, ..OpenRun::waiting(run.unwrap_or(RunId::new(0)), now) };
    Ok(Ok(begin(rows, task, &run, 0, now, asker).await?))
}

/// A run on whichever node comes first; the number of the one that is in the way if one works or was asked for.
pub(crate) async fn ask(rows: &impl Rows, task: &Task, asker: &Asker) -> Result<Result<RunId, RunId>, Error> {
    let now = lock(rows, task).await?.now;
    let open = open_runs(rows, task, asker).await?;
    if let Some(run) = open.iter().find(|run| if run.works { !run.is_lost } else { run.is_asked_for }) {
        return Ok(Err(run.id));
    }
    Ok(Ok(add(rows, task, now, now, Wish::Anywhere).await?.unwrap_or(RunId::new(0))))
}

/// Whether the lease still was ours, and is for another while.
pub(crate) async fn renew(rows: &impl Rows, taken: &Taken, asker: &Asker) -> Result<bool, Error> {
    let values = [taken.run.get().into(), taken.token.into(), micros(asker.lease).into(), asker.session.into()];
    Ok(rows.first(sql!("run_renew"), &values).await?.is_some())
}

/// Ends an attempt; none if the run has passed to somebody else.
pub(crate) async fn end(
    rows: &impl Rows,
    task: &Task,
    taken: &Taken,
    ending: &Ending,
) -> Result<Option<RunEntry>, Error> {
    let name = task.name.as_str();
    let row = rows.first(sql!("task_lock"), &[name.into()]).await?;
    let is_enabled = row.is_some_and(|row| Seen::read(&row).is_enabled);
    let may_wait = !taken.is_only_here && (is_enabled || taken.is_asked_for);
    let mut failures = taken.failures;
    let (state, pause, output, error) = match ending {
        Ending::Done { output } => (RunState::Done, Duration::ZERO, Some(output.as_str()), None),
        Ending::Refused { error } => (RunState::Refused, Duration::ZERO, None, Some(error.as_str())),
        Ending::Stopped { pause } if !taken.is_only_here => (RunState::Waiting, *pause, None, None),
        Ending::Stopped { .. } => (RunState::Failed, Duration::ZERO, None, Some("stopped before it was done")),
        Ending::Failed { error, pause } => {
            failures += 1;
            match pause.filter(|_| may_wait) {
                Some(pause) => (RunState::Waiting, pause, None, Some(error.as_str())),
                None => (RunState::Failed, Duration::ZERO, None, Some(error.as_str())),
            }
        }
    };
    let values = [
        taken.run.get().into(),
        taken.token.into(),
        state.as_str().into(),
        micros(pause).into(),
        i64::from(failures).into(),
        output.into(),
        error.into(),
    ];
    let Some(row) = rows.first(sql!("run_end"), &values).await? else { return Ok(None) };
    match state {
        RunState::Done => drop(rows.query(sql!("task_done"), &[name.into()]).await?),
        RunState::Failed | RunState::Refused => drop(rows.query(sql!("task_failed"), &[name.into()]).await?),
        RunState::Waiting | RunState::Works => {}
    }
    Ok(RunEntry::read(&row))
}

/// Switches a task. What was due while it was off is not made up for.
pub(crate) async fn switch(rows: &impl Rows, task: &Task, is_enabled: bool) -> Result<(), Error> {
    let name = task.name.as_str();
    let seen = lock(rows, task).await?;
    if seen.is_enabled == is_enabled {
        let next = seen.next_at.map(Timestamp::as_microsecond);
        rows.query(sql!("task_switch"), &[name.into(), is_enabled.into(), next.into(), true.into()]).await?;
        return Ok(());
    }
    turn(rows, task, &seen, is_enabled, true).await
}

/// Turns a task on or off, because somebody wants it or the configuration says so.
async fn turn(rows: &impl Rows, task: &Task, seen: &Seen, is_enabled: bool, is_switched: bool) -> Result<(), Error> {
    let name = task.name.as_str();
    let next = seen.rule(task).filter(|_| is_enabled).and_then(|(timing, zone)| timing.next_after(seen.now, &zone));
    let next = next.map(Timestamp::as_microsecond);
    rows.query(sql!("task_switch"), &[name.into(), is_enabled.into(), next.into(), is_switched.into()]).await?;
    rows.query(sql!("runs_clear"), &[name.into()]).await?;
    rows.query(sql!("runs_close"), &[name.into()]).await?;
    Ok(())
}

/// Removes a batch of the history; how many, and whether there may be more.
pub(crate) async fn prune(rows: &impl Rows, keep: Duration, most_per_task: u32) -> Result<(u64, bool), Error> {
    let values = [micros(keep).into(), i64::from(most_per_task).into(), PRUNED_AT_ONCE.into()];
    let removed = rows.query(sql!("history_prune"), &values).await?.len();
    Ok((removed as u64, i64::try_from(removed).is_ok_and(|removed| removed >= PRUNED_AT_ONCE)))
}

/// What the row of a task says.
struct Seen {
    is_enabled: bool,
    /// Whether somebody switched it, so that the configuration's word does not count.
    is_switched: bool,
    timing: String,
    zone: String,
    next_at: Option<Timestamp>,
    now: Timestamp,
}

impl Seen {
    fn read(row: &Row) -> Self {
        Self {
            is_enabled: row.flag(0),
            timing: row.text(1).unwrap_or_default().to_owned(),
            zone: row.text(2).unwrap_or_default().to_owned(),
            next_at: row.int(3).map(instant),
            now: instant(row.number(4)),
            is_switched: row.flag(5),
        }
    }

    fn is_of(&self, task: &Task) -> bool {
        self.timing == task.timing.to_string() && self.zone == zone_name(&task.zone)
    }

    /// When the task is due as the node says that started last; none if this program cannot read it.
    fn rule(&self, task: &Task) -> Option<(Timing, TimeZone)> {
        if self.is_of(task) {
            return Some((task.timing.clone(), task.zone.clone()));
        }
        let timing = Timing::from_str(&self.timing).ok()?;
        let zone =
            if self.zone == zone_name(&task.zone) { task.zone.clone() } else { TimeZone::get(&self.zone).ok()? };
        Some((timing, zone))
    }
}

/// Who may begin a run that was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    None,
    Anywhere,
    Here,
}

async fn lock(rows: &impl Rows, task: &Task) -> Result<Seen, Error> {
    register(rows, std::slice::from_ref(task), false).await?;
    let row = rows.first(sql!("task_lock"), &[task.name.as_str().into()]).await?;
    // The row was there a statement ago, and whoever removes it does so by hand.
    Ok(row.map_or_else(|| Seen::read(&Row::default()), |row| Seen::read(&row)))
}

async fn open_runs(rows: &impl Rows, task: &Task, asker: &Asker) -> Result<Vec<OpenRun>, Error> {
    let values = [task.name.as_str().into(), asker.session.is_some().into()];
    Ok(rows.query(sql!("runs_open"), &values).await?.iter().map(OpenRun::read).collect())
}

/// Adds the runs that are due; whether the task has changed.
async fn plan(rows: &impl Rows, known: &Known, seen: &Seen, seed: Option<u64>) -> Result<bool, Error> {
    let task = &known.task;
    let Some(next_at) = seen.next_at.filter(|next| seen.is_enabled && *next <= seen.now) else { return Ok(false) };
    if !seen.is_of(task) && known.disagrees() {
        tracing::warn!(
            task = %task.name, timing = seen.timing, zone = seen.zone, here = %task.timing,
            "another node, which started later, says differently when this task is due: its word counts"
        );
    }
    let Some((timing, zone)) = seen.rule(task) else { return Ok(false) };
    let plan = due(&timing, &zone, task.missed, next_at, seen.now);
    if plan.skipped > 0 {
        tracing::warn!(task = %task.name, times = plan.skipped, "a task was due while it was at work, or while nobody could run it");
    }
    for instant in plan.runs {
        let run_at = instant.saturating_add(known.jitter(seed, instant)).unwrap_or(instant);
        add(rows, task, instant, run_at, Wish::None).await?;
    }
    let next = plan.next.map(Timestamp::as_microsecond);
    let values = [task.name.as_str().into(), seen.timing.as_str().into(), seen.zone.as_str().into(), next.into()];
    rows.query(sql!("task_move"), &values).await?;
    Ok(true)
}

async fn add(
    rows: &impl Rows,
    task: &Task,
    due: Timestamp,
    run_at: Timestamp,
    wish: Wish,
) -> Result<Option<RunId>, Error> {
    let values = [
        task.name.as_str().into(),
        due.as_microsecond().into(),
        run_at.as_microsecond().into(),
        (wish != Wish::None).into(),
        (wish == Wish::Here).into(),
    ];
    Ok(rows.first(sql!("run_add"), &values).await?.map(|row| RunId::new(row.number(0))))
}

async fn begin(
    rows: &impl Rows,
    task: &Task,
    run: &OpenRun,
    failures: u32,
    now: Timestamp,
    asker: &Asker,
) -> Result<Taken, Error> {
    let token = raise(rows, task).await?;
    let values = [
        run.id.get().into(),
        token.into(),
        i64::from(failures).into(),
        asker.node.as_str().into(),
        asker.session.into(),
        micros(asker.lease).into(),
    ];
    let row = rows.first(sql!("run_take"), &values).await?;
    Ok(Taken {
        run: run.id,
        due: run.due,
        number: row.map_or(1, |row| u32::try_from(row.number(0)).unwrap_or(u32::MAX)),
        token,
        failures,
        is_asked_for: run.is_asked_for,
        is_only_here: run.is_only_here,
        lag: now.duration_since(run.run_at),
    })
}

/// Fails a run whose node is gone, and takes the leave to write from that.
async fn give_up(rows: &impl Rows, task: &Task, run: &OpenRun, failures: u32) -> Result<Option<RunEntry>, Error> {
    raise(rows, task).await?;
    let values = [run.id.get().into(), i64::from(failures).into(), GONE.into()];
    let row = rows.first(sql!("run_give_up"), &values).await?;
    rows.query(sql!("task_failed"), &[task.name.as_str().into()]).await?;
    Ok(row.as_ref().and_then(RunEntry::read))
}

async fn raise(rows: &impl Rows, task: &Task) -> Result<i64, Error> {
    let row = rows.first(sql!("fence_raise"), &[fence_name(&task.name).as_str().into()]).await?;
    Ok(row.map_or(0, |row| row.number(0)))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
