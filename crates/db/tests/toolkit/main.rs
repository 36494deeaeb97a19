//! Values, pages, many rows, relations and statements of the caller on both databases.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]
#![expect(clippy::duplicate_mod, reason = "each example brings the same module, as each runs alone, too")]

mod bulk;
mod bulk_model;
mod examples;
mod fixture;
mod keyset;
mod keyset_cost;
mod keyset_scan;
mod offset;
mod raw;
mod relations;
mod values;
