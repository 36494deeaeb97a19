//! Hypothetical indexes of the extension HypoPG, and the server's own planner.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::statistics::Statistics;
use super::{Candidates, Evaluation, WhatIf, root_cause};
use crate::plan::{Options, Plan, PlanError, Private, begin};
use crate::query::Query;
use crate::statement::explain::{deallocate, explain_prepared, prepare};
use crate::statement::{Creation, IndexMethod};
use crate::{Dialect, Error, Pool};

/// A statement whose plan is asked for.
#[derive(Debug, Clone)]
pub(in crate::advice) struct Question {
    pub(in crate::advice) query: Query,
    /// Sets of values for its parameters, for each of which it is planned, beside the plan for all values.
    pub(in crate::advice) values: Vec<Vec<Option<String>>>,
}

/// A connection whose planner knows indexes that do not exist. They are of this connection only; it is closed when it is
/// dropped.
pub(in crate::advice) struct Hypothetical {
    connection: Private,
    options: Options,
    questions: Vec<Question>,
    candidates: Candidates,
    /// For kinds of indexes that the extension does not know.
    model: Statistics,
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
        questions: Vec<Question>,
        model: Statistics,
    ) -> Result<Option<Self>, Error> {
        let connection = Private::get(pool).await?;
        let installed = "select exists (select 1 from pg_extension where extname = 'hypopg')";
        let is_there: bool = connection.query_typed(installed, &[]).await?[0].try_get(0)?;
        if !is_there {
            connection.give_back();
            return Ok(None);
        }
        begin(&connection, options).await?;
        let candidates = Candidates::clone(&model.candidates);
        let (options, present) = (options.clone(), BTreeMap::new());
        Ok(Some(Self { connection, options, questions, candidates, model, present }))
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

    /// The plan for all values, or that of the values that stand there, and those for sampled values.
    async fn plans(&mut self, statement: usize) -> Result<Vec<Plan>, PlanError> {
        match self.planned(statement).await {
            // Values may be of another kind than the statement makes of them.
            Err(_) if !self.questions[statement].values.is_empty() => {
                self.questions[statement].values.clear();
                self.planned(statement).await
            }
            planned => planned,
        }
    }

    async fn planned(&mut self, statement: usize) -> Result<Vec<Plan>, PlanError> {
        let Question { query, values } = &self.questions[statement];
        self.connection.query_typed(&prepare(query.sql()), &[]).await.map_err(Error::from)?;
        // The same within a statement, so that costs can be compared.
        let mode = |is_generic: bool| {
            let mode = if is_generic { "force_generic_plan" } else { "force_custom_plan" };
            format!("set local plan_cache_mode = {mode}")
        };
        // Our own text, so that it may be several statements.
        let nulls = vec![None; usize::from(query.parameters())];
        let mut all = vec![mode(query.parameters() > 0), explain_prepared(false, &nulls), mode(false)];
        all.extend(values.iter().map(|values| explain_prepared(false, values)));
        all.push(deallocate());
        let answer = match self.connection.simple_query(&all.join("; ")).await {
            Ok(messages) => messages,
            Err(error) => {
                self.connection.batch_execute("rollback").await.map_err(Error::from)?;
                self.connection.batch_execute(&deallocate()).await.map_err(Error::from)?;
                begin(&self.connection, &self.options).await?;
                return Err(Error::from(error).into());
            }
        };
        let plans = answer.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Plan::from_json(row.get(0).unwrap_or_default())),
            _ => None,
        });
        plans.collect()
    }

    /// What candidates of kinds that the extension does not know would save, by the model, as a part of the whole.
    async fn modelled(&mut self, statement: usize, candidates: &[usize]) -> Option<(f64, BTreeSet<usize>)> {
        let is_known = |number: &usize| self.candidates[*number].method != IndexMethod::Trigrams;
        let known: Vec<usize> = candidates.iter().copied().filter(is_known).collect();
        let without = self.model.evaluate(statement, &known).await.ok()?;
        let with = self.model.evaluate(statement, candidates).await.ok()?;
        let used: BTreeSet<usize> = with.used.iter().copied().filter(|number| !known.contains(number)).collect();
        (!used.is_empty()).then(|| (with.cost / without.cost.max(f64::MIN_POSITIVE), used))
    }
}

impl WhatIf for Hypothetical {
    async fn evaluate(&mut self, statement: usize, candidates: &[usize]) -> Result<Evaluation, String> {
        let is_known = |number: &usize| self.candidates[*number].method != IndexMethod::Trigrams;
        let known: Vec<usize> = candidates.iter().copied().filter(is_known).collect();
        let result = match self.set(&known).await {
            Ok(()) => self.plans(statement).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(plans) => {
                let names: BTreeSet<String> = plans
                    .iter()
                    .flat_map(|plan| plan.nodes())
                    .filter_map(|(_, node)| node.text("Index Name").map(str::to_owned))
                    .collect();
                let used =
                    self.present.iter().filter(|(_, name)| names.contains(name.as_str())).map(|(number, _)| *number);
                let mut used: BTreeSet<usize> = used.collect();
                // An index costs no plan anything, so that what helps on average harms for no value.
                let costs = plans.iter().map(|plan| plan.root.estimate.map_or(0.0, |estimate| estimate.total_cost));
                let mut cost = costs.sum::<f64>() / (plans.len() as f64).max(1.0);
                if known.len() < candidates.len()
                    && let Some((part, others)) = self.modelled(statement, candidates).await
                {
                    cost *= part;
                    used.extend(others);
                }
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
