//! `#[cached]` and `#[invalidates]`: what each option does to a function. What they refuse is in the documentation of
//! `tierkeep-macros`, as examples that must not compile.

#![cfg(feature = "macros")]

mod forgetting;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tierkeep_cache::remote::InProcess;
use tierkeep_cache::{BuildError, ByteSize, Cache, Clock, LoadError, Tag, cached, invalidates};
use tokio::time::{advance, sleep};

/// Counts its loads; the number makes each value distinct. Fails while it is told to.
#[derive(Debug, Default)]
struct Db {
    loads: AtomicUsize,
    fails: AtomicBool,
}

impl Db {
    fn load(&self) -> Result<usize, Refused> {
        let load = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fails.load(Ordering::SeqCst) { Err(Refused) } else { Ok(load) }
    }

    fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, PartialEq)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Product {
    load: usize,
    category: u8,
}

impl Product {
    fn tags(&self) -> [Tag; 1] {
        [Tag::of("category", self.category)]
    }
}

impl ByteSize for Product {
    fn byte_size(&self) -> usize {
        size_of::<Self>()
    }
}

fn cache() -> Cache {
    Cache::builder("macros").clock(Clock::simulated(Duration::ZERO)).build().expect("the defaults are valid")
}

const MINUTE: Duration = Duration::from_secs(60);

#[cached(
    view = "product", key = "{region}:{id}", ttl = "15m", swr = "1m", stale_if_error = "1h", negative = "20s",
    tags("product:{id}", "region:{region}", "place:{region}:{id}", "products"), tags_from = |p: &Product| p.tags(),
    skip(db), cache_if = |r: &Result<Product, Refused>| r.is_ok(), policy = |p| p.jitter(0)
)]
async fn product(db: &Db, region: &str, id: u64) -> Result<Product, Refused> {
    let load = db.load()?;
    Ok(Product { load, category: u8::try_from(id).unwrap_or_default() + region.len() as u8 })
}

async fn load_of(cache: &Cache, db: &Db, region: &str, id: u64) -> usize {
    product(db, region, id).cached(cache).await.expect("the loader gives a product").load
}

