use _core::remote::{RemoteError, Stamped, Ttl, Write};

use super::{World, bytes, plain};

#[test]
fn numbers_are_added_to_and_keep_their_time() {
    let world = World::new();
    let remote = &world.remote;
    remote.set(&Write { ttl: Ttl::Millis(3_600_000), ..plain(b"k", b"5") }).unwrap();

    assert_eq!(remote.incr(b"k", b"-7").unwrap(), b"-2");
    assert_eq!(bytes(remote, b"k").unwrap(), b"-2");
    assert!(remote.ttl(b"k").unwrap().flatten().is_some());
    assert_eq!(world.run(&[b"INCRBY", b"tk:k", b"1"]), redis::Value::Int(-1));
}

#[test]
fn numbers_of_any_length_are_exact() {
    let world = World::new();
    let remote = &world.remote;
    for (stored, delta, sum) in [
        // Beyond a double, within 64 bits.
        ("9007199254740993", "2", "9007199254740995"),
        // Over the edges of 64 bits, and back.
        ("9223372036854775807", "1", "9223372036854775808"),
        ("9223372036854775808", "-1", "9223372036854775807"),
        ("-9223372036854775808", "-1", "-9223372036854775809"),
        ("1", "100000000000000000000000000000", "100000000000000000000000000001"),
    ] {
        remote.set(&Write { ttl: Ttl::Millis(3_600_000), ..plain(b"k", stored.as_bytes()) }).unwrap();
        assert_eq!(remote.incr(b"k", delta.as_bytes()).unwrap(), sum.as_bytes());
        assert_eq!(bytes(remote, b"k").unwrap(), sum.as_bytes());
        assert!(remote.ttl(b"k").unwrap().flatten().is_some());
    }
}

#[test]
fn a_number_with_tags_keeps_them() {
    let world = World::new();
    let tags = [Stamped { tag: b"t", stamp: None }];
    world.remote.set(&Write { tags: &tags, ..plain(b"k", b"1") }).unwrap();

    assert_eq!(world.remote.incr(b"k", b"1").unwrap(), b"2");
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"2");
    world.remote.bump(&[b"t"]).unwrap();
    assert_eq!(world.remote.incr(b"k", b"1"), Err(RemoteError::Absent));
}

#[test]
fn what_is_no_number_stays_as_it_is() {
    let world = World::new();
    let remote = &world.remote;
    assert_eq!(remote.incr(b"none", b"1"), Err(RemoteError::Absent));
    assert_eq!(bytes(remote, b"none"), None);
    for stored in ["1.5", "", "x", "007", "-0", "+1"] {
        remote.set(&plain(b"k", stored.as_bytes())).unwrap();
        assert_eq!(remote.incr(b"k", b"1"), Err(RemoteError::NotANumber), "{stored}");
        assert_eq!(bytes(remote, b"k").unwrap(), stored.as_bytes());
    }
    remote.set(&plain(b"k", b"1")).unwrap();
    assert_eq!(remote.incr(b"k", b"1.5"), Err(RemoteError::NotANumber));
}

#[test]
fn no_addition_is_lost() {
    let world = World::new();
    // The second can only be added to by comparing.
    for start in ["0", "9223372036854775807000"] {
        world.remote.set(&plain(b"k", start.as_bytes())).unwrap();

        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| _ = world.remote.incr(b"k", b"1").unwrap()));
            }
        });

        let end: i128 = String::from_utf8(bytes(&world.remote, b"k").unwrap()).unwrap().parse().unwrap();
        assert_eq!(end - start.parse::<i128>().unwrap(), 100);
    }
}

#[test]
fn changes_of_other_kinds_see_each_other_too() {
    let world = World::new();
    world.remote.set(&plain(b"k", b"")).unwrap();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..25).for_each(|_| {
                    world.remote.modify(b"k", |bytes| Some([bytes, b"x"].concat())).unwrap().unwrap();
                });
            });
        }
    });

    assert_eq!(bytes(&world.remote, b"k").unwrap().len(), 100);
    assert_eq!(world.remote.modify(b"k", |_| None).unwrap(), None);
    assert_eq!(world.remote.modify(b"none", |_| None), Err(RemoteError::Absent));
}
