//! The attributes [`#[cached]`](macro@cached) and [`#[invalidates]`](macro@invalidates) of `tierkeep-cache`, and
//! [`#[measured]`](macro@measured) of `tierkeep-measure`. These crates re-export them: depend on them, not on this one.
//!
//! Three decisions set those of the cache apart from other decorators of this kind.
//!
//! * **The cache is an argument.** There is no global: a test has a cache of its own, two caches are two values, and a
//!   call without `.cached(&cache)` is the function itself.
//! * **Keys are checked when the program is compiled.** A parameter that is neither in the key nor skipped would have
//!   values of one user served to another; it is an error, and its message says what to write.
//! * **Keys are encoded, never formatted.** `("a:b", "c")` and `("a", "b:c")` are two keys in `"{x}:{y}"`.
//!
//! Length: what the attributes promise, most of it examples that are compiled and that a test reads.

mod cached;
#[cfg(test)]
mod documented;
mod duration;
mod function;
mod invalidates;
mod measured;
mod nearest;
mod options;
mod template;

use proc_macro::TokenStream;

/// Turns an `async fn` into one whose calls a cache can answer.
///
/// ```
/// use std::sync::Arc;
/// use tierkeep_cache::{Cache, LoadError, Tag, cached};
/// # use tierkeep_cache::{ByteSize, CacheKey, KeyWriter};
/// # struct Db;
/// # #[derive(Clone, Copy)] struct ProductId(u64);
/// # impl CacheKey for ProductId { fn write(&self, key: &mut KeyWriter) { self.0.write(key) } }
/// # struct Product { name: String, categories: Vec<u32> }
/// # impl ByteSize for Product { fn byte_size(&self) -> usize { self.name.byte_size() + self.categories.byte_size() } }
/// # type AppError = std::io::Error;
///
/// impl Product {
///     fn tags(&self) -> impl Iterator<Item = Tag> {
///         self.categories.iter().map(|id| Tag::of("category", *id))
///     }
/// }
///
/// #[cached(view = "product", key = "{region}:{id}", ttl = "15m", swr = "1m", stale_if_error = "1h",
///          tags("product:{id}", "region:{region}"), tags_from = |p: &Product| p.tags(), skip(db))]
/// async fn product(db: &Db, region: &str, id: ProductId) -> Result<Product, AppError> {
///     # let _ = (db, id);
///     // … one query
///     Ok(Product { name: format!("a pen for {region}"), categories: vec![4] })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (db, id) = (Db, ProductId(7));
/// let cache = Cache::builder("shop").build()?;
///
/// let read: Result<Arc<Product>, LoadError<AppError>> = product(&db, "eu", id).cached(&cache).await;
/// assert_eq!(read?.name, "a pen for eu");
///
/// let bypassed: Result<Product, AppError> = product(&db, "eu", id).await;
/// assert_eq!(bypassed?.name, "a pen for eu");
///
/// product::invalidate(&cache, "eu", id).await.complete()?;
/// cache.invalidate_tag(&Tag::of("category", 4u32)).await.complete()?;
/// # Ok(()) }
/// ```
///
/// # The function
///
/// It returns a [`Call`], which does nothing yet. Awaited, it runs the function. Its `cached(&cache)` gives
///
/// | the function returns | `.cached(&cache).await` gives |
/// |---|---|
/// | `Result<T, E>`, or an alias called `Result` | `Result<Arc<T>, LoadError<E>>` |
/// | `Result<Option<T>, E>` | `Result<Option<Arc<T>>, LoadError<E>>` |
/// | `T` | `Result<Arc<T>, LoadError<Infallible>>` |
/// | `Option<T>` | `Result<Option<Arc<T>>, LoadError<Infallible>>` |
///
/// `T` is `Send + Sync + 'static` and has a size (`ByteSize`, or `weigh`); `E` is `Display + Send + Sync + 'static`;
/// the function's future is `Send`. An `Err` is never stored.
///
/// **Arguments that borrow** (`&Db`, `&str`, `Id<'_>`, `&self`) make the function run in its reader's own future: dropping
/// that ends the load, and other readers who wait begin anew. Past the `ttl`, the one reader that finds a stale value
/// replaces it and waits; within `swr` the others are served the stale value meanwhile.
/// **Arguments that are all owned** (`Arc<Db>`, `u64`, `String`) make it run in a task: a load goes on without its reader,
/// and within `swr` no reader waits. Nothing else differs.
///
/// # Options
///
/// | option | what it says |
/// |---|---|
/// | `view = "product"` | the name of the view, 1 to 100 bytes; required. Nodes that share a remote tier share it; within a cache it belongs to one function |
/// | `key = "{region}:{id}"` | what the value depends on; required where there are parameters besides those skipped |
/// | `skip(db, self)` | parameters that do not change the value |
/// | `ttl = "15m"` | how long a value is fresh; required, at most 30 days |
/// | `swr = "1m"` | how long after that it may be served while one reader or task replaces it |
/// | `stale_if_error = "1h"` | how long after its `ttl` it may be served where the function fails; never once it was invalidated |
/// | `negative = "20s"` | how long `None` is remembered; without it, `None` is not. Has an effect on functions that return an `Option` only |
/// | `tags("product:{id}", "products")` | tags that follow from the key |
/// | `tags_from = \|p: &Product\| p.tags()` | tags that only the value knows: any `IntoIterator` of `Tag` or `&Tag` |
/// | `cache_if = \|r: &Result<Product, AppError>\| …` | whether an answer is stored; those refused are given to their readers all the same |
/// | `weigh = \|p: &Product\| p.len()` | the bytes that a value takes, instead of `ByteSize` |
/// | `codec = Postcard::shape(1)` | how values become bytes for the remote tier; without it they stay in memory |
/// | `policy = \|p\| p.jitter(0)` | any other setting of `Policy`, applied last |
/// | `crate = ::cache` | the path of `tierkeep_cache`, where it has another name |
///
/// Durations have the units `d`, `h`, `m`, `s` and `ms`, from large to small: `"1h30m"`, `"250ms"`. Expressions are
/// evaluated outside the function: they see what is in scope beside it, but no parameters.
///
/// # Templates
///
/// Names in braces are parameters. The key is their encoding by `CacheKey`, in the template's order: `"{id}"` is the key
/// `id` of a view built by hand, `"{region}:{id}"` is `(region, id)`. Text between them is for people.
///
/// A tag is `kind`, `kind:{a}` or `kind:{a}:{b}`, and is what `Tag::named(kind)`, `Tag::of(kind, a)` or
/// `Tag::of(kind, (a, b))` makes. **Types count**: a tag of `7u32` is not that of `7u64`; references do not, nor does
/// `String` differ from `&str`. Use one type for one id.
///
/// # What else is generated
///
/// A type of the function's name and visibility (so no other type or module may have that name) with
///
/// * `product::invalidate(&cache, "eu", id).await`, a `Receipt`;
/// * `product::prime(&cache, "eu", id, value).await`, which has the cache hold a value, tags included;
/// * `product::key("eu", id)` and `product::view(&cache)`, for all else that a `View` can do.
///
/// Their arguments are the function's without those skipped, in its order. For a method `item` they stand beside it:
/// `Shop::item_invalidate(&cache, id)`, `Shop::item_prime`, `Shop::item_key`, `Shop::item_view`.
///
/// The first call through a cache builds the view. If another function or a view built by hand has its name there, reads
/// give [`LoadError::View`]; invalidation needs no view and always works.
///
/// # What does not compile
///
/// Each rule with the example that breaks it, and the same example mended.
///
/// **Each parameter is in the key or skipped.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `org` is neither in the key nor in `skip`: calls that differ in it would share a value; add `{org}` to the key, or
/// // `skip(org)` if the value does not depend on it
/// #[cached(view = "seats", key = "{user}", ttl = "1m")]
/// async fn seats(org: u64, user: u64) -> u64 { org + user }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{org}:{user}", ttl = "1m")]
/// async fn seats(org: u64, user: u64) -> u64 { org + user }
/// ```
///
/// **What a template names is a parameter.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // there is no parameter `usr`; did you mean `user`?
/// #[cached(view = "seats", key = "{user}", tags("user:{usr}"), ttl = "1m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}", tags("user:{user}"), ttl = "1m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
///
/// **What is skipped is a parameter.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // there is no parameter `bd`
/// #[cached(view = "seats", key = "{user}", ttl = "1m", skip(db, bd))]
/// async fn seats(db: &str, user: u64) -> u64 { user + db.len() as u64 }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}", ttl = "1m", skip(db))]
/// async fn seats(db: &str, user: u64) -> u64 { user + db.len() as u64 }
/// ```
///
/// **Equal keys have equal tags.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `org` is skipped, so that it does not follow from the key which tag a value has; add `{org}` to the key, or take the
/// // tag from the value with `tags_from`
/// #[cached(view = "seats", key = "{user}", ttl = "1m", tags("org:{org}"), skip(org))]
/// async fn seats(org: u64, user: u64) -> u64 { org + user }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}:{org}", ttl = "1m", tags("org:{org}"))]
/// async fn seats(org: u64, user: u64) -> u64 { org + user }
/// ```
///
/// **Keys are encoded, not formatted.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `{user:?}`: parameters are encoded, not formatted; write `{user}`
/// #[cached(view = "seats", key = "{user:?}", ttl = "1m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}", ttl = "1m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
///
/// **Options are known, and `ttl` is among them.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `#[cached]` has no option `tll`; did you mean `ttl`?
/// #[cached(view = "seats", key = "{user}", ttl = "1m", tll = "1m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `ttl` is missing: say how long a value lives, as in `ttl = "15m"`
/// #[cached(view = "seats", key = "{user}")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
///
/// **Durations have units.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `90` is not a duration: write numbers with units, such as "15m", "1h30m", "20s" or "250ms"
/// #[cached(view = "seats", key = "{user}", ttl = "90")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}", ttl = "1h30m")]
/// async fn seats(user: u64) -> u64 { user }
/// ```
///
/// **The function is async, and not generic.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `#[cached]` needs an `async fn`: the cache is asked without blocking a thread
/// #[cached(view = "seats", key = "{user}", ttl = "1m")]
/// fn seats(user: u64) -> u64 { user }
/// ```
/// ```compile_fail
/// # use tierkeep_cache::{CacheKey, cached};
/// // a cached function has one type of values and keys: generic functions are not supported; write one function for each
/// // type
/// #[cached(view = "seats", key = "{user}", ttl = "1m")]
/// async fn seats<K: CacheKey + Send>(user: K) -> u64 { drop(user); 1 }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "seats", key = "{user}", ttl = "1m")]
/// async fn seats(user: u64) -> u64 { drop(user); 1 }
/// ```
///
/// **A method takes `&self`, and skips it.** (A function of an `impl` without `self` cannot be cached: stand it beside.)
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// # struct Shop;
/// impl Shop {
///     // `self` is neither in the key nor in `skip`: a value of one object would be served for another; write `skip(self)`
///     // if the result does not depend on it
///     #[cached(view = "seats", key = "{user}", ttl = "1m")]
///     async fn seats(&self, user: u64) -> u64 { user }
/// }
/// ```
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// # struct Shop;
/// impl Shop {
///     // a cached method takes `&self`: it may run after its caller is gone, or not at all
///     #[cached(view = "seats", key = "{user}", ttl = "1m", skip(self))]
///     async fn seats(self, user: u64) -> u64 { user }
/// }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// # struct Shop;
/// impl Shop {
///     #[cached(view = "seats", key = "{user}", ttl = "1m", skip(self))]
///     async fn seats(&self, user: u64) -> u64 { user }
/// }
/// ```
///
/// **Values are owned, and have a size.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // a cached value outlives the call, so it cannot borrow from an argument; return an owned value
/// #[cached(view = "trimmed", key = "{text}", ttl = "1m")]
/// async fn trimmed(text: &str) -> &str { text.trim() }
/// ```
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// struct Text(String);
/// // the cache cannot tell how many bytes `Text` takes
/// #[cached(view = "trimmed", key = "{text}", ttl = "1m")]
/// async fn trimmed(text: &str) -> Text { Text(text.trim().to_owned()) }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// struct Text(String);
/// #[cached(view = "trimmed", key = "{text}", ttl = "1m", weigh = |text| text.0.len())]
/// async fn trimmed(text: &str) -> Text { Text(text.trim().to_owned()) }
/// ```
///
/// **Parts of a key implement `CacheKey`.**
/// ```compile_fail
/// # use tierkeep_cache::cached;
/// // `f64` cannot be part of a key or a tag
/// #[cached(view = "prices", key = "{weight}", ttl = "1m")]
/// async fn price(weight: f64) -> f64 { weight * 2.0 }
/// ```
/// ```
/// # use tierkeep_cache::cached;
/// #[cached(view = "prices", key = "{grams}", ttl = "1m")]
/// async fn price(grams: u64) -> f64 { grams as f64 * 0.002 }
/// ```
///
/// **Attributes that rewrite functions stand above.** Between `#[cached]` and the function they would see the generated
/// one, which is not async and returns at once.
/// ```compile_fail
/// # use tierkeep_cache::{Cache, cached, invalidates};
/// // `#[invalidates]` would see what `#[cached]` makes of the function; put it above `#[cached]`, where it sees the function
/// // itself
/// #[cached(view = "seats", key = "{user}", ttl = "1m", skip(cache))]
/// #[invalidates(tags("reads"))]
/// async fn seats(cache: &Cache, user: u64) -> u64 { let _ = cache; user }
/// ```
/// ```
/// # use tierkeep_cache::{Cache, cached, invalidates};
/// #[invalidates(tags("reads"))]
/// #[cached(view = "seats", key = "{user}", ttl = "1m", skip(cache))]
/// async fn seats(cache: &Cache, user: u64) -> u64 { let _ = cache; user }
/// ```
///
/// [`Call`]: https://docs.rs/tierkeep-cache/latest/tierkeep_cache/call/struct.Call.html
/// [`LoadError::View`]: https://docs.rs/tierkeep-cache/latest/tierkeep_cache/enum.LoadError.html#variant.View
#[proc_macro_attribute]
pub fn cached(options: TokenStream, item: TokenStream) -> TokenStream {
    or_problems(cached::expand(options.into(), item.clone().into()), item)
}

