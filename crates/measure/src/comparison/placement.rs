//! Where the runs of one series lie among those of the other.

use crate::nanos::Nanos;

/// Times below this are taken for it, in nanoseconds: a ratio to nothing is none.
const SHORTEST: f64 = 1e-3;
/// How near a ratio is found, as a share of it: measurements are not that exact.
const NEAR: f64 = 1e-5;

/// A series in the order of its times, each with the block of neighbours in time that it belongs to.
#[derive(Debug)]
pub(super) struct Sample {
    sorted: Vec<(f64, usize)>,
    /// The length of each block.
    lengths: Vec<f64>,
}

impl Sample {
    /// `blocks` is at least 1 and at most the number of times.
    pub(super) fn new(times: &[Nanos], blocks: usize) -> Self {
        let block = |place: usize| place * blocks / times.len();
        let mut sorted: Vec<_> =
            times.iter().enumerate().map(|(place, time)| (time.get().max(SHORTEST), block(place))).collect();
        sorted.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        let mut lengths = vec![0.0; blocks];
        for (_, block) in &sorted {
            lengths[*block] += 1.0;
        }
        Self { sorted, lengths }
    }

    fn shortest(&self) -> f64 {
        self.sorted.first().map_or(SHORTEST, |first| first.0)
    }

    fn longest(&self) -> f64 {
        self.sorted.last().map_or(SHORTEST, |last| last.0)
    }

    /// The mean, in each block, of the shares of the other series that its times, multiplied, exceed; equal ones count half.
    fn placed(&self, factor: f64, other: &Self) -> Vec<f64> {
        let among = other.sorted.len() as f64;
        let (mut below, mut not_above) = (0, 0);
        let mut sums = vec![0.0; self.lengths.len()];
        for (time, block) in &self.sorted {
            let time = time * factor;
            while other.sorted.get(below).is_some_and(|other| other.0 < time) {
                below += 1;
            }
            while other.sorted.get(not_above).is_some_and(|other| other.0 <= time) {
                not_above += 1;
            }
            sums[*block] += (below + not_above) as f64 / 2.0 / among;
        }
        sums.iter().zip(&self.lengths).map(|(sum, length)| sum / length).collect()
    }
}

/// How far the later series lies above the earlier one.
pub(super) struct Placed {
    /// Chance that a later time exceeds an earlier one, above one half.
    surplus: f64,
    /// Variance of that, of either series' making.
    variances: [f64; 2],
    /// Blocks less one, of either.
    freedoms: [f64; 2],
}

impl Placed {
    fn new(earlier: &Sample, later: &Sample, ratio: f64) -> Self {
        let (under, over) = (earlier.placed(ratio, later), later.placed(1.0 / ratio, earlier));
        // each run counts once, whatever the length of its block
        let runs = later.sorted.len() as f64;
        let mean = over.iter().zip(&later.lengths).map(|(mean, length)| mean * length).sum::<f64>() / runs;
        Self {
            surplus: mean - 0.5,
            variances: [variance_of_mean(&under), variance_of_mean(&over)],
            freedoms: [under.len() as f64 - 1.0, over.len() as f64 - 1.0],
        }
    }

    pub(super) fn surplus(&self) -> f64 {
        self.surplus
    }

    /// The surplus in units of what is needed to reject that there is none: beyond 1 and -1 it is rejected.
    pub(super) fn lead(&self, quantile: f64) -> f64 {
        let [left, right] = self.variances;
        let error = (left + right).sqrt();
        if error == 0.0 {
            // all of one above all of the other, or all of both equal
            return if self.surplus == 0.0 { 0.0 } else { f64::INFINITY.copysign(self.surplus) };
        }
        let [of_left, of_right] = self.freedoms;
        let freedom = (left + right).powi(2) / (left.powi(2) / of_left + right.powi(2) / of_right);
        self.surplus / error / student(quantile, freedom)
    }
}

fn variance_of_mean(blocks: &[f64]) -> f64 {
    let count = blocks.len() as f64;
    let mean = blocks.iter().sum::<f64>() / count;
    blocks.iter().map(|block| (block - mean).powi(2)).sum::<f64>() / (count - 1.0) / count
}

/// The ratio at which a falling function of it passes zero: one series lies lower, the more the other is multiplied.
pub(super) fn ratio_where(earlier: &Sample, later: &Sample, difference: impl Fn(Placed) -> f64) -> f64 {
    // beyond these the series do not touch
    let mut low = (later.shortest() / earlier.longest()).ln() - 1.0;
    let mut high = (later.longest() / earlier.shortest()).ln() + 1.0;
    while high - low > NEAR {
        let middle = f64::midpoint(low, high);
        let found = difference(Placed::new(earlier, later, middle.exp()));
        if found > 0.0 {
            low = middle;
        } else if found < 0.0 {
            high = middle;
        } else {
            return middle.exp();
        }
    }
    f64::midpoint(low, high).exp()
}

/// The quantile of Student's distribution that belongs to a quantile of the normal one, by the expansion of Cornish and Fisher;
/// within a thousandth from 9 degrees of freedom on.
pub(super) fn student(normal: f64, freedom: f64) -> f64 {
    let z = normal;
    let power = |exponent| z.powi(exponent);
    let first = (power(3) + z) / 4.0;
    let second = (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0;
    let third = (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}
