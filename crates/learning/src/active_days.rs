//! The days on which a learner studied, small enough that ten years are one value.

use std::fmt;

use thiserror::Error;

use crate::local_day::LocalDay;

/// The set of a learner's active days (days with a duration above 0): a sparse bitmap.
///
/// # Size
/// [`ActiveDays::to_bytes`] takes at most 11 bytes for each stretch of 64 days with study in it. Ten years take 636 bytes
/// with daily study, 619 with study on weekdays and 493 with one day a month.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ActiveDays {
    /// In order of their number; none without a bit.
    blocks: Vec<Block>,
}

/// The 64 days from day `number` × 64 on, day by day from the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Block {
    number: i32,
    bits: u64,
}

/// Bytes that are no stored set of days.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ActiveDaysError {
    /// Written by another version of this program.
    #[error("stored active days have version {0}, this program reads version 1")]
    Version(u8),
    /// Cut off, or not written by us.
    #[error("stored active days are damaged")]
    Damaged,
}

/// Days in a block.
const BLOCK_DAYS: i32 = 64;
/// First byte of the stored form.
const VERSION: u8 = 1;

impl ActiveDays {
    /// Adds a day.
    pub fn insert(&mut self, day: LocalDay) {
        let (number, bit) = place(day);
        match self.find(number) {
            Ok(at) => self.blocks[at].bits |= bit,
            Err(at) => self.blocks.insert(at, Block { number, bits: bit }),
        }
    }

    /// Takes a day out.
    pub fn remove(&mut self, day: LocalDay) {
        let (number, bit) = place(day);
        if let Ok(at) = self.find(number) {
            self.blocks[at].bits &= !bit;
            if self.blocks[at].bits == 0 {
                self.blocks.remove(at);
            }
        }
    }

    /// Makes a day active, or not.
    pub fn set(&mut self, day: LocalDay, active: bool) {
        if active {
            self.insert(day);
        } else {
            self.remove(day);
        }
    }

    /// Whether the learner studied on this day.
    #[must_use]
    pub fn contains(&self, day: LocalDay) -> bool {
        let (number, bit) = place(day);
        self.find(number).is_ok_and(|at| self.blocks[at].bits & bit != 0)
    }

    /// The days, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = LocalDay> {
        self.blocks.iter().flat_map(|block| block.days())
    }

    /// How many days.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds all days of another set.
    pub fn merge(&mut self, other: &Self) {
        for block in &other.blocks {
            match self.find(block.number) {
                Ok(at) => self.blocks[at].bits |= block.bits,
                Err(at) => self.blocks.insert(at, *block),
            }
        }
    }

    /// The stored form: a version byte; then for each block the distance of its number from the one before (the first
    /// from 0) and its bits, as postcard's variable-length integers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut before = 0;
        for block in &self.blocks {
            bytes = postcard::to_extend(&(block.number - before, block.bits), bytes).expect("a vector takes all bytes");
            before = block.number;
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`ActiveDaysError::Version`] for another version, [`ActiveDaysError::Damaged`] for bytes `to_bytes` cannot have
    /// written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ActiveDaysError> {
        let (version, mut rest) = bytes.split_first().ok_or(ActiveDaysError::Damaged)?;
        if *version != VERSION {
            return Err(ActiveDaysError::Version(*version));
        }
        let mut blocks: Vec<Block> = Vec::new();
        while !rest.is_empty() {
            let ((distance, bits), unread) =
                postcard::take_from_bytes::<(i32, u64)>(rest).map_err(|_| ActiveDaysError::Damaged)?;
            let before = blocks.last().map_or(0, |block| block.number);
            let number = before.checked_add(distance).ok_or(ActiveDaysError::Damaged)?;
            let block = Block { number, bits };
            if (!blocks.is_empty() && distance <= 0) || !block.is_sound() {
                return Err(ActiveDaysError::Damaged);
            }
            blocks.push(block);
            rest = unread;
        }
        Ok(Self { blocks })
    }

    fn find(&self, number: i32) -> Result<usize, usize> {
        // days mostly come in order: look at the end first
        match self.blocks.last() {
            Some(last) if last.number < number => Err(self.blocks.len()),
            _ => self.blocks.binary_search_by_key(&number, |block| block.number),
        }
    }
}

