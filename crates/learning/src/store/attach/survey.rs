//! What is there before anything is touched, and whether Tierkeep can be attached to it.

use tierkeep_db::feed::Feed;
use tierkeep_db::{CatalogColumn, Dialect, TableName, applied_version_postgres, columns_postgres};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::super::checks::{check_days, refuse_newer};
use super::super::feed::feed;
use super::super::open::{mapped_postgres, rules};
use super::super::statements::{Learners, Statements};
use super::AttachOptions;
use super::archive::is_ours;
use crate::key::KeyType;
use crate::mapping::{Mapping, Source};
use crate::store::StoreError;

/// A platform's database, as far as attaching is concerned. Names of tables are quoted.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) keys: KeyType,
    pub(super) role: String,
    /// The platform's three tables.
    pub(super) tables: Vec<String>,
    pub(super) sessions: Vec<CatalogColumn>,
    /// The archive's columns, if it is there.
    pub(super) archive: Option<Vec<CatalogColumn>>,
    /// What it was attached with before.
    pub(super) before: Option<Mapping>,
    /// Whether days are stored already.
    pub(super) has_days: bool,
    pub(super) feed: Feed,
    /// Whether nothing is to be done on the platform's tables.
    pub(super) is_installed: bool,
    /// What the role may not do, and what helps.
    missing_rights: Vec<String>,
}

/// What stands in `tierkeep_state`.
struct State {
    mapping: Option<Mapping>,
    has_days: bool,
}

impl Survey {
    /// Looks, and refuses what cannot be attached to.
    pub(super) async fn take(db: &Client, options: &AttachOptions) -> Result<Self, StoreError> {
        let mapping = &options.open.mapping;
        mapping.check()?;
        if mapping.is_own() {
            return refuse(
                "[mapping] names no tables of a platform, and tierkeep's own need no attaching: choose a preset, or \
                 name the tables and columns",
            );
        }
        let environment = environment(db, mapping).await?;
        if environment.try_get("is_replica")? {
            return refuse("this server is a replica, and triggers are made on the primary: give the address of that");
        }
        if environment.try_get("is_read_only")? {
            return refuse("transactions are read-only here (default_transaction_read_only), and attaching writes");
        }
        let Some(schema) = environment.try_get::<_, Option<String>>("schema")? else {
            return refuse("no schema of the search path exists, so there is no place for tierkeep's tables");
        };
        let tables: Vec<String> = Source::ALL.iter().map(|source| mapping.table(*source).quoted()).collect();
        if tables.contains(&mapping.archive().quoted()) {
            return refuse(&format!(
                "[mapping] archive is {}, which is one of the platform's tables: name one that does not exist",
                mapping.archive().quoted()
            ));
        }
        let facts = db.query_typed(include_str!("catalog/tables.sql"), &[(&tables, Type::TEXT_ARRAY)]).await?;
        for (source, row) in Source::ALL.iter().zip(&facts) {
            check_kind(*source, row)?;
        }
        let before = before(db, &environment, options).await?;
        let found = mapped_postgres(db, mapping, false).await.map_err(refusal)?;
        check_types(db, found.keys, &found.prefix).await?;
        let archive = check_archive(db, &environment, mapping, before.as_ref()).await?;
        if !found.has_zones && !options.is_zone_chosen {
            return refuse(
                "the platform has no column of time zones, so the zone of all its learners must be chosen: set \
                 time_zone in [days] of the configuration, or name the column in [mapping.users] time_zone",
            );
        }
        let feed = feed(found.keys, mapping, found.has_zones)?;
        let has_days = before.as_ref().is_some_and(|state| state.has_days);
        let before = before.and_then(|state| state.mapping);
        if before.is_some() {
            check_keys(db, found.keys).await?;
        }
        let is_installed = before.is_some() && feed.is_installed_postgres(db).await?;
        let sessions = columns_postgres(db, &mapping.table(Source::StudySessions)).await?.unwrap_or_default();
        Ok(Self {
            keys: found.keys,
            role: environment.try_get("role")?,
            missing_rights: missing_rights(&environment, &schema, &facts)?,
            tables,
            sessions,
            archive,
            before,
            has_days,
            feed,
            is_installed,
        })
    }

