//! What `#[cached]` makes of a function: a call that has not happened yet, and can be answered from a cache.
//!
//! Nothing here needs to be written by hand. The names are public because the attribute puts them into signatures:
//! `async fn product(db: &Db, id: u64) -> Result<Product, AppError>` becomes
//! `fn product(db: &Db, id: u64) -> Call<impl Load<Output = Result<Product, AppError>>, Arc<Product>, AppError>`.

mod forget;
mod key;
mod site;

use std::borrow::Borrow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cache::Cache;
use crate::error::{BuildError, LoadError};
use crate::loaded::{LoadContext, Loaded};
use crate::policy::Policy;
use crate::tag::Tag;
use crate::write::Written;

#[doc(hidden)]
pub use forget::Forget;
pub use key::CallKey;
pub(crate) use site::Opened;
#[doc(hidden)]
pub use site::Site;

/// A call of a `#[cached]` function that has not happened yet.
///
/// Awaited as it is, it runs the function and knows no cache; [`cached`](Self::cached) reads through one.
/// `T` is what that gives: [`Arc`] of the value, or an [`Option`] of it where the function may answer that there is none.
/// `P` says where the function runs on a miss: [`Here`] or [`Apart`].
#[must_use = "a call does nothing until it is awaited, or read through a cache: `.cached(&cache).await`"]
pub struct Call<L: Load, T: Reading, E, P = Here> {
    load: L,
    key: CallKey,
    site: Site<L::Output, T::Value, E>,
    place: PhantomData<fn() -> P>,
}

/// The function borrows from its caller and runs in the caller's future; see
/// [`View::get_or_load_here`](crate::View::get_or_load_here).
#[derive(Clone, Copy, Debug)]
pub enum Here {}

/// The function owns its arguments and runs in a task of its own, in the background where a stale value is served
/// meanwhile; see [`View::get_or_load`](crate::View::get_or_load).
#[derive(Clone, Copy, Debug)]
pub enum Apart {}

/// The body of a function with its arguments, to be run once or never. Implemented for closures.
pub trait Load: Send {
    /// What the function returns.
    type Output;
    /// The function, running.
    type Future: Future<Output = Self::Output> + Send;

    /// Runs it.
    fn load(self) -> Self::Future;
}

impl<F, R> Load for F
where
    F: FnOnce() -> R + Send,
    R: Future + Send,
{
    type Output = R::Output;
    type Future = R;

    fn load(self) -> R {
        self()
    }
}

/// What a read through the cache gives: `Arc<V>`, or `Option<Arc<V>>`.
pub trait Reading: sealed::Sealed + Sized {
    /// The type of the values.
    type Value: Send + Sync + 'static;

    #[doc(hidden)]
    fn of<E>(found: Option<Arc<Self::Value>>) -> Result<Self, LoadError<E>>;
}

impl<V: Send + Sync + 'static> Reading for Arc<V> {
    type Value = V;

    fn of<E>(found: Option<Self>) -> Result<Self, LoadError<E>> {
        found.ok_or(LoadError::Absent)
    }
}

impl<V: Send + Sync + 'static> Reading for Option<Arc<V>> {
    type Value = V;

    fn of<E>(found: Self) -> Result<Self, LoadError<E>> {
        Ok(found)
    }
}

mod sealed {
    use std::sync::Arc;

    pub trait Sealed {}
    impl<V> Sealed for Arc<V> {}
    impl<V> Sealed for Option<Arc<V>> {}
    impl<T, E> Sealed for Result<T, E> {}
}

/// The error of a [`Result`], where an alias such as `io::Result<T>` does not show it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called `Result`, but is another type",
    note = "`#[cached]` takes a type called `Result` for the one of the standard library"
)]
pub trait Fallible: sealed::Sealed {
    /// The type of the errors.
    type Error;
}

impl<T, E> Fallible for Result<T, E> {
    type Error = E;
}

impl<L: Load, T: Reading, E, P> Call<L, T, E, P> {
    #[doc(hidden)]
    pub fn new(load: L, key: CallKey, site: Site<L::Output, T::Value, E>) -> Self {
        Self { load, key, site, place: PhantomData }
    }

    /// The key of the value that this call asks for.
    pub fn key(&self) -> &CallKey {
        &self.key
    }
}

impl<L, T, E> Call<L, T, E, Here>
where
    L: Load,
    T: Reading,
    E: fmt::Display + Send + Sync + 'static,
{
    /// The value; the function runs if no tier of the cache has it, and then in this very future: dropping that ends
    /// the load. However many ask at once, one of them loads.
    ///
    /// # Errors
    /// As [`View::get_or_load`](crate::View::get_or_load): [`LoadError::Loader`] holds the function's own error. And
    /// [`LoadError::View`], if two functions of one cache have one view.
    pub async fn cached(self, cache: &Cache) -> Result<T, LoadError<E>> {
        let Self { load, key, site, .. } = self;
        let view = cache.open(&site).map_err(LoadError::View)?;
        let loader = async move |context: LoadContext<T::Value>| site.judge(load.load().await, &context);
        T::of(view.find_or_load_here(&key, loader).await?)
    }
}

impl<L, T, E> Call<L, T, E, Apart>
where
    L: Load + 'static,
    L::Output: 'static,
    L::Future: 'static,
    T: Reading,
    E: fmt::Display + Send + Sync + 'static,
{
    /// The value; the function runs if no tier of the cache has it, in a task of its own: dropping this future does not
    /// end the load, and its value is stored. However many ask at once, one load runs.
    ///
    /// # Errors
    /// As [`View::get_or_load`](crate::View::get_or_load): [`LoadError::Loader`] holds the function's own error. And
    /// [`LoadError::View`], if two functions of one cache have one view.
    pub async fn cached(self, cache: &Cache) -> Result<T, LoadError<E>> {
        let Self { load, key, site, .. } = self;
        let view = cache.open(&site).map_err(LoadError::View)?;
        let loader = async move |context: LoadContext<T::Value>| site.judge(load.load().await, &context);
        T::of(view.find_or_load(&key, loader).await?)
    }
}

impl<L: Load, T: Reading, E, P> IntoFuture for Call<L, T, E, P> {
    type Output = L::Output;
    type IntoFuture = L::Future;

    fn into_future(self) -> L::Future {
        self.load.load()
    }
}

impl<L: Load, T: Reading, E, P> fmt::Debug for Call<L, T, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({}, {:?})", self.site.view, self.key)
    }
}

/// Tells the tags that `tags` finds in a value.
#[doc(hidden)]
pub fn each_tag<'v, V, I>(value: &'v V, tags: impl FnOnce(&'v V) -> I, tell: &mut dyn FnMut(&Tag))
where
    I: IntoIterator<Item: Borrow<Tag>>,
{
    tags(value).into_iter().for_each(|tag| tell(tag.borrow()));
}

/// Has a cache hold a value that its source is known to have.
#[doc(hidden)]
pub async fn prime<R, V, E>(
    cache: &Cache,
    site: Site<R, V, E>,
    key: CallKey,
    value: V,
) -> Result<Written<V>, BuildError>
where
    V: Send + Sync + 'static,
{
    let view = cache.open(&site)?;
    let mut tags = Vec::new();
    (site.tags)(&value, &mut |tag| tags.push(tag.clone()));
    let loaded = tags.into_iter().fold(Loaded::value(value), Loaded::tag);
    Ok(view.put(&key, loaded).await)
}

/// The policy of the options, as the `policy` option refines it.
#[doc(hidden)]
pub fn refine(policy: Policy, refine: impl FnOnce(Policy) -> Policy) -> Policy {
    refine(policy)
}
