//! The store against a slow model with a clock of its own, and what the model does not say.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tierkeep_generations::{Generations, SlotCount};

use super::{Bounds, Culling, Expiry, Moment, Offer, Since, Store, Weigh};

impl Weigh for String {
    fn weigh(&self) -> usize {
        self.len()
    }
}

const ROOMY: Bounds = Bounds { bytes: 1 << 30, culling: None };

const NOW: Moment = Moment(1_000);

fn table(bits: u32) -> Arc<Generations> {
    Arc::new(Generations::private(SlotCount::new(bits).unwrap()))
}

fn store(bounds: Bounds) -> Store<String> {
    Store::new(bounds, table(16), "tests")
}

fn offer(value: &str) -> Offer<String> {
    Offer { value: value.to_owned(), expires: Expiry::NEVER, tags: Box::default() }
}

fn get(store: &Store<String>, key: &str) -> Option<String> {
    store.get(key.as_bytes(), NOW, Clone::clone)
}

/// What happens to one of two processes' stores of the same namespace.
#[derive(Debug, Clone)]
enum Step {
    Set { who: usize, key: u8, value: u8, ttl: Option<u64>, tag: Option<u8> },
    Add { who: usize, key: u8, value: u8, ttl: Option<u64> },
    Touch { who: usize, key: u8, ttl: Option<u64> },
    Replace { who: usize, key: u8, value: u8 },
    Delete { who: usize, key: u8 },
    DeleteMatching { who: usize, below: u8 },
    Invalidate { who: usize, tag: u8 },
    Clear { who: usize },
    Pass { nanos: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..2usize;
    let key = || 0..5u8;
    let ttl = || proptest::option::of(0..6u64);
    let step = prop_oneof![
        4 => (who(), key(), any::<u8>(), ttl(), proptest::option::of(0..2u8))
            .prop_map(|(who, key, value, ttl, tag)| Step::Set { who, key, value, ttl, tag }),
        3 => (who(), key(), any::<u8>(), ttl()).prop_map(|(who, key, value, ttl)| Step::Add { who, key, value, ttl }),
        1 => (who(), key(), ttl()).prop_map(|(who, key, ttl)| Step::Touch { who, key, ttl }),
        2 => (who(), key(), any::<u8>()).prop_map(|(who, key, value)| Step::Replace { who, key, value }),
        1 => (who(), key()).prop_map(|(who, key)| Step::Delete { who, key }),
        1 => (who(), key()).prop_map(|(who, below)| Step::DeleteMatching { who, below }),
        1 => (who(), 0..2u8).prop_map(|(who, tag)| Step::Invalidate { who, tag }),
        1 => who().prop_map(|who| Step::Clear { who }),
        3 => (0..4u64).prop_map(|nanos| Step::Pass { nanos }),
    ];
    proptest::collection::vec(step, 0..60)
}

/// Value, end and tag.
type Entry = (u8, Option<u64>, Option<u8>);

/// The obvious form of two stores: maps, and every rule written out.
#[derive(Debug, Default)]
struct Model {
    kept: [BTreeMap<u8, Entry>; 2],
    now: u64,
}

impl Model {
    fn end(&self, ttl: Option<u64>) -> Option<u64> {
        ttl.map(|ttl| self.now + ttl)
    }

    fn get(&self, who: usize, key: u8) -> Option<u8> {
        let (value, end, _) = self.kept[who].get(&key)?;
        end.is_none_or(|end| end > self.now).then_some(*value)
    }

