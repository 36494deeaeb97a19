//! Deleting what belongs to rows that stay: all that is left of a learner who is not seen any more, say.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_postgres::Transaction;

use crate::batch::postgres;
use crate::crash_points::reach;
use crate::deletion::{counted, digest, fields_postgres, fields_sqlite};
use crate::error::RetentionError;
use crate::export::Ages;
use crate::ledger::Ledger;
use crate::report::Report;
use crate::rule::{Action, Sweep};
use crate::running::{Running, Session, Stop, record_of};

/// Rows whose dependants are exported and deleted together: theirs are the memory that it needs, and the locks.
const PARENTS: usize = 100;

/// Rows of one dependant: whose, and their fields.
type Belongings = Vec<(String, Vec<Option<String>>)>;

/// The statements of one rule.
#[derive(Debug, Clone)]
struct Texts {
    still: String,
    /// The rows that go, by subject, in the order of the policy, with the columns of their export.
    belonging: Vec<(&'static str, String, Vec<String>)>,
}

impl Running<'_> {
    /// Which rows the rules are about that delete what belongs to them: asked before anything of it is deleted.
    pub(crate) async fn candidates(&mut self) -> Result<(), RetentionError> {
        for rule in &self.engine.policy.rules {
            if !matches!(rule.action, Action::DeleteDependants { .. }) || self.plan.rows(rule.name) == 0 {
                continue;
            }
            let text = self.survey.found(&self.engine.policy, rule.subject)?.candidates(&rule.condition)?;
            let keys = match &self.session {
                Session::Postgres(db) => {
                    let rows = db.query_typed(&text, &[]).await?;
                    rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?
                }
                Session::Sqlite(file) => {
                    file.read(move |db| {
                        let mut statement = db.prepare(&text)?;
                        let keys = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
                        Ok::<_, RetentionError>(keys)
                    })
                    .await?
                }
            };
            self.parents.insert(rule.name, keys);
        }
        Ok(())
    }

    pub(crate) async fn delete_dependants(&mut self, sweep: &Sweep<'_>) -> Result<(), Stop> {
        let rule = sweep.rules[0];
        let Action::DeleteDependants { still } = &rule.action else { return Ok(()) };
        let policy = &self.engine.policy;
        let parent = self.survey.found(policy, rule.subject)?;
        let mut belonging = Vec::new();
        for dependant in &sweep.subject.dependants {
            let child = self.survey.found(policy, dependant.subject)?;
            let text = child.belonging(&dependant.column, &parent).map_err(RetentionError::from)?;
            let columns = child.exported().map_err(RetentionError::from)?.into_iter().map(|(name, _)| name);
            belonging.push((dependant.subject, text, columns.collect()));
        }
        let texts = Texts { still: parent.still(still).map_err(RetentionError::from)?, belonging };
        let keys = self.parents.remove(rule.name).unwrap_or_default();
        let mut left = 0;
        for some in keys.chunks(PARENTS) {
            let exported = self.export_belongings(&texts, some).await?;
            let gone = loop {
                self.pass_gate().await?;
                let begun = Instant::now();
                match self.delete_belongings(rule.name, &texts, some, exported.as_ref()).await {
                    Ok((gone, report)) => {
                        if report.is_some() {
                            reach("deletion-committed");
                        }
                        self.unhindered();
                        self.take_report(sweep, report);
                        self.rest(self.order.share.rest_after(begun.elapsed())).await?;
                        break gone;
                    }
                    Err(error) => self.wait_out(error).await?,
                }
            };
            left += some.len() as u64 - gone;
        }
        if left > 0 {
            self.report.left.insert(rule.name.to_owned(), left);
        }
        Ok(())
    }

    /// Writes what belongs to some rows into files, one for each subject that has any; digests of the rows. `None`: nothing is
    /// exported.
    async fn export_belongings(&mut self, texts: &Texts, keys: &[String]) -> Result<Option<BTreeSet<u64>>, Stop> {
        if self.order.export.is_none() {
            return Ok(None);
        }
        let found = match &mut self.session {
            Session::Postgres(db) => {
                let tx = db.transaction().await.map_err(RetentionError::from)?;
                let settings = postgres::settings(self.order.lock_timeout.as_millis());
                tx.batch_execute(&settings).await.map_err(RetentionError::from)?;
                belongings_postgres(&tx, texts, keys).await?
            }
            Session::Sqlite(file) => {
                let (texts, keys) = (texts.clone(), keys.to_vec());
                file.read(move |db| belongings_sqlite(db, &texts, &keys)).await?
            }
        };
        let mut digests = BTreeSet::new();
        for ((subject, _, columns), rows) in texts.belonging.iter().zip(found) {
            if !rows.is_empty() {
                let rows = rows.into_iter().map(|(_, fields)| fields).collect();
                digests.extend(self.write_file(subject, columns, rows, Ages::default()).await?);
            }
        }
        Ok(Some(digests))
    }

