//! What is known of each text: whether its answers can be kept, and which tables they depend on.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tierkeep_cache::{Tag, Tick};
use xxhash_rust::xxh3::xxh3_64;

use super::{Bypass, Uncachable, everything, normalised, table_tag};
use crate::Dialect;

/// Spellings that are remembered: some megabytes. Beyond them all are forgotten, which costs a look at the catalogs each;
/// a program has fewer fixed texts.
const REMEMBERED: usize = 4096;
/// Longer texts are not looked at, in bytes.
pub(super) const LONGEST: usize = 64 << 10;

/// What an answer depends on, or why it cannot be kept.
pub(super) type Verdict = Result<Vec<&'static str>, Uncachable>;

/// What is known of a text.
#[derive(Debug)]
pub(super) struct Plan {
    /// Stands for the text in keys; given once.
    pub(super) number: u64,
    pub(super) verdict: Result<Vec<Tag>, Arc<Uncachable>>,
    made: Tick,
}

impl Plan {
    /// What its answers carry.
    pub(super) fn tags(&self) -> &[Tag] {
        self.verdict.as_deref().unwrap_or_default()
    }

    pub(super) fn cachable(self: Arc<Self>) -> Result<Arc<Self>, Bypass> {
        match &self.verdict {
            Ok(_) => Ok(self),
            Err(reason) => Err(Bypass::Uncachable(Arc::clone(reason))),
        }
    }
}

/// A text that is asked again and again, with what was last known of it: nothing is hashed and looked up while that holds.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) text: Box<str>,
    known: RwLock<Option<Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    number: u64,
    made: Tick,
    era: u64,
}

impl Prepared {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), known: RwLock::default() }
    }
}

/// By the hash of a spelling: that, and what it means.
type BySpelling = HashMap<u64, (Box<str>, Arc<Plan>), BuildHasherDefault<Hashed>>;

/// Takes a hash for its own hash. Whoever finds two texts with one gets a slower cache, since they displace each other.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct Plans {
    dialect: Dialect,
    life: Duration,
    by_spelling: RwLock<BySpelling>,
    next: AtomicU64,
    /// How often all was forgotten.
    era: AtomicU64,
}

impl Plans {
    pub(super) fn new(dialect: Dialect, life: Duration) -> Self {
        Self { dialect, life, by_spelling: RwLock::default(), next: AtomicU64::new(0), era: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, text: &str, now: Tick) -> Option<Arc<Plan>> {
        let plans = self.by_spelling.read().unwrap_or_else(PoisonError::into_inner);
        let (spelling, plan) = plans.get(&xxh3_64(text.as_bytes()))?;
        (**spelling == *text && now.since(plan.made) < self.life).then(|| Arc::clone(plan))
    }

    /// The number of a text whose answers can be kept.
    #[inline]
    pub(super) fn number(&self, text: &str, now: Tick) -> Option<u64> {
        let plans = self.by_spelling.read().unwrap_or_else(PoisonError::into_inner);
        let (spelling, plan) = plans.get(&xxh3_64(text.as_bytes()))?;
        let is_known = **spelling == *text && now.since(plan.made) < self.life && plan.verdict.is_ok();
        is_known.then_some(plan.number)
    }

    /// The number of a prepared text whose answers can be kept.
    #[inline]
    pub(super) fn number_of(&self, prepared: &Prepared, now: Tick) -> Option<u64> {
        let era = self.era();
        let known = *prepared.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.era == era && now.since(known.made) < self.life) {
            return Some(known.number);
        }
        let plan = self.get(&prepared.text, now).filter(|plan| plan.verdict.is_ok())?;
        let known = Known { number: plan.number, made: plan.made, era };
        *prepared.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Some(plan.number)
    }

    /// The plan of another spelling of the same text.
    pub(super) fn get_normal(&self, text: &str, now: Tick) -> Option<Arc<Plan>> {
        let era = self.era();
        let plan = self.get(&normalised(self.dialect, text), now)?;
        self.remember(text, &plan, era);
        Some(plan)
    }

