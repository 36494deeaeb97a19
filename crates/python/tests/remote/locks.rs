use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{World, eventually, plain};

const LONG: Option<Duration> = Some(Duration::from_secs(1000));

#[test]
fn one_holds_a_lock_until_it_lets_go() {
    let world = World::new();
    let (one, other) = (&world.remote, world.another());

    let token = one.lock(b"k", LONG).unwrap().unwrap();
    assert_eq!(other.lock(b"k", LONG).unwrap(), None);
    assert!(other.is_locked(b"k").unwrap() && one.owns_lock(b"k", token).unwrap());
    assert!(other.lock(b"other", None).unwrap().is_some());
    assert!(one.unlock(b"k", token).unwrap());
    assert!(!one.is_locked(b"k").unwrap());
    assert!(other.lock(b"k", LONG).unwrap().is_some());
}

#[test]
fn who_lost_a_lock_by_time_is_told_and_does_not_end_anothers() {
    let world = World::new();
    let lost = world.remote.lock(b"k", Some(Duration::from_millis(10))).unwrap().unwrap();
    let mut taken = None;
    eventually(|| {
        taken = world.remote.lock(b"k", LONG).unwrap();
        taken.is_some()
    });

    assert!(!world.remote.extend_lock(b"k", lost, LONG).unwrap());
    assert!(!world.remote.unlock(b"k", lost).unwrap());
    assert!(world.remote.owns_lock(b"k", taken.unwrap()).unwrap());
}

#[test]
fn a_lock_can_be_held_longer() {
    let world = World::new();
    let token = world.remote.lock(b"k", Some(Duration::from_secs(30))).unwrap().unwrap();
    let left = || match world.run(&[b"PTTL", b"tk!k"]) {
        redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };

    assert!(world.remote.extend_lock(b"k", token, LONG).unwrap());
    assert!(left() > 900_000);
    assert!(world.remote.extend_lock(b"k", token, None).unwrap());
    assert_eq!(left(), -1);
}

#[test]
fn locks_and_values_do_not_meet() {
    let world = World::new();
    let token = world.remote.lock(b"k", LONG).unwrap().unwrap();
    world.remote.set(&plain(b"k", b"v")).unwrap();

    assert_eq!(world.remote.clear().unwrap(), 1);

    assert!(world.remote.owns_lock(b"k", token).unwrap());
}

#[test]
fn never_two_hold_it() {
    let world = World::new();
    let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while turns.load(Ordering::SeqCst) < 50 {
                    let Some(token) = world.remote.lock(b"k", LONG).unwrap() else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    turns.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert!(world.remote.unlock(b"k", token).unwrap());
                }
            });
        }
    });
}
