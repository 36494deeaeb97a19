//! Which partitions can leave as a whole.

use jiff::Timestamp;
use tierkeep_retention::preflight::{Bound, TableFacts, eligible};

use crate::Platform;

/// A table of sessions in parts by `column`.
async fn parts(column: &str, bounds: &[&str]) -> (Platform, TableFacts) {
    let mut ddl = format!("create table parts (id bigint, at {column}) partition by range (at);");
    for (at, bounds) in bounds.iter().enumerate() {
        ddl.push_str(&format!("create table \"Part {at}\" partition of parts {bounds};"));
    }
    let platform = Platform::new(&ddl).await;
    let facts = platform.facts("parts").await;
    (platform, facts)
}

fn months() -> [&'static str; 3] {
    [
        "for values from (minvalue) to ('2024-01-01')",
        "for values from ('2024-01-01') to ('2024-02-01')",
        "for values from ('2024-02-01') to ('2024-03-01')",
    ]
}

fn names(facts: &TableFacts, cutoff: Bound) -> Vec<&str> {
    eligible(facts, cutoff, "at").into_iter().map(|one| one.name.as_str()).collect()
}

fn instant(at: &str) -> Bound {
    Bound::Instant(at.parse::<Timestamp>().unwrap())
}

#[tokio::test]
async fn partition_is_eligible_from_the_instant_on_at_which_it_ends() {
    let (_platform, facts) = parts("timestamptz", &months()).await;

    assert_eq!(names(&facts, instant("2023-12-31T23:59:59Z")), [] as [&str; 0]);
    assert_eq!(names(&facts, instant("2024-01-31T23:59:59.999999Z")), [r#""public"."Part 0""#]);
    assert_eq!(names(&facts, instant("2024-02-01T00:00:00Z")), [r#""public"."Part 0""#, r#""public"."Part 1""#]);
    assert_eq!(names(&facts, instant("2030-01-01T00:00:00Z")).len(), 2, "the last one stays, however old");
    assert!(eligible(&facts, instant("2030-01-01T00:00:00Z"), "id").is_empty(), "it is not partitioned by that");
}

#[tokio::test]
async fn bounds_are_the_same_in_every_zone_and_style_of_dates() {
    let (platform, facts) = parts("timestamptz", &months()).await;
    platform.client.batch_execute("set timezone to 'Asia/Kathmandu'; set datestyle to 'German'").await.unwrap();

    let uppers = |facts: &TableFacts| -> Vec<Option<Bound>> {
        facts.partitioning.as_ref().unwrap().partitions.iter().map(|one| one.upper).collect()
    };
    assert_eq!(uppers(&platform.facts("parts").await), uppers(&facts));
}

#[tokio::test]
async fn wall_times_days_and_numbers_bound_partitions_too() {
    let cases: [(&str, Bound); 3] = [
        ("timestamp", Bound::Wall("2024-02-01T00:00:00".parse().unwrap())),
        ("date", Bound::Day("2024-02-01".parse().unwrap())),
        ("date", Bound::Day("2024-02-02".parse().unwrap())),
    ];
    for (column, cutoff) in cases {
        let (_platform, facts) = parts(column, &months()).await;

        assert_eq!(names(&facts, cutoff), [r#""public"."Part 0""#, r#""public"."Part 1""#], "{column}");
        assert!(names(&facts, instant("2030-01-01T00:00:00Z")).is_empty(), "{column}: a cutoff of another kind");
    }
    let (_platform, facts) = parts("int", &["for values from (-5) to (10)", "for values from (10) to (20)"]).await;
    assert_eq!(names(&facts, Bound::Number(10)), [r#""public"."Part 0""#]);
    assert_eq!(names(&facts, Bound::Number(9)), [] as [&str; 0]);
}

#[tokio::test]
async fn open_end_is_never_eligible_and_makes_the_one_before_it_so() {
    let mut bounds = months().to_vec();
    bounds.push("for values from ('2024-03-01') to (maxvalue)");
    let (_platform, facts) = parts("timestamptz", &bounds).await;

    assert_eq!(names(&facts, instant("2030-01-01T00:00:00Z")).len(), 3);
}

#[tokio::test]
async fn default_partition_with_rows_stands_in_the_way() {
    let mut bounds = months().to_vec();
    bounds.push("default");
    let (platform, facts) = parts("timestamptz", &bounds).await;
    let cutoff = instant("2030-01-01T00:00:00Z");
    assert_eq!(names(&facts, cutoff).len(), 2);

    platform.client.batch_execute("insert into parts values (1, '2031-01-01')").await.unwrap();

    assert!(names(&platform.facts("parts").await, cutoff).is_empty());
}

#[tokio::test]
async fn partitions_with_parts_of_their_own_and_other_ways_to_part_are_left() {
    let (_platform, facts) = parts(
        "timestamptz",
        &[
            "for values from (minvalue) to ('2024-01-01') partition by hash (id)",
            "for values from ('2024-01-01') to ('2024-02-01')",
            "for values from ('2024-02-01') to ('2024-03-01')",
        ],
    )
    .await;
    assert_eq!(names(&facts, instant("2030-01-01T00:00:00Z")), [r#""public"."Part 1""#]);

    let platform = Platform::new(
        "create table by_list (at text) partition by list (at); create table a partition of by_list for values in ('a');
         create table by_two (at date, b int) partition by range (at, b);
         create table b partition of by_two for values from ('2020-01-01', 1) to ('2021-01-01', 1);
         create table c partition of by_two for values from ('2022-01-01', 1) to ('2023-01-01', 1)",
    )
    .await;
    for table in ["by_list", "by_two", "live"] {
        let facts = platform.facts(table).await;
        assert!(names(&facts, Bound::Day("2030-01-01".parse().unwrap())).is_empty(), "{table}");
    }
}

#[tokio::test]
async fn partitioned_table_needs_no_more_in_its_key_than_the_column_of_its_parts() {
    let parted = "drop table live; create table live (id bigint, owner bigint not null, start timestamptz, body text,
        primary key (KEY)) partition by range (start); create index on live (start, id)";

    crate::accepted(&parted.replace("KEY", "id, start")).await;
    // the same id may be in two rows
    let findings = Platform::new(&parted.replace("KEY", "id, start, owner")).await.findings().await;
    assert_eq!(crate::codes(&findings), ["no_key"]);
}

#[tokio::test]
async fn parts_that_a_run_put_into_an_archive_do_not_stand_in_its_way() {
    let child = "create table child (extra int) inherits (live); create index on child (start);";

    let foreign = Platform::new(child).await.findings().await;
    let own = Platform::new(&format!("{child} comment on table child is 'tierkeep: archived partition {{}}'"))
        .await
        .findings()
        .await;

    assert_eq!(crate::codes(&foreign), ["inheritance"], "the control");
    assert!(own.is_empty(), "{own:?}");
}