impl Block {
    fn days(self) -> impl DoubleEndedIterator<Item = LocalDay> {
        let set = (0..BLOCK_DAYS).filter(move |day| self.bits >> day & 1 == 1);
        set.filter_map(move |day| LocalDay::from_number(self.number * BLOCK_DAYS + day))
    }

    /// Whether there is a day, and each is one we can answer for.
    fn is_sound(self) -> bool {
        let first = place(LocalDay::MIN).0;
        let last = place(LocalDay::MAX).0;
        self.bits != 0
            && (first..=last).contains(&self.number)
            // only the blocks at the ends can have bits that are no days
            && ((first < self.number && self.number < last) || self.days().count() == self.len())
    }

    fn len(self) -> usize {
        self.bits.count_ones() as usize
    }
}

/// The number of a day's block, and its bit there.
fn place(day: LocalDay) -> (i32, u64) {
    let number = day.number();
    (number.div_euclid(BLOCK_DAYS), 1 << number.rem_euclid(BLOCK_DAYS))
}

impl fmt::Debug for ActiveDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|day| day.to_string())).finish()
    }
}

impl FromIterator<LocalDay> for ActiveDays {
    fn from_iter<I: IntoIterator<Item = LocalDay>>(days: I) -> Self {
        let mut set = Self::default();
        set.extend(days);
        set
    }
}

impl Extend<LocalDay> for ActiveDays {
    fn extend<I: IntoIterator<Item = LocalDay>>(&mut self, days: I) {
        for day in days {
            self.insert(day);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    /// Mostly days near each other, some at the ends of time.
    fn any_day() -> impl Strategy<Value = LocalDay> {
        prop_oneof![
            8 => (-300i32..300).prop_map(|number| LocalDay::from_number(number).unwrap()),
            1 => (0i32..200).prop_map(|days| LocalDay::MIN.plus(days)),
            1 => (0i32..200).prop_map(|days| LocalDay::MAX.plus(-days)),
        ]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(LocalDay),
        Remove(LocalDay),
        Set(LocalDay, bool),
        Merge(Vec<LocalDay>),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any_day().prop_map(Step::Insert),
            any_day().prop_map(Step::Remove),
            (any_day(), any::<bool>()).prop_map(|(day, active)| Step::Set(day, active)),
            prop::collection::vec(any_day(), 0..8).prop_map(Step::Merge),
        ]
    }

    proptest! {
        #[test]
        fn a_set_of_days_behaves_like_a_tree_of_days(
            steps in prop::collection::vec(any_step(), 0..60),
            probes in prop::collection::vec(any_day(), 8),
        ) {
            let mut days = ActiveDays::default();
            let mut model = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Insert(day) => {
                        days.insert(day);
                        model.insert(day);
                    }
                    Step::Remove(day) => {
                        days.remove(day);
                        model.remove(&day);
                    }
                    Step::Set(day, active) => {
                        days.set(day, active);
                        model.remove(&day);
                        model.extend(active.then_some(day));
                    }
                    Step::Merge(others) => {
                        days.merge(&others.iter().copied().collect());
                        model.extend(others);
                    }
                }
            }

            prop_assert!(days.iter().eq(model.iter().copied()));
            prop_assert!(days.iter().rev().eq(model.iter().rev().copied()));
            prop_assert_eq!(days.len(), model.len());
            prop_assert_eq!(days.is_empty(), model.is_empty());
            for probe in probes {
                prop_assert_eq!(days.contains(probe), model.contains(&probe));
            }
            prop_assert_eq!(&model.into_iter().collect::<ActiveDays>(), &days);
            prop_assert_eq!(ActiveDays::from_bytes(&days.to_bytes()), Ok(days));
        }

