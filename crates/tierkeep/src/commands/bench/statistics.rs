//! Statistics answered in this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tierkeep_learning::key::UserId;
use tierkeep_learning::statistic::{StatisticKind, WindowDays};
use tokio_util::sync::CancellationToken;

use super::load::Load;
use super::{Context, Failure, Measured};
use crate::cli::BenchStatsArgs;
use crate::tiers::{Question, Tier, Tiers};

/// How often, and how long apart, it is looked whether answers are kept: the first question to the change feed takes a moment.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(100);

/// Each statistic from the database, and through the tiers, about the same learners in turn.
pub(super) async fn run(
    arguments: &BenchStatsArgs,
    load: Load,
    context: &Context,
    stop: &CancellationToken,
) -> Result<Measured, Failure> {
    let mut kinds = arguments.statistics.clone();
    if kinds.is_empty() {
        kinds = StatisticKind::ALL.to_vec();
    }
    if (1..kinds.len()).any(|place| kinds[..place].contains(&kinds[place])) {
        return Err(Failure::usage(anyhow!("a statistic is named twice; accepted: each once")));
    }
    let statistics = context.statistics().await?;
    let store = Arc::clone(statistics.store());
    let unkept = Arc::new(Tiers::unkept(statistics.clone()));
    let tiers = Arc::new(context.tiers(statistics).await?);
    let measured = measure(&kinds, [&unkept, &tiers], arguments.learners, load, context, stop).await;
    tiers.close().await;
    store.close().await;
    measured
}

async fn measure(
    kinds: &[StatisticKind],
    [unkept, tiers]: [&Arc<Tiers>; 2],
    learners: u32,
    load: Load,
    context: &Context,
    stop: &CancellationToken,
) -> Result<Measured, Failure> {
    let users: Vec<UserId> =
        unkept.statistics().store().users(None, learners).await?.into_iter().map(|row| row.id).collect();
    let Some(first) = users.first() else {
        return Err(
            anyhow!("there are no learners; import some, or fill a database with `tierkeep serve --demo`").into()
        );
    };
    let now = context.clock.now();
    let ways = if is_kept(tiers, *first, now).await? {
        vec![("from the database", unkept), ("through the tiers", tiers)]
    } else {
        context
            .console
            .note("answers are not kept here, as changes of this database cannot be told: only it is measured");
        vec![("from the database", unkept)]
    };
    let mut measured = Measured::default();
    for kind in kinds {
        for (way, tiers) in &ways {
            let ask = |number: usize| {
                let (tiers, question) = (Arc::clone(tiers), question(*kind, users[number % users.len()], context));
                async move { tiers.ask(question, now).await.map(|_| ()).map_err(|error| error.to_string()) }
            };
            measured.add(&format!("{kind} {way}"), load, users.len(), stop, ask).await?;
        }
    }
    Ok(measured)
}

/// Whether a question that is repeated is answered from memory.
async fn is_kept(tiers: &Tiers, user: UserId, now: Timestamp) -> Result<bool, Failure> {
    for _ in 0..LOOKS {
        let found = tiers.ask(Question::Streaks { user }, now).await.map_err(anyhow::Error::from)?;
        if found.tier == Tier::L1 {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(false)
}

/// What a reader without wishes asks.
fn question(kind: StatisticKind, user: UserId, context: &Context) -> Question {
    match kind {
        StatisticKind::Daily => Question::Daily { user, date: None },
        StatisticKind::Weekly => Question::Weekly { user, week_of: None },
        StatisticKind::Monthly => Question::Monthly { user, month: None },
        StatisticKind::Analytics => {
            let (days, language) = (WindowDays::default(), context.config().days.language);
            Question::Analytics { user, to: None, days, language }
        }
        StatisticKind::Streaks => Question::Streaks { user },
        StatisticKind::Heatmap => Question::Heatmap { user, year: None },
        StatisticKind::Courses => Question::Courses { user },
        StatisticKind::Global => Question::Global,
    }
}
