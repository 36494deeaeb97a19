//! Who studied lately: the model's learners, whatever zone they live in and wherever their sessions lie.

use jiff::{SignedDuration, Timestamp};
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{KeyType, SessionId, UserId};
use tierkeep_learning::store::{ActiveWithin, Keep, OpenMode, OpenOptions, Store, migrate, open};

use super::fresh::{Fresh, Outside, options};
use super::model::Model;
use super::outside;
use super::rows::{at, key, learner, user};
use super::seeded::Chance;

on_both_with_both_keys!(active_learners_are_those_of_the_model, pages_of_ids_hold_every_learner_once);

const LEARNERS: u32 = 24;
const ZONES: [Option<&str>; 5] =
    [None, Some("Pacific/Kiritimati"), Some("America/New_York"), Some("Pacific/Apia"), Some("Asia/Shanghai")];
/// Around a change of clocks, the day that Apia skipped, and after any change of a zone.
const NOWS: [&str; 4] =
    ["2025-03-09T06:30:00Z", "2011-12-31T10:00:00Z", "2025-06-27T12:00:00Z", "2090-02-28T12:00:00Z"];
const WITHIN: [i32; 7] = [1, 2, 3, 7, 30, 400, 36_500];

fn within(days: i32) -> ActiveWithin {
    ActiveWithin::new(days.into()).unwrap()
}

/// All pages of so many learners each.
async fn pages(store: &dyn Store, days: i32, now: Timestamp, size: u32) -> Vec<UserId> {
    let mut found: Vec<UserId> = Vec::new();
    loop {
        let page = store.active_learners(within(days), now, found.last().copied(), size).await.unwrap();
        if page.is_empty() {
            return found;
        }
        assert!(page.len() <= size as usize);
        found.extend(page);
    }
}

async fn compare(model: &Model, store: &dyn Store, now: Timestamp, context: &str) {
    for days in WITHIN {
        for shift in [0, -7, 11, 30] {
            let now = now + SignedDuration::from_hours(shift);
            let wanted = model.active(days, now);

            let found = store.active_learners(within(days), now, None, 1000).await.unwrap();

            assert_eq!(found, wanted, "{days} days up to {now}: {context}");
        }
    }
    assert_eq!(pages(store, 7, now, 5).await, model.active(7, now), "in pages: {context}");
}

/// Learners with a start within some days of 24 hours: what counting without zones would find.
fn by_hours(model: &Model, days: i32, now: Timestamp) -> Vec<UserId> {
    let span = now - SignedDuration::from_hours(24 * i64::from(days))..now;
    let rows: Vec<_> = model.sessions().filter(|row| span.contains(&row.start_time)).collect();
    model.learners.keys().copied().filter(|id| rows.iter().any(|row| row.user_id == *id)).collect()
}

async fn active_learners_are_those_of_the_model(dialect: Dialect, keys: KeyType) {
    let mut differences = 0;
    for (seed, now) in (1..).zip(NOWS.map(at)) {
        let fresh = Fresh::empty(dialect).await;
        let options = OpenOptions {
            default_zone: Zone::new("Asia/Tokyo").unwrap(),
            day_start: DayStart::new(if seed % 2 == 0 { 5 } else { 0 }).unwrap(),
            ..options(OpenMode::Create { ids: Some(keys) })
        };
        migrate(&fresh.url, &options).await.unwrap();
        let store = open(&fresh.url, &options).await.unwrap();
        let reader = open(&fresh.url, &OpenOptions { mode: OpenMode::ReadOnly, ..options.clone() }).await.unwrap();
        let outside = fresh.outside().await;
        let mut model = Model::new(options.default_zone, options.day_start);
        let mut chance = Chance::new(seed);
        fill(&mut chance, &mut model, &*store, keys, now).await;
        for stage in ["imported", "folded", "moved", "archived", "aged", "left"] {
            match stage {
                "folded" | "left" => while store.settle().await.unwrap().more {},
                _ => {}
            }
            change(stage, dialect, keys, &outside, &mut model, &*store, now).await;
            for (store, who) in [(&store, "own"), (&reader, "read-only")] {
                compare(&model, &**store, now, &format!("{dialect:?} {keys:?}, {stage}, {who}")).await;
            }
            differences +=
                WITHIN.iter().filter(|days| by_hours(&model, **days, now) != model.active(**days, now)).count();
        }
        store.close().await;
        reader.close().await;
    }
    assert!(differences > 20, "these rows do not tell local days from hours: {differences}");
}

