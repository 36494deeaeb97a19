//! The tables of a policy as they are at the moment, and what they hold.

use std::collections::BTreeMap;

use tierkeep_db::{CatalogColumn, Database, Dialect, Pool, SqliteDatabase};
use tokio_postgres::Client;

use crate::count::Counted;

use crate::error::RetentionError;
use crate::preflight::{
    Conditions, Dependant as Pointer, Findings, Generated, Intent, Move, OwnColumn, ServerFacts, TableFacts, check,
    check_server,
};
use crate::rule::{Action, Policy, Subject};
use crate::statements::{Found, fill};

/// What was found, by subject.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    dialect: Dialect,
    pub(crate) server: ServerFacts,
    tables: BTreeMap<&'static str, Table>,
    /// What an operator should know before the run.
    pub(crate) findings: Findings,
}

#[derive(Debug, Clone)]
struct Table {
    facts: TableFacts,
    columns: Vec<CatalogColumn>,
    generated: Vec<String>,
    hashes_records: bool,
}

impl Survey {
    /// Looks at all tables, and refuses what is not fit for the rules.
    pub(crate) async fn take(
        db: &Database,
        policy: &Policy,
        intent: Intent,
        is_forced: bool,
    ) -> Result<Self, RetentionError> {
        let survey = Self::look(db, policy, intent).await?;
        survey.checked(policy, Conditions { intent, is_forced })
    }

    /// Looks at all tables, and refuses a database that cannot be worked with, whatever the rules say of its tables.
    pub(crate) async fn bare(db: &Database, policy: &Policy, intent: Intent) -> Result<Self, RetentionError> {
        let mut survey = Self::look(db, policy, intent).await?;
        survey.findings = check_server(&survey.server, intent).into_result()?;
        Ok(survey)
    }

    async fn look(db: &Database, policy: &Policy, intent: Intent) -> Result<Self, RetentionError> {
        match db {
            Database::Postgres(pool) => Self::of_postgres(&*pool.get().await?, policy).await,
            Database::Sqlite(file) => Self::of_sqlite(file, policy, intent).await,
        }
    }

    async fn of_postgres(db: &Client, policy: &Policy) -> Result<Self, RetentionError> {
        let server = ServerFacts::read_postgres(db).await?;
        let mut tables = BTreeMap::new();
        for subject in &policy.subjects {
            if subject.is_absent {
                continue;
            }
            let facts = TableFacts::read_postgres(db, subject.relation.table()).await?;
            let mut table = Table::new(subject, facts)?;
            table.hashes_records = server.has_row_hash && hashes_records(db, subject, &table).await?;
            tables.insert(subject.name, table);
        }
        Ok(Self { dialect: Dialect::Postgres, server, tables, findings: Findings::default() })
    }

    async fn of_sqlite(file: &SqliteDatabase, policy: &Policy, intent: Intent) -> Result<Self, RetentionError> {
        let subjects = policy.subjects.clone();
        let look = move |db: &rusqlite::Connection| {
            let server = ServerFacts::read_sqlite(db)?;
            let mut tables = BTreeMap::new();
            for subject in &subjects {
                if subject.is_absent {
                    continue;
                }
                let facts = TableFacts::read_sqlite(db, subject.relation.table())?;
                tables.insert(subject.name, Table::new(subject, facts)?);
            }
            Ok(Self { dialect: Dialect::Sqlite, server, tables, findings: Findings::default() })
        };
        match intent {
            Intent::Preview => file.read(move |db| look(db)).await,
            // a reader could not tell whether the file can be written
            Intent::Run => file.write(move |tx| look(tx)).await,
        }
    }

    fn checked(mut self, policy: &Policy, conditions: Conditions) -> Result<Self, RetentionError> {
        let mut findings = check_server(&self.server, conditions.intent);
        for rule in &policy.rules {
            let subject = policy.subject(rule.subject);
            if matches!(rule.action, Action::DeleteDependants { .. }) || subject.is_absent {
                continue;
            }
            let key = [subject.key.as_str()];
            let (to, own) = match &rule.action {
                Action::Archive { into, by, at } => {
                    let at_type = self.dialect.type_name(tierkeep_db::SqlType::Timestamptz);
                    let own = vec![
                        OwnColumn { name: at.as_str(), declared: at_type },
                        OwnColumn { name: by.as_str(), declared: "bigint" },
                    ];
                    // where nothing of ours is there is no archive yet either; what would go there is counted all the same
                    let is_absent = conditions.intent == Intent::Preview && !self.tables.contains_key(into);
                    (if is_absent { None } else { Some(&self.table(into)?.facts) }, own)
                }
                _ => (None, Vec::new()),
            };
            let mut pointers = Vec::new();
            for dependant in &subject.dependants {
                let table = &self.table(dependant.subject)?.facts;
                pointers.push(Pointer { table, column: dependant.column.as_str() });
            }
            let age = if rule.by_age { subject.age.and_then(|(name, _)| stored(subject, name)) } else { None };
            let picks_by: Vec<&str> = age.into_iter().collect();
            let subject = Move {
                from: &self.table(rule.subject)?.facts,
                to,
                keys: &key,
                own_columns: &own,
                dependants: &pointers,
                picks_by: &picks_by,
            };
            findings.extend(check(&subject, conditions));
        }
        self.findings = findings.into_result()?;
        Ok(self)
    }

