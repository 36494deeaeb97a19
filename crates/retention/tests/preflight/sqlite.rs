//! The same on SQLite, with what is its own: affinities, row numbers, keys that nobody enforces.

use rusqlite::{Connection, OpenFlags};
use tierkeep_db::{TableName, columns_sqlite};
use tierkeep_retention::preflight::{
    Conditions, Dependant, Findings, Generated, Intent, Move, OwnColumn, ServerFacts, TableFacts, TableKind,
    TriggerTime, check, check_server,
};
use tierkeep_testkit::SqliteFile;

use crate::{RUN, archiving, codes, only_refusal};

/// A live table and its archive, with which nothing is wrong.
const TABLES: &str = "
    create table live (id integer primary key, owner integer not null, start integer not null, body text);
    create index live_start on live (start, id);
    create table archive (id integer primary key, owner integer not null, start integer not null, body text,
        archived_at integer not null default 0, archived_by integer);";

const OWN: [OwnColumn<'static>; 2] =
    [OwnColumn { name: "archived_at", declared: "integer" }, OwnColumn { name: "archived_by", declared: "integer" }];

fn database(ddl: &str) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(ddl).unwrap_or_else(|error| panic!("{ddl}: {error}"));
    db
}

fn with_tables(ddl: &str) -> Connection {
    let db = database(TABLES);
    db.execute_batch(ddl).unwrap();
    db
}

fn facts(db: &Connection, name: &str) -> TableFacts {
    let name: TableName = name.parse().unwrap();
    TableFacts::read_sqlite(db, &name).unwrap().unwrap()
}

fn findings_with(db: &Connection, dependants: &[(&str, &str)], conditions: Conditions) -> Findings {
    let (live, archive) = (facts(db, "live"), facts(db, "archive"));
    let tables: Vec<_> = dependants.iter().map(|(table, column)| (facts(db, table), *column)).collect();
    let dependants: Vec<Dependant<'_>> = tables.iter().map(|(table, column)| Dependant { table, column }).collect();
    check(&Move { dependants: &dependants, own_columns: &OWN, ..archiving(&live, &archive) }, conditions)
}

fn findings(db: &Connection) -> Findings {
    findings_with(db, &[], RUN)
}

/// Findings of a live table and an archive with these columns beside the key.
fn of_columns(live: &str, archive: &str) -> Findings {
    let own = "archived_at integer not null default 0, archived_by integer";
    let (live, live_end) = live.split_once('|').unwrap_or((live, ""));
    let (archive, archive_end) = archive.split_once('|').unwrap_or((archive, ""));
    findings(&database(&format!(
        "create table live (id integer primary key, start integer not null, {live}) {live_end};
         create index live_start on live (start);
         create table archive (id integer primary key, start integer not null, {own}, {archive}) {archive_end};"
    )))
}

#[test]
fn sound_tables_have_no_findings() {
    assert!(findings(&with_tables("")).is_empty());
    let strict = with_tables("").query_row("select group_concat(sql, ';') from sqlite_schema", [], |row| row.get(0));
    let strict: String = strict.unwrap();
    let strict = strict
        .replace("body text)", "body text) strict")
        .replace("archived_by integer)", "archived_by integer) strict");
    let db = database(&strict);
    assert_eq!(facts(&db, "live").kind, TableKind::Strict);
    assert!(findings(&db).is_empty());
    assert!(findings(&database(&strict.replace("strict", "without rowid"))).is_empty());
}

