use std::time::Duration;

use _core::remote::{Lease, Looked, Remote, Stamped, Ttl, When, Write};

use super::{World, bytes, plain};

/// Something that another process does.
type Change<'a> = &'a dyn Fn(&Remote);

const TERM: Duration = Duration::from_secs(1000);

fn miss(remote: &Remote, key: &[u8]) -> Lease {
    match remote.look(&[key], TERM).unwrap().remove(0) {
        Looked::Missing(Some(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

fn fill(remote: &Remote, key: &[u8], lease: Lease) -> bool {
    remote.set(&Write { lease: Some(lease), ..plain(key, b"computed") }).unwrap()
}

#[test]
fn what_is_computed_after_a_miss_is_stored() {
    let world = World::new();
    let lease = miss(&world.remote, b"k");

    assert!(fill(&world.remote, b"k", lease));
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"computed");
}

#[test]
fn those_who_miss_together_may_all_store() {
    let world = World::new();
    let (one, other) = (miss(&world.remote, b"k"), miss(&world.another(), b"k"));

    assert!(fill(&world.remote, b"k", one));
    assert!(fill(&world.another(), b"k", other));
}

#[test]
fn every_change_ends_what_was_begun_before_it() {
    let changes: [(&str, Change<'_>); 7] = [
        ("set", &|remote| _ = remote.set(&plain(b"k", b"new")).unwrap()),
        ("set that is over", &|remote| _ = remote.set(&Write { ttl: Ttl::Millis(0), ..plain(b"k", b"") }).unwrap()),
        ("delete", &|remote| _ = remote.delete_many(&[b"k"]).unwrap()),
        ("pattern", &|remote| _ = remote.delete_matching(b"[k]*", None).unwrap()),
        ("clear", &|remote| _ = remote.clear().unwrap()),
        ("move to", &|remote| {
            remote.set(&plain(b"other", b"moved")).unwrap();
            assert!(remote.move_entry(b"other", b"k", <[u8]>::to_vec).unwrap());
        }),
        ("set of many", &|remote| _ = remote.set_many(&[plain(b"l", b"new"), plain(b"k", b"new")]).unwrap()),
    ];
    for (name, change) in changes {
        let world = World::new();
        let lease = miss(&world.remote, b"k");

        change(&world.another());
        let was_stored = fill(&world.remote, b"k", lease);

        assert!(!was_stored, "{name}");
        assert_ne!(bytes(&world.remote, b"k").as_deref(), Some(&b"computed"[..]), "{name}");
    }
}

#[test]
fn a_miss_after_a_change_has_another_lease() {
    let world = World::new();
    let before = miss(&world.remote, b"k");
    world.remote.delete_many(&[b"k"]).unwrap();
    let after = miss(&world.remote, b"k");

    assert_ne!(before, after);
    assert!(!fill(&world.remote, b"k", before));
    assert!(fill(&world.remote, b"k", after));
}

#[test]
fn changes_of_other_keys_end_nothing() {
    let world = World::new();
    let lease = miss(&world.remote, b"k");

    world.remote.delete_many(&[b"l"]).unwrap();
    world.remote.delete_matching(b"l*", None).unwrap();

    assert!(fill(&world.remote, b"k", lease));
}

#[test]
fn the_lease_of_another_server_is_none() {
    let world = World::new();
    let lease = miss(&world.remote, b"k");
    world.run(&[b"FLUSHALL"]);

    assert!(!fill(&world.remote, b"k", lease));
}

#[test]
fn a_value_whose_tags_were_not_known_is_refused_when_any_was_invalidated() {
    let world = World::new();
    let tags = [Stamped { tag: b"t", stamp: None }];
    let fill = |key: &[u8], lease| {
        world.remote.set(&Write { lease: Some(lease), tags: &tags, ..plain(key, b"computed") }).unwrap()
    };
    let (before, plain_one) = (miss(&world.remote, b"k"), miss(&world.remote, b"plain"));
    assert!(fill(b"k", before), "nothing was invalidated");

    world.another().bump(&[b"other"]).unwrap();

    assert!(!fill(b"k", before));
    assert!(super::leases::fill(&world.remote, b"plain", plain_one), "it has no tags");
    assert!(fill(b"l", miss(&world.remote, b"l")));
}

#[test]
fn leases_are_given_for_a_batch() {
    let world = World::new();
    let keys: Vec<String> = (0..700).map(|number| format!("k{number}")).collect();
    let looked = world.remote.look(&keys, TERM).unwrap();

    assert!(looked.iter().all(|looked| matches!(looked, Looked::Missing(Some(_)))));
}

fn unreadable(remote: &Remote, key: &[u8]) -> Lease {
    match remote.look(&[key], TERM).unwrap().remove(0) {
        Looked::Found(entry) => remote.replacing(key, &entry, TERM).unwrap().expect("it is there still"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn value_that_nobody_can_read_is_in_the_way_of_no_fill_not_even_of_one_that_wants_none_there() {
    for when in [When::Always, When::IfAbsent] {
        for tags in [&[][..], &[Stamped { tag: b"t", stamp: None }][..]] {
            let world = World::new();
            world.remote.set(&Write { tags, ..plain(b"k", b"garbage") }).unwrap();
            let lease = unreadable(&world.remote, b"k");

            let stored = world.remote.set(&Write { lease: Some(lease), when, ..plain(b"k", b"computed") }).unwrap();

            assert!(stored, "{when:?}");
            assert_eq!(bytes(&world.remote, b"k").unwrap(), b"computed");
        }
    }
}

#[test]
fn of_two_who_add_in_place_of_what_nobody_can_read_one_does() {
    let world = World::new();
    world.remote.set(&plain(b"k", b"garbage")).unwrap();
    let leases = [unreadable(&world.remote, b"k"), unreadable(&world.another(), b"k")];

    let stored = leases.map(|lease| {
        let write = Write { lease: Some(lease), when: When::IfAbsent, ..plain(b"k", b"computed") };
        world.another().set(&write).unwrap()
    });

    assert_eq!(stored, [true, false]);
}

#[test]
fn what_was_written_in_place_of_what_nobody_could_read_is_not_replaced() {
    let world = World::new();
    world.remote.set(&plain(b"k", b"garbage")).unwrap();
    let lease = unreadable(&world.remote, b"k");
    let Looked::Found(entry) = world.remote.look(&[b"k"], TERM).unwrap().remove(0) else { panic!("it is there") };

    world.another().set(&plain(b"k", b"new")).unwrap();

    assert!(!fill(&world.remote, b"k", lease));
    assert!(world.remote.replacing(b"k", &entry, TERM).unwrap().is_none());
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"new");
}
