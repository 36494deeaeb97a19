//! A platform that changes its tables while Tierkeep is attached: its migrations and its writes never fail, and no answer
//! is wrong.

use tierkeep_learning::store::{ArchivedRows, Basis, Store, StoreError, detach};

use super::super::rows::{ALL_DAYS, day};
use super::site::{BOTH, Platform, Site, settle};

/// A node that looks for changes, as it does all the time. Tells what is wrong.
async fn look(store: &dyn Store) -> Vec<String> {
    store.changes(0).await.unwrap().unwrap().broken
}

/// What a platform may do to a mapped column or table, how the platform writes then, and how it is undone.
struct Migration {
    change: String,
    write: String,
    undo: String,
}

async fn migrations(site: &Site) -> Vec<Migration> {
    let platform = site.platform;
    let (table, names, users) = (platform.sessions(), platform.names(), platform.users());
    // comes and goes, so that the numbers stay
    let write = |into: &str, names: &str, known: &str| {
        let id = names.split(", ").next().unwrap();
        format!(
            "insert into {into} ({names}) select {known} from spare; delete from {into} where {id} in (select id from spare)"
        )
    };
    let mut all = Vec::new();
    for column in names.split(", ") {
        let renamed = names.replacen(column, "moved_on", 1);
        let renamed = if column == "id" { renamed } else { replaced(names, column, Some("moved_on")) };
        all.push(Migration {
            change: format!("alter table {table} rename column {column} to moved_on"),
            write: write(table, &renamed, names),
            undo: format!("alter table {table} rename column moved_on to {column}"),
        });
    }
    for column in names.split(", ").skip(1) {
        let kind = format!(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = '{table}'::regclass and attname = '{column}'"
        );
        let kind = site.outside.texts(&kind).await.remove(0);
        let others = replaced(names, column, None);
        all.push(Migration {
            change: format!("create table kept as select * from {table}; alter table {table} drop column {column}"),
            write: write(table, &others, &others),
            undo: format!(
                "alter table {table} add column {column} {kind}; \
                 update {table} t set {column} = k.{column} from kept k where k.id = t.id; drop table kept"
            ),
        });
    }
    let [_, start, minutes] = platform.columns();
    for (column, kind) in [(start, "timestamptz"), (minutes, "integer")] {
        all.push(Migration {
            change: format!("alter table {table} alter column {column} type text"),
            write: write(table, names, names),
            undo: format!("alter table {table} alter column {column} type {kind} using {column}::{kind}"),
        });
    }
    all.push(Migration {
        change: format!("alter table {table} rename to elsewhere"),
        write: write("elsewhere", names, names),
        undo: format!("alter table elsewhere rename to {table}"),
    });
    all.push(Migration {
        change: format!("alter table {users} rename to people"),
        write: "update people set is_active = is_active".to_owned(),
        undo: format!("alter table people rename to {users}"),
    });
    all
}

