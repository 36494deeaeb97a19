//! `stats`: what the API would answer.

use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{Answers, ServiceError, Statistics};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::Basis;

use super::{Context, Failure};
use crate::cli::{Learner, StatsCommand};
use crate::console::Output;
use crate::tiers::Tier;
use crate::watch::{Subject, Waited, Watch, Way, about};

pub(super) async fn run(command: &StatsCommand, context: &Context) -> Result<(), Failure> {
    let statistics = context.statistics().await?;
    let answer = watched(command, &statistics, context).await;
    statistics.store().close().await;
    Ok(context.console.result(&answer?)?)
}

/// The answer; why it was slow goes to the log, as it does for an answer of the API.
async fn watched(command: &StatsCommand, statistics: &Statistics, context: &Context) -> Result<String, Failure> {
    let (watch, subject, began) = (Watch::new(context.config().log.slow), subject(command), Instant::now());
    let answer = watch.computing(subject, answer(command, statistics, context), |(_, basis)| Some(*basis)).await;
    let found = answer.as_ref().ok().map(|(_, basis)| (Tier::computed(*basis), Waited::default()));
    watch.answered(subject, began, Way::Database, found);
    Ok(answer?.0)
}

fn subject(command: &StatsCommand) -> Subject {
    let of = |kind, learner: &Learner| about(kind, Some(learner.user));
    match command {
        StatsCommand::Daily { learner, .. } => of(StatisticKind::Daily, learner),
        StatsCommand::Weekly { learner, .. } => of(StatisticKind::Weekly, learner),
        StatsCommand::Monthly { learner, .. } => of(StatisticKind::Monthly, learner),
        StatsCommand::Analytics { learner, .. } => of(StatisticKind::Analytics, learner),
        StatsCommand::Streaks { learner } => of(StatisticKind::Streaks, learner),
        StatsCommand::Heatmap { learner, .. } => of(StatisticKind::Heatmap, learner),
        StatsCommand::Courses { learner } => of(StatisticKind::Courses, learner),
        StatsCommand::Global => about(StatisticKind::Global, None),
    }
}

/// The text of an answer, and what it was computed from.
type Shown = (String, Basis);

async fn answer(command: &StatsCommand, statistics: &Statistics, context: &Context) -> Result<Shown, Failure> {
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
        StatsCommand::Global => {
            let answer = statistics.global(now).await?;
            Ok((text(output, &answer)?, answer.footing.basis))
        }
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

fn only<T: Serialize>(output: Output, answers: Answers<T>) -> Result<Shown, Failure> {
    let answer = answers.into_iter().next().context("one learner was asked for and none answered")??;
    Ok((text(output, &answer)?, answer.footing.basis))
}

fn text<T: Serialize>(output: Output, answer: &T) -> Result<String, Failure> {
    let written = match output {
        Output::Json => serde_json::to_string(answer),
        Output::Human => serde_json::to_string_pretty(answer),
    };
    Ok(written.context("the answer cannot be written as JSON")?)
}
