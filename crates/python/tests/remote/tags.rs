use std::time::Duration;

use _core::remote::{Looked, RemoteError, Stamped, Ttl, When, Write};

use super::{World, bytes, plain};

fn now(tag: &[u8]) -> Stamped<'_> {
    Stamped { tag, stamp: None }
}

#[test]
fn one_call_invalidates_all_that_carry_a_tag_and_nothing_else() {
    let world = World::new();
    let remote = &world.remote;
    remote.set(&Write { tags: &[now(b"red"), now(b"blue")], ..plain(b"both", b"1") }).unwrap();
    remote.set(&Write { tags: &[now(b"red")], ..plain(b"red", b"2") }).unwrap();
    remote.set(&Write { tags: &[now(b"blue")], ..plain(b"blue", b"3") }).unwrap();
    remote.set(&plain(b"none", b"4")).unwrap();
    assert!(remote.get_many(&["both", "red", "blue", "none"]).unwrap().iter().all(Option::is_some));

    world.another().bump(&[b"red", b"never seen"]).unwrap();

    let left = remote.get_many(&["both", "red", "blue", "none"]).unwrap();
    let left: Vec<_> = left.into_iter().map(|entry| entry.map(|entry| entry.bytes)).collect();
    assert_eq!(left, [None, None, Some(b"3".to_vec()), Some(b"4".to_vec())]);
}

#[test]
fn a_value_with_an_invalidated_tag_is_absent_to_every_call() {
    let world = World::new();
    let remote = &world.remote;
    let mut round = 0;
    let mut fresh = || {
        round += 1;
        remote.set(&Write { tags: &[now(b"t")], ..plain(b"k", b"old") }).unwrap();
        remote.bump(&[b"t"]).unwrap();
    };

    fresh();
    assert_eq!(remote.ttl(b"k").unwrap(), None);
    assert!(!remote.touch(b"k", Ttl::Millis(1000)).unwrap());
    assert!(!remote.set(&Write { when: When::IfPresent, ..plain(b"k", b"new") }).unwrap());
    assert!(!remote.move_entry(b"k", b"l", <[u8]>::to_vec).unwrap());
    assert!(matches!(remote.look(&["k"], Duration::from_secs(9)).unwrap()[0], Looked::Missing(Some(_))));
    assert_eq!(remote.delete_many(&["k"]).unwrap(), [false]);
    fresh();
    assert!(remote.set(&Write { when: When::IfAbsent, ..plain(b"k", b"new") }).unwrap());
    assert_eq!(bytes(remote, b"k").unwrap(), b"new");
}

#[test]
fn a_tag_that_was_invalidated_is_never_as_it_was() {
    let world = World::new();
    let remote = &world.remote;
    remote.set(&Write { tags: &[now(b"t")], ..plain(b"old", b"1") }).unwrap();
    remote.bump(&[b"t"]).unwrap();

    remote.set(&Write { tags: &[now(b"t")], ..plain(b"new", b"2") }).unwrap();

    assert_eq!(bytes(remote, b"old"), None);
    assert_eq!(bytes(remote, b"new").unwrap(), b"2");
}

#[test]
fn what_was_computed_while_a_tag_was_invalidated_is_not_stored() {
    let world = World::new();
    let remote = &world.remote;
    let stamps = remote.stamps(&[b"t", b"u"], Ttl::Forever).unwrap();
    let tags = [Stamped { tag: b"t", stamp: Some(stamps[0]) }, Stamped { tag: b"u", stamp: Some(stamps[1]) }];

    let before = remote.set(&Write { tags: &tags, ..plain(b"k", b"v") }).unwrap();
    remote.bump(&[b"u"]).unwrap();
    let after = remote.set(&Write { tags: &tags, ..plain(b"l", b"v") }).unwrap();

    assert_eq!((before, after), (true, false));
    assert_eq!((bytes(remote, b"k"), bytes(remote, b"l")), (None, None));
}

#[test]
fn stamps_live_longer_than_what_carries_them_and_not_for_ever() {
    let world = World::new();
    let remote = &world.remote;
    let left = |world: &World| match world.run(&[b"PTTL", b"tk#t"]) {
        redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };
    let set = |ttl| remote.set(&Write { ttl, tags: &[now(b"t")], ..plain(b"k", b"v") }).unwrap();

    set(Ttl::Millis(1000));
    let short = left(&world);
    set(Ttl::Millis(100_000_000));
    let long = left(&world);
    set(Ttl::Forever);

    assert!((1_000_000..=3_600_000).contains(&short), "{short}");
    assert!(long > 100_000_000, "{long}");
    assert_eq!(left(&world), -1);
    assert!(bytes(remote, b"k").is_some());
}

#[test]
fn a_stamp_that_was_evicted_invalidates() {
    let world = World::new();
    world.remote.set(&Write { tags: &[now(b"t")], ..plain(b"k", b"v") }).unwrap();

    world.run(&[b"DEL", b"tk#t"]);

    assert_eq!(bytes(&world.remote, b"k"), None);
}

#[test]
fn tags_of_any_bytes_are_told_apart() {
    let world = World::new();
    let remote = &world.remote;
    let odd: [&[u8]; 4] = [b"", b"\0", b"a#b", &[0xff; 65535]];
    for tag in odd {
        remote.set(&Write { tags: &[now(tag)], ..plain(tag, b"v") }).unwrap();
    }
    remote.bump(&[b"\0"]).unwrap();

    let left: Vec<bool> = odd.iter().map(|key| bytes(remote, key).is_some()).collect();
    assert_eq!(left, [true, false, true, true]);
    assert_eq!(remote.bump(&[&[0; 65536]]), Err(RemoteError::Tags));
    let many = vec![now(b"t"); 1001];
    assert_eq!(remote.set(&Write { tags: &many, ..plain(b"k", b"v") }), Err(RemoteError::Tags));
}

#[test]
fn a_moved_value_keeps_its_tags() {
    let world = World::new();
    world.remote.set(&Write { tags: &[now(b"t")], ..plain(b"k", b"v") }).unwrap();
    assert!(world.remote.move_entry(b"k", b"l", <[u8]>::to_vec).unwrap());
    assert_eq!(bytes(&world.remote, b"l").unwrap(), b"v");

    world.remote.bump(&[b"t"]).unwrap();

    assert_eq!(bytes(&world.remote, b"l"), None);
}