    pub(super) fn is_mapping_changed(&self, mapping: &Mapping) -> bool {
        self.before.as_ref().is_some_and(|before| before != mapping)
    }

    pub(super) fn check_rights(&self) -> Result<(), StoreError> {
        if self.missing_rights.is_empty() {
            return Ok(());
        }
        refuse(&format!(
            "the role {:?} may not attach: {}. Or let whoever may run what `tierkeep attach --print-sql` prints",
            self.role,
            self.missing_rights.join("; ")
        ))
    }
}

pub(super) fn refuse<T>(why: &str) -> Result<T, StoreError> {
    Err(StoreError::Attaching(why.to_owned()))
}

/// A mapping that does not fit is a reason not to attach.
fn refusal(error: StoreError) -> StoreError {
    match error {
        StoreError::Mapping(why) => StoreError::Attaching(why),
        other => other,
    }
}

async fn environment(db: &Client, mapping: &Mapping) -> Result<Row, StoreError> {
    let archive = mapping.archive();
    let schema = archive.schema().map(tierkeep_db::Ident::as_str);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&archive.quoted(), Type::TEXT), (&schema, Type::TEXT)];
    Ok(db.query_typed_one(include_str!("catalog/environment.sql"), &parameters).await?)
}

fn check_kind(source: Source, row: &Row) -> Result<(), StoreError> {
    let name: &str = row.try_get("name")?;
    let kind = match row.try_get::<_, Option<&str>>("kind")? {
        None => {
            return refuse(&format!(
                "there is no table {name} for {source}; name the platform's in [mapping.{source}]"
            ));
        }
        Some("r" | "p") if row.try_get("is_temporary")? => "temporary table",
        Some("r" | "p") => {
            return match row.try_get::<_, Option<&str>>("other_schema")? {
                None => Ok(()),
                Some(schema) => refuse(&format!(
                    "another installation of tierkeep, whose tables are in the schema {schema:?}, is attached to {name}: \
                     detach it, or put its schema first in the search path to work with that one"
                )),
            };
        }
        Some("v") => "view",
        Some("m") => "materialized view",
        Some("f") => "foreign table",
        Some(_) => "relation of another kind",
    };
    refuse(&format!(
        "{name} is a {kind}, and triggers see the writes of tables only: name the table in [mapping.{source}]"
    ))
}

fn missing_rights(environment: &Row, schema: &str, facts: &[Row]) -> Result<Vec<String>, StoreError> {
    let role: &str = environment.try_get("role")?;
    let mut missing = Vec::new();
    for row in facts {
        let (name, owner): (&str, &str) = (row.try_get("name")?, row.try_get("owner")?);
        if !row.try_get::<_, bool>("is_owner")? {
            missing.push(format!(
                "{name} belongs to {owner:?}, and the triggers of a table are its owner's (`grant \"{owner}\" to \"{role}\"`)"
            ));
        } else if !row.try_get::<_, bool>("may_read")? {
            missing.push(format!("it may not read {name} (`grant select on {name} to \"{role}\"`)"));
        }
    }
    if !environment.try_get::<_, bool>("may_create")? {
        missing.push(format!(
            "it may not make tables in the schema {schema:?} (`grant create on schema \"{schema}\" to \"{role}\"`)"
        ));
    }
    let archive: &str = environment.try_get("archive_schema")?;
    if archive != schema && !environment.try_get::<_, bool>("may_create_archive")? {
        missing.push(format!(
            "it may not make the archive in the schema {archive:?}, which must exist \
             (`grant create on schema \"{archive}\" to \"{role}\"`)"
        ));
    }
    Ok(missing)
}

