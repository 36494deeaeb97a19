//! A batch that tells of each value where it came from.

use tierkeep_cache::Source;

use crate::fixture::{Cluster, Down, giving, numbers, pass, secs};

#[tokio::test(start_paused = true)]
async fn each_value_of_a_batch_has_the_tier_and_the_age_it_would_have_alone() {
    let cluster = Cluster::new();
    let (view, other) = (numbers(&cluster.deaf()), numbers(&cluster.deaf()));
    other.get_or_load(&1, giving(10)).await.unwrap();
    pass(secs(20)).await;
    view.get_or_load(&2, giving(20)).await.unwrap();
    pass(secs(10)).await;
    let load = |keys: Vec<u64>| async move {
        // the source has no 4
        let there = keys.into_iter().filter(|key| *key != 4);
        Ok::<_, Down>(there.map(|key| (key, key * 10)).collect::<Vec<_>>())
    };

    let found = view.fetch_many(&[1, 2, 3, 4, 3], load).await.unwrap();

    let mut told: Vec<_> =
        found.iter().map(|(key, found)| (*key, found.value.as_deref().copied(), found.source, found.age)).collect();
    told.sort_by_key(|(key, ..)| *key);
    assert_eq!(
        told,
        [
            (1, Some(10), Source::Remote, secs(30)),
            (2, Some(20), Source::Memory, secs(10)),
            (3, Some(30), Source::Loader, secs(0)),
        ]
    );
    assert!(found.values().all(|found| !found.stale));
    let again = view.fetch_many(&[1, 2, 3], load).await.unwrap();
    assert!(again.values().all(|found| found.source == Source::Memory));
}
