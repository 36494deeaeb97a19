//! `precompute`: summaries brought up to date, and answers computed, for many learners.

use anyhow::anyhow;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::OpenMode;
use tokio_util::sync::CancellationToken;

use super::progress::Meter;
use super::warmup::failures;
use super::{Context, Ending, Failure};
use crate::cli::PrecomputeArgs;
use crate::console::Output;
use crate::signals;
use crate::tasks::precompute::{Order, Report, Whom, precompute};
use crate::tiers::Tiers;

pub(super) async fn run(arguments: &PrecomputeArgs, context: &Context) -> Result<(), Failure> {
    context.guard_writing("precompute")?;
    let config = context.config();
    let whom = match (arguments.active_users_only, arguments.days_active) {
        (true, days) => Whom::Active(days.unwrap_or(config.precompute.days_active)),
        (false, None) => Whom::Everybody,
        (false, Some(_)) => {
            return Err(Failure::usage(anyhow!("--days-active says who is active; it needs --active-users-only")));
        }
    };
    let stop = signals::stop_token()?;
    let store = context.open(&config.database.url, OpenMode::Existing).await?;
    let statistics = Statistics::new(store, config.days.clone());
    let tiers = context.tiers(statistics).await?;
    if config.redis.url.is_none() {
        context.console.note(
            "no redis.url is configured: stored summaries are brought up to date; answers are kept by servers only, so use \
             the task precompute-active-cache or POST /v1/admin/precompute for them",
        );
    }
    let done = compute(&tiers, whom, context, &stop).await;
    tiers.close().await;
    tiers.statistics().store().close().await;
    done
}

async fn compute(tiers: &Tiers, whom: Whom, context: &Context, stop: &CancellationToken) -> Result<(), Failure> {
    let config = context.config();
    let kinds = if config.redis.url.is_some() { config.precompute.statistics.as_slice() } else { &[] };
    let order = Order { whom, kinds, now: context.clock.now(), stop };
    let mut meter = Meter::new("precomputing", "learners", None, context.console);
    let done = precompute(tiers, order, |report| {
        let learners = report.answers.learners.max(report.settled);
        meter.set(learners, None, learners);
    })
    .await;
    meter.finish();
    let report = done?;
    context.console.result(&shown(&report, context.console.output())?)?;
    if report.stopped {
        let error = anyhow!("told to end; the same command goes on, as what is there is not computed again");
        return Err(Failure { ending: Ending::Stopped, error });
    }
    match report.answers.failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} answers could not be computed").into()),
    }
}

fn shown(report: &Report, output: Output) -> Result<String, Failure> {
    let document = serde_json::to_value(report).map_err(anyhow::Error::from)?;
    let Report { settled, answers, seconds, .. } = report;
    Ok(match output {
        Output::Json => document.to_string(),
        Output::Human => format!(
            "{} learners in {seconds:.1} s: summaries of {settled} brought up to date, {} answers computed, {} there already, \
             {} failed{}",
            answers.learners,
            answers.computed,
            answers.fresh,
            answers.failed,
            failures(&document)
        ),
    })
}
