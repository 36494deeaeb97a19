//! Attached to a platform's own tables: the platform writes as it likes, and every number is right.

mod active;
mod answers;
mod cleaned;
mod detach;
mod drift;
mod partitions;
mod refusals;
mod restored;
mod site;
