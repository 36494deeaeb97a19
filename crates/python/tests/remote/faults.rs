use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use _core::remote::{Remote, RemoteError, Settings, When, Write};

use super::{MARGIN, World, bytes, patient, plain};

const LIMIT: Duration = Duration::from_millis(200);

fn to(url: String) -> Remote {
    Remote::new(&Settings::new(&[url]).unwrap().socket_timeout(LIMIT).connect_timeout(LIMIT)).unwrap()
}

/// A server that accepts, and does this with each connection.
fn imposter(act: impl Fn(std::net::TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = act.clone();
            std::thread::spawn(move || act(stream));
        }
    });
    url
}

/// As many calls as open the breaker, and the time that the longest took.
fn longest(remote: &Remote) -> (Duration, RemoteError) {
    let mut longest = Duration::ZERO;
    let mut last = RemoteError::Absent;
    for _ in 0..5 {
        let began = Instant::now();
        last = remote.get(b"k").unwrap_err();
        longest = longest.max(began.elapsed());
    }
    (longest, last)
}

#[test]
fn a_server_that_accepts_and_never_answers_costs_the_time_limit_and_then_nothing() {
    let remote = to(imposter(|mut stream| _ = stream.read_to_end(&mut Vec::new())));

    let (longest, error) = longest(&remote);
    let began = Instant::now();
    let suspended = remote.get(b"k").unwrap_err();

    assert!(longest < LIMIT * 4, "{longest:?}");
    assert_eq!(error, RemoteError::TimedOut(LIMIT));
    assert_eq!(suspended, RemoteError::Suspended);
    assert!(began.elapsed() < LIMIT / 2);
    assert!(error.is_outage() && suspended.is_outage());
}

#[test]
fn a_server_that_answers_drop_by_drop_costs_the_time_limit() {
    let remote = to(imposter(|mut stream| {
        let mut answer = std::iter::once(b"$1000000\r\n".as_slice()).chain(std::iter::repeat(b"x".as_slice()));
        let began = Instant::now();
        let mut next = began;
        while began.elapsed() < MARGIN {
            if Instant::now() >= next {
                next += Duration::from_millis(20);
                if stream.write_all(answer.next().unwrap()).is_err() {
                    return;
                }
            }
            std::thread::yield_now();
        }
    }));

    let began = Instant::now();
    assert_eq!(remote.get(b"k").unwrap_err(), RemoteError::TimedOut(LIMIT));
    assert!(began.elapsed() < LIMIT * 4);
}

#[test]
fn what_speaks_another_language_is_an_error() {
    for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\r\n", b"$99999999999\r\n", b"", b"*1000000000\r\n"] {
        let remote = to(imposter(move |mut stream| _ = stream.write_all(words)));
        assert!(remote.get(b"k").unwrap_err().is_outage(), "{words:?}");
    }
}

#[test]
fn nobody_there_is_an_outage_and_a_wrong_password_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(to(url).get(b"k"), Err(RemoteError::Unreachable(_))));

    let world = World::new();
    let stranger = Remote::new(&patient(&world.server).username("nobody").password("hidden")).unwrap();
    let Err(RemoteError::Refused(said)) = stranger.get(b"k") else { panic!("let in") };
    assert!(said.contains("WRONGPASS") && !said.contains("hidden"), "{said}");
}

#[test]
fn users_are_let_in() {
    let world = World::new();
    world.run(&[b"ACL", b"SETUSER", b"app", b"on", b">pw", b"~tk*", b"+@all"]);
    let remote = Remote::new(&patient(&world.server).username("app").password("pw")).unwrap();

    assert!(remote.set(&plain(b"k", b"v")).unwrap());
}

#[test]
fn connections_that_a_restart_closed_are_replaced_without_an_error() {
    let world = World::new();
    for round in 0..3 {
        world.remote.set(&plain(b"k", b"v")).unwrap();
        assert_eq!(bytes(&world.remote, b"k").unwrap(), b"v");

        world.runtime.block_on(world.server.restart()).unwrap();

        assert_eq!(bytes(&world.remote, b"k"), None, "round {round}");
        assert_eq!(world.remote.open_connections(), 1);
    }
}