    /// What is found out from now on is of this era.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Notes what was found out about a text. Its number stays if what it depends on has. What was found out in an era that is
    /// over may be about another schema: it is used once and not remembered.
    pub(super) fn note(&self, text: &str, verdict: Verdict, era: u64, now: Tick) -> Arc<Plan> {
        let normal = normalised(self.dialect, text);
        let verdict = verdict
            .map(|sources| sources.into_iter().map(table_tag).chain([everything()]).collect::<Vec<Tag>>())
            .map_err(Arc::new);
        // At the beginning of time nothing has expired.
        let before = self.get(&normal, Tick::default());
        let number = match before {
            Some(before) if before.verdict == verdict => before.number,
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let plan = Arc::new(Plan { number, verdict, made: now });
        self.remember(&normal, &plan, era);
        self.remember(text, &plan, era);
        plan
    }

    pub(super) fn forget(&self) {
        let mut plans = self.by_spelling.write().unwrap_or_else(PoisonError::into_inner);
        self.era.fetch_add(1, Ordering::AcqRel);
        plans.clear();
    }

    fn remember(&self, text: &str, plan: &Arc<Plan>, era: u64) {
        let mut plans = self.by_spelling.write().unwrap_or_else(PoisonError::into_inner);
        if era != self.era() {
            return;
        }
        if plans.len() >= REMEMBERED {
            // Numbers are never given again, so answers under forgotten ones are only not found.
            plans.clear();
        }
        plans.insert(xxh3_64(text.as_bytes()), (text.into(), Arc::clone(plan)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> Plans {
        Plans::new(Dialect::Postgres, Duration::from_secs(10))
    }

    #[test]
    fn spellings_of_one_text_share_a_number_and_other_texts_have_others() {
        let plans = plans();
        let now = Tick::from_millis(1000);
        let plan = plans.note("SELECT a FROM t", Ok(vec!["t"]), 0, now);

        assert_eq!(plans.get("SELECT a FROM t", now).unwrap().number, plan.number);
        assert!(plans.get("select a  from t", now).is_none());
        assert_eq!(plans.get_normal("select a  from t", now).unwrap().number, plan.number);
        assert_eq!(plans.get("select a  from t", now).unwrap().number, plan.number, "remembered from then on");
        assert_ne!(plans.note("select b from t", Ok(vec!["t"]), 0, now).number, plan.number);
    }

    #[test]
    fn what_is_known_ends_and_the_number_stays_while_the_tables_do() {
        let plans = plans();
        let (now, later) = (Tick::from_millis(1000), Tick::from_millis(11_000));
        let number = plans.note("select 1", Ok(vec!["t"]), 0, now).number;

        assert!(plans.get("select 1", later).is_none());
        assert_eq!(plans.note("select 1", Ok(vec!["t"]), 0, later).number, number);
        assert_ne!(plans.note("select 1", Ok(vec!["t", "u"]), 0, later).number, number, "it reads other tables now");
    }

    #[test]
    fn prepared_text_has_the_number_of_its_text_until_that_is_forgotten() {
        let (plans, prepared) = (plans(), Prepared::new("select 1"));
        let (now, later) = (Tick::from_millis(1000), Tick::from_millis(11_000));
        assert_eq!(plans.number_of(&prepared, now), None, "nothing is known yet");
        let number = plans.note("select 1", Ok(vec!["t"]), 0, now).number;

        assert_eq!(plans.number_of(&prepared, now), Some(number));
        assert_eq!(plans.number_of(&prepared, later), None, "it is over");
        let other = plans.note("select 1", Ok(vec!["t", "u"]), 0, later).number;
        assert_eq!(plans.number_of(&prepared, later), Some(other));
        plans.forget();
        assert_eq!(plans.number_of(&prepared, later), None, "the schema may have changed");
        plans.note("select 1", Err(Uncachable::Nested), plans.era(), later);
        assert_eq!(plans.number_of(&prepared, later), None, "its answers cannot be kept");
    }

    #[test]
    fn what_was_found_out_before_all_was_forgotten_is_not_remembered() {
        let (plans, now) = (plans(), Tick::default());
        let era = plans.era();
        plans.forget();

        plans.note("select 1", Ok(vec!["t"]), era, now);
        assert!(plans.get("select 1", now).is_none());
        plans.note("select 1", Ok(vec!["t"]), plans.era(), now);

        assert!(plans.get("select 1", now).is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let plans = plans();

        for number in 0..3 * REMEMBERED {
            plans.note(&format!("values ({number})"), Ok(vec![]), 0, Tick::default());
        }

        assert!(plans.by_spelling.read().unwrap().len() <= REMEMBERED);
    }
}