    fn run(&mut self, step: &Step) -> Option<bool> {
        match *step {
            Step::Set { who, key, value, ttl, tag } => {
                self.kept[1 - who].remove(&key);
                self.kept[who].insert(key, (value, self.end(ttl), tag));
                None
            }
            Step::Add { who, key, value, ttl } => {
                let adds = self.get(who, key).is_none();
                if adds {
                    self.kept[who].insert(key, (value, self.end(ttl), None));
                }
                Some(adds)
            }
            Step::Touch { who, key, ttl } => {
                let lives = self.get(who, key).is_some();
                if lives {
                    self.kept[1 - who].remove(&key);
                    let end = self.end(ttl);
                    self.kept[who].entry(key).and_modify(|kept| kept.1 = end);
                }
                Some(lives)
            }
            Step::Replace { who, key, value } => {
                let lives = self.get(who, key).is_some();
                if lives {
                    self.kept[1 - who].remove(&key);
                    self.kept[who].entry(key).and_modify(|kept| kept.0 = value);
                }
                Some(lives)
            }
            Step::Delete { who, key } => {
                self.kept[1 - who].remove(&key);
                let lived = self.get(who, key).is_some();
                self.kept[who].remove(&key);
                Some(lived)
            }
            Step::DeleteMatching { who, below } => {
                self.kept[1 - who].clear();
                self.kept[who].retain(|key, _| *key >= below);
                None
            }
            Step::Invalidate { tag, .. } => {
                self.kept.iter_mut().for_each(|kept| kept.retain(|_, (_, _, of)| *of != Some(tag)));
                None
            }
            Step::Clear { .. } => {
                self.kept.iter_mut().for_each(BTreeMap::clear);
                None
            }
            Step::Pass { nanos } => {
                self.now += nanos;
                None
            }
        }
    }
}

fn name(key: u8) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

fn run(stores: &[Store<String>; 2], now: Moment, step: &Step) -> Option<bool> {
    let ends = |ttl: Option<u64>| ttl.map_or(Expiry::NEVER, |ttl| Expiry::after(ttl as f64 / 1e9, now).unwrap());
    match *step {
        Step::Set { who, key, value, ttl, tag } => {
            let tags = tag.map(|tag| stores[who].tag(&[tag])).into_iter().collect();
            stores[who].set(&name(key), Offer { value: value.to_string(), expires: ends(ttl), tags }, now);
            None
        }
        Step::Add { who, key, value, ttl } => {
            let offer = Offer { value: value.to_string(), expires: ends(ttl), tags: Box::default() };
            Some(stores[who].add(&name(key), offer, None, now))
        }
        Step::Touch { who, key, ttl } => Some(stores[who].touch(&name(key), ends(ttl), now)),
        Step::Replace { who, key, value } => {
            let seen = stores[who].look(&name(key), now, |_, facts| facts.sequence);
            Some(seen.is_some_and(|seen| stores[who].replace(&name(key), seen, value.to_string(), now)))
        }
        Step::Delete { who, key } => Some(stores[who].delete(&name(key), now)),
        Step::DeleteMatching { who, below } => {
            stores[who].delete_matching(b"key ", |key| *key < name(below)[..], now);
            None
        }
        Step::Invalidate { who, tag } => {
            stores[who].invalidate_tags(&[stores[who].tag(&[tag])]);
            None
        }
        Step::Clear { who } => {
            stores[who].clear();
            None
        }
        Step::Pass { .. } => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_stores_are_what_the_model_says(steps in steps()) {
        let table = table(16);
        let stores = [0, 1].map(|_| Store::new(ROOMY, Arc::clone(&table), "tests"));
        let mut model = Model { now: NOW.0, ..Model::default() };

        for step in &steps {
            let expected = model.run(step);
            let answer = run(&stores, Moment(model.now), step);

            prop_assert_eq!(answer, expected, "{:?}", step);
            let now = Moment(model.now);
            for (who, store) in stores.iter().enumerate() {
                for key in 0..5 {
                    let value = store.get(&name(key), now, |value| value.parse::<u8>().unwrap());
                    prop_assert_eq!(value, model.get(who, key), "store {} key {} after {:?}", who, key, step);
                }
                let live = (0..5).filter(|key| model.get(who, *key).is_some()).count();
                prop_assert_eq!(store.keys(b"", |_| true, now).len(), live);
            }
        }
    }

    #[test]
    fn bytes_and_entries_stay_within_their_bounds(keys in proptest::collection::vec((0..200u16, 0..3000usize), 1..300)) {
        let bounds = Bounds { bytes: 20_000, culling: Some(Culling { entries: 40, frequency: 3 }) };
        let store = store(bounds);

        for (key, length) in keys {
            let value = "x".repeat(length);
            store.set(key.to_string().as_bytes(), offer(&value), NOW);
            prop_assert!(store.weight() <= bounds.bytes);
            prop_assert!(store.len() <= 40);
            prop_assert_eq!(get(&store, &key.to_string()), Some(value));
        }

        store.clear();
        prop_assert_eq!((store.weight(), store.len()), (0, 0));
    }
}

#[test]
fn own_writes_never_refuse_own_entries_that_share_a_counter() {
    let store = Store::new(ROOMY, table(4), "tests");

    for key in 0..1_000 {
        store.set(key.to_string().as_bytes(), offer("v"), NOW);
        store.touch(b"0", Expiry::NEVER, NOW);
        store.delete(b"not there", NOW);
    }

    let live = store.keys(b"", |_| true, NOW).len();
    assert_eq!(live, 1_000);
}

#[test]
fn fill_is_refused_when_its_key_was_written_meanwhile() {
    let table = table(16);
    let (here, there) = (Store::new(ROOMY, Arc::clone(&table), "n"), Store::<String>::new(ROOMY, table, "n"));
    let writes: [&dyn Fn(); 5] = [
        &|| here.set(b"k", offer("new"), NOW),
        &|| {
            here.delete(b"k", NOW);
        },
        &|| {
            there.delete(b"k", NOW);
        },
        &|| there.clear(),
        &|| {
            here.delete_matching(b"", |_| false, NOW);
        },
    ];
    for write in writes {
        here.forget(b"k");
        let token = here.token(b"k", &[]);
        write();
        assert!(!here.fill(b"k", offer("old"), token, NOW));
        assert!(!here.add(b"k", offer("old"), Some(token.into()), NOW));
        assert_ne!(get(&here, "k").as_deref(), Some("old"));
    }

    let token = here.token(b"k", &[]);
    assert!(here.fill(b"k", offer("computed"), token, NOW), "nothing was written: it is stored");
}

#[test]
fn fill_is_refused_when_a_tag_was_invalidated_meanwhile_and_others_are_not() {
    let store = store(ROOMY);
    let (red, blue) = (store.tag(b"red"), store.tag(b"blue"));
    let tagged = |slot| Offer { tags: Box::new([slot]), ..offer("v") };
    let (of_red, of_blue) = (store.token(b"r", &[red]), store.token(b"b", &[blue]));

    store.invalidate_tags(&[red]);

    assert!(!store.fill(b"r", tagged(red), of_red, NOW));
    assert!(store.fill(b"b", tagged(blue), of_blue, NOW));
}

#[test]
fn fill_whose_tags_were_not_known_is_refused_when_any_tag_was_invalidated() {
    let store = store(ROOMY);
    let red = store.tag(b"red");
    let tagged = || Offer { tags: Box::new([red]), ..offer("v") };
    let since = Since::AnyTag(store.token_of_any_tag(b"k"));

    assert!(store.fill(b"k", tagged(), since, NOW), "nothing was invalidated");
    store.invalidate_tags(&[store.tag(b"blue")]);
    assert_eq!(get(&store, "k").as_deref(), Some("v"), "what is kept has its own tags only");

    assert!(!store.fill(b"k", tagged(), since, NOW));
}

#[test]
fn fills_of_one_process_leave_the_others_alone() {
    let table = table(16);
    let (here, there) = (Store::new(ROOMY, Arc::clone(&table), "n"), Store::<String>::new(ROOMY, table, "n"));
    assert!(here.fill(b"k", offer("v"), here.token(b"k", &[]), NOW));

    assert!(there.fill(b"k", offer("v"), there.token(b"k", &[]), NOW));
    assert!(!there.add(b"k", offer("w"), None, NOW));

    assert_eq!(get(&here, "k").as_deref(), Some("v"));
}

#[test]
fn epoch_refuses_everything_once() {
    let table = table(16);
    let store = Store::new(ROOMY, Arc::clone(&table), "n");
    store.set(b"k", offer("v"), NOW);

    table.advance_epoch();

    assert_eq!(get(&store, "k"), None);
    store.set(b"k", offer("w"), NOW);
    assert_eq!(get(&store, "k").as_deref(), Some("w"));
}

#[test]
fn what_another_machine_changed_is_refused() {
    let store = store(ROOMY);
    let watched = table(10);
    store.watch(Arc::clone(&watched));
    let token = store.token(b"k", &[]);
    assert!(store.fill(b"k", offer("v"), token, NOW));
    let slot = watched.slot(tierkeep_generations::Namespace::new("tests"), b"k");

    watched.bump(slot);

    assert_eq!(get(&store, "k"), None);
    assert!(!store.fill(b"k", offer("v"), token, NOW));
}

#[test]
fn a_value_is_late_for_as_long_as_was_told_and_only_to_who_asks_for_such() {
    let store = store(ROOMY);
    store.keep_late(50);
    let ends = Expiry::after(1e-7, NOW).unwrap();
    let late = |key: &str, nanos: u64| store.look_late(key.as_bytes(), Moment(NOW.0 + nanos), Clone::clone);
    for key in ["k", "asked", "changed"] {
        store.set(key.as_bytes(), Offer { expires: ends, ..offer("v") }, NOW);
    }

    assert_eq!(late("k", 99).as_deref(), Some("v"));
    assert_eq!(store.get(b"k", Moment(NOW.0 + 100), Clone::clone), None);
    assert_eq!(late("k", 149).as_deref(), Some("v"));
    assert_eq!(late("k", 150), None);
    assert_eq!(store.get(b"asked", Moment(NOW.0 + 150), Clone::clone), None);
    assert_eq!(store.len(), 2);
    assert_eq!(store.counts().late, 2);

    store.delete(b"changed", NOW);
    assert_eq!(late("changed", 0), None);
    store.set(b"forever", offer("v"), NOW);
    assert_eq!(late("forever", u64::MAX - NOW.0).as_deref(), Some("v"));
}

#[test]
fn what_others_changed_is_not_read_late() {
    let table = table(16);
    let (here, there) = (Store::new(ROOMY, Arc::clone(&table), "n"), Store::<String>::new(ROOMY, table, "n"));
    here.keep_late(50);
    here.set(b"k", offer("v"), NOW);
    assert!(here.look_late(b"k", NOW, |_| ()).is_some());

    there.delete(b"k", NOW);

    assert_eq!(here.look_late(b"k", NOW, Clone::clone), None);
}

#[test]
fn without_lateness_what_is_over_leaves_at_once() {
    let store = store(ROOMY);
    store.set(b"k", Offer { expires: Expiry::after(1e-9, NOW).unwrap(), ..offer("v") }, NOW);

    assert_eq!(store.look_late(b"k", Moment(NOW.0 + 1), Clone::clone), None);
    assert_eq!(store.get(b"k", Moment(NOW.0 + 1), Clone::clone), None);
    assert_eq!(store.len(), 0);
}

#[test]
fn what_was_not_used_for_longest_leaves_first() {
    let store = store(Bounds { culling: Some(Culling { entries: 3, frequency: 3 }), ..ROOMY });
    for key in ["a", "b", "c"] {
        store.set(key.as_bytes(), offer("v"), NOW);
    }
    get(&store, "a");

    store.set(b"d", offer("v"), NOW);

    let keys = store.keys(b"", |_| true, NOW);
    assert_eq!(keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), [b"a", b"c", b"d"]);
    assert_eq!(store.counts().evictions, 1);
}

#[test]
fn frequency_of_nought_empties_the_store_at_its_limit() {
    let store = store(Bounds { culling: Some(Culling { entries: 3, frequency: 0 }), ..ROOMY });

    for key in ["a", "b", "c", "d"] {
        store.set(key.as_bytes(), offer("v"), NOW);
    }

    assert_eq!(store.len(), 1);
}

#[test]
fn value_heavier_than_the_store_is_not_kept_and_the_old_one_leaves() {
    let store = store(Bounds { bytes: 1_000, culling: None });
    store.set(b"k", offer("small"), NOW);

    store.set(b"k", offer(&"x".repeat(2_000)), NOW);

    assert_eq!((get(&store, "k"), store.len()), (None, 0));
}

#[test]
fn what_is_over_leaves_with_later_writes_without_being_asked_for() {
    let store = store(ROOMY);
    let over = Expiry::after(1e-9, NOW).unwrap();
    for key in 0..100 {
        store.set(key.to_string().as_bytes(), Offer { expires: over, ..offer("v") }, NOW);
    }

    for key in 0..200 {
        store.set(format!("later {key}").as_bytes(), offer("v"), Moment(NOW.0 + 1));
    }

    assert_eq!(store.len(), 200);
}

#[test]
fn time_outs_are_exact_and_saturate() {
    let ends = |seconds: f64| Expiry::after(seconds, NOW).unwrap();

    assert!(ends(0.0).is_over(NOW) && ends(-3.0).is_over(NOW) && ends(f64::NEG_INFINITY).is_over(NOW));
    assert!(!ends(1e-9).is_over(NOW) && ends(1e-9).is_over(Moment(NOW.0 + 1)));
    assert_eq!(ends(1e30), Expiry::NEVER);
    assert_eq!(ends(1.5).seconds_left(NOW), Some(1.5));
    assert_eq!(Expiry::NEVER.seconds_left(NOW), None);
    assert!(Expiry::after(f64::NAN, NOW).is_err());
}

#[test]
fn of_many_threads_one_adds_and_every_replacement_counts() {
    let store = store(ROOMY);
    let added = std::sync::atomic::AtomicU32::new(0);

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                if store.add(b"n", offer("0"), None, NOW) {
                    added.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                for _ in 0..500 {
                    while !store
                        .look(b"n", NOW, |value, facts| (value.parse::<u32>().unwrap(), facts.sequence))
                        .is_some_and(|(n, seen)| store.replace(b"n", seen, (n + 1).to_string(), NOW))
                    {
                    }
                }
            });
        }
    });

    assert_eq!(added.into_inner(), 1);
    assert_eq!(get(&store, "n").as_deref(), Some("2000"));
}
