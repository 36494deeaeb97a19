use std::collections::BTreeSet;

use _core::glob::Glob;
use _core::remote::{Remote, Settings};

use super::{MARGIN, World, bytes, plain};

fn keys(remote: &Remote, pattern: &str, step: Option<usize>) -> BTreeSet<String> {
    remote.scan(pattern.as_bytes(), step).map(|key| String::from_utf8(key.unwrap()).unwrap()).collect()
}

#[test]
fn patterns_mean_here_what_they_mean_to_the_server() {
    let world = World::new();
    let names = ["", "a", "b", "ab", "a*b", "a?b", "[ab]", "a\\b", "abc", "a-b", "^a", "]", "aXbXc"];
    names.iter().for_each(|name| _ = world.remote.set(&plain(name.as_bytes(), b"v")).unwrap());
    for pattern in [
        "*", "a", "a*", "*b", "a?b", "?", "[ab]", "[^a]", "[a-b]", "[b-a]*", "a\\*b", "\\[ab\\]", "[\\]]", "[a", "a\\",
        "a*b*c", "**", "", "[]", "[^]", "a[*]b", "[-a]", "[a-]", "\\a", "a[\\-]b",
    ] {
        let glob = Glob::new(pattern.as_bytes());
        let here: BTreeSet<String> =
            names.iter().filter(|name| glob.matches(name.as_bytes())).map(|name| (*name).to_owned()).collect();

        assert_eq!(keys(&world.remote, pattern, None), here, "{pattern}");
    }
}

#[test]
fn a_walk_in_small_steps_meets_everything() {
    let world = World::new();
    let names: BTreeSet<String> = (0..700).map(|number| format!("k{number}")).collect();
    names.iter().for_each(|name| _ = world.remote.set(&plain(name.as_bytes(), b"v")).unwrap());

    assert_eq!(keys(&world.remote, "k*", Some(7)), names);
}

#[test]
fn what_a_pattern_meets_is_removed_and_nothing_else() {
    let world = World::new();
    let names: Vec<String> = (0..1300).map(|number| format!("user:{number}")).collect();
    let writes: Vec<_> = names.iter().map(|name| plain(name.as_bytes(), b"v")).collect();
    world.remote.set_many(&writes).unwrap();
    world.remote.set(&plain(b"group:1", b"v")).unwrap();
    world.run(&[b"SET", b"user:theirs", b"v"]);

    assert_eq!(world.remote.delete_matching(b"user:*", Some(50)).unwrap(), 1300);
    assert_eq!(keys(&world.remote, "*", None), BTreeSet::from(["group:1".to_owned()]));
    assert_eq!(world.run(&[b"EXISTS", b"user:theirs"]), redis::Value::Int(1));
    assert_eq!(world.remote.delete_matching(b"user:*", None).unwrap(), 0);
}

#[test]
fn clear_leaves_other_namespaces_and_other_programs_alone() {
    let world = World::new();
    let other = Settings::new(&[world.server.url()]).unwrap().socket_timeout(MARGIN).namespace("other").unwrap();
    let other = Remote::new(&other).unwrap();
    world.remote.set(&plain(b"k", b"v")).unwrap();
    other.set(&plain(b"k", b"v")).unwrap();
    world.run(&[b"SET", b"theirs", b"v"]);

    assert_eq!(world.remote.clear().unwrap(), 1);

    assert_eq!(bytes(&world.remote, b"k"), None);
    assert!(bytes(&other, b"k").is_some());
    assert_eq!(world.run(&[b"EXISTS", b"theirs"]), redis::Value::Int(1));
}
