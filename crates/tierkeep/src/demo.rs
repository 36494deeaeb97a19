//! Sample learners for `serve --demo`: made up, and the same for the same end date on every machine.

mod learner;
mod random;
mod words;

use jiff::Timestamp;
use tierkeep_db::Error as DatabaseError;
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{Store, StoreError};

/// Learners that are made up.
const LEARNERS: u64 = 200;
/// Sessions per transaction. One transaction for all would hold some 60 MB of rows at once for no gain.
const CHUNK: usize = 10_000;
/// Another seed makes other people.
const SEED: u64 = 0x5469_6572_6B65_6570;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Learners.
    pub users: usize,
    /// Rows of course progress.
    pub progress: usize,
    /// Sessions.
    pub sessions: usize,
}

/// Whether a database has no learners.
///
/// # Errors
/// [`StoreError`]
pub async fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.users(None, 1).await?.is_empty())
}

/// Writes 200 learners with two years of sessions up to `now`, the way an import does.
///
/// Interrupted, it leaves some learners, and the database no longer counts as empty.
///
/// # Errors
/// [`StoreError`]
pub async fn fill(store: &dyn Store, now: Timestamp) -> Result<Filled, StoreError> {
    let samples = tokio::task::spawn_blocking(move || samples(now))
        .await
        .map_err(|panic| DatabaseError::Panicked { message: panic.to_string() })?;
    let mut filled = Filled { users: samples.len(), ..Filled::default() };
    let mut users = Vec::new();
    let mut progress = Vec::new();
    let mut chunks: Vec<Vec<SessionRow>> = vec![Vec::new()];
    for sample in samples {
        users.push(sample.user);
        progress.extend(sample.progress);
        for session in sample.sessions {
            match chunks.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push(session),
                _ => chunks.push(vec![session]),
            }
        }
    }
    filled.progress = progress.len();
    store.write_users(users).await?;
    store.write_progress(progress).await?;
    for chunk in chunks {
        filled.sessions += chunk.len();
        store.write_sessions(chunk).await?;
    }
    Ok(filled)
}

fn samples(now: Timestamp) -> Vec<learner::Sample> {
    (1..=LEARNERS).map(|number| learner::sample(SEED, number, now)).collect()
}

/// Addresses worth a first look: the last day of a learner, the learner's analytics, all learners together.
///
/// # Errors
/// [`StoreError`]
pub async fn addresses(statistics: &Statistics, base: &str) -> Result<Vec<String>, StoreError> {
    let store = statistics.store();
    let mut addresses = Vec::new();
    if let Some(user) = store.users(None, 1).await?.first() {
        let id = user.id;
        let newest = store.sessions(id, None, 1).await?.unwrap_or_default();
        let clock = store.learner_activity(&[id]).await?.into_iter().next().flatten();
        let date = newest.first().zip(clock).map_or_else(String::new, |(listed, learner)| {
            format!("?date={}", learner.clock.calendar.day_of(listed.row.start_time))
        });
        addresses.push(format!("{base}/v1/users/{id}/stats/daily{date}"));
        addresses.push(format!("{base}/v1/users/{id}/analytics?days=90"));
    }
    addresses.push(format!("{base}/v1/stats/global"));
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn equal_end_dates_make_equal_learners() {
        let one = format!("{:?}", learner::sample(SEED, 7, now()));
        let two = format!("{:?}", learner::sample(SEED, 7, now()));
        let other = format!("{:?}", learner::sample(SEED, 8, now()));

        assert_eq!(one, two);
        assert_ne!(one, other);
    }

    #[test]
    fn the_sample_has_everything_there_is_to_see() {
        let samples = samples(now());
        let sessions: Vec<&SessionRow> = samples.iter().flat_map(|sample| &sample.sessions).collect();
        let count = |is: &dyn Fn(&SessionRow) -> bool| sessions.iter().filter(|row| is(row)).count();

        assert_eq!(samples.len(), 200);
        assert_eq!(samples[0].user.id.to_string(), "00000000-0000-4000-8000-000000000001");
        assert!((60_000..=100_000).contains(&sessions.len()), "{}", sessions.len());
        assert!(samples.iter().any(|sample| sample.user.time_zone.is_none()));
        assert!(
            samples.iter().filter_map(|sample| sample.user.time_zone.as_deref()).collect::<BTreeSet<_>>().len() > 8
        );
        assert!(count(&|row| row.is_active) >= 10);
        assert!(count(&|row| row.end_time.is_none()) > count(&|row| row.is_active));
        assert_eq!(count(&|row| row.duration_minutes < 0), 1);
        assert_eq!(count(&|row| row.end_time.is_some_and(|end| end < row.start_time)), 1);
        assert_eq!(count(&|row| row.effectiveness_rating.is_some_and(|rating| rating > 5)), 1);
        assert_eq!(count(&|row| row.focus_hundredths.is_some_and(|focus| focus > 100)), 1);
        assert!(count(&|row| row.goal_id.is_some()) > 0 && count(&|row| row.learning_plan_id.is_some()) > 0);
        assert!(count(&|row| row.notes.contains('。')) > 0);
        assert!(
            count(&|row| row.effectiveness_rating.is_none()) > 0 && count(&|row| row.focus_hundredths.is_none()) > 0
        );
        assert_eq!(sessions.iter().map(|row| row.id).collect::<BTreeSet<_>>().len(), sessions.len());
        assert!(sessions.iter().all(|row| row.start_time < now()));
    }
}
