//! Values, pages, many rows, relations and statements of the caller on both databases.

mod bulk;
mod bulk_model;
mod fixture;
mod keyset;
mod keyset_cost;
mod keyset_scan;
mod offset;
mod raw;
mod relations;
mod values;
