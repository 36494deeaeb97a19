use std::time::Duration;

use tierkeep_db::TableName;
use tierkeep_db::statistics::{
    Blocks, Index, IndexKey, IndexReading, QueryCounters, QueryKey, QuerySnapshot, ScanWindow, Scans, Timing, Upkeep,
};

use super::*;
use crate::doctor::GrowthByTable;

fn unknown<T>(command: Option<&str>) -> Examined<T> {
    Examined::NotExamined { why: "nobody looked".to_owned(), command: command.map(str::to_owned) }
}

fn healthy() -> Examination {
    Examination {
        dialect: Dialect::Postgres,
        statements: Examined::Found(snapshot(&[])),
        tables: Examined::Found(Vec::new()),
        growth: GrowthByTable::new(),
        indexes: IndexReading { indexes: Vec::new(), foreign_keys: Vec::new(), window: unknown(None) },
        own: Vec::new(),
        uptime: None,
        advice: None,
    }
}

fn snapshot(statements: &[(&str, u64, f64)]) -> QuerySnapshot {
    let counters = |(number, (text, calls, total_ms)): (usize, &(&str, u64, f64))| QueryCounters {
        key: QueryKey { user_id: 1, database_id: 1, query_id: number as i64, is_top_level: true },
        text: (*text).to_owned(),
        calls: *calls,
        plans: 0,
        rows: None,
        execution: Timing { total_ms: *total_ms, min_ms: 0.0, max_ms: *total_ms, stddev_ms: 0.0 },
        planning: Timing { total_ms: 0.0, min_ms: 0.0, max_ms: 0.0, stddev_ms: 0.0 },
        blocks: Blocks { shared_hit: 0, shared_read: 0, temp_read: 0, temp_written: 0 },
        since_us: None,
    };
    let queries = statements.iter().enumerate().map(counters).collect();
    QuerySnapshot { taken_us: 0, reset_us: None, evictions: Some(0), queries }
}

fn table(name: &str, live: u64, dead: u64, is_never_analysed: bool) -> TableStatistics {
    TableStatistics {
        table: TableName::new(None, name.parse().unwrap()),
        live: Examined::Found(Estimate(live)),
        dead: Examined::Found(Estimate(dead)),
        table_size: Examined::Found(Bytes(0)),
        index_size: Examined::Found(Bytes(0)),
        toast_size: Examined::Found(Bytes(0)),
        bloat: unknown(None),
        upkeep: Upkeep {
            vacuumed: Some(Duration::from_secs(60)),
            analysed: None,
            is_never_analysed,
            changed_since: Examined::Found(Estimate(0)),
            vacuum_ms: None,
        },
        full_scans: Examined::Found(0),
        index_scans: Examined::Found(0),
    }
}

fn told(examination: &Examination) -> Vec<(Urgency, String)> {
    examination.tasks().into_iter().map(|task| (task.urgency, task.command)).collect()
}

#[test]
fn a_healthy_database_asks_for_nothing() {
    let mut examination = healthy();
    examination.tables = Examined::Found(vec![table("small", 499, 400, true), table("busy", 1_000_000, 9_999, false)]);
    examination.statements = Examined::Found(snapshot(&[("select 1", 1_000_000, 99.0 * 1e6)]));

    assert_eq!(told(&examination), []);
}

#[test]
fn what_others_rest_on_comes_first_and_what_is_not_known_last() {
    let mut examination = healthy();
    examination.own = vec![OwnIndex {
        table: "study_sessions".to_owned(),
        name: "study_sessions_start".to_owned(),
        statement: "create index study_sessions_start on study_sessions (start_time)".to_owned(),
    }];
    examination.statements = Examined::Found(snapshot(&[
        ("select 'it''s'\n  from a where b = $1", 10, 1_500.0),
        ("select 2", 1, 200.0),
        ("select 3", 1_000, 99.0 * 1_000.0),
    ]));
    examination.tables = Examined::Found(vec![
        table("new", 500, 0, true),
        table("dead", 40_000, 10_000, true),
        table("live", 5, 0, false),
    ]);

    assert_eq!(
        told(&examination),
        [
            (
                Urgency::Broken,
                "create index concurrently study_sessions_start on study_sessions (start_time)".to_owned()
            ),
            (
                Urgency::SlowQuery,
                r"tierkeep doctor explain 'select '\''it'\'''\''s'\'' from a where b = $1'".to_owned()
            ),
            (Urgency::SlowQuery, "tierkeep doctor explain 'select 2'".to_owned()),
            (Urgency::Upkeep, "vacuum (analyze) \"dead\"".to_owned()),
            (Urgency::Upkeep, "analyze \"new\"".to_owned()),
        ]
    );
}

