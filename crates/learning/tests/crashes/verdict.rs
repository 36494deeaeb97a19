//! Whether everything is as it must be after deaths, and what is not.

use std::collections::BTreeMap;
use std::time::Duration;

use tierkeep_retention::{Ended, RunEntry, RunState};

use crate::connection::Connection;
use crate::exports::{Exported, exported, has};
use crate::fixture::{Rows, WRITERS};
use crate::places::{Content, Kind, Place, Places, places};
use crate::reference::{Reference, numbers, totals};
use crate::site::Site;
use crate::worker::Trace;

/// Most findings of one kind that are told.
const TOLD: usize = 3;

/// What is known of a trial.
pub(crate) struct Trial<'a> {
    pub(crate) site: &'a Site,
    pub(crate) reference: &'a Reference,
    /// The workers that were killed, or lost their server.
    pub(crate) deaths: &'a [Trace],
    /// Whether others wrote meanwhile.
    pub(crate) has_writers: bool,
    /// How workers may have ended.
    pub(crate) endings: &'a [Ended],
}

/// Everything that was found wrong, and where the rows are.
pub(crate) async fn judge(trial: &Trial<'_>) -> (Vec<String>, Places) {
    let Trial { site, reference, .. } = trial;
    let mut findings = Vec::new();
    let connection = site.connection().await;
    // as it was left; unfinished files may lie there
    conservation(&mut findings, reference, &places(&connection).await, &exported(&site.files()).0);
    let recovered = recover(site, &mut findings).await;
    let (found, (files, mut damages)) = (places(&connection).await, exported(&site.files()));
    findings.append(&mut damages);
    conservation(&mut findings, reference, &found, &files);
    if recovered {
        same_end(&mut findings, reference, &found);
        statistics(&mut findings, trial).await;
    }
    runs(&mut findings, trial).await;
    progress(&mut findings, trial, &connection, &found).await;
    nothing_left(&mut findings, &connection).await;
    (findings, found)
}

/// Cleans up until there is nothing left; whether that came to be.
async fn recover(site: &Site, findings: &mut Vec<String>) -> bool {
    let first = site.clean_up().await;
    if first.ended != Ended::Done || !first.report.left.is_empty() {
        findings.push(format!("the next run ended {}: {:?} {:?}", first.ended, first.reason, first.report.left));
        return false;
    }
    let second = site.clean_up().await;
    if (second.ended, second.report.batches) != (Ended::Done, 0) {
        findings.push(format!("one more run is not idle: {:?}", second.report));
        return false;
    }
    true
}

/// Each row that there was is in exactly one place with all it held, or it was deleted and is in a file.
fn conservation(findings: &mut Vec<String>, reference: &Reference, found: &Places, files: &Exported) {
    let mut told = 0;
    for (of, before) in &reference.before {
        let mut expected: Vec<Content> = before.iter().map(|(_, content)| turned(&reference.rows, content)).collect();
        let now = found.get(of).map_or(&[][..], Vec::as_slice);
        for (place, content) in now {
            let content = turned(&reference.rows, content);
            match expected.iter().position(|expected| *expected == content) {
                Some(known) => drop(expected.remove(known)),
                None => {
                    told += 1;
                    if told <= TOLD {
                        findings.push(format!("{of:?} is in {place:?} once too often, or altered: {content:?}"));
                    }
                }
            }
        }
        for lost in expected {
            let in_file = files.get(of).map(|rows| rows.iter().map(|row| turned(&reference.rows, row)).collect());
            let in_file: Exported = in_file.map(|rows| (*of, rows)).into_iter().collect();
            if !has(&in_file, *of, &lost) {
                told += 1;
                if told <= TOLD {
                    findings.push(format!("{of:?} is nowhere: {lost:?}"));
                }
            }
        }
    }
    let strangers = found.keys().filter(|of| of.1 < WRITERS && !reference.before.contains_key(of));
    findings.extend(strangers.take(TOLD).map(|of| format!("{of:?} came from nowhere")));
    if told > TOLD {
        findings.push(format!("{told} rows are not where they should be"));
    }
}

/// A row as if all references to duplicates had been turned.
fn turned(rows: &Rows, content: &Content) -> Content {
    let mut content = content.clone();
    if let Some(Some(id)) = content.get_mut("course_progress_id") {
        *id = rows.survivor(id.parse().unwrap()).to_string();
    }
    content
}

/// Everything is where an undisturbed run puts it, as it leaves it.
fn same_end(findings: &mut Vec<String>, reference: &Reference, found: &Places) {
    let mut told = 0;
    for of in reference.before.keys() {
        let (now, expected) = (found.get(of), reference.after.get(of));
        if now != expected {
            told += 1;
            if told <= TOLD {
                findings.push(format!("{of:?} is not as after an undisturbed run: {now:?}, not {expected:?}"));
            }
        }
    }
    if told > TOLD {
        findings.push(format!("{told} rows are not as after an undisturbed run"));
    }
}

/// No number of anybody whose data stay has changed.
async fn statistics(findings: &mut Vec<String>, trial: &Trial<'_>) {
    let (store, reference) = (trial.site.store().await, trial.reference);
    for (now, before) in numbers(&*store, &reference.rows.staying).await.iter().zip(&reference.numbers) {
        if now != before {
            findings.push(format!("numbers have changed: {now:?}, not {before:?}"));
        }
    }
    let now = totals(&*store).await;
    if !trial.has_writers && now != reference.totals {
        findings.push(format!("the sums are {now:?}, not {:?}", reference.totals));
    }
    let known = store.known_learners(None, 1000).await.unwrap();
    let differences = store.verify(&known).await.unwrap().differences;
    if !differences.is_empty() {
        findings.push(format!("what is stored differs from the rows: {differences:?}"));
    }
    let differences = store.verify_totals().await.unwrap();
    if !differences.is_empty() {
        findings.push(format!("stored sums differ: {differences:?}"));
    }
}

