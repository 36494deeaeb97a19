//! What every store promises, run on SQLite and on PostgreSQL: each case is a function over a fresh database.

#[cfg(test)]
mod stores {
    #[macro_use]
    pub(crate) mod fresh;
    pub(crate) mod active;
    pub(crate) mod aging;
    pub(crate) mod attach;
    pub(crate) mod capture;
    pub(crate) mod cleaning;
    pub(crate) mod concurrency;
    pub(crate) mod damage;
    pub(crate) mod erased_writes;
    pub(crate) mod erasure;
    pub(crate) mod exported;
    pub(crate) mod feed;
    pub(crate) mod housekeeping;
    pub(crate) mod lease;
    pub(crate) mod model;
    pub(crate) mod nightly;
    pub(crate) mod opening;
    pub(crate) mod outside;
    pub(crate) mod paging;
    pub(crate) mod platform;
    pub(crate) mod ready;
    pub(crate) mod restore;
    pub(crate) mod retention;
    pub(crate) mod retries;
    pub(crate) mod rows;
    pub(crate) mod searched;
    pub(crate) mod seeded;
    pub(crate) mod slow_writes;
    pub(crate) mod tokens;
    pub(crate) mod upkeep;
    pub(crate) mod verification;
    pub(crate) mod writes;
    pub(crate) mod writing;
    pub(crate) mod zones;
}
