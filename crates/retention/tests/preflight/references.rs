//! What points at the rows, and what finds them.

use tierkeep_retention::preflight::{Conditions, Finding, check};

use crate::{Platform, RUN, accepted, archiving, codes, only_refusal, told};

#[tokio::test]
async fn foreign_key_that_no_rule_knows_is_refused_with_what_it_would_do() {
    for (action, harm) in [
        ("", "would stop the run"),
        ("on delete cascade", "be nowhere"),
        ("on delete set null", "would lose what they refer to"),
    ] {
        let platform = Platform::new(&format!(
            "create schema \"Other one\"; create table \"Other one\".\"re.marks\" (\"of \"\"row\" bigint
                 constraint \"My key\" references live {action});
             create index on \"Other one\".\"re.marks\" (\"of \"\"row\")"
        ))
        .await;

        let words = [r#""Other one"."re.marks" ("of ""row")"#, r#""My key""#, action, harm];
        only_refusal(&platform.findings().await, "undeclared_reference", &words);
        let name = r#""Other one"."re.marks""#;
        let declared = platform.findings_with(&[(name, "of \"row")], RUN).await;
        assert!(declared.is_empty(), "{declared:?}");
    }
}

#[tokio::test]
async fn reference_of_a_table_to_itself_must_be_declared_too() {
    let platform = Platform::new(
        "alter table live add parent bigint references live; create index on live (parent);
         alter table archive add parent bigint",
    )
    .await;

    assert_eq!(codes(&platform.findings().await), ["undeclared_reference"]);
    assert!(platform.findings_with(&[("live", "parent")], RUN).await.is_empty());
}

/// Findings about `remarks`, whose column no foreign key names.
async fn with_remarks(ddl: &str) -> (Platform, Vec<&'static str>) {
    let table = "create table remarks (id bigint primary key, live_id bigint, at timestamptz);";
    let platform = Platform::new(&format!("{table} {ddl}")).await;
    let found = codes(&platform.findings_with(&[("remarks", "live_id")], RUN).await);
    (platform, found)
}

#[tokio::test]
async fn dependant_without_an_index_is_refused_until_the_printed_statement_ran() {
    let (platform, _) = with_remarks("").await;
    let findings = platform.findings_with(&[("remarks", "live_id")], RUN).await;

    let remedy = only_refusal(&findings, "unindexed_reference", &[r#""public"."remarks""#, r#""live_id""#]);

    assert_eq!(remedy, r#"create index concurrently "remarks_live_id_idx" on "public"."remarks" ("live_id")"#);
    platform.client.batch_execute(&remedy).await.unwrap();
    assert!(platform.findings_with(&[("remarks", "live_id")], RUN).await.is_empty());
}

#[tokio::test]
async fn indexes_count_if_they_find_by_the_column() {
    for (index, is_enough) in [
        ("create index on remarks (live_id, at)", true),
        ("create index on remarks using hash (live_id)", true),
        ("create index on remarks (live_id) where live_id is not null", true),
        ("create index on remarks (at, live_id)", false),
        ("create index on remarks (at) include (live_id)", false),
        ("create index on remarks (live_id) where at > '2020-01-01'", false),
        ("create index on remarks (live_id) where live_id is not null and at is not null", false),
        ("create index on remarks using brin (live_id)", false),
        ("create index on remarks ((live_id + 0))", false),
    ] {
        let (_, found) = with_remarks(index).await;

        assert_eq!(found.is_empty(), is_enough, "{index}: {found:?}");
    }
}

#[tokio::test]
async fn index_that_an_interruption_left_unusable_is_to_be_built_again() {
    let (platform, _) = with_remarks("insert into remarks values (1, 1), (2, 1)").await;
    // Fails on the equal values and leaves the index behind.
    platform.client.batch_execute("create unique index concurrently leftover on remarks (live_id)").await.unwrap_err();
    let findings = platform.findings_with(&[("remarks", "live_id")], RUN).await;

    let remedy = only_refusal(&findings, "unindexed_reference", &[]);

    assert_eq!(remedy, r#"reindex index concurrently "public"."leftover""#);
    platform.client.batch_execute("delete from remarks where id = 2").await.unwrap();
    platform.client.batch_execute(&remedy).await.unwrap();
    assert!(platform.findings_with(&[("remarks", "live_id")], RUN).await.is_empty());
}

#[tokio::test]
async fn printed_index_of_a_long_or_taken_name_can_be_made() {
    let name = "ü".repeat(31);
    let platform = Platform::new(&format!(
        "create table \"{name}\" (a bigint, b bigint) partition by range (a);
         create table remarks (id bigint, live_id bigint); create index remarks_live_id_idx on remarks (id)"
    ))
    .await;

    for (table, column) in [(name.as_str(), "b"), ("remarks", "live_id")] {
        let findings = platform.findings_with(&[(table, column)], RUN).await;
        let remedy = only_refusal(&findings, "unindexed_reference", &[]);
        platform.client.batch_execute(&remedy).await.unwrap_or_else(|error| panic!("{remedy}: {error:?}"));
        assert!(platform.findings_with(&[(table, column)], RUN).await.is_empty(), "{remedy}");
    }
}

#[tokio::test]
async fn foreign_key_onto_one_partition_is_found_too() {
    let platform = Platform::new(
        "create table parts (id bigint primary key) partition by range (id);
         create table part partition of parts for values from (0) to (9);
         create table whole (a bigint references parts); create table one (b bigint references part)",
    )
    .await;

    let facts = platform.facts("parts").await;

    let children: Vec<&str> = facts.pointed_at_by.iter().map(|key| key.child.as_str()).collect();
    assert_eq!(children, [r#""public"."one""#, r#""public"."whole""#]);
}

#[tokio::test]
async fn pick_without_an_index_is_told_and_refused_if_the_table_is_large() {
    let platform = Platform::new("drop index live_start; create index on live (owner, start)").await;
    let (live, archive) = (platform.facts("live").await, platform.facts("archive").await);
    let with_rows = |rows| {
        let live = tierkeep_retention::preflight::TableFacts { estimated_rows: rows, ..live.clone() };
        let is_refused = |is_forced| {
            let findings = check(&archiving(&live, &archive), Conditions { is_forced, ..RUN });
            assert_eq!(codes(&findings), ["unindexed_pick"]);
            findings.is_refused()
        };
        (is_refused(false), is_refused(true))
    };

    assert_eq!(with_rows(Some(1_000_000)), (false, false));
    assert_eq!(with_rows(Some(1_000_001)), (true, false));
    assert_eq!(with_rows(None), (false, false), "its bytes say that it is small");
}

#[tokio::test]
async fn pick_is_served_by_an_index_that_leads_with_the_first_column() {
    accepted("drop index live_start; create index on live (start desc, owner)").await;
    for index in ["create index on live (start) where owner > 0", "create index on live using brin (start)"] {
        let findings = Platform::new(&format!("drop index live_start; {index}")).await.findings().await;

        assert_eq!(codes(&findings), ["unindexed_pick"], "{index}");
    }
}

#[tokio::test]
async fn triggers_of_others_are_told_and_the_feeds_are_not() {
    let platform = Platform::new(
        "create function \"Watch\"() returns trigger language plpgsql as 'begin return old; end';
         create function tierkeep_note_live() returns trigger language plpgsql as 'begin return null; end';
         create trigger \"On leave\" before delete on live for each row execute function \"Watch\"();
         create trigger on_change after update on live for each row execute function \"Watch\"();
         create trigger is_off before delete on live for each row execute function \"Watch\"();
         alter table live disable trigger is_off;
         create trigger tierkeep_delete after delete on live for each statement execute function tierkeep_note_live();
         create trigger on_arrival before insert on archive for each row execute function \"Watch\"()",
    )
    .await;

    let findings = platform.findings().await;

    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"rows that leave fire the trigger "On leave" of "public"."live", which calls public."Watch" [trigger]"#,
            r#"rows that arrive fire the trigger "on_arrival" of "public"."archive", which calls public."Watch" [trigger]"#,
        ]
    );
    assert!(findings.into_result().is_ok(), "whoever wrote the triggers wants them to fire");
}

#[tokio::test]
async fn rules_and_tables_that_inherit_are_refused() {
    crate::refused("create rule keep as on delete to live do instead nothing", "rule", &[r#""keep""#]).await;
    crate::refused("create rule elsewhere as on insert to archive do instead nothing", "rule", &[]).await;
    crate::refused(
        "create table \"He ir\" (extra int) inherits (live); create index on \"He ir\" (start)",
        "inheritance",
        &[r#"public."He ir""#],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_table_is_refused() {
    for ddl in [
        "drop table live; create view live as select 1::bigint as id",
        "drop table live; create materialized view live as select 1::bigint as id",
        "drop table live; create extension if not exists postgres_fdw; create server s foreign data wrapper postgres_fdw;
         create foreign table live (id bigint) server s",
    ] {
        let findings = Platform::new(ddl).await.findings().await;

        assert_eq!(codes(&findings), ["not_a_table"], "{ddl}");
    }
}

#[tokio::test]
async fn several_refusals_are_told_together() {
    let platform = Platform::new(
        "create table remarks (live_id bigint references live); alter table archive alter owner type int;
         create rule keep as on delete to live do instead nothing",
    )
    .await;

    let findings = platform.findings_with(&[("remarks", "live_id")], RUN).await;

    assert_eq!(codes(&findings), ["rule", "unindexed_reference", "type_loses"]);
    assert!(findings.iter().all(Finding::is_refusal));
    let text = told(findings);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert_eq!(lines[0], "3 things stand in the way, nothing was changed:");
    assert!(lines[5].starts_with("3. ") && lines[5].ends_with("[type_loses]"), "{text}");
    assert_eq!(lines[6], r#"   what helps: alter table "public"."archive" alter column "owner" type bigint"#);
}
