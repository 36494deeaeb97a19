use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use _core::remote::{Event, Remote, RemoteError, Sabotage, Settings, Stamped, Ttl, Watch, Write};

use super::{MARGIN, World, eventually, patient, plain};

const BOUND: Duration = Duration::from_millis(300);

struct Heard {
    watch: Watch,
    events: Receiver<Event>,
}

impl Heard {
    fn new(remote: &Remote, sabotage: Sabotage) -> Self {
        let (sender, events) = channel();
        let watch = remote.sabotaged_watch(BOUND, sabotage, move |event| _ = sender.send(event)).unwrap();
        Self { watch, events }
    }

    /// Skips events up to the wanted one.
    fn until(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.events.recv_timeout(MARGIN).unwrap_or_else(|_| panic!("after {seen:?}")));
            if wanted(&seen[seen.len() - 1]) {
                return seen;
            }
        }
    }
}

fn is_lost(event: &Event) -> bool {
    matches!(event, Event::Lost(_))
}

fn key(name: &[u8]) -> Event {
    Event::Key(name.to_vec())
}

fn ready(world: &World) -> Heard {
    let heard = Heard::new(&world.remote, Sabotage::default());
    assert_eq!(heard.until(|event| *event == Event::Back), [Event::Everything, Event::Back]);
    assert!(heard.watch.is_trusted());
    heard
}

#[test]
fn every_change_of_a_key_is_told() {
    let world = World::new();
    let other = world.another();
    let changes: [(&str, &dyn Fn()); 7] = [
        ("set", &|| _ = other.set(&plain(b"k", b"1")).unwrap()),
        ("incr", &|| _ = other.incr(b"k", b"1").unwrap()),
        ("touch", &|| _ = other.touch(b"k", Ttl::Millis(1_000_000)).unwrap()),
        ("modify", &|| _ = other.modify(b"k", |_| Some(b"x".to_vec())).unwrap()),
        ("delete", &|| _ = other.delete_many(&[b"k"]).unwrap()),
        ("another program", &|| _ = world.run(&[b"SET", b"tk:k", b"v"])),
        ("expiry", &|| {
            other.set(&Write { ttl: Ttl::Millis(5), ..plain(b"k", b"v") }).unwrap();
            eventually(|| other.get(b"k").unwrap().is_none());
        }),
    ];
    let heard = ready(&world);
    for (name, change) in changes {
        change();
        let seen = heard.until(|event| *event == key(b"k"));
        assert!(seen.iter().all(|event| *event == key(b"k")), "{name}: {seen:?}");
    }
}

#[test]
fn tags_and_the_emptied_server_are_told_and_other_keys_are_not() {
    let world = World::new();
    let heard = ready(&world);
    let tags = [Stamped { tag: b"t", stamp: None }];
    world.remote.set(&Write { tags: &tags, ..plain(b"k", b"v") }).unwrap();
    heard.until(|event| *event == key(b"k"));

    world.run(&[b"SET", b"theirs", b"v"]);
    world.remote.lock(b"lock", None).unwrap();
    world.remote.look(&["missing"], MARGIN).unwrap();
    world.remote.bump(&[b"t"]).unwrap();
    let seen = heard.until(|event| *event == Event::Tag(b"t".to_vec()));
    world.run(&[b"FLUSHALL"]);
    let emptied = heard.until(|event| *event == Event::Everything);

    let of_tag = |event: &Event| matches!(event, Event::Tag(tag) if tag == b"t");
    assert!(seen.iter().all(of_tag), "{seen:?}");
    assert_eq!(emptied.len(), 1, "{emptied:?}");
}

#[test]
fn evicted_values_are_told() {
    let world = World::with(&[("maxmemory", "3mb"), ("maxmemory-policy", "allkeys-lru")]);
    let heard = ready(&world);
    let large = vec![b'x'; 200_000];

    let told = (0..40u8).any(|number| {
        world.remote.set(&plain(&[b'a' + number], &large)).unwrap();
        heard.until(|event| *event == key(&[b'a' + number])).len() > 1
    });

    assert!(told, "nothing was evicted");
}