/// A list of names with another in the place of one, or with none.
fn replaced(names: &str, column: &str, by: Option<&str>) -> String {
    let name = |name| if name == column { by } else { Some(name) };
    names.split(", ").filter_map(name).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn migrations_and_writes_of_the_platform_pass_and_no_answer_is_wrong() {
    for platform in BOTH {
        let site = Site::attached(platform).await;
        let table = platform.sessions();
        let spare = platform.insert("spare", &[platform.row(900, 1, "2025-06-20T12:00:00Z", 9)]);
        site.run(&format!("create table spare as select * from {table} limit 0; {spare}")).await;
        if platform == Platform::Guide {
            // a text is compared with nothing
            site.run(
                "alter table study_sessions drop constraint study_sessions_duration_minutes_check, \
                 drop constraint study_sessions_end_time_after_start",
            )
            .await;
        }
        let store = site.store().await;
        settle(&*store).await;
        look(&*store).await;

        for Migration { change, write, undo } in migrations(&site).await {
            site.run(&change).await;
            site.run(&write).await;
            let broken = look(&*store).await;
            assert!(!broken.is_empty(), "{change}");
            assert!(store.check().await.is_ok());
            let error = match store.learner_days(&site.users(), ALL_DAYS).await {
                Ok(_) => panic!("{change}: answered all the same"),
                Err(error) => error,
            };
            let why = error.misfit().unwrap_or_else(|| panic!("{change}: {error}"));
            assert!(why.contains("tierkeep attach"), "{why}");
            site.run(&undo).await;
            assert_eq!(look(&*store).await, Vec::<String>::new(), "{undo}");
            site.compare(&*store, &undo).await;
        }
    }
}

/// Values that change with the type of their column, and are noted by no trigger.
#[tokio::test]
async fn a_column_that_is_rewritten_changes_the_numbers() {
    for platform in BOTH {
        let mut site = Site::attached(platform).await;
        let store = site.store().await;
        settle(&*store).await;
        look(&*store).await;
        let known = store.changes(0).await.unwrap().unwrap().position;
        let (table, [.., minutes]) = (platform.sessions(), platform.columns());

        for (rewritten, factor) in [("bigint", 2), ("bigint", 1), ("smallint", 3)] {
            site.run(&format!(
                "alter table {table} alter column {minutes} type {rewritten} using {minutes} * {factor}"
            ))
            .await;
            site.model.live.values_mut().for_each(|row| row.duration_minutes *= factor);
            let told = store.changes(known).await.unwrap().unwrap();
            assert!(told.everybody.is_some() && told.broken.is_empty(), "{told:?}");
            site.compare(&*store, rewritten).await;
            settle(&*store).await;
            site.compare(&*store, &format!("{rewritten}, settled")).await;
        }
        // a column of no concern is no event
        let known = store.changes(0).await.unwrap().unwrap().position;
        site.run(&format!("alter table {table} add column mood text default 'fine'")).await;
        assert_eq!(store.changes(known).await.unwrap().unwrap().position, known);
        let days = store.learner_days(&site.users()[..1], ALL_DAYS).await.unwrap().remove(0).unwrap();
        assert_eq!(days.clock.basis, Basis::Summaries);
    }
}

/// Before the node has looked: a statement that was prepared for the old type.
#[tokio::test]
async fn statements_of_an_old_schema_heal_by_themselves() {
    let mut site = Site::attached(Platform::Django).await;
    let store = site.store().await;
    settle(&*store).await;
    let user = site.users()[0];
    for n in 0..3 {
        // on several connections
        tokio::join!(store.sessions(user, None, 5), store.sessions(user, None, 5)).0.unwrap();
        store.users(None, 5).await.unwrap();
        let to = ["bigint", "integer", "smallint"][n];
        site.run(&format!("alter table study_studysession alter column minutes type {to}")).await;
        site.run(&format!("alter table auth_user alter column username type varchar({})", 160 + n)).await;
        site.insert(&[Platform::Django.row(1 + u32::try_from(n).unwrap(), 1, "2025-06-27T12:00:00Z", 30)]).await;

        let listed = store.sessions(user, None, 50).await.unwrap().unwrap();
        assert_eq!(listed.len(), 5 + n);
        store.users(None, 5).await.unwrap();
        site.compare(&*store, to).await;
    }
}

#[tokio::test]
async fn a_platform_can_drop_its_tables_and_detaching_cleans_up() {
    for platform in BOTH {
        let site = Site::attached(platform).await;
        let store = site.store().await;
        settle(&*store).await;
        site.run(&format!("drop table {} cascade", platform.sessions())).await;

        let broken = look(&*store).await;
        assert!(broken.iter().any(|why| why.contains("there is no table")), "{broken:?}");
        let error = store.global_totals(day("2025-06-28")).await.unwrap_err();
        assert!(error.misfit().is_some(), "{error}");
        assert!(matches!(site.attach().await, Err(StoreError::Attaching(why)) if why.contains("there is no table")));
        detach(&site.fresh.url, &site.options().open, ArchivedRows::Refuse).await.unwrap();
        assert!(site.catalog().await.iter().all(|line| !line.contains("tierkeep") && !line.contains("archive")));
    }
}
