//! Study sessions, local days, day summaries and statistics.
//!
//! Everything a learner or a teacher sees is derived from rows along one path: rows → day summaries → statistics.
//! A [`summary::DaySummary`] holds what the statistics need to know of one learner's local day; summaries merge, so a
//! week, a month or a year is a merge of days. Which day an instant belongs to is decided by a calendar, and only there.

pub mod active_days;
pub mod calendar;
pub mod counts;
pub mod efficiency;
pub mod estimator;
pub mod fold;
#[cfg(feature = "stores")]
pub mod import;
pub mod instant;
pub mod key;
pub mod language;
pub mod local_day;
#[cfg(feature = "stores")]
pub mod mapping;
pub mod month_page;
pub mod recommendation;
#[cfg(feature = "stores")]
pub mod retention;
pub mod rows;
#[cfg(feature = "stores")]
pub mod service;
pub mod session;
pub mod session_change;
pub mod statistic;
#[cfg(feature = "stores")]
pub mod store;
pub mod summary;
