//! Which answers this node is asked for, in bounded memory: what is worth computing before anybody asks again.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tierkeep_learning::key::UserId;
use tokio::time::Instant;

use super::super::question::Question;

/// How long a question counts as asked recently.
const RECENTLY: Duration = Duration::from_secs(3600);
/// Learners that are remembered: with all their questions some 10 MB, with the usual three or four some 3 MB.
const LEARNERS: usize = 10_000;
/// Questions that are remembered of one learner.
const QUESTIONS: usize = 16;
/// Parts with a lock of their own, so that those who record seldom meet.
const SHARDS: usize = 16;
/// One hit in so many is recorded: what is asked for all the time is met all the same, and the others cost next to nothing.
const SAMPLED: u32 = 8;

/// The questions that were asked within the last hour. O(1) to record; learners make room for others by second chance.
#[derive(Debug)]
pub(super) struct Hot {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard {
    room: usize,
    places: HashMap<UserId, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    user: UserId,
    /// Whether it was asked about since the hand passed.
    is_used: bool,
    questions: Vec<(Question, Instant)>,
}

impl Hot {
    pub(super) fn new() -> Self {
        Self::of(LEARNERS)
    }

    fn of(learners: usize) -> Self {
        let shard =
            |_| Mutex::new(Shard { room: learners / SHARDS, places: HashMap::new(), slots: Vec::new(), hand: 0 });
        Self { shards: (0..SHARDS).map(shard).collect(), hasher: RandomState::new() }
    }

    /// A question was answered, by another tier than memory. Some 200 ns, beside a computation.
    pub(super) fn record(&self, question: Question, now: Instant) {
        if let Some(user) = question.user() {
            self.shard(user).lock().unwrap_or_else(PoisonError::into_inner).record(user, question.canonical(), now);
        }
    }

    /// A question was answered from memory: recorded once in a while, and never waits for anybody.
    #[inline]
    pub(super) fn sample(&self, question: Question) {
        if is_sampled()
            && let Some(user) = question.user()
            && let Ok(mut shard) = self.shard(user).try_lock()
        {
            shard.record(user, question.canonical(), Instant::now());
        }
    }

    /// Whether anything about a learner was asked within the last hour.
    pub(super) fn contains(&self, user: UserId, now: Instant) -> bool {
        let shard = self.shard(user).lock().unwrap_or_else(PoisonError::into_inner);
        shard.slot(user).is_some_and(|slot| slot.questions.iter().any(|(_, asked)| is_recent(*asked, now)))
    }

    /// What was asked about a learner within the last hour, the last first.
    pub(super) fn questions(&self, user: UserId, now: Instant) -> Vec<Question> {
        let shard = self.shard(user).lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent: Vec<(Question, Instant)> = shard
            .slot(user)
            .map(|slot| slot.questions.iter().copied().filter(|(_, asked)| is_recent(*asked, now)).collect())
            .unwrap_or_default();
        drop(shard);
        recent.sort_by_key(|(_, asked)| std::cmp::Reverse(*asked));
        recent.into_iter().map(|(question, _)| question).collect()
    }

    /// All learners that are remembered.
    pub(super) fn learners(&self) -> Vec<UserId> {
        let mut users = Vec::new();
        for shard in &self.shards {
            users.extend(shard.lock().unwrap_or_else(PoisonError::into_inner).places.keys().copied());
        }
        users
    }

    fn shard(&self, user: UserId) -> &Mutex<Shard> {
        // the remainder is less than the number of shards
        &self.shards[(self.hasher.hash_one(user) % SHARDS as u64) as usize]
    }
}

/// Counted per thread, so that threads share nothing.
#[inline]
fn is_sampled() -> bool {
    thread_local! {
        static HITS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }
    HITS.with(|hits| {
        let count = hits.get().wrapping_add(1);
        hits.set(count);
        count.is_multiple_of(SAMPLED)
    })
}

fn is_recent(asked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(asked) < RECENTLY
}

impl Shard {
    fn slot(&self, user: UserId) -> Option<&Slot> {
        self.slots.get(*self.places.get(&user)?)
    }

    fn record(&mut self, user: UserId, question: Question, now: Instant) {
        let place = match self.places.get(&user) {
            Some(place) => *place,
            None => self.make_room(user),
        };
        let slot = &mut self.slots[place];
        slot.is_used = true;
        if let Some((_, asked)) = slot.questions.iter_mut().find(|(known, _)| *known == question) {
            *asked = now;
        } else if slot.questions.len() < QUESTIONS {
            slot.questions.push((question, now));
        } else if let Some(oldest) = slot.questions.iter_mut().min_by_key(|(_, asked)| *asked) {
            *oldest = (question, now);
        }
    }

