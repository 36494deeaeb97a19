use proptest::prelude::*;

use super::*;

const UNLIMITED: Limits = Limits { count: usize::MAX, bytes: u64::MAX };

/// Looks at every subset.
fn brute_force(matrix: &Matrix, limits: Limits) -> f64 {
    let count = matrix.upkeep.len();
    (0_u32..1 << count)
        .map(|bits| (0..count).filter(|candidate| bits & (1 << candidate) != 0).collect::<Vec<_>>())
        .filter(|set| matrix.fits(set, limits))
        .map(|set| matrix.net(&set))
        .fold(0.0, f64::max)
}

fn matrices(candidates: impl Strategy<Value = usize>) -> impl Strategy<Value = Matrix> {
    candidates.prop_flat_map(|count| {
        let saving = prop_oneof![2 => Just(0.0), 3 => (0_u32..1000).prop_map(f64::from)];
        (
            proptest::collection::vec(proptest::collection::vec(saving, count), 1..8),
            proptest::collection::vec((0_u32..600).prop_map(f64::from), count),
            proptest::collection::vec(1_u64..100, count),
            proptest::collection::vec(0_usize..3, count),
        )
            .prop_map(|(savings, upkeep, bytes, tables)| Matrix { savings, upkeep, bytes, tables })
    })
}

proptest! {
    #[test]
    fn no_subset_is_better(matrix in matrices(1..11_usize)) {
        let choice = choose(&matrix, UNLIMITED);

        prop_assert!(choice.is_optimal);
        prop_assert!(matrix.net(&choice.chosen) >= brute_force(&matrix, UNLIMITED) - 1e-6);
    }

    #[test]
    fn no_subset_within_limits_is_better(matrix in matrices(1..11_usize), count in 1..5_usize, bytes in 20_u64..200) {
        let limits = Limits { count, bytes };

        let choice = choose(&matrix, limits);

        prop_assert!(matrix.fits(&choice.chosen, limits));
        prop_assert!(matrix.net(&choice.chosen) >= brute_force(&matrix, limits) - 1e-6);
    }

    #[test]
    fn nothing_that_is_chosen_could_be_left_out(matrix in matrices(1..40_usize)) {
        let choice = choose(&matrix, UNLIMITED);
        let net = matrix.net(&choice.chosen);

        for out in &choice.chosen {
            let without: Vec<usize> = choice.chosen.iter().copied().filter(|candidate| candidate != out).collect();
            prop_assert!(matrix.net(&without) < net - 1e-9);
        }
    }
}

#[test]
fn one_index_for_two_statements_beats_one_for_each() {
    let matrix = Matrix {
        savings: vec![vec![100.0, 0.0, 90.0], vec![0.0, 100.0, 90.0]],
        upkeep: vec![50.0, 50.0, 50.0],
        bytes: vec![1, 1, 1],
        tables: vec![0, 0, 0],
    };

    assert_eq!(choose(&matrix, UNLIMITED), Choice { chosen: vec![2], is_optimal: true });
    // The control: the greedy choice by single savings alone would be another one if upkeep were free.
    let free = Matrix { upkeep: vec![0.0; 3], ..matrix };
    assert_eq!(choose(&free, UNLIMITED).chosen, [0, 1]);
}

#[test]
fn what_costs_more_than_it_saves_is_not_taken() {
    let matrix = Matrix { savings: vec![vec![10.0]], upkeep: vec![11.0], bytes: vec![1], tables: vec![0] };

    assert_eq!(choose(&matrix, UNLIMITED).chosen, [] as [usize; 0]);
}
