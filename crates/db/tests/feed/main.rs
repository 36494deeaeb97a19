//! The change feed against real databases: whoever writes, whatever happens to the triggers.

mod bad_input;
mod columns;
mod doors;
mod errors;
mod fixture;
mod health;
mod order;
mod partitions;
mod properties;
mod quiet;
mod quiet_sqlite;
mod rehanging;
mod sqlite;
mod upkeep;