#[test]
fn what_must_not_be_done_twice_is_not_sent_twice() {
    let world = World::new();
    let add = |key: &[u8]| world.remote.set(&Write { when: When::IfAbsent, ..plain(key, b"v") });
    add(b"k").unwrap();
    // The connection is lost in the moment in which the server has stored and not answered.
    world.runtime.block_on(world.server.pause()).unwrap();
    let url = world.server.url();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let hasty = Settings::new(&[url]).unwrap().socket_timeout(LIMIT).connect_timeout(LIMIT);
            Remote::new(&hasty).unwrap().set(&Write { when: When::IfAbsent, ..plain(b"l", b"v") })
        });
        waiting.join().unwrap()
    });
    world.runtime.block_on(world.server.resume()).unwrap();

    assert!(outcome.unwrap_err().is_outage(), "nobody knows whether it was stored, and nobody says so");
    assert!(add(b"m").unwrap());
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let world = World::new();
    world.runtime.block_on(world.server.kill9()).unwrap();
    while !matches!(world.remote.get(b"k"), Err(RemoteError::Suspended)) {}

    world.runtime.block_on(world.server.start()).unwrap();

    super::eventually(|| world.remote.set(&plain(b"k", b"v")).is_ok());
}

#[test]
fn programs_that_the_server_forgot_are_brought_again() {
    let world = World::new();
    world.remote.set(&plain(b"k", b"1")).unwrap();
    world.run(&[b"SCRIPT", b"FLUSH"]);

    assert_eq!(world.remote.incr(b"k", b"1").unwrap(), b"2");
}

#[test]
fn there_are_never_more_connections_than_allowed_and_who_waits_too_long_is_told() {
    let world = World::new();
    let settings = patient(&world.server).max_connections(2).unwrap();
    let remote = Remote::new(&settings).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| remote.ping().unwrap()));
        }
    });
    assert!(remote.open_connections() <= 2);

    let hasty = Remote::new(&settings.max_connections(1).unwrap().socket_timeout(LIMIT)).unwrap();
    hasty.ping().unwrap();
    world.runtime.block_on(world.server.pause()).unwrap();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| hasty.ping().unwrap_err())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    world.runtime.block_on(world.server.resume()).unwrap();
    assert!(outcomes.contains(&RemoteError::NoConnection(1)), "{outcomes:?}");
}

#[test]
fn a_full_server_refuses_values_and_still_deletes() {
    let world = World::with(&[("maxmemory", "2mb"), ("maxmemory-policy", "noeviction")]);
    world.remote.set(&plain(b"k", b"v")).unwrap();
    let large = vec![b'x'; 100_000];
    let refused = (0..100u8).find_map(|number| world.remote.set(&plain(&[b'a', number], &large)).err());

    assert!(matches!(&refused, Some(RemoteError::Refused(said)) if said.contains("OOM")), "{refused:?}");
    assert!(!refused.unwrap().is_outage());
    assert_eq!(bytes(&world.remote, b"k").unwrap(), b"v");
    world.remote.look(&["none"], MARGIN).unwrap();
    assert_eq!(world.remote.delete_many(&["k"]).unwrap(), [true]);
}

#[test]
fn replicas_answer_while_the_primary_is_away_and_say_so() {
    let world = World::new();
    world.remote.set(&plain(b"k", b"v")).unwrap();
    let (primary, replica) = (imposter(drop), TcpListener::bind("127.0.0.1:0").unwrap());
    let replica_url = format!("redis://{}", replica.local_addr().unwrap());
    let socket = world.server.socket().to_owned();
    std::thread::spawn(move || {
        for client in replica.incoming().flatten() {
            let server = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            let (mut from, mut back) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
        }
    });
    let settings = Settings::new(&[primary, replica_url]).unwrap().socket_timeout(MARGIN);
    let remote = Remote::new(&settings).unwrap();

    let entry = remote.get(b"k").unwrap().unwrap();

    assert_eq!((entry.bytes, entry.is_current), (b"v".to_vec(), false));
    assert!(remote.set(&plain(b"k", b"w")).unwrap_err().is_outage());
}
