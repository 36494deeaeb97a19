//! What a scheduler costs that has nothing to do, and what it says of a database that is not as it should be.

use std::sync::Arc;

use anyhow::Result;
use tierkeep_db::{Access, Database, SqliteConfig, SqliteDatabase, SqlitePath};
use tierkeep_schedule::{ScheduleError, Scheduler};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Platform, on_both, open, task, told};

on_both!(nothing_is_written_when_nothing_is_due, missing_tables_are_named);

/// A way to the database that can only read.
async fn read_only(platform: &Platform) -> Result<Database> {
    match platform {
        Platform::Postgres { .. } => {
            const SWITCH: &str = "do $$ begin
                execute format('alter database %I set default_transaction_read_only = on', current_database());
            end $$";
            platform.execute(SWITCH).await;
            Ok(open(&platform.url()).await)
        }
        Platform::Sqlite { file } => {
            let config = SqliteConfig { access: Access::ReadOnly, ..SqliteConfig::default() };
            Ok(Database::Sqlite(SqliteDatabase::open(&SqlitePath::new(file.path()), config).await?))
        }
    }
}

async fn nothing_is_written_when_nothing_is_due(platform: Platform) -> Result<()> {
    let (job, _ear) = told();
    let tasks = || vec![(task("one"), Arc::clone(&job)), (task("two"), Arc::clone(&job))];
    let stop = CancellationToken::new();
    platform.node(tasks()).await.run_due(&stop).await?;

    let node = Scheduler::new(read_only(&platform).await?, tasks());
    assert!(node.run_due(&stop).await?.is_empty());

    // The control: what is due cannot be taken, and that is said.
    platform
        .execute_on(
            "update tierkeep_schedule set next_at = clock_timestamp()",
            "update tierkeep_schedule set next_at = 0",
        )
        .await;
    let due = node.run_due(&stop).await;
    assert!(matches!(due, Err(ScheduleError::ReadOnly(_))), "{due:?}");
    let switched = node.set_enabled("one", false).await;
    assert!(matches!(switched, Err(ScheduleError::ReadOnly(_))), "{switched:?}");
    Ok(())
}

async fn missing_tables_are_named(platform: Platform) -> Result<()> {
    platform.execute("drop table tierkeep_schedule_run").await;
    let (job, _ear) = told();
    let node = platform.node(vec![(task("sweep"), job)]).await;

    let history = node.history(None, 1).await;
    let run = node.run_now("sweep", &CancellationToken::new()).await;

    assert!(matches!(history, Err(ScheduleError::TablesMissing(_))), "{history:?}");
    assert!(matches!(run, Err(ScheduleError::TablesMissing(_))), "{run:?}");
    Ok(())
}
