//! Asking PostgreSQL for a plan.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::effects::refuse_beyond_transactions;
use super::{Options, Plan, PlanError, json};
use crate::query::Query;
use crate::statement::explain::{deallocate, explain_prepared, prepare};
use crate::{Connection, Error, Pool};

/// A connection that nobody else may have before it was put back in order: dropped early, it is closed.
pub(crate) struct Private {
    connection: Option<Connection>,
}

impl Private {
    pub(crate) async fn get(pool: &Pool) -> Result<Self, Error> {
        Ok(Self { connection: Some(pool.get().await?) })
    }

    /// Gives the connection back to its pool.
    pub(crate) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

impl Deref for Private {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until it is given back")
    }
}

impl DerefMut for Private {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until it is given back")
    }
}

pub(super) async fn explain(pool: &Pool, query: &Query, options: &Options) -> Result<Plan, PlanError> {
    if options.analyze && query.parameters() > 0 {
        return Err(PlanError::ValuesMissing { parameters: query.parameters() });
    }
    let connection = Private::get(pool).await?;
    begin(&connection, options).await?;
    let answer = if options.analyze {
        run_on(&connection, query, options).await
    } else {
        explain_on(&connection, query, options).await
    };
    let answer = match answer {
        Ok(mut plan) => add_table_rows(&connection, &mut plan).await.map(|()| plan),
        Err(error) => Err(error),
    };
    connection.batch_execute("rollback").await.map_err(Error::from)?;
    connection.give_back();
    answer
}

/// Runs a `select` for certain values of its parameters, by the rules of [`Options::analyze`].
pub(crate) async fn run_values(
    pool: &Pool,
    query: &Query,
    options: &Options,
    values: &[Option<String>],
) -> Result<Plan, PlanError> {
    let connection = Private::get(pool).await?;
    begin(&connection, options).await?;
    let answer = run_values_on(&connection, query, options, values).await;
    connection.batch_execute("rollback").await.map_err(Error::from)?;
    connection.give_back();
    answer
}

async fn run_values_on(
    connection: &Connection,
    query: &Query,
    options: &Options,
    values: &[Option<String>],
) -> Result<Plan, PlanError> {
    let planned = explain_values_on(connection, query, options, values).await?;
    refuse_beyond_transactions(connection, &planned).await?;
    let options = Options { analyze: true, ..options.clone() };
    prepared(connection, query, &options, "force_custom_plan", values).await
}

/// Looks at the plan before the statement is run.
async fn run_on(connection: &Connection, query: &Query, options: &Options) -> Result<Plan, PlanError> {
    let planned = explain_on(connection, query, &Options { analyze: false, ..options.clone() }).await?;
    refuse_beyond_transactions(connection, &planned).await?;
    explain_on(connection, query, options).await
}

/// Begins a transaction that cannot write, with its time limits.
pub(crate) async fn begin(connection: &Connection, options: &Options) -> Result<(), Error> {
    connection.batch_execute("begin read only").await?;
    for (setting, limit) in [("statement_timeout", options.statement_timeout), ("lock_timeout", options.lock_timeout)] {
        set_local(connection, setting, &milliseconds(limit)).await?;
    }
    Ok(())
}

/// Sets something until the end of the transaction.
async fn set_local(connection: &Connection, setting: &str, value: &str) -> Result<(), Error> {
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&setting, Type::TEXT), (&value, Type::TEXT)];
    connection.query_typed("select set_config($1, $2, true)", &parameters).await?;
    Ok(())
}

/// At least 1, since 0 would mean no limit.
pub(crate) fn milliseconds(limit: Duration) -> String {
    limit.as_millis().clamp(1, 2_000_000_000).to_string()
}

/// Asks for a plan in a transaction that was begun. After an error of the database the transaction is over, unless the
/// caller set a savepoint.
pub(crate) async fn explain_on(connection: &Connection, query: &Query, options: &Options) -> Result<Plan, PlanError> {
    // With parameters, the plan that serves all values. Until version 16 there is no other way, and later this one works
    // as well.
    let mode = if query.parameters() > 0 { "force_generic_plan" } else { "force_custom_plan" };
    prepared(connection, query, options, mode, &vec![None; usize::from(query.parameters())]).await
}

/// The same for certain values of the parameters; the statement is not run.
pub(crate) async fn explain_values_on(
    connection: &Connection,
    query: &Query,
    options: &Options,
    values: &[Option<String>],
) -> Result<Plan, PlanError> {
    let options = Options { analyze: false, ..options.clone() };
    prepared(connection, query, &options, "force_custom_plan", values).await
}

async fn prepared(
    connection: &Connection,
    query: &Query,
    options: &Options,
    mode: &str,
    values: &[Option<String>],
) -> Result<Plan, PlanError> {
    let failed = |error| classify(error, options);
    set_local(connection, "plan_cache_mode", mode).await?;
    // The extended protocol takes one statement at a time, so that nothing can follow the text, however it is quoted.
    connection.query_typed(&prepare(query.sql()), &[]).await.map_err(failed)?;
    let answer = connection.simple_query(&explain_prepared(options.analyze, values)).await;
    let json = match answer {
        Ok(messages) => {
            connection.batch_execute(&deallocate()).await.map_err(failed)?;
            messages.into_iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        }
        Err(error) => {
            // The statement outlives the transaction, which has failed and takes no more requests: end it first.
            connection.batch_execute("rollback").await.map_err(Error::from)?;
            connection.batch_execute(&deallocate()).await.map_err(Error::from)?;
            connection.batch_execute("begin read only").await.map_err(Error::from)?;
            return Err(failed(error));
        }
    };
    json::read(&json.ok_or_else(|| PlanError::Malformed { reason: "the answer has no row".to_owned() })?)
}

async fn add_table_rows(connection: &Connection, plan: &mut Plan) -> Result<(), PlanError> {
    let tables: Vec<String> = plan.nodes().iter().filter_map(|(_, node)| node.table()).collect();
    let sql = include_str!("sql/postgres/table_rows.sql");
    let rows = connection.query_typed(sql, &[(&tables, Type::TEXT_ARRAY)]).await.map_err(Error::from)?;
    for row in rows {
        let (name, count) = (row.try_get(0).map_err(Error::from)?, row.try_get(1).map_err(Error::from)?);
        plan.table_rows.insert(name, count);
    }
    Ok(())
}

fn classify(error: tokio_postgres::Error, options: &Options) -> PlanError {
    match error.code() {
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => PlanError::Writes(error),
        Some(code) if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE => {
            PlanError::TimedOut { limit: options.statement_timeout, lock_limit: options.lock_timeout, source: error }
        }
        _ => PlanError::Database(Error::Postgres(error)),
    }
}
