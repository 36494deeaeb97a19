//! Random numbers that are the same in every run.

use tierkeep_measure::{Nanos, Series};

/// A sequence of numbers that follows from its seed (SplitMix64).
pub(crate) struct Variates(u64);

impl Variates {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to below 1, and never 0 itself.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 2_f64.powi(-54)
    }

    /// Of the normal distribution (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        radius * angle.cos()
    }
}

/// What runs take, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One hump with a tail.
    Lognormal,
    /// A hit or a miss.
    Bimodal,
    /// One hump; now and then everything takes much longer for some time, and somewhat longer all along.
    Outliers,
    /// One hump; neighbours resemble each other.
    Neighbours,
}

/// A series of this shape, all of it multiplied.
pub(crate) fn series(shape: Shape, runs: usize, factor: f64, seed: u64) -> Series {
    let times = times(shape, runs, seed).into_iter().map(|time| Nanos::new(time * factor).unwrap());
    Series::new("drawn", times.collect()).unwrap()
}

pub(crate) fn times(shape: Shape, runs: usize, seed: u64) -> Vec<f64> {
    let mut variates = Variates::new(seed);
    let (mut slow, mut neighbour) = (0, 0.0);
    let mut next = |place: usize| {
        let normal = variates.normal();
        match shape {
            Shape::Lognormal => 50_000.0 * (0.3 * normal).exp(),
            Shape::Bimodal if variates.uniform() < 0.35 => 400_000.0 * (0.1 * normal).exp(),
            Shape::Bimodal => 20_000.0 * (0.1 * normal).exp(),
            Shape::Outliers => {
                if slow == 0 && variates.uniform() < 0.002 {
                    slow = 5;
                }
                slow -= usize::from(slow > 0);
                // the tail of a Pareto distribution whose variance is infinite
                let stall = if slow > 0 { 20.0 * variates.uniform().powf(-1.0 / 1.3) } else { 1.0 };
                50_000.0 * (0.1 * normal).exp() * stall * (1.0 + 0.01 * (place as f64 / 40.0).sin())
            }
            Shape::Neighbours => {
                neighbour = 0.8 * neighbour + 0.6 * normal;
                50_000.0 * (0.1_f64 * neighbour).exp()
            }
        }
    };
    (0..runs).map(&mut next).collect()
}
