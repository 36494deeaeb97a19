//! The change feed against real databases: whoever writes, whatever happens to the triggers.

mod doors;
mod fixture;
mod sqlite;
