//! The extension module: only what CPython needs, on top of the modules beside it.

mod cache;
mod cached;
mod copy;
mod ending;
mod errand;
mod key;
mod misses;
mod place;
mod shared;
mod store;
mod stored;
mod value;

use pyo3::prelude::*;

mod node;

/// The part of Tierkeep for Python that is in Rust; import `tierkeep`, not this.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::cache::CacheCore;
    #[pymodule_export]
    use super::cached::{Begun, CachedCall, Copies};
    #[pymodule_export]
    use super::errand::hand_over;
    #[pymodule_export]
    use super::misses::Asker;
    #[pymodule_export]
    use super::place::shared_table_path;
    #[pymodule_export]
    use super::shared::{Lease, SharedStore};
    #[pymodule_export]
    use super::store::{Store, Token};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use super::node::NodeClient;

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        super::ending::register(module.py())
    }
}