#[test]
fn a_killed_server_ends_trust_and_the_next_one_begins_anew() {
    let world = World::new();
    let heard = ready(&world);

    world.runtime.block_on(world.server.kill9()).unwrap();
    heard.until(is_lost);
    assert!(!heard.watch.is_trusted());
    world.runtime.block_on(world.server.start()).unwrap();

    let seen = heard.until(|event| *event == Event::Back);
    assert_eq!(seen, [Event::Everything, Event::Back], "nothing counts before everything was forgotten");
    assert!(heard.watch.is_trusted());
    world.remote.set(&plain(b"k", b"v")).unwrap();
    heard.until(|event| *event == key(b"k"));
}

#[test]
fn a_server_that_is_silent_is_not_trusted_beyond_the_bound() {
    let world = World::new();
    let heard = ready(&world);

    world.runtime.block_on(world.server.pause()).unwrap();
    let paused = Instant::now();
    eventually(|| !heard.watch.is_trusted());
    let trusted_for = paused.elapsed();
    heard.until(is_lost);
    world.runtime.block_on(world.server.resume()).unwrap();

    assert!(trusted_for < BOUND + Duration::from_millis(150), "{trusted_for:?}");
    assert_eq!(heard.until(|event| *event == Event::Back).len(), 2);
}

#[test]
fn without_signs_of_life_silence_goes_unnoticed() {
    let world = World::new();
    let heard = Heard::new(&world.remote, Sabotage { is_trusting: true, ..Sabotage::default() });
    heard.until(|event| *event == Event::Back);

    world.runtime.block_on(world.server.pause()).unwrap();
    let deadline = Instant::now() + BOUND * 2;
    while Instant::now() < deadline {
        assert!(heard.watch.is_trusted(), "the sabotage does not work");
        std::thread::yield_now();
    }
    world.runtime.block_on(world.server.resume()).unwrap();
}

#[test]
fn a_deaf_watch_tells_of_no_change() {
    let world = World::new();
    let heard = Heard::new(&world.remote, Sabotage { is_deaf: true, ..Sabotage::default() });
    heard.until(|event| *event == Event::Back);
    world.remote.set(&plain(b"k", b"v")).unwrap();
    world.runtime.block_on(world.server.kill9()).unwrap();

    assert_eq!(heard.until(is_lost).len(), 1);
}

#[test]
fn a_server_that_is_not_there_is_waited_for() {
    let world = World::new();
    world.runtime.block_on(world.server.stop()).unwrap();
    let heard = Heard::new(&world.remote, Sabotage::default());
    assert!(!heard.watch.is_trusted());

    world.runtime.block_on(world.server.start()).unwrap();

    assert_eq!(heard.until(|event| *event == Event::Back).len(), 2);
}

#[test]
fn a_server_that_may_not_tell_is_never_trusted() {
    let world = World::new();
    world.run(&[b"ACL", b"SETUSER", b"dumb", b"on", b">pw", b"~*", b"+@all", b"-client|tracking"]);
    let settings = patient(&world.server).username("dumb").password("pw");
    let heard = Heard::new(&Remote::new(&settings).unwrap(), Sabotage::default());

    let seen = heard.until(|event| matches!(event, Event::Unable(_)));

    assert_eq!(seen.len(), 1);
    assert!(!heard.watch.is_trusted());
}

#[test]
fn a_watch_that_is_closed_tells_nothing_more() {
    let world = World::new();
    let heard = ready(&world);

    heard.watch.close();
    world.remote.set(&plain(b"k", b"v")).unwrap();

    // The sender went with the thread.
    assert_eq!(heard.events.recv(), Err(std::sync::mpsc::RecvError));
}

#[test]
fn a_cluster_is_never_trusted() {
    let remote = Remote::new(&Settings::new(&["redis+cluster://localhost"]).unwrap()).unwrap();
    let heard = Heard::new(&remote, Sabotage::default());

    assert!(matches!(heard.until(|_| true)[..], [Event::Unable(_)]));
    assert!(!matches!(remote.ping(), Err(RemoteError::Forked)));
}
