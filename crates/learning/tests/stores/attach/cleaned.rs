//! Clean-up of a platform's own tables: by its names, with its keys and constraints, and without altering one of them.

use std::sync::Arc;

use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID, PHASES};
use tierkeep_learning::store::OpenMode;
use tierkeep_retention::Plan;

use super::super::retention::{LIMITS, cleanup, numbers, plan, run};
use super::super::rows::{key_literal, user};
use super::site::{BOTH, Platform, Site, settle};

/// What the platform's own tables look like, to the platform.
const TABLES: &str = "select attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
    || coalesce(pg_get_expr(adbin, adrelid), '')
    from pg_attribute a left join pg_attrdef d on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped and attrelid in (select oid from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and relname not like '%tierkeep%' and relname not like '%archive')
    union all select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where conrelid <> 0 and connamespace = 'public'::regnamespace
        and conrelid::regclass::text not like '%tierkeep%' and conrelid::regclass::text not like '%archive'
    union all select indexrelid::regclass || ' ' || pg_get_indexdef(indexrelid) from pg_index
    where indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace
        and relname not like '%tierkeep%' and relname not like '%archive')
    order by 1";

/// Rows of every rule that the constraints of the platform let in.
async fn filled(platform: Platform, is_attached: bool) -> Site {
    let mut site = if is_attached { Site::attached(platform).await } else { Site::new(platform).await };
    let rows: Vec<_> = (0..12)
        .map(|n| {
            let start = ["2022-03-09T06:30:00Z", "2024-03-09T06:30:00Z"][n as usize % 2];
            let mut row = platform.row(300 + n, 1 + n % 4, start, 25);
            row.is_active = n == 11;
            row
        })
        .collect();
    site.insert(&rows).await;
    match platform {
        Platform::Guide => {
            let third = key_literal(user(platform.keys(), 3).key());
            site.run(&format!(
                "update users set is_active = false, last_login = '2021-01-01Z' where uuid = {third}; \
                 update users set created_at = '2021-01-01Z'; \
                 update study_sessions set start_time = '2022-01-01Z', end_time = null where user_id = {third}"
            ))
            .await;
        }
        Platform::Django => {
            site.run(
                "update study_studysession set student_id = null where id = 301; \
                 update study_studysession set minutes = -1 where id = 302; \
                 insert into courses_enrollment (id, student_id, course_id, subject, percent, hours, modified) values \
                 (1, 1, 1, 'a', 1, 1, '2025-01-01Z'), (2, 1, 1, 'a', 1, 1, '2025-01-02Z'), (3, 2, 1, 'a', 1, 1, '2025-01-02Z'); \
                 update auth_user set is_active = false, date_joined = '2020-01-01Z' where id = 4; \
                 update study_studysession set started_at = '2022-01-01Z' where student_id = 4",
            )
            .await;
        }
    }
    site
}

fn wanted(platform: Platform) -> Vec<(&'static str, u64)> {
    match platform {
        Platform::Guide => vec![("archive", 16), ("archived_sessions", 8), ("inactive_users", 1)],
        Platform::Django => vec![
            ("negative_duration", 1),
            ("duplicate_progress", 1),
            ("orphan", 1),
            ("archive", 14),
            ("archived_sessions", 10),
            ("inactive_users", 1),
        ],
    }
}

fn counts(plan: &Plan) -> Vec<(&str, u64)> {
    plan.rules.iter().filter(|rule| rule.rows > 0).map(|rule| (rule.rule.as_str(), rule.rows)).collect()
}

#[tokio::test]
async fn all_phases_run_on_a_platform_and_leave_its_tables_as_they_are() {
    for platform in BOTH {
        let site = filled(platform, true).await;
        let store = site.store().await;
        settle(&*store).await;
        let before = site.outside.texts(TABLES).await;
        let answers = numbers(&*store, &site.users()).await;

        let planned = plan(&store, &PHASES).await;
        let moved = run(&store, &[INVALID, ARCHIVE]).await;

        assert_eq!(numbers(&*store, &site.users()).await, answers, "{platform:?}");
        let deleted = run(&store, &[DELETE]).await;
        for rule in &planned.rules {
            let done = moved.report.rows(&rule.rule) + deleted.report.rows(&rule.rule);
            assert_eq!(done, rule.rows, "{platform:?} {}", rule.rule);
        }
        assert_eq!(site.outside.texts(TABLES).await, before, "{platform:?}");
        let now = numbers(&*store, &site.users()).await;
        assert_eq!(now.days[..2], answers.days[..2], "{platform:?}");
        let known = store.known_learners(None, 100).await.unwrap();
        assert_eq!(store.verify(&known).await.unwrap().differences, [], "{platform:?}");
        assert_eq!(plan(&store, &PHASES).await.rules.iter().map(|rule| rule.rows).sum::<u64>(), 0, "{platform:?}");
        assert_eq!(wanted(platform), counts(&planned), "{platform:?}");
    }
}

#[tokio::test]
async fn platform_without_tierkeep_is_told_what_would_be_cleaned_up() {
    for platform in BOTH {
        let site = filled(platform, false).await;
        let reader = site.open(OpenMode::ReadOnly).await.unwrap();
        let before = site.catalog().await;

        let plan = Arc::clone(&reader).plan_cleanup(&cleanup(&PHASES), LIMITS, false).await.unwrap();

        assert_eq!(counts(&plan), wanted(platform), "{platform:?}");
        assert_eq!(site.catalog().await, before, "{platform:?}");
        let refused = Arc::clone(&reader).clean_up(&cleanup(&PHASES), &super::super::retention::order()).await;
        assert!(refused.is_err(), "{platform:?}: there is nothing to move rows to");
    }
}
