//! How often is often enough: the generic cell rate algorithm, one number for each client.
//!
//! A client's number is the instant at which all it has asked for is paid off at its rate. What is asked for may lie ahead of
//! the present by a burst and no further. That is a token bucket whose level need not be kept up as time passes.
//!
//! The clients are as many as the table has places. Whoever is new takes the place of the one that is nearest to being paid
//! off, which loses least by that: nothing at all if it has not asked for a while.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Rows of the table: a client's hash picks one. With 8 places of 16 bytes each, 16,384 clients take 272 KiB.
const ROWS: usize = 2048;
/// Places of a row, looked through one by one.
const PLACES: usize = 8;
const NANOSECONDS: u64 = 1_000_000_000;

/// How often something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// Nanoseconds that one time costs.
    interval: u64,
    /// Nanoseconds that may be owed: the interval times the burst.
    burst: u64,
}

impl Quota {
    /// So many times a second, and so many at once.
    pub(super) fn per_second(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::every(NANOSECONDS / u64::from(rate.get()), burst)
    }

    /// So many times a minute, at most 60,000,000,000, and so many at once.
    pub(super) fn per_minute(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::every(60 * NANOSECONDS / u64::from(rate.get()), burst)
    }

    fn every(interval: u64, burst: NonZeroU32) -> Self {
        let interval = interval.max(1);
        Self { interval, burst: interval.saturating_mul(u64::from(burst.get())) }
    }

    /// When all is paid off if it is done now once more.
    ///
    /// # Errors
    /// How many nanoseconds are left until it may be.
    fn take(self, paid_off: u64, now: u64) -> Result<u64, u64> {
        let paid_off = paid_off.max(now).saturating_add(self.interval);
        match (paid_off - now).checked_sub(self.burst) {
            None | Some(0) => Ok(paid_off),
            Some(left) => Err(left),
        }
    }
}

/// A client in its place; a place that nobody has taken is one of a client that owes nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    client: u64,
    paid_off: u64,
}

/// What clients have asked for.
#[derive(Debug)]
pub(super) struct Limiter {
    rows: Box<[Mutex<[Place; PLACES]>]>,
    /// With keys of its own, so that nobody can choose whose place is taken.
    hasher: RandomState,
}

impl Limiter {
    /// Nobody has asked for anything.
    pub(super) fn new() -> Self {
        Self { rows: (0..ROWS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Takes one of a client's quota. `now` counts from any beginning that stays the same.
    ///
    /// # Errors
    /// How long it is until there is one, and nothing was taken.
    pub(super) fn take(&self, client: &impl Hash, quota: Quota, now: Duration) -> Result<(), Duration> {
        let client = self.hasher.hash_one(client);
        let now = nanoseconds(now);
        let mut row = self.row(client).lock().unwrap_or_else(PoisonError::into_inner);
        let place = place_of(&mut row, client);
        let owed = if place.client == client { place.paid_off } else { 0 };
        let paid_off = quota.take(owed, now).map_err(Duration::from_nanos)?;
        *place = Place { client, paid_off };
        Ok(())
    }

    fn row(&self, client: u64) -> &Mutex<[Place; PLACES]> {
        // the remainder is below the number of rows
        &self.rows[usize::try_from(client % ROWS as u64).unwrap_or(0)]
    }
}

/// A client's place, or the one that it is to take.
fn place_of(row: &mut [Place; PLACES], client: u64) -> &mut Place {
    let known = row.iter().position(|place| place.client == client);
    let nearest = || (0..PLACES).min_by_key(|index| row[*index].paid_off);
    let index = known.or_else(nearest).unwrap_or(0);
    &mut row[index]
}

/// 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(rate: u32, burst: u32) -> Quota {
        Quota::per_second(NonZeroU32::new(rate).unwrap(), NonZeroU32::new(burst).unwrap())
    }

    /// A bucket that is filled as time passes, in nanoseconds of credit.
    struct Bucket {
        quota: Quota,
        level: u128,
        at: u64,
    }

    impl Bucket {
        fn take(&mut self, now: u64) -> Result<(), u64> {
            self.level = (self.level + u128::from(now - self.at)).min(self.quota.burst.into());
            self.at = now;
            match self.level.checked_sub(self.quota.interval.into()) {
                Some(left) => {
                    self.level = left;
                    Ok(())
                }
                None => Err(u64::try_from(u128::from(self.quota.interval) - self.level).unwrap()),
            }
        }
    }

    proptest! {
        #[test]
        fn a_client_is_let_in_exactly_as_a_bucket_would(
            rate in 1_u32..2000,
            burst in 1_u32..20,
            pauses in prop::collection::vec(prop_oneof![Just(0), 0_u64..3_000_000, 0_u64..3_000_000_000], 1..200),
        ) {
            let quota = quota(rate, burst);
            let limiter = Limiter::new();
            let mut bucket = Bucket { quota, level: quota.burst.into(), at: 0 };
            let mut now = 0;
            for pause in pauses {
                now += pause;
                let time = Duration::from_nanos(now);
                let expected = bucket.take(now).map_err(Duration::from_nanos);
                prop_assert_eq!(limiter.take(&"client", quota, time), expected);
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_is_let_in(rate in 1_u32..1_000_000, burst in 1_u32..50) {
            let quota = quota(rate, burst);
            let limiter = Limiter::new();
            let mut now = Duration::ZERO;
            for _ in 0..burst {
                limiter.take(&1, quota, now).unwrap();
            }

            for _ in 0..3 {
                let left = limiter.take(&1, quota, now).unwrap_err();
                prop_assert!(limiter.take(&1, quota, now + left - Duration::from_nanos(1)).is_err());
                now += left;
                prop_assert_eq!(limiter.take(&1, quota, now), Ok(()));
            }
        }
    }

    #[test]
    fn one_client_does_not_use_up_what_another_has() {
        let (limiter, quota) = (Limiter::new(), quota(1, 2));
        for _ in 0..2 {
            limiter.take(&"greedy", quota, Duration::ZERO).unwrap();
        }

        assert_eq!(limiter.take(&"greedy", quota, Duration::ZERO), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take(&"modest", quota, Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_crowd_displaces_those_who_owe_least() {
        let (limiter, quota) = (Limiter::new(), quota(1, 100));
        for _ in 0..100 {
            limiter.take(&"greedy", quota, Duration::ZERO).unwrap();
        }

        for client in 0..1_000_000 {
            limiter.take(&client, quota, Duration::ZERO).unwrap();
        }

        assert!(limiter.take(&"greedy", quota, Duration::ZERO).is_err(), "a crowd has paid its debt");
    }

    #[test]
    fn so_many_a_minute() {
        let (limiter, quota) =
            (Limiter::new(), Quota::per_minute(NonZeroU32::new(10).unwrap(), NonZeroU32::new(1).unwrap()));
        limiter.take(&1, quota, Duration::ZERO).unwrap();

        assert_eq!(limiter.take(&1, quota, Duration::from_secs(2)), Err(Duration::from_secs(4)));
        assert_eq!(limiter.take(&1, quota, Duration::from_secs(6)), Ok(()));
        assert_eq!(limiter.take(&2, quota, Duration::ZERO), Ok(()));
    }
}