#[tokio::test(start_paused = true)]
async fn a_plain_call_knows_no_cache() {
    let (cache, db) = (cache(), Db::default());
    load_of(&cache, &db, "eu", 7).await;

    assert_eq!(product(&db, "eu", 7).await.unwrap().load, 2);
    db.fail();
    assert_eq!(product(&db, "eu", 7).await, Err(Refused));
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_awaits_does_nothing() {
    let db = Db::default();

    drop(product(&db, "eu", 7));

    assert_eq!(db.loads.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_with_equal_keys_share_a_value_whatever_is_skipped() {
    let (cache, one, other) = (cache(), Db::default(), Db::default());

    let first: Arc<Product> = product(&one, "eu", 7).cached(&cache).await.unwrap();
    let second = product(&other, &String::from("eu"), 7).cached(&cache).await.unwrap();

    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(other.loads.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_keep_their_parts_apart() {
    #[cached(view = "pair", key = "{left}:{right}", ttl = "1m", skip(db))]
    async fn pair(db: &Db, left: &str, right: &str) -> Result<usize, Refused> {
        let _ = (left, right);
        db.load()
    }
    let (cache, db) = (cache(), Db::default());

    assert_eq!(*pair(&db, "a:b", "c").cached(&cache).await.unwrap(), 1);
    assert_eq!(*pair(&db, "a", "b:c").cached(&cache).await.unwrap(), 2);
    assert_ne!(pair::key("a:b", "c"), pair::key("a", "b:c"));
}

#[tokio::test(start_paused = true)]
async fn values_live_for_the_ttl() {
    let (cache, db) = (cache(), Db::default());
    load_of(&cache, &db, "eu", 7).await;

    advance(15 * MINUTE - Duration::from_millis(1)).await;
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 1);
    advance(MINUTE + Duration::from_millis(1)).await;
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 2);
}

#[tokio::test(start_paused = true)]
async fn while_one_reader_reloads_what_borrows_the_others_are_served_the_stale_value() {
    #[cached(view = "slow", key = "{id}", ttl = "15m", swr = "1m", skip(db), policy = |p| p.jitter(0))]
    async fn slow(db: &Db, id: u64) -> Result<usize, Refused> {
        sleep(Duration::from_secs(id)).await;
        db.load()
    }
    let (cache, db) = (cache(), Db::default());
    slow(&db, 1).cached(&cache).await.unwrap();
    advance(15 * MINUTE).await;

    let other = async {
        tokio::task::yield_now().await;
        let begun = tokio::time::Instant::now();
        (*slow(&db, 1).cached(&cache).await.unwrap(), begun.elapsed())
    };
    let (first, second) = tokio::join!(slow(&db, 1).cached(&cache), other);

    assert_eq!(*first.unwrap(), 2);
    assert_eq!(second, (1, Duration::ZERO));
}

#[cached(view = "owned", key = "{id}", ttl = "15m", swr = "1m", skip(db), policy = |p| p.jitter(0))]
async fn owned(db: Arc<Db>, id: u64) -> Result<usize, Refused> {
    sleep(Duration::from_secs(id)).await;
    db.load()
}

#[tokio::test(start_paused = true)]
async fn what_borrows_nothing_is_reloaded_in_the_background() {
    let (cache, db) = (cache(), Arc::new(Db::default()));
    owned(Arc::clone(&db), 1).cached(&cache).await.unwrap();
    advance(15 * MINUTE).await;
    let begun = tokio::time::Instant::now();

    assert_eq!(*owned(Arc::clone(&db), 1).cached(&cache).await.unwrap(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*owned(Arc::clone(&db), 1).cached(&cache).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_borrows_nothing_is_loaded_to_the_end_without_its_reader() {
    let (cache, db) = (cache(), Arc::new(Db::default()));

    let read = tokio::time::timeout(Duration::from_millis(1), owned(Arc::clone(&db), 1).cached(&cache)).await;
    assert!(read.is_err());
    sleep(Duration::from_secs(2)).await;

    assert_eq!(owned::view(&cache).unwrap().peek(&owned::key(1)).and_then(|found| found.value), Some(Arc::new(1)));
}

#[tokio::test(start_paused = true)]
async fn many_readers_cost_one_load() {
    let (cache, db) = (cache(), Arc::new(Db::default()));

    let calls = std::iter::repeat_with(|| owned(Arc::clone(&db), 1).cached(&cache)).take(3);
    let [one, two, three]: [_; 3] = calls.collect::<Vec<_>>().try_into().unwrap_or_else(|_| unreachable!());
    let (one, two, three) = tokio::join!(one, two, three);

    assert_eq!([*one.unwrap(), *two.unwrap(), *three.unwrap()], [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_stale_value_is_served_for_the_time_allowed() {
    let (cache, db) = (cache(), Db::default());
    load_of(&cache, &db, "eu", 7).await;
    db.fail();

    advance(30 * MINUTE).await;
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 1);
    advance(45 * MINUTE).await;
    assert!(matches!(product(&db, "eu", 7).cached(&cache).await, Err(LoadError::Loader(error)) if *error == Refused));
}

#[tokio::test(start_paused = true)]
async fn after_an_invalidation_no_failure_brings_the_value_back() {
    let (cache, db) = (cache(), Db::default());
    load_of(&cache, &db, "eu", 7).await;
    db.fail();

    product::invalidate(&cache, "eu", 7).await.complete().unwrap();

    assert!(product(&db, "eu", 7).cached(&cache).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_value_is_remembered_for_the_negative_time() {
    #[cached(view = "user", key = "{id}", ttl = "1h", negative = "20s", skip(db))]
    async fn user(db: &Db, id: u64) -> Result<Option<String>, Refused> {
        db.load()?;
        Ok((id > 0).then(|| id.to_string()))
    }
    let (cache, db) = (cache(), Db::default());
    let read = async |id| user(&db, id).cached(&cache).await.unwrap().map(|user: Arc<String>| user.to_string());

    assert_eq!(read(1).await.as_deref(), Some("1"));
    assert_eq!([read(0).await, read(0).await], [None, None]);
    assert_eq!(db.loads.load(Ordering::SeqCst), 2);
    advance(Duration::from_secs(21)).await;
    assert_eq!(read(0).await, None);
    assert_eq!(db.loads.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_value_is_forgotten_without_a_negative_time() {
    #[cached(view = "user", key = "{id}", ttl = "1h", skip(db))]
    async fn user(db: &Db, id: u64) -> Option<String> {
        db.load().ok().filter(|_| id > 0).map(|load| load.to_string())
    }
    let (cache, db) = (cache(), Db::default());

    assert_eq!(user(&db, 0).cached(&cache).await.unwrap(), None);
    assert_eq!(user(&db, 0).cached(&cache).await.unwrap(), None);
    assert_eq!(db.loads.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn tags_are_those_that_are_made_by_hand() {
    for tag in [
        Tag::of("product", 7u64),
        Tag::of("region", "eu"),
        Tag::of("place", ("eu", 7u64)),
        Tag::named("products"),
        Tag::of("category", 9u8),
    ] {
        let (cache, db) = (cache(), Db::default());
        load_of(&cache, &db, "eu", 7).await;

        cache.invalidate_tag(&tag).await.complete().unwrap();

        assert_eq!(load_of(&cache, &db, "eu", 7).await, 2, "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn tags_of_other_values_do_not_matter() {
    let (cache, db) = (cache(), Db::default());
    load_of(&cache, &db, "eu", 7).await;

    let others = [Tag::of("product", 8u64), Tag::of("product", "7"), Tag::of("region", "us"), Tag::of("category", 1u8)];
    cache.invalidate_tags(&others).await.complete().unwrap();

    assert_eq!(load_of(&cache, &db, "eu", 7).await, 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_cache_if_refuses_are_given_and_not_kept() {
    #[cached(view = "even", key = "", ttl = "1m", skip(db), cache_if = |load| load % 2 == 0)]
    async fn even(db: &Db) -> usize {
        db.load().unwrap_or_default()
    }
    let (cache, db) = (cache(), Db::default());

    let read = async || *even(&db).cached(&cache).await.unwrap();

    assert_eq!([read().await, read().await, read().await], [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn values_weigh_what_weigh_says() {
    struct Blob(usize);
    #[cached(view = "blob", key = "{size}", ttl = "1m", weigh = |blob| blob.0, policy = |p| p.max_value_bytes(100))]
    async fn blob(size: usize) -> Blob {
        Blob(size)
    }
    let cache = cache();

    for size in [100, 101] {
        assert_eq!(blob(size).cached(&cache).await.unwrap().0, size);
    }

    let view = blob::view(&cache).unwrap();
    assert!(view.get(&blob::key(100)).await.is_some());
    assert!(view.get(&blob::key(101)).await.is_none());
}

#[cfg(feature = "postcard")]
#[tokio::test(start_paused = true)]
async fn with_a_codec_values_are_shared_through_the_remote_tier() {
    use tierkeep_cache::Postcard;
    #[cached(view = "shared", key = "{id}", ttl = "1m", codec = Postcard::shape(1), skip(db))]
    async fn shared(db: &Db, id: u64) -> io::Result<usize> {
        let _ = id;
        db.load().map_err(|_| io::ErrorKind::Other.into())
    }
    let remote = Arc::new(InProcess::new(Clock::simulated(Duration::ZERO)));
    let node =
        || Cache::builder("node").clock(Clock::simulated(Duration::ZERO)).remote(remote.clone()).build().unwrap();
    let (one, other, db) = (node(), node(), Db::default());

    assert_eq!(*shared(&db, 1).cached(&one).await.unwrap(), 1);
    assert_eq!(*shared(&db, 1).cached(&other).await.unwrap(), 1);
    shared::invalidate(&one, 1).await.complete().unwrap();
    assert_eq!(*shared(&db, 1).cached(&one).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_companion_reads_and_primes() {
    let (cache, db) = (cache(), Db::default());
    let value = Product { load: 99, category: 3 };

    product::prime(&cache, "eu", 7, value.clone()).await.unwrap().receipt.complete().unwrap();

    assert_eq!(load_of(&cache, &db, "eu", 7).await, 99);
    let view = product::view(&cache).unwrap();
    assert_eq!(view.get(&product::key("eu", 7)).await.as_deref(), Some(&value));
    cache.invalidate_tag(&Tag::of("category", 3u8)).await.complete().unwrap();
    assert_eq!(view.get(&product::key("eu", 7)).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_an_invalidation_leaves_nothing_behind() {
    let (cache, db) = (cache(), Arc::new(Db::default()));
    let read = tokio::spawn({
        let (cache, db) = (cache.clone(), Arc::clone(&db));
        async move { owned(db, 1).cached(&cache).await.unwrap() }
    });
    sleep(Duration::from_millis(500)).await;

    owned::invalidate(&cache, 1).await.complete().unwrap();

    assert_eq!(*read.await.unwrap(), 1);
    assert_eq!(owned::view(&cache).unwrap().get(&owned::key(1)).await, None);
}

#[tokio::test(start_paused = true)]
async fn two_functions_cannot_share_a_view() {
    #[cached(view = "shared", key = "{id}", ttl = "1m")]
    async fn one(id: u64) -> u64 {
        id
    }
    #[cached(view = "shared", key = "{id}", ttl = "1m")]
    async fn other(id: u64) -> u64 {
        id
    }
    let cache = cache();
    one(1).cached(&cache).await.unwrap();

    let Err(LoadError::View(BuildError::ViewOfAnother { view, theirs, ours })) = other(1).cached(&cache).await else {
        panic!("the second function is refused")
    };
    assert_eq!(view, "shared");
    assert!(theirs.contains("::one, ") && theirs.ends_with(" (u64)"), "{theirs}");
    assert!(ours.contains("::other, "), "{ours}");
}

#[tokio::test(start_paused = true)]
async fn a_view_that_was_built_by_hand_is_not_taken() {
    let cache = cache();
    let _view = cache.view::<u64, u64>("product").build().unwrap();

    let read = product(&Db::default(), "eu", 7).cached(&cache).await;

    assert!(matches!(read, Err(LoadError::View(BuildError::ViewExists(name))) if name == "product"));
}

#[tokio::test(start_paused = true)]
async fn views_that_were_opened_do_not_keep_their_cache() {
    let remote = Arc::new(InProcess::new(Clock::simulated(Duration::ZERO)));
    let cache = Cache::builder("node").remote(remote.clone()).build().unwrap();
    product(&Db::default(), "eu", 7).cached(&cache).await.unwrap();

    drop(cache);
    sleep(Duration::from_secs(1)).await;

    assert_eq!(Arc::strong_count(&remote), 1);
}

struct Shop {
    db: Db,
    cache: Cache,
}

impl Shop {
    #[cached(view = "shop", key = "{id}", ttl = "1h", tags("item:{id}"), skip(self, db), crate = tierkeep_cache)]
    async fn item(&self, db: &mut Db, id: u64) -> Result<usize, Refused> {
        let _ = id;
        db.load()?;
        self.db.load()
    }

    #[invalidates(view = "shop", key = "{id}", cache = self.cache)]
    async fn change(&mut self, id: u64) {
        self.db.fails.store(id == 0, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn methods_have_their_companions_beside_them() {
    let cache = cache();
    let (mut shop, mut db) = (Shop { db: Db::default(), cache: cache.clone() }, Db::default());

    assert_eq!(*shop.item(&mut db, 1).cached(&cache).await.unwrap(), 1);
    shop.change(1).await;
    assert_eq!(*shop.item(&mut db, 1).cached(&cache).await.unwrap(), 2);
    Shop::item_invalidate(&cache, 1).await.complete().unwrap();
    assert_eq!(*shop.item(&mut db, 1).cached(&cache).await.unwrap(), 3);
    Shop::item_prime(&cache, 1, 9).await.unwrap().receipt.complete().unwrap();
    assert_eq!(Shop::item_view(&cache).unwrap().get(&Shop::item_key(1)).await, Some(Arc::new(9)));
}

#[tokio::test(start_paused = true)]
async fn names_of_parameters_do_not_meet_those_that_are_generated() {
    #[cached(view = "names", key = "{key}:{cache}:{view}:{value}:{answer}:{writer}:{context}", ttl = "1m")]
    async fn names(key: u8, cache: &str, view: u8, mut value: u8, answer: u8, writer: u8, context: u8) -> u8 {
        value += key + view + answer + writer + context + cache.len() as u8;
        value
    }
    #[invalidates(tags("a:{forget}:{handle}:{answer}"))]
    async fn forgets(cache: &Cache, forget: u8, handle: u8, answer: u8) -> u8 {
        let _ = cache;
        forget + handle + answer
    }
    let cache = cache();

    assert_eq!(*names(1, "two", 3, 4, 5, 6, 7).cached(&cache).await.unwrap(), 29);
    assert_eq!(forgets(&cache, 1, 2, 3).await, 6);
    names::invalidate(&cache, 1, "two", 3, 4, 5, 6, 7).await.complete().unwrap();
    names::prime(&cache, 1, "two", 3, 4, 5, 6, 7, 99).await.unwrap().receipt.complete().unwrap();
    assert_eq!(*names(1, "two", 3, 4, 5, 6, 7).cached(&cache).await.unwrap(), 99);
}
