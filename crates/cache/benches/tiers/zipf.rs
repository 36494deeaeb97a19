//! Keys of which some are popular.

/// Numbers below `count`, drawn by Zipf's law with exponent 0.99, as YCSB does.
pub(crate) fn sequence(count: usize, length: usize, mut seed: u64) -> Vec<usize> {
    let mut total = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|rank| {
            total += (rank as f64).powf(-0.99);
            total
        })
        .collect();
    let mut places: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        places.swap(place, (next(&mut seed) % (place as u64 + 1)) as usize);
    }
    let draw = |_| {
        let point = (next(&mut seed) >> 11) as f64 / (1u64 << 53) as f64 * total;
        places[sums.partition_point(|sum| *sum < point).min(count - 1)]
    };
    (0..length).map(draw).collect()
}

fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed ^ (*seed >> 29)
}
