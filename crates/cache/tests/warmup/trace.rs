//! Accesses of which some keys get more than others, repeatable.

/// SplitMix64: the tests' chance.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0 and less than 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Keys from 0, by Zipf's law with exponent 0.99.
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn of(keys: usize) -> Self {
        let mut total = 0.0;
        let sums = (1..=keys).map(|rank| {
            total += (rank as f64).powf(-0.99);
            total
        });
        Self(sums.collect())
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> u64 {
        let total = self.0.last().unwrap();
        let point = chance.unit() * total;
        self.0.partition_point(|sum| *sum < point).min(self.0.len() - 1) as u64
    }

    /// The share of the accesses that a key gets.
    pub(crate) fn share(&self, key: u64) -> f64 {
        let before = if key == 0 { 0.0 } else { self.0[key as usize - 1] };
        (self.0[key as usize] - before) / self.0.last().unwrap()
    }
}
