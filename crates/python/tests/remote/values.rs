use std::time::Duration;

use _core::remote::{RemoteError, Ttl, When, Write};

use super::{World, bytes, eventually, plain};

#[test]
fn what_is_stored_comes_back_until_it_is_removed() {
    let world = World::new();
    let remote = &world.remote;

    assert_eq!(bytes(remote, b"k"), None);
    assert!(remote.set(&plain(b"k", b"\xf5 any \0 bytes")).unwrap());
    assert_eq!(bytes(remote, b"k").unwrap(), b"\xf5 any \0 bytes");
    assert_eq!(remote.delete_many(&[b"k", b"l"]).unwrap(), [true, false]);
    assert_eq!(bytes(remote, b"k"), None);
}

#[test]
fn keys_lie_in_a_namespace() {
    let world = World::new();
    world.remote.set(&plain(b":1:k", b"ours")).unwrap();
    world.run(&[b"SET", b":1:k", b"theirs"]);

    assert_eq!(world.run(&[b"GET", b"tk::1:k"]), redis::Value::BulkString(b"ours".to_vec()));
    assert_eq!(bytes(&world.remote, b":1:k").unwrap(), b"ours");
}

#[test]
fn batches_are_one_round_trip_each() {
    let world = World::new();
    let keys: Vec<String> = (0..1234).map(|number| format!("k{number}")).collect();
    let writes: Vec<_> = keys.iter().map(|key| plain(key.as_bytes(), key.as_bytes())).collect();
    world.remote.ping().unwrap();
    // Written and read by the one connection: what it took is what the server saw it read at once, at most.
    let events = |world: &World| {
        let info = world.run(&[b"INFO", b"commandstats"]);
        let redis::Value::BulkString(text) = info else { panic!("no text") };
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find(|line| line.starts_with("cmdstat_evalsha:calls=")).map(str::to_owned);
        line.map_or(0, |line| line["cmdstat_evalsha:calls=".len()..].split(',').next().unwrap().parse().unwrap())
    };

    assert_eq!(world.remote.set_many(&writes).unwrap(), vec![true; 1234]);
    let before: u32 = events(&world);
    let found = world.remote.get_many(&keys).unwrap();
    let after: u32 = events(&world);
    let gone = world.remote.delete_many(&keys).unwrap();

    assert!(found.iter().zip(&keys).all(|(entry, key)| entry.as_ref().unwrap().bytes == key.as_bytes()));
    assert_eq!(after - before, 3, "calls of 500 keys at most, sent together");
    assert_eq!(gone, vec![true; 1234]);
    assert_eq!(world.remote.open_connections(), 1);
}

#[test]
fn empty_batches_ask_nobody() {
    let world = World::new();
    world.runtime.block_on(world.server.stop()).unwrap();

    assert_eq!(world.remote.get_many::<&[u8]>(&[]).unwrap(), []);
    assert!(world.remote.set_many(&[]).unwrap().is_empty());
    assert!(world.remote.delete_many::<&[u8]>(&[]).unwrap().is_empty());
    world.remote.bump(&[]).unwrap();
}

#[test]
fn conditions_are_decided_by_the_server() {
    let world = World::new();
    let set = |when, value| world.remote.set(&Write { when, ..plain(b"k", value) }).unwrap();

    assert!(!set(When::IfPresent, b"1"));
    assert!(set(When::IfAbsent, b"2"));
    assert!(!set(When::IfAbsent, b"3"));
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"2");
    assert!(set(When::IfPresent, b"4"));
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"4");
}