#[test]
fn archive_that_changes_or_refuses_values_is_refused_with_both_types() {
    let words = [r#""main"."archive" column "a""#, "is INTEGER", "is TEXT"];
    only_refusal(&of_columns("a text", "a integer"), "type_loses", &words);

    for (live, archive) in [
        ("a integer", "a real"),
        ("a", "a text"),
        ("a integer", "a integer|strict"),
        ("a any|strict", "a text|strict"),
        ("a datetime", "a text"),
    ] {
        assert_eq!(codes(&of_columns(live, archive)).first(), Some(&"type_loses"), "{live} in {archive}");
    }
}

#[test]
fn columns_with_the_same_effect_on_values_are_accepted() {
    for (live, archive) in [
        ("a varchar(80)", "a text"),
        ("a bigint", "a integer"),
        ("a text|strict", "a text"),
        ("a", "A blob"),
        ("a any|strict", "a blob"),
    ] {
        let archive = if live.ends_with("strict") { format!("{archive}|") } else { archive.to_owned() };
        let findings = of_columns(live, &archive);
        assert!(findings.is_empty(), "{live} in {archive}: {findings:?}");
    }
}

#[test]
fn columns_the_archive_lacks_come_with_statements_that_keep_values() {
    for (live, end) in [("a varchar(9), \"b \"\"c\", d any", ""), ("a text, \"b \"\"c\" any, d int", "strict")] {
        for archive_end in ["", "strict"] {
            let live_is_plain = end.is_empty();
            if live_is_plain && archive_end == "strict" {
                // Row numbers and times of an ordinary table may be texts.
                continue;
            }
            let db = database(&format!(
                "create table live (id integer primary key, start integer not null, {live}) {end};
                 create index live_start on live (start);
                 create table archive (id integer primary key, start integer not null) {archive_end};"
            ));

            let missing = findings(&db);

            assert_eq!(codes(&missing), ["missing_column"; 5], "{live} {end}");
            for statement in missing.additions() {
                db.execute_batch(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            let rest = findings(&db);
            assert!(rest.is_empty(), "{live} {end} {archive_end}: {rest:?}");
        }
    }
}

#[test]
fn archive_that_demands_or_makes_values_or_checks_them_is_refused() {
    for (live, archive, code) in [
        ("a text", "a text not null", "value_demanded"),
        ("a text", "a text, b text not null", "value_demanded"),
        ("a text", "a text generated always as ('x')", "value_made"),
        ("a text", "a text check (length(a) > 3)", "archive_check"),
        ("a text", "a text, unique (a)", "archive_unique"),
        ("a text", "a text references others", "archive_reference"),
    ] {
        only_refusal(&of_columns(live, archive), code, &["\"main\".\"archive\""]);
    }
    for (live, archive) in [
        ("a text not null", "a text not null"),
        ("a text", "a text, b text, c text not null default ''"),
        ("a text CHECK(length(a)>3)", "a text check (LENGTH(a) > 3)"),
        ("a text", "a text, unique (a, id)"),
        ("a text references others", "a text references others"),
    ] {
        let findings = of_columns(live, archive);
        assert!(findings.is_empty(), "{live} in {archive}: {findings:?}");
    }
}

#[test]
fn key_is_a_row_number_a_primary_key_or_a_unique_index_of_values() {
    let of_key = |key: &str, index: &str| {
        let db = database(&format!(
            "create table live ({key}, start integer); create index live_start on live (start); {index};
             create table archive (id integer primary key not null, start integer, archived_at, archived_by)"
        ));
        codes(&findings(&db)).contains(&"no_key")
    };

    assert!(!of_key("id integer primary key", ""));
    assert!(!of_key("id integer not null", "create unique index u on live (id)"));
    assert!(of_key("id integer", "create unique index u on live (id)"), "nulls are equal to nothing");
    assert!(of_key("id integer not null", ""));
    assert!(of_key("id integer not null", "create unique index u on live (id) where start > 0"));
    assert!(of_key("id int primary key", ""), "such a key may be null on SQLite");
}

#[test]
fn foreign_keys_of_all_tables_are_found_though_nobody_enforces_them() {
    let db = with_tables(
        "create table \"re. Marks\" (\"of \"\"row\" integer references LIVE on delete cascade);
         create table others (a integer references archive)",
    );

    let words = [r#""main"."re. Marks" ("of ""row")"#, "on delete cascade", "be nowhere"];
    only_refusal(&findings(&db), "undeclared_reference", &words);
    let declared = [(r#""re. Marks""#, "of \"row")];
    let remedy = only_refusal(&findings_with(&db, &declared, RUN), "unindexed_reference", &[]);
    db.execute_batch(&remedy).unwrap();
    assert!(findings_with(&db, &declared, RUN).is_empty());
    let key = &facts(&db, "live").pointed_at_by[0];
    assert_eq!((key.parent_columns.as_slice(), key.is_indexed), (&["id".to_owned()][..], true));
}

#[test]
fn indexes_count_if_they_find_by_the_column() {
    for (index, is_enough) in [
        ("create index i on remarks (live_id, at)", true),
        ("create index i on remarks (LIVE_ID) where \"live_id\" is not null", true),
        ("create index i on remarks (at, live_id)", false),
        ("create index i on remarks (live_id) where at > 0", false),
        ("create index i on remarks (live_id + 0)", false),
    ] {
        let db = with_tables("create table remarks (id integer primary key, live_id integer, at integer)");
        db.execute_batch(index).unwrap();

        assert_eq!(findings_with(&db, &[("remarks", "live_id")], RUN).is_empty(), is_enough, "{index}");
    }
    let by_number = with_tables("create table remarks (live_id integer primary key)");
    assert!(findings_with(&by_number, &[("remarks", "live_id")], RUN).is_empty());
}

#[test]
fn triggers_of_others_are_told_and_the_feeds_are_not() {
    let db = with_tables(
        "create table log (a);
         create trigger \"On leave\" after delete on Live begin insert into log values (old.id); end;
         create trigger on_change update of body on live begin select 1; end;
         create trigger tierkeep_sessions_delete after delete on live begin select 1; end;
         create trigger arrival insert on archive begin select 1; end",
    );

    let found = findings(&db);

    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"rows that leave fire the trigger "On leave" of "main"."live" [trigger]"#,
            r#"rows that arrive fire the trigger "arrival" of "main"."archive" [trigger]"#,
        ]
    );
    assert_eq!(facts(&db, "archive").triggers[0].time, TriggerTime::Before);
}

#[test]
fn views_and_tables_of_modules_are_refused() {
    for ddl in ["create view live as select 1 as id", "create virtual table live using fts5(id, start)"] {
        let db = with_tables("drop table live");
        db.execute_batch(ddl).unwrap();

        assert_eq!(codes(&findings(&db)), ["not_a_table"], "{ddl}");
    }
}

#[test]
fn temporary_archive_is_refused_and_hides_the_one_of_the_file() {
    let db = with_tables("");
    db.execute_batch("create temp table archive as select * from main.archive").unwrap();

    assert_eq!(facts(&db, "archive").full_name(), r#""temp"."archive""#);
    assert!(codes(&findings(&db)).contains(&"volatile"));
    assert_eq!(facts(&db, "main.archive").full_name(), r#""main"."archive""#);
}

#[test]
fn names_are_found_in_attached_files_and_in_any_case() {
    let db = with_tables("attach ':memory:' as \"O \"\"ther\"");
    db.execute_batch(
        r#"create table "O ""ther"."T. b" ("A ""c" integer primary key, twice as ("A ""c" * 2) stored check (twice > 0));
           create index "O ""ther"."I. i" on "T. b" (twice) where twice > 1"#,
    )
    .unwrap();

    let found = facts(&db, r#""T. B""#);

    assert_eq!(found.full_name(), r#""O ""ther"."T. b""#);
    assert_eq!(found.columns[1].generated, Generated::Stored);
    assert_eq!(found.checks.len(), 1);
    assert_eq!(found.indexes[0].predicate.as_deref(), Some("twice > 1"));
    let nowhere: TableName = "nowhere".parse().unwrap();
    assert!(TableFacts::read_sqlite(&db, &nowhere).unwrap().is_none());
}

#[test]
fn columns_are_those_of_the_toolkits_catalog() {
    let db = with_tables("create table pair (a integer, b any, c text not null default 'x', primary key (a, b))");

    for table in ["live", "archive", "pair"] {
        let expected = columns_sqlite(&db, &table.parse().unwrap()).unwrap().unwrap();
        let found: Vec<_> = facts(&db, table)
            .columns
            .into_iter()
            .map(|column| (column.name, column.type_name, column.nullable))
            .collect();
        let expected: Vec<_> =
            expected.into_iter().map(|column| (column.name, column.type_name, column.nullable)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn rows_are_estimated_from_statistics_or_row_numbers() {
    let db = with_tables("create table pair (a integer primary key) without rowid; create view v as select 1 as a");
    let rows = |table: &str| facts(&db, table).estimated_rows;
    assert_eq!((rows("live"), rows("pair"), rows("v")), (Some(0), None, None));

    db.execute_batch(
        "with recursive n (n) as (values (11) union all select n + 1 from n where n < 510)
         insert into live select n, 1, n, null from n where n % 2 = 1 or n = 510",
    )
    .unwrap();
    assert_eq!(rows("live"), Some(500), "at most so many");

    db.execute_batch("analyze").unwrap();
    assert_eq!(rows("live"), Some(251));
}

#[test]
fn file_that_can_only_be_read_is_refused_and_may_be_previewed() {
    let file = SqliteFile::new().unwrap();
    Connection::open(file.path()).unwrap().execute_batch(TABLES).unwrap();
    let db = Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();

    let found = findings(&db);

    assert_eq!(codes(&found), ["read_only"; 2]);
    assert!(!findings_with(&db, &[], Conditions { intent: Intent::Preview, ..RUN }).is_refused());
    let server = ServerFacts::read_sqlite(&db).unwrap();
    only_refusal(&check_server(&server, Intent::Run), "read_only", &["can only be read"]);
    assert!(!check_server(&server, Intent::Preview).is_refused());
    // A reader's connection of the toolkit says nothing of the file.
    db.pragma_update(None, "query_only", true).unwrap();
    assert_eq!(ServerFacts::read_sqlite(&db).unwrap().read_only, None);
    assert!(findings(&db).is_empty());
}

#[test]
fn journal_that_cannot_undo_a_batch_is_refused() {
    let file = SqliteFile::new().unwrap();
    let db = Connection::open(file.path()).unwrap();
    let server = || ServerFacts::read_sqlite(&db).unwrap();
    let set = |mode: &str| db.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
    db.execute_batch("create table t (a)").unwrap();

    assert!(check_server(&server(), Intent::Run).is_empty());
    assert!(server().clock > "2024-01-01T00:00:00Z".parse().unwrap());
    set("memory");
    assert_eq!(codes(&check_server(&server(), Intent::Run)), ["durability"]);
    assert!(!check_server(&server(), Intent::Run).is_refused());
    set("off");
    only_refusal(&check_server(&server(), Intent::Run), "durability", &["could not be undone"]);
    set("wal");
    db.pragma_update(None, "synchronous", "off").unwrap();
    assert_eq!(codes(&check_server(&server(), Intent::Run)), ["durability"]);
}