    /// Gives archives the columns that the live tables have got since, and looks again if there were any.
    pub(crate) async fn followed(
        self,
        db: &Database,
        policy: &Policy,
        is_forced: bool,
    ) -> Result<Self, RetentionError> {
        let additions: Vec<String> = self.findings.additions().map(str::to_owned).collect();
        if additions.is_empty() {
            return Ok(self);
        }
        match db {
            Database::Postgres(pool) => {
                let mut db = pool.get().await?;
                let tx = db.transaction().await?;
                tx.batch_execute("set local lock_timeout = '2s'").await?;
                for addition in &additions {
                    tx.batch_execute(addition).await?;
                }
                tx.commit().await?;
            }
            Database::Sqlite(file) => {
                file.write(move |tx| {
                    additions.iter().try_for_each(|addition| Ok::<_, RetentionError>(tx.execute_batch(addition)?))
                })
                .await?;
            }
        }
        Self::take(db, policy, Intent::Run, is_forced).await
    }

    /// Whether the table of a subject is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// A subject with its columns.
    pub(crate) fn found<'a>(&'a self, policy: &'a Policy, name: &str) -> Result<Found<'a>, RetentionError> {
        let table = self.table(name)?;
        Ok(Found {
            dialect: self.dialect,
            subject: policy.subject(name),
            columns: &table.columns,
            generated: &table.generated,
            hashes_records: table.hashes_records,
        })
    }

    /// The size of a table with its indexes.
    pub(crate) fn bytes(&self, name: &str) -> Option<u64> {
        self.tables.get(name).and_then(|table| table.facts.total_bytes)
    }

    pub(crate) fn facts(&self, name: &str) -> Result<&TableFacts, RetentionError> {
        Ok(&self.table(name)?.facts)
    }

    fn table(&self, name: &str) -> Result<&Table, RetentionError> {
        let missing =
            || RetentionError::Refused(format!("there is no table for {name}: it has to be made again before a run"));
        self.tables.get(name).ok_or_else(missing)
    }

    /// Counts by a statement of [`crate::count`].
    pub(crate) async fn count(&self, db: &Database, text: &str) -> Result<Vec<Counted>, RetentionError> {
        match db {
            Database::Postgres(pool) => {
                let rows = rows_postgres(pool, text).await?;
                let counted = |row: &tokio_postgres::Row| -> Result<Counted, RetentionError> {
                    let code = i64::from(row.try_get::<_, i32>(0)?);
                    let samples = [row.try_get(2)?, row.try_get(3)?];
                    Ok(Counted::new(code, row.try_get(1)?, samples, [row.try_get(4)?, row.try_get(5)?]))
                };
                rows.iter().map(counted).collect()
            }
            Database::Sqlite(file) => {
                let text = text.to_owned();
                file.read(move |db| {
                    let mut statement = db.prepare(&text)?;
                    let rows = statement.query_map([], |row| {
                        let samples = [row.get(2)?, row.get(3)?];
                        Ok(Counted::new(row.get(0)?, row.get(1)?, samples, [row.get(4)?, row.get(5)?]))
                    })?;
                    Ok(rows.collect::<Result<Vec<_>, _>>()?)
                })
                .await
            }
        }
    }

    /// The one number that a statement gives.
    pub(crate) async fn number(&self, db: &Database, text: &str) -> Result<i64, RetentionError> {
        match db {
            Database::Postgres(pool) => {
                let rows = rows_postgres(pool, text).await?;
                let row = rows.first().ok_or_else(|| RetentionError::Mismatch("a count has no row".to_owned()))?;
                Ok(row.try_get(0)?)
            }
            Database::Sqlite(file) => {
                let text = text.to_owned();
                file.read(move |db| Ok(db.query_row(&text, [], |row| row.get(0))?)).await
            }
        }
    }
}

/// What a statement finds that reads whole tables. It is not compiled: its conditions look dear to the planner, and compiling
/// them took up to four seconds for tables of some thousand rows.
async fn rows_postgres(pool: &Pool, text: &str) -> Result<Vec<tokio_postgres::Row>, RetentionError> {
    let mut db = pool.get().await?;
    let tx = db.transaction().await?;
    tx.batch_execute("set local jit = off").await?;
    let rows = tx.query_typed(text, &[]).await?;
    tx.commit().await?;
    Ok(rows)
}

/// The column that a logical one reads.
pub(crate) fn stored<'a>(subject: &'a Subject, name: &str) -> Option<&'a str> {
    let found = subject.relation.columns().find(|(column, _)| *column == name);
    found.and_then(|(_, expression)| expression.reads()).map(tierkeep_db::Ident::as_str)
}

impl Table {
    fn new(subject: &Subject, facts: Option<TableFacts>) -> Result<Self, RetentionError> {
        let facts = facts.ok_or_else(|| {
            RetentionError::Refused(format!("there is no table {}", subject.relation.table().quoted()))
        })?;
        let columns = facts.columns.iter().map(|column| CatalogColumn {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            nullable: column.nullable,
        });
        let generated = facts.columns.iter().filter(|column| column.generated != Generated::No);
        Ok(Self {
            columns: columns.collect(),
            generated: generated.map(|column| column.name.clone()).collect(),
            hashes_records: false,
            facts,
        })
    }
}

/// Whether every type of the table has a digest: some, such as json, have none.
async fn hashes_records(db: &Client, subject: &Subject, table: &Table) -> Result<bool, RetentionError> {
    let found = Found {
        dialect: Dialect::Postgres,
        subject,
        columns: &table.columns,
        generated: &table.generated,
        hashes_records: true,
    };
    let named = found.named().join(", ");
    let text = fill(
        "select hash_record_extended(row({columns}), 0) from {table} limit 1",
        &[("columns", &named), ("table", &found.table())],
    );
    Ok(db.query_typed(&text, &[]).await.is_ok())
}
