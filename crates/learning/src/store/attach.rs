//! Attaching to a platform's own tables, on PostgreSQL: Tierkeep's tables beside them, triggers of the change feed on
//! them, an archive for their sessions, and nothing else. Detaching takes every trace away.
//!
//! No key, default, view or rule of ours depends on a column of the platform's, so that no migration of the platform fails
//! because of us.

use std::time::Duration;

use tierkeep_db::{Connection, DatabaseUrl, Pool, PostgresUrl};
use tokio_postgres::error::SqlState;

use self::plan::Plan;
use self::survey::Survey;
use super::StoreError;
use super::open::{NEEDED, OpenOptions};
use crate::key::KeyType;

mod archive;
mod detach;
mod locks;
mod plan;
mod restore;
mod survey;

pub(super) use detach::own_tables;
pub use detach::{ArchivedRows, Detached, detach};

/// How often locks are asked for before attaching or detaching is given up.
const ATTEMPTS: usize = 5;
/// Time between two attempts, for the platform's waiting statements.
const PAUSE: Duration = Duration::from_millis(500);

/// How to attach.
#[derive(Debug, Clone)]
pub struct AttachOptions {
    /// The pool, the days and the mapping; the mode is of no account.
    pub open: OpenOptions,
    /// Whether somebody chose the default zone. Where the platform has no column of zones every day rests on it.
    pub is_zone_chosen: bool,
}

/// What attaching did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Type of the platform's keys.
    pub ids: KeyType,
    /// Last migration of Tierkeep's tables.
    pub version: u32,
    /// How many migrations were applied just now.
    pub applied: u32,
    /// The tables with triggers, quoted.
    pub watched: Vec<String>,
    /// The table for archived sessions, quoted.
    pub archive: String,
    /// Whether anything was missing or differed.
    pub is_changed: bool,
    /// Whether it was attached with another mapping before: all summaries are built anew.
    pub is_mapping_changed: bool,
}

/// Attaches to the tables that `options.open.mapping` names, or brings an earlier attachment up to date.
///
/// All in one transaction, and only after every check has passed. Locks of the platform's tables are waited for 2 s at a
/// time and held for the moment that making triggers takes; the rows are not read. If the future is dropped, nothing is
/// changed. The first summaries are built by the upkeep of `serve`.
///
/// # Errors
/// [`StoreError::Attaching`] with what is in the way and what helps; [`StoreError::DaysChanged`].
pub async fn attach(url: &DatabaseUrl, options: &AttachOptions) -> Result<Attached, StoreError> {
    let pool = Pool::new(address(url, "attach")?, options.open.pool.clone())?;
    let attached = patiently(&pool, async |db, attempt| attach_once(db, options, attempt).await).await;
    pool.close().await;
    attached
}

/// What [`attach`] would run, comments included, each statement with its semicolon. Changes nothing.
///
/// # Errors
/// As [`attach`], except for rights: whoever runs the statements needs those.
pub async fn attach_sql(url: &DatabaseUrl, options: &AttachOptions) -> Result<Vec<String>, StoreError> {
    let pool = Pool::new(address(url, "attach")?, options.open.pool.clone())?;
    let script = async {
        let db = pool.get().await?;
        let survey = Survey::take(&db, options).await?;
        Ok(Plan::make(&db, &survey, options).await?.script(&survey))
    }
    .await;
    pool.close().await;
    script
}

async fn attach_once(db: &mut Connection, options: &AttachOptions, attempt: usize) -> Result<Attached, StoreError> {
    let tx = db.transaction().await?;
    locks::begin(&tx).await?;
    let survey = Survey::take(tx.client(), options).await?;
    survey.check_rights()?;
    let plan = Plan::make(tx.client(), &survey, options).await?;
    if !survey.is_installed {
        locks::take(&tx, &survey.tables, attempt).await?;
    }
    for statement in &plan.before_feed {
        tx.batch_execute(statement).await?;
    }
    let installed = survey.feed.install_postgres(&tx).await?;
    for statement in &plan.after_feed {
        tx.batch_execute(statement).await?;
    }
    tx.commit().await?;
    Ok(Attached {
        ids: survey.keys,
        version: NEEDED,
        applied: plan.migrations,
        watched: survey.tables.clone(),
        archive: options.open.mapping.archive().quoted(),
        is_changed: installed.changed || !plan.before_feed.is_empty() || !plan.after_feed.is_empty(),
        is_mapping_changed: survey.is_mapping_changed(&options.open.mapping),
    })
}

/// Does something until it is not hindered by a lock, a few times.
async fn patiently<T>(
    pool: &Pool,
    act: impl AsyncFn(&mut Connection, usize) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let mut db = pool.get().await?;
        match act(&mut db, attempt).await {
            Err(error) if is_locked_out(&error) => {}
            Err(StoreError::Feed(error)) if is_refusal(&error) => return Err(StoreError::Attaching(error.to_string())),
            done => return done,
        }
    }
    Err(StoreError::Attaching(format!(
        "the platform's tables stayed locked by others in {ATTEMPTS} attempts of 2 s, and nothing was changed: look for \
         long transactions in pg_stat_activity, or try again at a quieter time"
    )))
}

/// Whether somebody else's lock was in the way.
fn is_locked_out(error: &StoreError) -> bool {
    let code = match error {
        StoreError::Postgres(error)
        | StoreError::Database(tierkeep_db::Error::Postgres(error))
        | StoreError::Feed(tierkeep_db::feed::FeedError::Postgres(error)) => error.code(),
        _ => None,
    };
    code.is_some_and(|code| [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

/// What the feed refuses by itself, before it has done anything.
fn is_refusal(error: &tierkeep_db::feed::FeedError) -> bool {
    use tierkeep_db::feed::FeedError;
    !matches!(error, FeedError::Database(_) | FeedError::Postgres(_) | FeedError::Sqlite(_))
}

fn address<'a>(url: &'a DatabaseUrl, command: &str) -> Result<&'a PostgresUrl, StoreError> {
    match url {
        DatabaseUrl::Postgres(address) => Ok(address),
        DatabaseUrl::Sqlite(_) => Err(StoreError::Attaching(format!(
            "{command} is for a platform's tables on PostgreSQL; those of an SQLite file can be read with --read-only"
        ))),
    }
}
