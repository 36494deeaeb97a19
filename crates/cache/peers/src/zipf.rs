//! Key sequences in which few keys are read often.

use fastrand::Rng;

/// Draws places in `0..count`, the k-th most popular one with a probability proportional to `1 / k^exponent`.
///
/// Which place is popular is shuffled, so that popular keys are not neighbours in memory.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Summed weights by popularity.
    sums: Vec<f64>,
    /// The place of each rank.
    places: Vec<u32>,
}

impl Zipf {
    /// A distribution over `count` places; computed in `O(count)`.
    pub fn new(count: u32, exponent: f64, random: &mut Rng) -> Self {
        let sums = (1..=count)
            .scan(0.0, |sum, rank| {
                *sum += f64::from(rank).powf(-exponent);
                Some(*sum)
            })
            .collect();
        let mut places: Vec<u32> = (0..count).collect();
        random.shuffle(&mut places);
        Self { sums, places }
    }

    /// `length` independent draws, each in `O(log count)`.
    pub fn sequence(&self, length: usize, random: &mut Rng) -> Vec<u32> {
        let Some(total) = self.sums.last() else { return Vec::new() };
        (0..length)
            .map(|_| {
                let drawn = random.f64() * total;
                // Rounding may draw the total itself, which lies behind the last sum.
                let rank = self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len() - 1);
                self.places[rank]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_ranks_follow_the_exponent() {
        let mut random = Rng::with_seed(1);
        let zipf = Zipf::new(1000, 1.0, &mut random);

        let sequence = zipf.sequence(200_000, &mut random);

        let share = |rank: usize| {
            let place = zipf.places[rank];
            sequence.iter().filter(|&&drawn| drawn == place).count() as f64 / sequence.len() as f64
        };
        let harmonic: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
        assert!((share(0) - 1.0 / harmonic).abs() < 0.005, "{}", share(0));
        assert!((share(9) - 0.1 / harmonic).abs() < 0.002, "{}", share(9));
    }

    #[test]
    fn draws_lie_within_the_count() {
        let mut random = Rng::with_seed(2);
        let zipf = Zipf::new(10, 0.99, &mut random);

        assert!(zipf.sequence(10_000, &mut random).iter().all(|&place| place < 10));
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        let mut random = Rng::with_seed(3);

        assert!(Zipf::new(0, 0.99, &mut random).sequence(5, &mut random).is_empty());
    }
}
