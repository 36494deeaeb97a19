//! `stats`: what the API would answer.

use anyhow::Context as _;
use serde::Serialize;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{Answers, ServiceError, Statistics};

use super::{Context, Failure};
use crate::cli::{Learner, StatsCommand};
use crate::console::Output;

pub(super) async fn run(command: &StatsCommand, context: &Context) -> Result<(), Failure> {
    let statistics = context.statistics().await?;
    let answer = answer(command, &statistics, context).await;
    statistics.store().close().await;
    Ok(context.console.result(&answer?)?)
}

async fn answer(command: &StatsCommand, statistics: &Statistics, context: &Context) -> Result<String, Failure> {
    let now = context.clock.now();
    let output = context.console.output();
    let known = |learner: &Learner| known(learner, statistics);
    match command {
        StatsCommand::Daily { learner, date } => only(output, statistics.daily(&[known(learner)?], *date, now).await?),
        StatsCommand::Weekly { learner, week_start } => {
            only(output, statistics.weekly(&[known(learner)?], *week_start, now).await?)
        }
        StatsCommand::Monthly { learner, month } => {
            only(output, statistics.monthly(&[known(learner)?], *month, now).await?)
        }
        StatsCommand::Analytics { learner, to, days, lang } => {
            only(output, statistics.analytics(&[known(learner)?], *to, *days, *lang, now).await?)
        }
        StatsCommand::Streaks { learner } => only(output, statistics.streaks(&[known(learner)?], now).await?),
        StatsCommand::Heatmap { learner, year } => {
            only(output, statistics.heatmap(&[known(learner)?], *year, now).await?)
        }
        StatsCommand::Courses { learner } => only(output, statistics.courses(&[known(learner)?], now).await?),
        StatsCommand::Global => text(output, &statistics.global(now).await?),
    }
}

/// An id of the type that this database does not have belongs to nobody.
fn known(learner: &Learner, statistics: &Statistics) -> Result<UserId, Failure> {
    if learner.user.key().key_type() == statistics.store().key_type() {
        Ok(learner.user)
    } else {
        Err(ServiceError::UnknownLearner(learner.user).into())
    }
}

fn only<T: Serialize>(output: Output, answers: Answers<T>) -> Result<String, Failure> {
    let answer = answers.into_iter().next().context("one learner was asked for and none answered")??;
    text(output, &answer)
}

fn text<T: Serialize>(output: Output, answer: &T) -> Result<String, Failure> {
    let written = match output {
        Output::Json => serde_json::to_string(answer),
        Output::Human => serde_json::to_string_pretty(answer),
    };
    Ok(written.context("the answer cannot be written as JSON")?)
}