    /// A place for a learner who is new. One who was asked about since the hand passed gets a second chance.
    fn make_room(&mut self, user: UserId) -> usize {
        let new = Slot { user, is_used: true, questions: Vec::new() };
        if self.slots.len() < self.room {
            self.slots.push(new);
            self.places.insert(user, self.slots.len() - 1);
            return self.slots.len() - 1;
        }
        while std::mem::take(&mut self.slots[self.hand].is_used) {
            self.hand = (self.hand + 1) % self.slots.len();
        }
        let place = self.hand;
        self.hand = (place + 1) % self.slots.len();
        self.places.remove(&self.slots[place].user);
        self.places.insert(user, place);
        self.slots[place] = new;
        place
    }
}

#[cfg(test)]
mod tests {
    use tierkeep_learning::key::Key;

    use super::*;

    fn user(n: i64) -> UserId {
        UserId::new(Key::Int(n))
    }

    fn streaks(n: i64) -> Question {
        Question::Streaks { user: user(n) }
    }

    fn question(text: &str) -> Question {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_is_hot_for_an_hour() {
        let (hot, began) = (Hot::new(), Instant::now());

        hot.record(streaks(7), began);
        hot.record(question("daily/7/today"), began + RECENTLY / 2);
        hot.record(question("global"), began);

        assert_eq!(hot.questions(user(7), began + RECENTLY / 2), [question("daily/7/today"), streaks(7)]);
        assert_eq!(hot.questions(user(7), began + RECENTLY), [question("daily/7/today")]);
        assert!(!hot.contains(user(7), began + RECENTLY * 2) && !hot.contains(user(8), began));
        assert_eq!(hot.learners(), [user(7)]);
    }

    #[tokio::test(start_paused = true)]
    async fn days_of_one_week_are_one_question() {
        let (hot, now) = (Hot::new(), Instant::now());
        let week_of = |day: &str| Question::Weekly { user: user(7), week_of: Some(day.parse().unwrap()) };

        hot.record(week_of("2026-01-27"), now);
        hot.record(week_of("2026-01-30"), now);

        assert_eq!(hot.questions(user(7), now), [question("weekly/7/2026-01-26")]);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let (hot, began) = (Hot::of(64), Instant::now());

        for n in 0..10_000 {
            hot.record(streaks(n), began);
            for day in 1..=28 {
                hot.record(question(&format!("daily/{n}/2026-01-{day:02}")), began + Duration::from_secs(day));
            }
        }

        let learners = hot.learners();
        assert!(learners.len() <= 64);
        for learner in learners {
            let questions = hot.questions(learner, began);
            assert_eq!(questions.len(), QUESTIONS);
            assert!(questions[0].to_string().ends_with("-28"), "the last that was asked stays");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_about_all_the_time_is_not_displaced_by_a_crawler() {
        let (hot, now) = (Hot::of(64 * SHARDS), Instant::now());

        for n in 0..10_000 {
            hot.record(streaks(-1), now);
            hot.record(streaks(n), now);
        }

        assert!(hot.contains(user(-1), now));
    }

    #[test]
    fn one_hit_in_some_is_recorded() {
        let hot = Hot::new();

        (1..SAMPLED).for_each(|_| hot.sample(streaks(7)));
        let before = hot.learners();
        hot.sample(streaks(7));

        assert_eq!((before, hot.learners()), (vec![], vec![user(7)]));
    }

    /// What a hit pays, in an unoptimised build on a busy machine: optimised it is some 30 ns on average, 200 ns for one that
    /// is recorded.
    #[test]
    fn recording_a_hit_costs_next_to_nothing() {
        const ROUNDS: u32 = 100_000;
        let hot = Hot::new();
        let questions: Vec<Question> = (0..1000).map(streaks).collect();
        let round = || {
            let began = std::time::Instant::now();
            for n in 0..ROUNDS {
                hot.sample(questions[(n % 1000) as usize]);
            }
            began.elapsed() / ROUNDS
        };

        let cost = (0..5).map(|_| round()).min().unwrap();

        assert!(cost < Duration::from_micros(5), "{cost:?}");
    }
}