/// What is attached already; `None` if nothing of ours is there.
async fn before(db: &Client, environment: &Row, options: &AttachOptions) -> Result<Option<State>, StoreError> {
    let ours: Vec<String> = environment.try_get("ours")?;
    if ours.is_empty() {
        return Ok(None);
    }
    let version = if environment.try_get("is_migrated")? { applied_version_postgres(db).await? } else { None };
    let Some(version) = version else {
        return refuse(&format!(
            "there are {} already, which tierkeep did not make: rename them, or give tierkeep a schema of its own with \
             `?options=-csearch_path%3Dtierkeep,public` in the address",
            ours.join(", ")
        ));
    };
    refuse_newer(version)?;
    // whatever the version, whether it has the column or not
    let state = "select to_jsonb(s) ->> 'mapping', s.time_zone, s.day_start from tierkeep_state as s";
    let state = db.query_typed_one(state, &[]).await?;
    let Some(mapping) = state.try_get::<_, Option<&str>>(0)? else {
        return refuse("this database has tierkeep's own tables, which are not a platform's: use `tierkeep migrate`");
    };
    check_days(state.try_get(1)?, state.try_get(2)?, &rules(&options.open))?;
    Ok(Some(State {
        mapping: Some(stored_mapping(mapping)?),
        has_days: state.try_get::<_, Option<&str>>(1)?.is_some(),
    }))
}

pub(super) fn stored_mapping(text: &str) -> Result<Mapping, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::State { reason: format!("its mapping: {error}") })
}

async fn check_keys(db: &Client, found: KeyType) -> Result<(), StoreError> {
    let row = db.query_typed_one("select key_type from tierkeep_state", &[]).await?;
    let stored: &str = row.try_get(0)?;
    if stored == found.to_string() {
        return Ok(());
    }
    refuse(&format!(
        "it is attached with ids of type {stored}, and those of this [mapping] are of type {found}: run `tierkeep detach` \
         before"
    ))
}

/// Whether every mapped column can be read as what it stands for: the server looks at the statements, and runs none.
async fn check_types(db: &Client, keys: KeyType, prefix: &[String]) -> Result<(), StoreError> {
    let sql = Statements::render(Dialect::Postgres, keys, Learners::Many, prefix)
        .map_err(|error| StoreError::Attaching(error.to_string()))?;
    for statement in [&sql.users_first_page, &sql.course_rows, &sql.session_rows, &sql.sessions_first_page] {
        if let Err(error) = db.prepare(statement).await {
            let locked = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
            let Some(refused) = error.as_db_error().filter(|_| !locked) else { return Err(error.into()) };
            return refuse(&format!(
                "a column that [mapping] names cannot be read as what it stands for: {}",
                refused.message()
            ));
        }
    }
    Ok(())
}

/// The columns of the archive that is there, if any and if it is ours.
async fn check_archive(
    db: &Client,
    environment: &Row,
    mapping: &Mapping,
    before: Option<&State>,
) -> Result<Option<Vec<CatalogColumn>>, StoreError> {
    let archive = mapping.archive();
    let is_there: bool = environment.try_get("has_archive")?;
    if is_there && !is_ours(environment.try_get("archive_comment")?) {
        return refuse(&format!(
            "{} exists and tierkeep did not make it: name another table for archived sessions, as archive = \"…\" in \
             [mapping]",
            archive.quoted()
        ));
    }
    if is_there && !environment.try_get::<_, Option<bool>>("is_archive_usable")?.unwrap_or(false) {
        return refuse(&format!("{} is no table of this role's, though it is marked as tierkeep's", archive.quoted()));
    }
    let former = before.and_then(|state| state.mapping.as_ref()).map(Mapping::archive);
    if let Some(former) = former.filter(|former| *former != archive)
        && holds_rows(db, &former).await?
    {
        return refuse(&format!(
            "{} holds archived sessions, and [mapping] now names {} for them: keep the name, or detach with \
             --restore-all before",
            former.quoted(),
            archive.quoted()
        ));
    }
    Ok(columns_postgres(db, &archive).await?)
}

/// Whether a table is there and has a row.
pub(super) async fn holds_rows(db: &Client, table: &TableName) -> Result<bool, StoreError> {
    if columns_postgres(db, table).await?.is_none() {
        return Ok(false);
    }
    let row = db.query_typed_one(&include_str!("catalog/any_row.sql").replace("{table}", &table.quoted()), &[]).await?;
    Ok(row.try_get(0)?)
}
