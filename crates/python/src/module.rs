//! The extension module: only what CPython needs, on top of the modules beside it.

use pyo3::prelude::*;

mod node;

/// The part of Tierkeep for Python that is in Rust; import `tierkeep`, not this.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use super::node::NodeClient;
}
