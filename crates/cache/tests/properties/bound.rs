//! The memory bound holds at every moment.

use tierkeep_cache::{Cache, Loaded};

use crate::fixture::{Down, alone_with};

const BOUND: u64 = 4 << 20;

/// Repeatable chance (Marsaglia's xorshift), fast enough for a churn.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn within(cache: &Cache, after: u64) {
    let bytes = cache.state().memory_bytes;
    assert!(bytes <= BOUND + BOUND / 20, "{bytes} bytes after {after} values");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_thousand_values_of_random_size_never_exceed_the_bound() {
    let cache = alone_with(|builder| builder.memory(BOUND));
    let view = cache.view::<u64, Vec<u8>>("churn").build().unwrap();
    let mut chance = 0x9e37_79b9_7f4a_7c15;

    for count in 0..200_000 {
        let (key, length) = (next(&mut chance) % 50_000, (next(&mut chance) % 64).pow(2) as usize);
        let load = async move |_| Ok::<_, Down>(Loaded::value(vec![0u8; length]));
        view.get_or_load_here(&key, load).await.unwrap();
        if count % 16 == 0 {
            within(&cache, count);
        }
    }

    let state = cache.state();
    assert!(state.evictions > 10_000 && state.memory_bytes > BOUND / 2, "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_is_given_back() {
    let cache = alone_with(|builder| builder.memory(BOUND));
    let view = cache.view::<u64, Vec<u8>>("churn").build().unwrap();
    for key in 0..500 {
        view.put(&key, vec![0; 1000]).await.receipt.complete().unwrap();
    }
    assert!(cache.state().memory_bytes > 500_000);

    for key in 0..500 {
        view.invalidate(&key).await.complete().unwrap();
    }

    assert_eq!((cache.state().entries, cache.state().memory_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_replaced_by_another_counts_once() {
    let cache = alone_with(|builder| builder.memory(BOUND));
    let view = cache.view::<u64, Vec<u8>>("churn").build().unwrap();

    for length in [10_000, 100, 50_000, 1_000] {
        view.put(&1, vec![0; length]).await.receipt.complete().unwrap();
        let bytes = cache.state().memory_bytes;
        assert!((length as u64..length as u64 + 1_000).contains(&bytes), "{bytes} for {length}");
    }
}
