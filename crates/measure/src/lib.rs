//! Function timing and benchmarks.
