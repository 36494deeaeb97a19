//! Who is asked about, and what is written of whom.

/// The present of the nodes.
pub(crate) const NOW: &str = "2026-01-31T14:00:00Z";
/// The day on which the sessions lie that are changed.
pub(crate) const DAY: &str = "2026-01-30";
/// All, with the ids 1 to this.
pub(crate) const LEARNERS: u64 = 400;
/// The first ones have a session each, of the learner's id, whose minutes are the number of its last change.
pub(crate) const CHANGED: u64 = 20;
/// The next ones get new sessions.
pub(crate) const ADDED_TO: u64 = 20;
/// New sessions of a learner on one day: what is computed anew after each stays small.
pub(crate) const ADDED_A_DAY: u64 = 20;

/// Six sessions of each learner before, and the one that is changed. `at(days, minutes)` is an instant so long after
/// 2026-01-01 00:00 UTC in the words of the dialect.
pub(crate) fn rows(at: impl Fn(&str, &str) -> String) -> String {
    let numbers =
        |last: u64| format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {last}) ");
    let of_all = LEARNERS * 6;
    format!(
        "insert into users (id) {} select i from n;
         insert into study_sessions (id, user_id, start_time, duration_minutes)
         {} select 10000 + i, 1 + i % {LEARNERS}, {}, 25 + i % 30 from n;
         insert into study_sessions (id, user_id, start_time, duration_minutes)
         {} select i, i, {}, 0 from n;",
        numbers(LEARNERS),
        numbers(of_all),
        at("i % 23", "i % 600"),
        numbers(CHANGED),
        at("29", "480"),
    )
}