/// Has a cache forget what an `async fn` changes, once it has ended.
///
/// ```
/// use tierkeep_cache::{Cache, cached, invalidates};
/// # #[derive(Default)] struct Db(std::sync::Mutex<String>);
/// # type AppError = std::io::Error;
///
/// #[cached(view = "name", key = "{id}", ttl = "15m", tags("product:{id}"), skip(db))]
/// async fn name(db: &Db, id: u64) -> Result<String, AppError> {
///     # let _ = id;
///     // … a query
///     # Ok(db.0.lock().unwrap().clone())
/// }
///
/// #[invalidates(tags("product:{id}"), on = "ok")]
/// async fn rename(cache: &Cache, db: &Db, id: u64, name: &str) -> Result<(), AppError> {
///     # let (_, _) = (cache, id);
///     // … an update and its commit
///     # name.clone_into(&mut db.0.lock().unwrap());
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let db = Db::default();
/// let cache = Cache::builder("shop").build()?;
/// rename(&cache, &db, 7, "pen").await?;
/// assert_eq!(*name(&db, 7).cached(&cache).await?, "pen");
/// rename(&cache, &db, 7, "pencil").await?;
/// assert_eq!(*name(&db, 7).cached(&cache).await?, "pencil");
/// # Ok(()) }
/// ```
///
/// The function stays what it is: its signature does not change, it may be generic or a method, and the attribute may
/// be given several times. What its templates name is encoded before the body runs, so that the body may consume it.
///
/// # Options
///
/// | option | what it says |
/// |---|---|
/// | `tags("product:{id}", …)` | tags to forget, as in [`#[cached]`](macro@cached) |
/// | `view = "product", key = "{region}:{id}"` | a value to forget: the key's parts have the order and the types of that view's keys |
/// | `on = "always"` | whatever the function returns; the default |
/// | `on = "ok"` | only if it returned `Ok` |
/// | `cache = self.cache` | where the cache is; the parameter `cache` unless told |
/// | `crate = ::cache` | the path of `tierkeep_cache`, where it has another name |
///
/// Tags or a key, or both, must be given.
///
/// # What it does not do
///
/// It invalidates after the body has ended, so a caller that drops the future half-way, or a body that panics after its
/// commit, leaves the cache as it is; nor is an error proof that nothing was written, which is why `"always"` is the
/// default. Where a change must not be missed, write it down in the transaction that makes it.
///
/// What the remote tier or the bus does not acknowledge at once is repeated by the cache until they do, and logged; a
/// function that wants the `Receipt` itself calls [`product::invalidate`](macro@cached) or `Cache::invalidate_tag`.
///
/// # What does not compile
///
/// **There is a cache.**
/// ```compile_fail
/// # use tierkeep_cache::{Cache, invalidates};
/// // there is no parameter `cache`: add `cache: &Cache`, or say where the cache is, as in `cache = self.cache`
/// #[invalidates(tags("product:{id}"))]
/// async fn remove(id: u64) { let _ = id; }
/// ```
/// ```
/// # use tierkeep_cache::{Cache, invalidates};
/// #[invalidates(tags("product:{id}"))]
/// async fn remove(cache: &Cache, id: u64) { let _ = (cache, id); }
/// ```
///
/// **There is something to forget, and it is named by parameters.**
/// ```compile_fail
/// # use tierkeep_cache::{Cache, invalidates};
/// // `view` without `key`: say which value, as in `key = "{id}"`
/// #[invalidates(view = "product")]
/// async fn remove(cache: &Cache, id: u64) { let _ = (cache, id); }
/// ```
/// ```compile_fail
/// # use tierkeep_cache::{Cache, invalidates};
/// // there is no parameter `idd`; did you mean `id`?
/// #[invalidates(view = "product", key = "{idd}")]
/// async fn remove(cache: &Cache, id: u64) { let _ = (cache, id); }
/// ```
/// ```
/// # use tierkeep_cache::{Cache, invalidates};
/// #[invalidates(view = "product", key = "{id}")]
/// async fn remove(cache: &Cache, id: u64) { let _ = (cache, id); }
/// ```
///
/// **`on = "ok"` needs a `Result`.**
/// ```compile_fail
/// # use tierkeep_cache::{Cache, invalidates};
/// // `on = "ok"` needs a function that returns a `Result`
/// #[invalidates(tags("product:{id}"), on = "ok")]
/// async fn remove(cache: &Cache, id: u64) -> bool { let _ = (cache, id); true }
/// ```
/// ```
/// # use tierkeep_cache::{Cache, invalidates};
/// #[invalidates(tags("product:{id}"), on = "always")]
/// async fn remove(cache: &Cache, id: u64) -> bool { let _ = (cache, id); true }
/// ```
#[proc_macro_attribute]
pub fn invalidates(options: TokenStream, item: TokenStream) -> TokenStream {
    or_problems(invalidates::expand(options.into(), item.clone().into()), item)
}

