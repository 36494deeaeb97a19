//! Whether a value is an `Err`, told by its type and not by how the type is written: aliases of `Result` count.

use crate::recorder::Ending;

/// A returned value. `(&Probe(&value)).ending()` finds [`ViaResult`] where the value is a `Result`, and else, by one more
/// borrow, [`ViaAny`].
#[derive(Debug)]
pub struct Probe<'a, T>(pub &'a T);

/// For results.
pub trait ViaResult {
    /// An error if it is `Err`.
    fn ending(&self) -> Ending;
}

impl<T, E> ViaResult for Probe<'_, Result<T, E>> {
    fn ending(&self) -> Ending {
        if self.0.is_err() { Ending::Error } else { Ending::Value }
    }
}

/// For everything else.
pub trait ViaAny {
    /// A value.
    fn ending(&self) -> Ending;
}

impl<T> ViaAny for &Probe<'_, T> {
    fn ending(&self) -> Ending {
        Ending::Value
    }
}
