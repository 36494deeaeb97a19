//! Where the keys of a warm-up come from.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};

use super::HotKeys;
use crate::clock::Tick;

/// Keys as they come, or what their source said instead of one.
pub(super) type KeyStream<K> = Pin<Box<dyn Stream<Item = Result<K, String>> + Send>>;

/// Where the keys of a job come from. Asked anew for each run, and read no faster than keys are warmed: a stream of
/// millions of rows is never collected.
///
/// ```
/// use std::convert::Infallible;
/// use tierkeep_cache::warmup::Keys;
///
/// let listed: Keys<u64> = Keys::list([7, 8, 9]);
/// let rows: Keys<u64> = Keys::stream(|| futures_util::stream::iter((0..1_000_000).map(Ok::<_, Infallible>)));
/// ```
pub struct Keys<K>(Arc<dyn Fn(Tick) -> KeyStream<K> + Send + Sync>);

impl<K> Clone for Keys<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for Keys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl<K: Send + 'static> Keys<K> {
    /// These keys, in this order.
    pub fn list(keys: impl IntoIterator<Item = K>) -> Self
    where
        K: Clone + Sync,
    {
        let keys: Arc<[K]> = keys.into_iter().collect();
        Self(Arc::new(move |_| {
            let keys = Arc::clone(&keys);
            let keys = (0..keys.len()).map(move |place| Ok(keys[place].clone()));
            Box::pin(stream::iter(keys))
        }))
    }

    /// A stream that each run opens, such as the rows of a query. An error in it is counted as a failed key and the next
    /// one is asked for; a hundred errors without a key between them end the run.
    pub fn stream<S, E>(open: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Stream<Item = Result<K, E>> + Send + 'static,
        E: fmt::Display,
    {
        Self(Arc::new(move |_| Box::pin(open().map(|item| item.map_err(|error| error.to_string())))))
    }

    /// The keys of this view that are most worth loading, best first, at most so many. `decode` makes a key of its
    /// encoding, and nothing of bytes that are none.
    pub fn hottest(
        hot: &Arc<HotKeys>,
        view: &str,
        most: usize,
        decode: impl Fn(&[u8]) -> Option<K> + Send + Sync + 'static,
    ) -> Self {
        let (hot, view, decode) = (Arc::clone(hot), view.to_owned(), Arc::new(decode));
        Self(Arc::new(move |now| {
            let decode = Arc::clone(&decode);
            let keys = hot.best_of(&view, most, now).into_iter();
            let keys = keys.map(move |hot| decode(&hot.key).ok_or_else(|| "a hot key cannot be decoded".to_owned()));
            Box::pin(stream::iter(keys))
        }))
    }

    pub(super) fn open(&self, now: Tick) -> KeyStream<K> {
        (self.0)(now)
    }
}