/// Counts what becomes of a function's calls and how long they take.
///
/// ```
/// use tierkeep_measure::measured;
///
/// #[measured]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     Ok(text.trim().parse()?)
/// }
///
/// struct Shop { prices: Vec<u32> }
///
/// impl Shop {
///     #[measured(name = "shop.price", span = "info", busy = true)]
///     async fn price(&self, item: usize) -> Option<&u32> {
///         self.prices.get(item)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let _ = (parse("7"), parse("seven"), parse("8"));
/// assert_eq!(Shop { prices: vec![3] }.price(0).await, Some(&3));
///
/// let report = tierkeep_measure::report();
/// let parsed = report.function(concat!(module_path!(), "::parse")).unwrap();
/// assert_eq!((parsed.values, parsed.errors), (2, 1));
/// assert_eq!(report.function("shop.price").unwrap().calls(), 1);
/// # }
/// ```
///
/// It goes on functions and methods, `async` or not, generic or not. Their signature does not change. A function that
/// returns `impl Future`, `Pin<Box<dyn Future>>` or a `BoxFuture` is measured as an async one, so that it also goes on methods in an
/// `#[async_trait]` block.
///
/// # What is counted
///
/// Apart from each other: calls that returned a value; calls that returned an `Err`, under whichever alias of `Result`; calls
/// that panicked; and futures that were dropped between their first poll and their end. The first two are timed, an async call from
/// its first poll to its end; a future that was never polled has not begun. `tierkeep_measure::report` tells.
///
/// Functions of equal names share one histogram, which nothing can tell from here: two methods called `new` in one module need
/// names of their own. Generic functions have one histogram for all types.
///
/// # Options
///
/// | option | what it says |
/// |---|---|
/// | `"shop.price"` or `name = "shop.price"` | the name in the report, and of the span; else the path of the module and the name of the function, without the type that a method belongs to |
/// | `span = "debug"` | the level of the `tracing` span that a call is within where a subscriber wants it: `"error"`, `"warn"`, `"info"`, `"debug"` (the default), `"trace"`; `"off"` opens none. The span has no fields |
/// | `busy = true` | of async functions: also adds up the times in which their futures are polled, which takes two more readings of the clock a poll |
/// | `crate = ::measure` | the path of `tierkeep_measure`, where it has another name |
///
/// # What it costs
///
/// About 1.3 times two readings of the clock, those that it takes included (an async function 1.6 times), and nothing worth
/// naming (an async function 0.2 times, as its future is larger) while `set_enabled(false)` holds: `cargo bench -p tierkeep-measure` says how much on your machine. The body becomes a closure, so `Location::caller()` in it is a place in the
/// function, `#[track_caller]` or not.
///
/// # What does not compile
///
/// **A measured function runs when the program does.**
/// ```compile_fail
/// # use tierkeep_measure::measured;
/// // a `const fn` may be evaluated by the compiler, where there is no clock
/// #[measured]
/// const fn doubled(number: u32) -> u32 { number * 2 }
/// ```
/// ```compile_fail
/// # use tierkeep_measure::measured;
/// // `#[measured]` needs a function of Rust; measure what this one calls
/// #[measured]
/// extern "C" fn doubled(number: u32) -> u32 { number * 2 }
/// ```
/// ```
/// # use tierkeep_measure::measured;
/// #[measured]
/// fn doubled(number: u32) -> u32 { number * 2 }
/// ```
///
/// **Options are known.**
/// ```compile_fail
/// # use tierkeep_measure::measured;
/// // `span` is a level: "error", "warn", "info", "debug" or "trace", or "off" for no span
/// #[measured(span = "loud")]
/// fn doubled(number: u32) -> u32 { number * 2 }
/// ```
/// ```compile_fail
/// # use tierkeep_measure::measured;
/// // a name has 1 to 200 bytes, this one has 0
/// #[measured("")]
/// fn doubled(number: u32) -> u32 { number * 2 }
/// ```
/// ```compile_fail
/// # use tierkeep_measure::measured;
/// // `busy` is about futures: a function that is not async is busy all the time
/// #[measured(busy = true)]
/// fn doubled(number: u32) -> u32 { number * 2 }
/// ```
/// ```
/// # use tierkeep_measure::measured;
/// #[measured("doubled", span = "trace", busy = true)]
/// async fn doubled(number: u32) -> u32 { number * 2 }
/// ```
#[proc_macro_attribute]
pub fn measured(options: TokenStream, item: TokenStream) -> TokenStream {
    or_problems(measured::expand(options.into(), item.clone().into()), item)
}

