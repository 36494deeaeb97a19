//! `verify`: what is stored beside what the rows give.

use std::time::Instant;

use anyhow::anyhow;
use serde_json::json;
use tierkeep_learning::key::UserId;
use tierkeep_learning::store::{Difference, OpenMode, Store, Verified};
use tokio_util::sync::CancellationToken;

use super::progress::Meter;
use super::{Context, Ending, Failure};
use crate::cli::VerifyArgs;
use crate::console::Output;
use crate::signals;

/// Learners of one snapshot: their months and days are the memory it needs.
const BATCH: u32 = 100;

pub(super) async fn run(arguments: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let stop = signals::stop_token()?;
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    let store = context.open(&context.config().database.url, mode).await?;
    let verified = verify(&*store, arguments, context, &stop).await;
    store.close().await;
    verified
}

async fn verify(
    store: &dyn Store,
    arguments: &VerifyArgs,
    context: &Context,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    if store.installation().await?.is_none() {
        return Err(Failure::refused(anyhow!("on a platform's own tables nothing is stored that could be verified")));
    }
    let began = Instant::now();
    let mut verified = Verified::default();
    let sample = if arguments.all { Vec::new() } else { store.random_learners(arguments.sample).await? };
    let total = (!arguments.all).then_some(sample.len() as u64);
    let mut meter = Meter::new("verifying", "learners", total, context.console);
    if arguments.all {
        let mut after = None;
        while !stop.is_cancelled() {
            let users = store.known_learners(after, BATCH).await?;
            let Some(last) = users.last() else { break };
            after = Some(*last);
            look(store, &users, total, &mut verified, &mut meter).await?;
        }
    } else {
        for users in sample.chunks(BATCH as usize) {
            if stop.is_cancelled() {
                break;
            }
            look(store, users, total, &mut verified, &mut meter).await?;
        }
    }
    let has_totals = arguments.all && !stop.is_cancelled();
    if has_totals {
        verified.differences.extend(store.verify_totals().await?);
    }
    meter.finish();
    report(&verified, has_totals, began.elapsed().as_secs_f64(), context)?;
    if stop.is_cancelled() {
        return Err(Failure { ending: Ending::Stopped, error: anyhow!("stopped early") });
    }
    match verified.differences.len() {
        0 => Ok(()),
        count => Err(anyhow!(
            "{count} stored values are not what the rows give; the auditor of `tierkeep serve` mends them one learner after \
             the other, `tierkeep rederive` all at once"
        )
        .into()),
    }
}

async fn look(
    store: &dyn Store,
    users: &[UserId],
    total: Option<u64>,
    verified: &mut Verified,
    meter: &mut Meter,
) -> Result<(), Failure> {
    verified.merge(store.verify(users).await?);
    meter.set(verified.learners, total, verified.learners);
    Ok(())
}

fn report(verified: &Verified, has_totals: bool, seconds: f64, context: &Context) -> Result<(), Failure> {
    let Verified { learners, unbuilt, days, differences } = verified;
    if context.console.output() == Output::Json {
        let report = json!({
            "learners": learners,
            "unbuilt": unbuilt,
            "days": days,
            "global": has_totals,
            "differences": differences,
            "seconds": seconds,
        });
        return Ok(context.console.result(&report.to_string())?);
    }
    let mut text = String::new();
    for Difference { learner, day, field, stored, recomputed } in differences {
        let learner = learner.map_or_else(|| "all learners".to_owned(), |user| format!("learner {user}"));
        let day = day.map_or_else(String::new, |day| format!(", {day}"));
        text.push_str(&format!("{learner}{day}: {field} is stored as {stored}, the rows give {recomputed}\n"));
    }
    let sums = if has_totals { ", global sums included" } else { "" };
    text.push_str(&format!(
        "{} differences in {days} days of {learners} learners{sums}; {unbuilt} of them have nothing stored that counts \
         ({seconds:.1} s)",
        differences.len()
    ));
    Ok(context.console.result(&text)?)
}
