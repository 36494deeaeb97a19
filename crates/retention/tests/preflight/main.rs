//! What must be true of the tables before a run, on real databases: each refusal with the situation that earns it, what
//! helps, and the neighbour that is accepted.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod archives;
mod facts;
mod keeping;
mod partitions;
mod references;
mod rights;
mod sqlite;

use tierkeep_db::TableName;
use tierkeep_retention::preflight::{
    Conditions, Dependant, Finding, Findings, Intent, Move, OwnColumn, TableFacts, check,
};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

/// A live table and its archive, with which nothing is wrong.
const TABLES: &str = "
    create table live (id bigint primary key, owner bigint not null, start timestamptz not null, body text);
    create index live_start on live (start, id);
    create table archive (like live including defaults, archived_at timestamptz not null default now(),
        archived_by bigint, primary key (id));";

const OWN: [OwnColumn<'static>; 2] =
    [OwnColumn { name: "archived_at", declared: "timestamptz" }, OwnColumn { name: "archived_by", declared: "bigint" }];

const RUN: Conditions = Conditions { intent: Intent::Run, is_forced: false };

/// A database of its own with the tables, and what is wrong with them.
struct Platform {
    _database: TestDatabase,
    client: DatabaseClient,
}

impl Platform {
    async fn new(ddl: &str) -> Self {
        let database = PostgresServer::shared().await.unwrap().database().await.unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute(TABLES).await.unwrap();
        client.batch_execute(ddl).await.unwrap();
        Self { _database: database, client }
    }

    async fn facts(&self, name: &str) -> TableFacts {
        let name: TableName = name.parse().unwrap();
        TableFacts::read_postgres(&self.client, &name).await.unwrap().unwrap()
    }

    /// What is found of a move from `live` to `archive`, when rules know these dependants.
    async fn findings_with(&self, dependants: &[(&str, &str)], conditions: Conditions) -> Findings {
        let (live, archive) = (self.facts("live").await, self.facts("archive").await);
        let mut tables = Vec::new();
        for (table, column) in dependants {
            tables.push((self.facts(table).await, *column));
        }
        let dependants: Vec<Dependant<'_>> = tables.iter().map(|(table, column)| Dependant { table, column }).collect();
        check(&Move { dependants: &dependants, ..archiving(&live, &archive) }, conditions)
    }

    async fn findings(&self) -> Findings {
        self.findings_with(&[], RUN).await
    }
}

fn archiving<'a>(live: &'a TableFacts, archive: &'a TableFacts) -> Move<'a> {
    Move {
        from: live,
        to: Some(archive),
        keys: &["id"],
        own_columns: &OWN,
        dependants: &[],
        picks_by: &["start", "id"],
    }
}

/// Asserts that the tables are refused for this one reason, told in these words, until the remedy that is printed was
/// carried out.
async fn refused(fault: &str, code: &str, words: &[&str]) {
    let platform = Platform::new(fault).await;

    let remedy = only_refusal(&platform.findings().await, code, words);

    platform.client.batch_execute(&remedy).await.unwrap_or_else(|error| panic!("{remedy}: {error:?}"));
    let findings = platform.findings().await;
    assert!(!findings.is_refused(), "{remedy}: {findings:?}");
}

/// Asserts that nothing stands in the way.
async fn accepted(neighbour: &str) {
    let findings = Platform::new(neighbour).await.findings().await;

    assert!(findings.is_empty(), "{neighbour}: {findings:?}");
}

/// The remedy of the only refusal.
fn only_refusal(findings: &Findings, expected: &str, words: &[&str]) -> String {
    let refusals: Vec<&Finding> = findings.iter().filter(|finding| finding.is_refusal()).collect();
    let [Finding::Refusal { code, what, remedy }] = refusals.as_slice() else { panic!("{expected}: {findings:?}") };
    assert_eq!(code.as_str(), expected, "{what}");
    for word in words {
        assert!(what.contains(word), "{word} in: {what}");
    }
    remedy.clone()
}

/// The words of all findings.
fn codes(findings: &Findings) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code().as_str()).collect()
}

/// The refusals as they are told.
fn told(findings: Findings) -> String {
    findings.into_result().unwrap_err().to_string()
}

#[tokio::test]
async fn sound_tables_have_no_findings() {
    accepted("").await;
}
