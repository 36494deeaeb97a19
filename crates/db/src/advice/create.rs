//! Making an index.