/// What was generated, or what is wrong; then with the function as it was written, so that its callers are not reported,
/// too.
fn or_problems(expanded: syn::Result<proc_macro2::TokenStream>, item: TokenStream) -> TokenStream {
    match expanded {
        Ok(tokens) => tokens.into(),
        Err(problems) => {
            let mut tokens = TokenStream::from(problems.into_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// Programs of other editions: what is generated is of this crate's edition, the function is of theirs.
///
/// ```edition2021
/// use tierkeep_cache::{Cache, cached, invalidates};
///
/// #[cached(view = "joined", key = "{left}:{right}", ttl = "1m", skip(db))]
/// async fn joined<'a>(db: &mut Vec<&'a str>, left: &'a str, right: &str) -> Result<String, std::io::Error> {
///     db.push(left);
///     Ok(format!("{left}{right}"))
/// }
///
/// #[invalidates(view = "joined", key = "{left}:{right}")]
/// async fn part(cache: &Cache, left: &str, right: &str) -> std::io::Result<()> {
///     Some(cache).ok_or(std::io::ErrorKind::Other)?;
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (cache, mut db) = (Cache::builder("shop").build()?, Vec::new());
/// assert_eq!(*joined(&mut db, "a", &String::from("b")).cached(&cache).await?, "ab");
/// part(&cache, "a", "b").await?;
/// assert_eq!(joined(&mut db, "a", "b").await?, "ab");
/// assert_eq!(db.len(), 2);
/// # Ok(()) }
/// ```
#[cfg(doctest)]
struct OtherEditions;