    /// Deletes what belongs to those of some rows of which everything was exported as it is; how many rows that were.
    async fn delete_belongings(
        &mut self,
        name: &'static str,
        texts: &Texts,
        keys: &[String],
        exported: Option<&BTreeSet<u64>>,
    ) -> Result<(u64, Option<Report>), RetentionError> {
        let (keeper, companion, run) = (self.hold.keeper(), self.engine.companion.clone(), self.run);
        let prepared = self.companion_statements(name).await?;
        match &mut self.session {
            Session::Postgres(db) => {
                let tx = db.transaction().await?;
                tx.batch_execute(&postgres::settings(self.order.lock_timeout.as_millis())).await?;
                keeper.keep_postgres(&tx).await?;
                companion.deleting_postgres(&tx).await?;
                let rows = tx.query(&texts.still, &[&keys]).await?;
                let still = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
                let still = unchanged(still, &belongings_postgres(&tx, texts, keys).await?, exported);
                if still.is_empty() {
                    tx.rollback().await?;
                    return Ok((0, None));
                }
                reach("deletion-begun");
                let removed = companion.delete_postgres(&tx, &prepared, name, &still).await?;
                reach("rows-deleted");
                let gone = still.len() as u64;
                let (batch, report) = counted(&self.report, name, gone, &removed, (None, None));
                Ledger::record_postgres(&tx, &record_of(run, name, &batch, &report.to_json()?)).await?;
                reach("deletion-recorded");
                tx.commit().await?;
                Ok((gone, Some(report)))
            }
            Session::Sqlite(file) => {
                let (texts, keys, exported) = (texts.clone(), keys.to_vec(), exported.cloned());
                let before = self.report.clone();
                file.write(move |tx| {
                    keeper.keep_sqlite(tx)?;
                    let mut statement = tx.prepare_cached(&texts.still)?;
                    let still =
                        statement.query_map([json(&keys)], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
                    let still = unchanged(still, &belongings_sqlite(tx, &texts, &keys)?, exported.as_ref());
                    if still.is_empty() {
                        return Ok((0, None));
                    }
                    reach("deletion-begun");
                    let removed = companion.delete_sqlite(tx, name, &still)?;
                    reach("rows-deleted");
                    let gone = still.len() as u64;
                    let (batch, report) = counted(&before, name, gone, &removed, (None, None));
                    Ledger::record_sqlite(tx, &record_of(run, name, &batch, &report.to_json()?))?;
                    reach("deletion-recorded");
                    Ok((gone, Some(report)))
                })
                .await
            }
        }
    }
}

/// Those of some rows of which nothing is there that was not exported.
fn unchanged(mut still: Vec<String>, found: &[Belongings], exported: Option<&BTreeSet<u64>>) -> Vec<String> {
    let Some(exported) = exported else { return still };
    let others = found.iter().flatten().filter(|(_, fields)| !exported.contains(&digest(fields)));
    let others: BTreeSet<&String> = others.map(|(key, _)| key).collect();
    still.retain(|key| !others.contains(key));
    still
}

async fn belongings_postgres(
    tx: &Transaction<'_>,
    texts: &Texts,
    keys: &[String],
) -> Result<Vec<Belongings>, RetentionError> {
    let mut all = Vec::new();
    for (_, text, _) in &texts.belonging {
        let rows = tx.query(text, &[&keys]).await?;
        let row = |row: &tokio_postgres::Row| -> Result<_, RetentionError> {
            Ok((row.try_get(0)?, fields_postgres(row, 1)?))
        };
        all.push(rows.iter().map(row).collect::<Result<_, _>>()?);
    }
    Ok(all)
}

fn belongings_sqlite(
    db: &rusqlite::Connection,
    texts: &Texts,
    keys: &[String],
) -> Result<Vec<Belongings>, RetentionError> {
    let mut all = Vec::new();
    for (_, text, _) in &texts.belonging {
        let mut statement = db.prepare_cached(text)?;
        let rows = statement.query_map([json(keys)], |row| Ok((row.get(0)?, fields_sqlite(row, 1)?)))?;
        all.push(rows.collect::<Result<_, _>>()?);
    }
    Ok(all)
}

fn json(keys: &[String]) -> String {
    serde_json::Value::from(keys).to_string()
}