#[test]
fn what_was_not_looked_at_is_no_empty_list() {
    let mut examination = healthy();
    examination.statements = unknown(Some("create extension pg_stat_statements"));
    examination.tables =
        Examined::NotPermitted { needs: "pg_monitor".to_owned(), command: "grant pg_monitor to app".to_owned() };

    let commands: Vec<String> = told(&examination).into_iter().map(|(_, command)| command).collect();
    assert_eq!(commands, ["grant pg_monitor to app", "create extension pg_stat_statements"]);
    assert_eq!(examination.omissions().len(), 2);

    examination.statements = unknown(None);
    assert_eq!(told(&examination).len(), 1, "nothing can be done about what SQLite does not count");
    assert_eq!(examination.omissions().len(), 2, "it is told all the same");
}

#[test]
fn no_slow_statement_gets_a_command_that_refuses_it() {
    let mut examination = healthy();
    let texts = [
        "COMMIT",
        "analyze t",
        "insert into t select i from generate_series($1, $2) as i",
        "update t set a = $1 where b = $2",
        "select a from t -- which?\n where b = 'two  blanks'",
        "-- first\nselect \"a  b\"\n  from t",
        "select 'it''s'\n\n  from t",
        "select nothing that anybody understands from",
        "select a from t for update",
        "drop index concurrently i",
    ];
    let slow: Vec<(&str, u64, f64)> = texts.iter().enumerate().map(|(n, text)| (*text, 1, 999.0 - n as f64)).collect();
    examination.statements = Examined::Found(snapshot(&slow));

    let tasks = examination.tasks();

    let commands: Vec<&str> = tasks.iter().map(|task| task.command.as_str()).collect();
    assert_eq!(
        commands,
        [
            "tierkeep doctor indexes",
            "tierkeep doctor advise",
            "tierkeep doctor explain 'select a from t -- which?\n where b = '\\''two  blanks'\\'''",
            "tierkeep doctor explain 'select \"a  b\" from t'",
            r"tierkeep doctor explain 'select '\''it'\'''\''s'\'' from t'",
            "tierkeep doctor slow-queries",
            "tierkeep doctor advise",
        ]
    );
    assert!(tasks[0].what.ends_with(": insert into t select i from generate_series($1, $2) as i"), "{}", tasks[0].what);
    assert!(!tasks[2].what.contains("select"), "its command shows it");
}

#[test]
fn one_command_analyses_all_tables_of_a_file() {
    let mut examination = healthy();
    examination.dialect = Dialect::Sqlite;
    examination.tables = Examined::Found(vec![table("a", 500, 0, true), table("b", 9_000, 0, true)]);
    let [task] = examination.tasks().try_into().unwrap();
    assert_eq!(task.what, "b with 9000 rows and 1 other table: never analysed, so the planner guesses");

    examination.tables = Examined::Found(vec![table("a", 499, 0, true), table("b", 9_000, 0, false)]);
    assert_eq!(told(&examination), []);
}

/// An index that nobody has scanned.
fn idle(name: &str, bytes: u64) -> Index {
    Index {
        name: name.parse().unwrap(),
        table: "public.t".parse().unwrap(),
        method: "btree".to_owned(),
        keys: vec![IndexKey { expression: name.to_owned(), is_column: true, rules: "asc".to_owned() }],
        included: Vec::new(),
        predicate: None,
        definition: String::new(),
        roles: Vec::new(),
        is_unique: false,
        is_valid: true,
        is_in_progress: false,
        scans: Examined::Found(Scans { count: 0, last: None }),
        size: Examined::Found(Bytes(bytes)),
        expected_size: unknown(None),
    }
}

#[test]
fn unused_is_what_was_counted_for_a_week_and_is_large_and_not_our_own() {
    let (week, minute) = (Some(Duration::from_secs(7 * 24 * 3600)), Some(Duration::from_secs(60)));
    let mut examination = healthy();
    let own = |name: &str| OwnIndex { table: "t".to_owned(), name: name.to_owned(), statement: String::new() };
    examination.own = vec![own("ours")];
    examination.indexes.indexes = vec![
        idle("public.large", 1 << 20),
        idle("public.small", (1 << 20) - 1),
        idle("public.ours", 1 << 30),
        idle("public.tierkeep_any", 1 << 30),
    ];
    let mut unused = |since_reset, uptime| -> Vec<String> {
        let window = ScanWindow { since_reset, is_replica: false, replicas: 0 };
        examination.indexes.window = Examined::Found(window);
        examination.uptime = uptime;
        told(&examination).into_iter().map(|(_, command)| command).collect()
    };

    let dropped = ["drop index concurrently \"public\".\"large\""];
    assert_eq!(unused(week, minute), dropped);
    // a server whose counts were never reset does not say since when it counts
    assert_eq!(unused(None, week), dropped);
    for (since_reset, uptime) in [(minute, week), (None, minute), (None, None)] {
        assert_eq!(unused(since_reset, uptime), [""; 0], "an index made a moment ago has no scans either");
    }
}