#[test]
fn of_many_that_add_one_does() {
    let world = World::new();
    let added: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number: u8| {
                let remote = &world.remote;
                scope.spawn(move || {
                    (0..50u8)
                        .filter(|key| remote.set(&Write { when: When::IfAbsent, ..plain(&[*key], &[number]) }).unwrap())
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    assert_eq!(added, 50);
}

#[test]
fn times_are_kept_and_changed() {
    let world = World::new();
    let remote = &world.remote;
    let hour = Ttl::Millis(3_600_000);
    remote.set(&Write { ttl: hour, ..plain(b"k", b"v") }).unwrap();
    remote.set(&plain(b"ever", b"v")).unwrap();
    let is_hour = |left: Option<Option<Duration>>| {
        left.flatten().is_some_and(|left| left > Duration::from_secs(3000) && left <= Duration::from_secs(3600))
    };

    assert!(is_hour(remote.ttl(b"k").unwrap()));
    assert!(is_hour(Some(remote.get(b"k").unwrap().unwrap().left)));
    assert_eq!((remote.ttl(b"ever").unwrap(), remote.ttl(b"none").unwrap()), (Some(None), None));
    assert_eq!(remote.get(b"ever").unwrap().unwrap().left, None);
    assert!(remote.persist(b"k").unwrap());
    assert_eq!(remote.ttl(b"k").unwrap(), Some(None));
    assert!(!remote.persist(b"k").unwrap());
    assert!(remote.touch(b"k", hour).unwrap());
    assert!(is_hour(remote.ttl(b"k").unwrap()));
    assert!(remote.touch(b"k", Ttl::Forever).unwrap());
    assert_eq!(remote.ttl(b"k").unwrap(), Some(None));
    assert!(!remote.touch(b"none", hour).unwrap());
    assert!(remote.touch(b"k", Ttl::Millis(0)).unwrap());
    assert_eq!(bytes(remote, b"k"), None);
}

#[test]
fn values_end_with_their_time() {
    let world = World::new();
    world.remote.set(&Write { ttl: Ttl::Millis(20), ..plain(b"k", b"v") }).unwrap();

    eventually(|| bytes(&world.remote, b"k").is_none());
}

#[test]
fn no_time_at_all_removes() {
    let world = World::new();
    let at_once = |when| world.remote.set(&Write { ttl: Ttl::Millis(0), when, ..plain(b"k", b"new") }).unwrap();
    world.remote.set(&plain(b"k", b"old")).unwrap();

    assert!(!at_once(When::IfAbsent));
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"old");
    assert!(at_once(When::Always));
    assert_eq!(bytes(&world.remote, b"k"), None);
}

#[test]
fn times_beyond_what_a_server_takes_are_a_hundred_years() {
    let world = World::new();
    let ever = Ttl::Millis(u64::MAX);

    assert!(world.remote.set(&Write { ttl: ever, ..plain(b"k", b"v") }).unwrap());
    assert!(world.remote.touch(b"k", ever).unwrap());
    assert!(world.remote.ttl(b"k").unwrap().flatten().unwrap() > Duration::from_secs(99 * 365 * 24 * 3600));
}

#[test]
fn what_others_put_there_is_absent_and_is_overwritten() {
    let world = World::new();
    world.run(&[b"RPUSH", b"tk:list", b"x"]);
    world.run(&[b"SET", b"tk:broken", b"\xf6TG1\x00\x02\x00\x01a"]);
    for key in [&b"list"[..], b"broken"] {
        assert_eq!(bytes(&world.remote, key), None);
        assert_eq!(world.remote.ttl(key).unwrap(), None);
        assert_eq!(world.remote.incr(key, b"1"), Err(RemoteError::Absent));
        assert!(world.remote.set(&Write { when: When::IfAbsent, ..plain(key, b"v") }).unwrap());
        assert_eq!(bytes(&world.remote, key).unwrap(), b"v");
    }
}

#[test]
fn large_values_come_back() {
    let world = World::new();
    let large: Vec<u8> = (0..10_000_000u32).map(|number| number as u8).collect();

    world.remote.set(&plain(b"k", &large)).unwrap();

    assert!(bytes(&world.remote, b"k").unwrap() == large);
}

#[test]
fn a_value_moves_with_its_time() {
    let world = World::new();
    let remote = &world.remote;
    remote.set(&Write { ttl: Ttl::Millis(3_600_000), ..plain(b"one", b"v") }).unwrap();
    remote.set(&plain(b"two", b"other")).unwrap();

    assert!(remote.move_entry(b"one", b"two", |bytes| [bytes, b"!"].concat()).unwrap());
    assert_eq!(bytes(remote, b"one"), None);
    assert_eq!(bytes(remote, b"two").unwrap(), b"v!");
    assert!(remote.ttl(b"two").unwrap().flatten().is_some());
    assert!(!remote.move_entry(b"one", b"two", <[u8]>::to_vec).unwrap());
    assert!(remote.move_entry(b"two", b"two", <[u8]>::to_vec).unwrap());
    assert_eq!(bytes(remote, b"two").unwrap(), b"v!");
}

#[test]
fn databases_do_not_meet() {
    let world = World::new();
    let other = super::patient(&world.server).database(3).unwrap();
    let other = _core::remote::Remote::new(&other).unwrap();
    world.remote.set(&plain(b"k", b"v")).unwrap();

    assert_eq!(bytes(&other, b"k"), None);
}
