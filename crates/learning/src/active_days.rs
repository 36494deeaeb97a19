//! The days on which a learner studied, small enough that ten years are one value.

use std::fmt;

use thiserror::Error;

use crate::local_day::LocalDay;

/// The set of a learner's active days (days with a duration above 0): a sparse bitmap.
///
/// # Size
/// [`ActiveDays::to_bytes`] takes 10 bytes for each 64 days with daily study, some 640 bytes for ten years; three days a
/// week take about the same, a day a month some 3 bytes a day.
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
        self.blocks.iter().map(|block| block.bits.count_ones() as usize).sum()
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
        let numbers = LocalDay::MIN.number().div_euclid(BLOCK_DAYS)..=LocalDay::MAX.number().div_euclid(BLOCK_DAYS);
        self.bits != 0 && numbers.contains(&self.number) && self.days().count() == self.bits.count_ones() as usize
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
