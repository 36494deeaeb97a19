//! Answers that this process has: fresh for a moment, then good for asking whether they still hold.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that an entry takes beside its texts, about.
const ENTRY: usize = 200;

/// How many times its length a body takes with what Python made of it: six to nine times were measured, and the text.
const DECODED: usize = 10;

/// Counters of learners. Two learners that share one lose each other's answers now and then.
const SLOTS: usize = 1 << 12;

/// Whom an answer is about, when it is about all.
const EVERYBODY: &str = "*";

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) body: Arc<str>,
    pub(super) etag: Option<Arc<str>>,
    /// When a node was last asked: what it said may be of that moment.
    pub(super) said: Instant,
    /// The position that it covers.
    pub(super) covers: u64,
    /// The body as whoever asks wants it, made once.
    pub(super) decoded: Decoded,
    stamp: Stamp,
}

/// What a body means to whoever asks for it; this module does not look into it.
pub type Decoded = Arc<OnceLock<Box<dyn Any + Send + Sync>>>;

/// When a question was asked, counted in what was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    learner: u64,
    all: u64,
}

/// The answers, at most so many bytes of them.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Cache<Arc<str>, Arc<Kept>, Bytes>,
    forgotten: Vec<u64>,
    forgotten_all: u64,
}

impl Answers {
    pub(super) fn new(bytes: usize) -> Self {
        let estimated = (bytes / 1024).max(16);
        let kept = Cache::with_weighter(estimated, u64::try_from(bytes).unwrap_or(u64::MAX), Bytes);
        Self { kept, forgotten: vec![0; SLOTS], forgotten_all: 0 }
    }

    /// The answer, if nothing has been forgotten since and it covers the position.
    pub(super) fn get(&self, path: &str, learner: Option<&str>, position: u64) -> Option<&Arc<Kept>> {
        let kept = self.kept.get(path)?;
        (kept.stamp == self.stamp(learner) && kept.covers >= position).then_some(kept)
    }

    /// What has been forgotten so far: taken before the question, compared when its answer is kept.
    pub(super) fn stamp(&self, learner: Option<&str>) -> Stamp {
        Stamp { learner: self.forgotten[slot(learner)], all: self.forgotten_all }
    }

    /// Keeps an answer, unless something that concerns it was forgotten since it was asked for.
    pub(super) fn keep(&mut self, path: Arc<str>, learner: Option<&str>, asked: Stamp, answer: Answer) {
        if asked == self.stamp(learner) {
            let Answer { body, etag, said, covers, decoded } = answer;
            self.kept.insert(path, Arc::new(Kept { body, etag, said, covers, decoded, stamp: asked }));
        }
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.kept.remove(path);
    }

    /// Forgets what is about a learner, and what is about all of them; without one, everything.
    pub(super) fn forget(&mut self, learner: Option<&str>) {
        match learner {
            None => self.forgotten_all += 1,
            Some(_) => {
                self.forgotten[slot(learner)] += 1;
                self.forgotten[slot(None)] += 1;
            }
        }
    }

    /// How many answers there are, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.kept.len(), self.kept.weight())
    }
}

/// An answer to keep.
pub(super) struct Answer {
    pub(super) body: Arc<str>,
    pub(super) etag: Option<Arc<str>>,
    pub(super) said: Instant,
    pub(super) covers: u64,
    pub(super) decoded: Decoded,
}

impl Kept {
    /// Whether it may be given without asking.
    pub(super) fn is_fresh(&self, now: Instant, bound: Duration) -> bool {
        now.saturating_duration_since(self.said) < bound
    }
}

fn slot(learner: Option<&str>) -> usize {
    // the remainder is below SLOTS
    usize::try_from(xxh3_64(learner.unwrap_or(EVERYBODY).as_bytes()) % SLOTS as u64).unwrap_or_default()
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Arc<str>, Arc<Kept>> for Bytes {
    fn weight(&self, path: &Arc<str>, kept: &Arc<Kept>) -> u64 {
        (ENTRY + path.len() + DECODED * kept.body.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str, covers: u64) -> Answer {
        Answer { body: body.into(), etag: None, said: Instant::now(), covers, decoded: Decoded::default() }
    }

    fn keep(answers: &mut Answers, path: &str, learner: Option<&str>, body: &str) {
        let stamp = answers.stamp(learner);
        answers.keep(path.into(), learner, stamp, answer(body, 0));
    }

    #[test]
    fn a_learner_is_forgotten_with_what_is_about_all_and_nobody_else() {
        let mut answers = Answers::new(1 << 20);
        for (path, learner) in [("/a", Some("a")), ("/b", Some("b")), ("/global", None)] {
            keep(&mut answers, path, learner, "{}");
        }

        answers.forget(Some("a"));

        assert!(answers.get("/a", Some("a"), 0).is_none());
        assert!(answers.get("/b", Some("b"), 0).is_some());
        assert!(answers.get("/global", None, 0).is_none());
        answers.forget(None);
        assert!(answers.get("/b", Some("b"), 0).is_none());
    }

    #[test]
    fn an_answer_that_was_asked_for_before_is_not_kept() {
        let mut answers = Answers::new(1 << 20);
        let asked = answers.stamp(Some("a"));
        answers.forget(Some("a"));

        answers.keep("/a".into(), Some("a"), asked, answer("{}", 0));

        assert!(answers.get("/a", Some("a"), 0).is_none());
    }

    #[test]
    fn an_answer_from_before_a_position_does_not_count() {
        let mut answers = Answers::new(1 << 20);
        let stamp = answers.stamp(None);
        answers.keep("/x".into(), None, stamp, answer("{}", 7));

        assert!(answers.get("/x", None, 7).is_some());
        assert!(answers.get("/x", None, 8).is_none());
    }

    #[test]
    fn bytes_are_bounded() {
        let mut answers = Answers::new(100_000);
        for number in 0..1000 {
            keep(&mut answers, &format!("/{number}"), None, &"x".repeat(500));
        }

        assert!(answers.size().1 <= 100_000);
        assert!(answers.size().0 > 10);
    }
}