/// Rows as bad as a platform's, near the ends of the times that are asked about.
async fn fill(chance: &mut Chance, model: &mut Model, store: &dyn Store, keys: KeyType, now: Timestamp) {
    let mut sessions = Vec::new();
    for n in 1..=LEARNERS {
        let zone = chance.one_of(&ZONES).map(str::to_owned);
        store.write_users(vec![learner(keys, n, zone.as_deref())]).await.unwrap();
        model.put_learner(user(keys, n), zone);
        for _ in 0..chance.below(3) {
            let mut row = chance.row(keys);
            let back = *chance.one_of(&WITHIN[..6]) * 24 * 60 + i32::try_from(chance.below(80 * 60)).unwrap() - 40 * 60;
            let start = now - SignedDuration::from_mins(back.into());
            row.end_time = row.end_time.map(|end| start + row.start_time.duration_until(end));
            row.id = SessionId::new(key(keys, 1 + u32::try_from(sessions.len()).unwrap()));
            (row.user_id, row.start_time) = (user(keys, n), start);
            sessions.push(row);
        }
    }
    sessions.iter().for_each(|row| model.write(row));
    store.write_sessions(sessions).await.unwrap();
}

async fn change(
    stage: &str,
    dialect: Dialect,
    keys: KeyType,
    outside: &Outside,
    model: &mut Model,
    store: &dyn Store,
    now: Timestamp,
) {
    match stage {
        // not folded when asked about
        "moved" => {
            for (n, zone) in [(1, "Pacific/Kiritimati"), (2, "Pacific/Pago_Pago"), (3, "America/New_York")] {
                outside.run(&outside::set_zone(user(keys, n), Some(zone))).await;
                model.put_learner(user(keys, n), Some(zone.to_owned()));
            }
        }
        "archived" => {
            let cutoff = now - SignedDuration::from_hours(3 * 24);
            outside.run(&outside::archive_before(dialect, cutoff)).await;
            let moved: Vec<_> = model.live.values().filter(|row| row.start_time < cutoff).cloned().collect();
            for row in moved {
                model.live.remove(&row.id);
                model.archived.insert(row.id, row);
            }
            // superseded by the live row of the same id
            let live = model.live.values().next().cloned();
            if let Some(mut copy) = live {
                (copy.user_id, copy.start_time) = (user(keys, LEARNERS), now);
                outside.run(&outside::archive_copy(dialect, &copy)).await;
                model.archived.insert(copy.id, copy);
            }
        }
        "aged" => {
            let ids: Vec<SessionId> = model.archived.keys().copied().step_by(2).collect();
            store.delete_archived(&ids, Keep::Summaries).await.unwrap();
            model.age(&ids);
        }
        "left" => {
            for n in [4, 5] {
                outside.run(&outside::delete_user(user(keys, n))).await;
                model.learners.remove(&user(keys, n));
            }
        }
        _ => {}
    }
}

async fn pages_of_ids_hold_every_learner_once(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    store.write_users((1..=11).map(|n| learner(keys, n, None)).collect()).await.unwrap();
    let other = if keys == KeyType::Int { KeyType::Uuid } else { KeyType::Int };

    let mut found = Vec::new();
    loop {
        let page = store.learner_ids(found.last().copied(), 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }

    assert_eq!(found, (1..=11).map(|n| user(keys, n)).collect::<Vec<_>>());
    let now = at("2025-06-27T12:00:00Z");
    assert_eq!(store.learner_ids(Some(user(other, 1)), 4).await.unwrap(), []);
    assert_eq!(store.learner_ids(None, 0).await.unwrap(), []);
    assert_eq!(store.active_learners(within(7), now, Some(user(other, 1)), 4).await.unwrap(), []);
    assert_eq!(store.active_learners(within(7), now, None, 0).await.unwrap(), []);
}
