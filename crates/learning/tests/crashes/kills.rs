//! Kills at random moments, while others write and somebody looks on.

use std::ops::Range;

use tierkeep_db::Dialect;
use tierkeep_retention::Ended;

use crate::chance::Chance;
use crate::fixture::LARGE;
use crate::observer::Observer;
use crate::reference::Reference;
use crate::site::Site;
use crate::verdict::{Trial, judge};
use crate::worker::{Case, Worker};
use crate::writers::Writer;

/// Kills on each database, unless told otherwise.
const CRASHES: u32 = 20;
/// Kills of one clean-up, one after the other.
const IN_ONE: u32 = 5;

/// What was exercised.
#[derive(Debug, Default)]
struct Totals {
    kills: u32,
    /// Those that met a run at work on the rows.
    amid: u32,
    looks: u64,
    changes: u64,
    writes: u64,
    too_late: u64,
}

#[expect(clippy::disallowed_methods, reason = "arguments are the harness's; this is how a test is told something")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn crashes() -> u32 {
    let Some(given) = told("TIERKEEP_CRASHES") else { return CRASHES };
    given.parse().unwrap_or_else(|_| panic!("TIERKEEP_CRASHES is a number, not {given:?}"))
}

/// The seeds to begin with, as many as it takes.
fn seeds() -> Range<u64> {
    let Some(given) = told("TIERKEEP_SEEDS") else { return 0..u64::MAX };
    let bounds = given.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("TIERKEEP_SEEDS is from..to, not {given:?}"))
}

async fn random_kills(dialect: Dialect) {
    let (reference, wanted, mut totals) = (Reference::of(dialect, LARGE).await, crashes(), Totals::default());
    for seed in seeds() {
        if totals.kills >= wanted {
            break;
        }
        let findings = Box::pin(one_clean_up(dialect, seed, &reference, &mut totals)).await;
        assert!(findings.is_empty(), "{dialect:?}, TIERKEEP_SEEDS={seed}..{}:\n{}", seed + 1, findings.join("\n"));
    }
    println!("{dialect:?}: {totals:?}");
    let Totals { kills, amid, looks, changes, writes, too_late } = totals;
    assert!(amid * 2 >= kills, "{amid} of {kills} kills met a run at work, the rest proves little");
    assert!(looks > u64::from(kills) * 10 && changes > u64::from(kills), "{looks} looks saw {changes} changes");
    assert!(writes > u64::from(kills) * 10 && too_late > 0, "{writes} writes, {too_late} of rows that had gone");
}

/// A clean-up that is killed several times before it may finish; what was found wrong.
async fn one_clean_up(dialect: Dialect, seed: u64, reference: &Reference, totals: &mut Totals) -> Vec<String> {
    let mut chance = Chance::new(seed);
    let site = Site::copy(dialect, LARGE).await;
    let observer = Observer::start(site.url.clone());
    let writer = Writer::start(site.url.clone(), Chance::new(!seed));
    let (mut deaths, mut left) = (Vec::new(), u32::try_from(reference.points).unwrap());
    for _ in 0..IN_ONE {
        let mut worker = Worker::start(&Case::of(&site));
        let points = 1 + chance.below(left / 2);
        worker.until_points(points as usize).await;
        let trace = worker.kill().await;
        totals.kills += 1;
        totals.amid += u32::from(trace.is_amid());
        left = left.saturating_sub(u32::try_from(trace.points.len()).unwrap()).max(20);
        deaths.push(trace);
    }
    let journal = writer.end().await;
    let trial = Trial { site: &site, reference, deaths: &deaths, has_writers: true, endings: &[Ended::Crashed] };
    let (mut findings, found) = judge(&trial).await;
    let seen = observer.end().await;
    findings.extend(seen.findings);
    findings.extend(journal.findings(&found));
    totals.looks += seen.looks;
    totals.changes += seen.changes;
    totals.writes += journal.acknowledged;
    totals.too_late += journal.too_late;
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_kills_lose_and_double_nothing_on_postgres() {
    Box::pin(random_kills(Dialect::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_kills_lose_and_double_nothing_on_sqlite() {
    Box::pin(random_kills(Dialect::Sqlite)).await;
}
