//! Writing for the API against slow looks: flags from all rows, and orders at random against a model of a few lines.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::session_change::{Flag, SessionChange};
use tierkeep_learning::store::writes::{Expected, Order, Outcome, Refusal};

use super::outside;
use super::rows::{at, session};
use super::seeded::Chance;
use super::writes::{NOW, change, create, ended, minutes, one, ready, said, session_id, written};

on_both_with_both_keys!(overlaps_are_those_a_slow_look_finds, random_orders_give_what_a_slow_model_gives);

async fn overlaps_are_those_a_slow_look_finds(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    let mut chance = Chance::new(5);
    let mut rows: Vec<SessionRow> = Vec::new();
    let mut overlapping = 0;
    for n in 1..=60 {
        let start = at("2025-06-27T00:00:00Z") + SignedDuration::from_mins(i64::from(chance.below(1440)));
        let start_time = Some(start);
        let content = match chance.below(4) {
            0 => SessionChange {
                start_time,
                duration_minutes: Some(10),
                is_active: Some(false),
                ..SessionChange::default()
            },
            1 => SessionChange { start_time, end_time: Some(Some(start)), ..SessionChange::default() },
            _ => {
                let end = start + SignedDuration::from_mins(i64::from(chance.below(40)));
                SessionChange { start_time, end_time: Some(Some(end)), ..SessionChange::default() }
            }
        };

        let made = written(one(&*store, create(keys, Some(n), 1, content)).await);

        let takes = |row: &SessionRow| {
            let end = row.end_time.unwrap_or(row.start_time + SignedDuration::from_mins(row.duration_minutes.into()));
            (row.start_time, end)
        };
        let (start, end) = takes(&made.session.row);
        let wanted = rows.iter().map(takes).any(|(s, e)| s.max(start) < e.min(end));
        assert_eq!(made.flags.contains(&Flag::Overlap), wanted, "{n}: {start} to {end}");
        overlapping += usize::from(wanted);
        if chance.below(4) == 0 {
            outside.run(&outside::archive_copy(dialect, &made.session.row)).await;
            outside.run(&outside::delete("study_sessions", made.session.row.id)).await;
        }
        rows.push(made.session.row);
    }
    assert!(overlapping > 5 && overlapping < 55, "{overlapping}");
    // another learner's time is their own
    assert_eq!(written(one(&*store, create(keys, None, 2, ended("2025-06-27T00:00:00Z", 900))).await).flags, []);
    let open = written(one(&*store, create(keys, None, 2, said("2025-06-27T01:00:00Z"))).await);
    assert_eq!(open.flags, [Flag::Overlap, Flag::OpenTooLong]);
}

/// Orders at random, and what each must do by a model of a few lines.
async fn random_orders_give_what_a_slow_model_gives(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    let mut chance = Chance::new(11);
    let (mut live, mut archived, mut gone) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut seen = [0; 8];
    for step in 0..150 {
        let n = 1 + chance.below(6);
        let id = session_id(keys, n);
        let start = format!("2025-06-{:02}T08:00:00Z", 20 + chance.below(3));
        let content = ended(&start, i64::from(chance.below(3)));
        let before: Option<SessionRow> = live.get(&id).cloned();
        let absent = match (archived.contains_key(&id), gone.contains(&id)) {
            (true, _) => Refusal::Archived(id),
            (false, true) => Refusal::Deleted(id),
            (false, false) => Refusal::UnknownSession(id),
        };
        match chance.below(5) {
            0 | 1 => {
                let outcome = one(&*store, create(keys, Some(n), 1, content.clone())).await;
                let known = before.as_ref().or(archived.get(&id));
                match (known, outcome) {
                    (None, Outcome::Created(made)) if !gone.contains(&id) => {
                        seen[0] += 1;
                        live.insert(id, made.session.row);
                    }
                    (None, Outcome::Refused(Refusal::Deleted(_))) if gone.contains(&id) => seen[1] += 1,
                    (Some(known), Outcome::Replayed(found)) => {
                        seen[2] += 1;
                        assert_eq!(found.session.row, *known);
                        assert_eq!((known.start_time, Some(known.end_time)), (at(&start), content.end_time));
                    }
                    (Some(known), Outcome::Refused(Refusal::OtherContent(_))) => {
                        seen[3] += 1;
                        assert_ne!((known.start_time, Some(known.end_time)), (at(&start), content.end_time));
                    }
                    (known, outcome) => panic!("step {step}: {known:?} {outcome:?}"),
                }
            }
            2 => match (before, one(&*store, change(id, content.clone())).await) {
                (Some(before), Outcome::Changed(now)) => {
                    seen[4] += 1;
                    assert_eq!(now.session.row, content.applied(&before, at(NOW)).unwrap(), "step {step}");
                    live.insert(id, now.session.row);
                }
                (None, Outcome::Refused(refusal)) => assert_eq!(refusal, absent, "step {step}"),
                (before, outcome) => panic!("step {step}: {before:?} {outcome:?}"),
            },
            3 => match (before, one(&*store, Order::Delete { id, expected: Expected::Any }).await) {
                (Some(_), Outcome::Deleted(_)) => {
                    seen[5] += 1;
                    live.remove(&id);
                    gone.push(id);
                }
                (None, Outcome::AlreadyDeleted) => assert_eq!(absent, Refusal::Deleted(id), "step {step}"),
                (None, Outcome::Refused(refusal)) => assert_eq!(refusal, absent, "step {step}"),
                (before, outcome) => panic!("step {step}: {before:?} {outcome:?}"),
            },
            // somebody else brings a deleted one back, or archives one
            _ if before.is_none() && gone.contains(&id) && !archived.contains_key(&id) => {
                seen[6] += 1;
                let row = session(keys, n, 1, "2025-06-25T08:00:00Z", 3);
                outside.run(&outside::insert(dialect, "study_sessions", &row)).await;
                live.insert(id, row);
            }
            _ => {
                if let Some(row) = before {
                    seen[7] += 1;
                    outside.run(&outside::archive_copy(dialect, &row)).await;
                    outside.run(&outside::delete("study_sessions", id)).await;
                    live.remove(&id);
                    archived.insert(id, row);
                }
            }
        }
        let counted = live.values().chain(archived.iter().filter(|(id, _)| !live.contains_key(id)).map(|(_, row)| row));
        let wanted: i32 = counted.map(|row| row.duration_minutes).sum();
        assert_eq!(minutes(&*store, keys, 1).await, u64::try_from(wanted).unwrap(), "step {step}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
