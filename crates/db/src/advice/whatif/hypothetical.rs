//! Hypothetical indexes of the extension HypoPG, and the server's own planner.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::{Candidates, Evaluation, WhatIf, root_cause};
use crate::plan::{Options, Plan, PlanError, Private, begin, set_local};
use crate::query::Query;
use crate::statement::Creation;
use crate::statement::explain::{deallocate, explain_prepared, prepare};
use crate::{Dialect, Error, Pool};

/// A connection whose planner knows indexes that do not exist. They are of this connection only; it is closed when it is
/// dropped.
pub(in crate::advice) struct Hypothetical {
    connection: Private,
    options: Options,
    queries: Vec<Query>,
    candidates: Candidates,
    /// Those that are there at this moment, by the names that the extension gave them.
    present: BTreeMap<usize, String>,
}

impl Hypothetical {
    /// Begins a transaction that cannot write, if the extension is installed in this database.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`]; [`Error::Postgres`].
    pub(in crate::advice) async fn begin(
        pool: &Pool,
        options: &Options,
        queries: Vec<Query>,
        candidates: Candidates,
    ) -> Result<Option<Self>, Error> {
        let connection = Private::get(pool).await?;
        let installed = "select exists (select 1 from pg_extension where extname = 'hypopg')";
        let is_there: bool = connection.query_typed(installed, &[]).await?[0].try_get(0)?;
        if !is_there {
            connection.give_back();
            return Ok(None);
        }
        begin(&connection, options).await?;
        Ok(Some(Self { connection, options: options.clone(), queries, candidates, present: BTreeMap::new() }))
    }

    /// Removes the hypothetical indexes and gives the connection back.
    ///
    /// # Errors
    ///
    /// [`Error::Postgres`]; the connection is closed then.
    pub(in crate::advice) async fn end(self) -> Result<(), Error> {
        self.connection.batch_execute("select hypopg_reset(); rollback").await?;
        self.connection.give_back();
        Ok(())
    }

    /// Makes exactly these candidates known to the planner.
    async fn set(&mut self, candidates: &[usize]) -> Result<(), Error> {
        let is_kept = |number: &usize| candidates.contains(number);
        if !self.present.keys().all(is_kept) {
            self.connection.query_typed("select hypopg_reset()", &[]).await?;
            self.present.clear();
        }
        for number in candidates {
            if !self.present.contains_key(number) {
                let sql = self.candidates[*number].create(Dialect::Postgres, None, Creation::Plain);
                let create = "select indexname::text from hypopg_create_index($1)";
                let rows = self.connection.query_typed(create, &[(&sql, Type::TEXT)]).await?;
                self.present.insert(*number, rows[0].try_get(0)?);
            }
        }
        Ok(())
    }

    async fn plan(&mut self, statement: usize) -> Result<Plan, PlanError> {
        let query = &self.queries[statement];
        // A plan for all values, or that of the values that stand there; the same within a statement, so that costs can be
        // compared.
        let mode = if query.parameters() > 0 { "force_generic_plan" } else { "force_custom_plan" };
        set_local(&self.connection, "plan_cache_mode", mode).await?;
        self.connection.query_typed(&prepare(query.sql()), &[]).await.map_err(Error::from)?;
        // Our own text, so that it may be two statements.
        let both = [explain_prepared(false, query.parameters()), deallocate()].join("; ");
        let answer = match self.connection.simple_query(&both).await {
            Ok(messages) => messages,
            Err(error) => {
                self.connection.batch_execute("rollback").await.map_err(Error::from)?;
                self.connection.batch_execute(&deallocate()).await.map_err(Error::from)?;
                begin(&self.connection, &self.options).await?;
                return Err(Error::from(error).into());
            }
        };
        let json = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Plan::from_json(&json.unwrap_or_default())
    }
}

impl WhatIf for Hypothetical {
    async fn evaluate(&mut self, statement: usize, candidates: &[usize]) -> Result<Evaluation, String> {
        let result = match self.set(candidates).await {
            Ok(()) => self.plan(statement).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(plan) => {
                let names: BTreeSet<String> =
                    plan.nodes().iter().filter_map(|(_, node)| node.text("Index Name").map(str::to_owned)).collect();
                let used =
                    self.present.iter().filter(|(_, name)| names.contains(name.as_str())).map(|(number, _)| *number);
                let used = used.collect();
                let cost = plan.root.estimate.map_or(0.0, |estimate| estimate.total_cost);
                Ok(Evaluation { cost, used, others: names })
            }
            Err(error) => {
                // A request that failed has ended the transaction; the hypothetical indexes outlive it.
                let _ = self.connection.batch_execute("rollback").await;
                begin(&self.connection, &self.options).await.map_err(|error| error.to_string())?;
                Err(root_cause(&error))
            }
        }
    }
}
