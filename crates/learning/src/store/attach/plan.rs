//! What attaching runs, in its order; `--print-sql` prints the same.

use tierkeep_db::{Dialect, pending_postgres};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::open::migrations;
use super::super::statements::body;
use super::survey::Survey;
use super::{AttachOptions, archive, locks};
use crate::store::StoreError;

/// Statements to be run in one transaction.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many migrations are among them.
    pub(super) migrations: u32,
    /// Tables.
    pub(super) before_feed: Vec<String>,
    feed: Vec<String>,
    /// What was attached, and that summaries do not count any more.
    pub(super) after_feed: Vec<String>,
    locks: Vec<String>,
    /// Rights of a node that runs as another role.
    rights: Vec<String>,
    right_to_write: String,
}

impl Plan {
    pub(super) async fn make(db: &Client, survey: &Survey, options: &AttachOptions) -> Result<Self, StoreError> {
        let mapping = &options.open.mapping;
        let list = migrations(Dialect::Postgres, survey.keys, false);
        let mut before_feed = pending_postgres(db, &list).await?;
        let is_fresh = survey.before.is_none();
        // the first makes the table of migrations; then each has its own statements and its record
        let migrations = u32::try_from(before_feed.len() / 2).unwrap_or(u32::MAX);
        match &survey.archive {
            None => before_feed.extend(archive::create(mapping, &survey.sessions)?),
            Some(columns) => {
                before_feed.extend(archive::adjust(mapping, survey.before.as_ref(), columns, &survey.sessions)?);
                if is_fresh {
                    before_feed.push(archive::mark(&mapping.archive()));
                }
            }
        }
        let former = survey.before.as_ref().map(crate::mapping::Mapping::archive);
        // it is empty, or attaching would have been refused
        if let Some(former) = former.filter(|former| *former != mapping.archive()) {
            before_feed.push(format!("drop table if exists {}", former.quoted()));
        }
        let mut after_feed = Vec::new();
        if survey.before.as_ref() != Some(mapping) || !survey.has_days {
            after_feed.push(state(db, options).await?);
        }
        if survey.is_mapping_changed(mapping) {
            after_feed.push(body(include_str!("../sql/postgres/forget_summaries.sql")));
        }
        Ok(Self {
            migrations,
            before_feed,
            feed: survey.feed.install_sql(Dialect::Postgres),
            after_feed,
            locks: if survey.is_installed { Vec::new() } else { locks::statements(db, &survey.tables).await? },
            rights: rights(survey, options),
            right_to_write: format!(
                "grant insert, update, delete on {}, {} to \"node\"",
                survey.tables.join(", "),
                mapping.archive().quoted()
            ),
        })
    }

    /// As a script for `psql`, statement by statement.
    pub(super) fn script(&self, survey: &Survey) -> Vec<String> {
        let head = format!(
            "-- Attaches tierkeep to {}.\n-- To be run with a search path whose first schema is to hold tierkeep's tables, \
             in one transaction, by a role that owns\n-- the platform's tables and may create in that schema. Print it again \
             to upgrade. The platform's rows are not read.",
            survey.tables.join(", ")
        );
        let mut script = vec![head, "begin;".to_owned(), "set local lock_timeout = '2s';".to_owned()];
        let parts = [&self.locks, &self.before_feed, &self.feed, &self.after_feed];
        script.extend(parts.into_iter().flatten().map(|statement| ended(statement)));
        script.push("commit;".to_owned());
        script.push(format!(
            "-- A node whose role is another one needs, in the place of \"node\":\n{}\n-- To write or erase through its API as \
             well:\n--     {};",
            self.rights.iter().map(|right| format!("--   {right};")).collect::<Vec<_>>().join("\n"),
            self.right_to_write
        ));
        script
    }
}

/// What was attached. The server quotes its own literals.
async fn state(db: &Client, options: &AttachOptions) -> Result<String, StoreError> {
    let text = "select format('update tierkeep_state set mapping = %L, time_zone = coalesce(time_zone, %L), \
                day_start = coalesce(day_start, %s)', $1, $2, $3)";
    let row = db
        .query_typed_one(
            text,
            &[
                (&options.open.mapping.to_string(), Type::TEXT),
                (&options.open.default_zone.name(), Type::TEXT),
                (&i16::from(options.open.day_start.get()), Type::INT2),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

fn rights(survey: &Survey, options: &AttachOptions) -> Vec<String> {
    let mut tables = vec!["tierkeep_migrations".to_owned()];
    tables.extend(super::detach::own_tables().filter(|name| *name != "tierkeep_migrations").map(str::to_owned));
    let (own, platform) = (tables.join(", "), survey.tables.join(", "));
    vec![
        format!("grant select on {platform}, {} to \"node\"", options.open.mapping.archive().quoted()),
        format!("grant select, insert, update, delete on {own} to \"node\""),
        "grant select on sequence tierkeep_feed_lost to \"node\"".to_owned(),
    ]
}

fn ended(statement: &str) -> String {
    let statement = statement.trim_end();
    if statement.ends_with(';') { statement.to_owned() } else { format!("{statement};") }
}