/// Each run says how it ended, and none did work twice beyond the batch that it died in.
async fn runs(findings: &mut Vec<String>, trial: &Trial<'_>) {
    let store = trial.site.store().await;
    let runs = store.retention_runs(None, 1000).await.unwrap();
    let workers: Vec<&RunEntry> = runs.iter().filter(|run| run.command == "worker").collect();
    for run in &runs {
        let is_known = match run.state {
            RunState::Running => false,
            RunState::Ended(Ended::Done) => true,
            RunState::Ended(ended) => run.command == "worker" && trial.endings.contains(&ended),
        };
        if !is_known {
            findings.push(format!("run {} of {} is listed as {}", run.run_id, run.command, run.state));
        }
    }
    let recorded: u32 = trial.deaths.iter().map(|death| death.visits("run-recorded")).sum();
    let finished: u32 = trial.deaths.iter().map(|death| death.visits("run-finished")).sum();
    let crashed = workers.iter().filter(|run| run.state == RunState::Ended(Ended::Crashed)).count();
    let is_death = trial.endings == [Ended::Crashed];
    // one may die between what it does and telling of it
    if is_death && (crashed as u64) + u64::from(finished) < u64::from(recorded) {
        findings.push(format!("of {recorded} runs {finished} came to their end and {crashed} are listed as crashed"));
    }
    let begun: u64 =
        trial.deaths.iter().map(|death| u64::from(death.visits("rows-moved") + death.visits("rows-deleted"))).sum();
    let kept: u64 = workers.iter().map(|run| run.batches).sum();
    if !trial.deaths.is_empty() && !(kept..=kept + trial.deaths.len() as u64).contains(&begun) {
        findings.push(format!("{begun} batches were begun by {} workers and {kept} kept", trial.deaths.len()));
    }
    let broken = store.audit_runs().await.unwrap();
    if !broken.is_empty() {
        findings.push(format!("the chain of the record is broken: {broken:?}"));
    }
}

/// What is recorded is what was done: neither ahead nor behind.
async fn progress(findings: &mut Vec<String>, trial: &Trial<'_>, connection: &Connection, found: &Places) {
    let mut recorded: BTreeMap<&str, i64> = BTreeMap::new();
    for rule in ["archive", "archived_sessions", "inactive_users"] {
        let sum =
            format!("select cast(coalesce(sum(rows), 0) as bigint) from tierkeep_run_batch where rule = '{rule}'");
        recorded.insert(rule, connection.number(&sum).await);
    }
    let others = "select cast(coalesce(sum(rows), 0) as bigint) from tierkeep_run_batch \
                  where rule not in ('archive', 'archived_sessions', 'inactive_users')";
    let quarantined = connection.number("select count(*) from tierkeep_quarantine").await;
    let others = connection.number(others).await;
    if others != quarantined {
        findings.push(format!("{others} rows were put into quarantine by the record and {quarantined} are there"));
    }
    let runs = trial.site.store().await.retention_runs(None, 1000).await.unwrap();
    let dependants = |subject: &str| -> i64 {
        let pointer = format!("/dependants/inactive_users/{subject}");
        runs.iter().filter_map(|run| run.report.pointer(&pointer)?.as_i64()).sum()
    };
    let (mut deleted, mut moved_on, mut progress) = (0, 0, 0);
    for (of, before) in &trial.reference.before {
        let now = found.get(of).map_or(0, Vec::len);
        let gone = i64::try_from(before.len().saturating_sub(now)).unwrap();
        match of.0 {
            Kind::Progress => progress += gone,
            Kind::Session => {
                deleted += gone;
                let was_live = before.iter().any(|(place, _)| *place == Place::Live);
                moved_on += if was_live { gone } else { 0 };
            }
        }
    }
    let arrived = connection.number("select count(*) from study_sessions_archive where archived_by is not null").await;
    let (live, archived) = (dependants("study_sessions"), dependants("study_sessions_archive"));
    for (what, recorded, done) in [
        ("sessions archived", recorded["archive"], arrived + moved_on - live),
        ("sessions deleted", recorded["archived_sessions"] + live + archived, deleted),
        ("courses deleted", dependants("course_progress"), progress),
    ] {
        if recorded != done {
            findings.push(format!("{what}: {recorded} by the record and {done} in truth"));
        }
    }
}

/// For a server to notice that a client has gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

/// Nobody holds the lease, and nothing is under way.
async fn nothing_left(findings: &mut Vec<String>, connection: &Connection) {
    if connection.number("select count(*) from tierkeep_retention where holder <> ''").await != 0 {
        findings.push("somebody still has the lease".to_owned());
    }
    if let Connection::Postgres(_) = connection {
        let idle = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                    and state like 'idle in transaction%'";
        // a server on a busy machine takes its time to notice that a client has been killed
        let ended = async {
            while connection.number(idle).await != 0 {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(NOTICED_WITHIN, ended).await.is_err() {
            findings.push("transactions are still open".to_owned());
        }
    }
}