        #[test]
        fn foreign_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
            versioned: bool,
        ) {
            if let Some(version) = bytes.first_mut().filter(|_| versioned) {
                *version = VERSION;
            }
            if let Ok(days) = ActiveDays::from_bytes(&bytes) {
                prop_assert_eq!(days.iter().count(), days.len());
                prop_assert_eq!(ActiveDays::from_bytes(&days.to_bytes()), Ok(days));
            }
        }

        #[test]
        fn a_damaged_byte_never_panics(
            set in prop::collection::vec(any_day(), 1..40),
            place: prop::sample::Index,
            damage: u8,
            length: prop::sample::Index,
        ) {
            let mut bytes = set.into_iter().collect::<ActiveDays>().to_bytes();
            let at = place.index(bytes.len());
            bytes[at] ^= damage;
            bytes.truncate(length.index(bytes.len() + 1));

            if let Ok(days) = ActiveDays::from_bytes(&bytes) {
                prop_assert_eq!(days.iter().count(), days.len());
            }
        }
    }

    #[test]
    fn ten_years_of_daily_study_take_little() {
        let daily: ActiveDays = day("2016-01-01").through(day("2025-12-31")).collect();
        let monthly: ActiveDays =
            day("2016-01-01").through(day("2025-12-31")).filter(|day| day.date().day() == 1).collect();
        let weekdays: ActiveDays = day("2016-01-01")
            .through(day("2025-12-31"))
            .filter(|day| day.date().weekday().to_monday_zero_offset() < 5)
            .collect();

        assert_eq!((daily.len(), daily.to_bytes().len()), (3653, 636));
        assert_eq!((weekdays.len(), weekdays.to_bytes().len()), (2609, 619));
        assert_eq!((monthly.len(), monthly.to_bytes().len()), (120, 493));
    }

    #[test]
    fn the_stored_form_stays_as_it_is() {
        let days: ActiveDays =
            [day("1969-12-31"), day("1970-01-01"), day("1970-01-03"), day("2025-06-27")].into_iter().collect();

        let bytes = days.to_bytes();

        assert_eq!(
            bytes,
            [
                &[1][..],
                &[1, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1], // block -1, bit 63
                &[2, 5],                                              // one further, bits 0 and 2
                &[248, 4, 128, 128, 128, 128, 128, 128, 1],           // 316 further, bit 42
            ]
            .concat()
        );
        assert_eq!(ActiveDays::from_bytes(&bytes), Ok(days));
    }

    #[test]
    fn other_versions_and_damage_are_told_apart() {
        assert_eq!(ActiveDays::from_bytes(&[VERSION]), Ok(ActiveDays::default()));
        assert_eq!(ActiveDays::from_bytes(&[2, 0, 1]), Err(ActiveDaysError::Version(2)));
        for (damaged, why) in [
            (&[] as &[u8], "no version"),
            (&[1, 0], "no bits"),
            (&[1, 0, 0], "a block without a day"),
            (&[1, 0, 1, 0, 1], "a block twice"),
            (&[1, 2, 1, 1, 1], "blocks out of order"),
            (&[1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1], "a day beyond the last"),
            (&[1, 0, 0x80], "cut off"),
        ] {
            assert_eq!(ActiveDays::from_bytes(damaged), Err(ActiveDaysError::Damaged), "{why}");
        }
        let beyond = LocalDay::MAX.number() + 1;
        let mut bytes = vec![VERSION];
        bytes = postcard::to_extend(&(beyond.div_euclid(BLOCK_DAYS), 1u64 << beyond.rem_euclid(BLOCK_DAYS)), bytes)
            .unwrap();
        assert_eq!(ActiveDays::from_bytes(&bytes), Err(ActiveDaysError::Damaged), "the day after the last");
    }
}
