//! What changed, for those who keep answers: the change feed with learners in the place of keys.

use std::time::Duration;

use async_trait::async_trait;
use tierkeep_db::feed::{Feed, FeedHealth, FeedSource, Polled, Roster, Shadow, WatchedRows};
use tierkeep_db::{Ident, SqlType, TableName};

use super::StoreError;
use crate::key::{KeyType, UserId};
use crate::mapping::{Mapping, Source};

/// Events read by one call of [`ChangeFeed::changes`].
pub(super) const EVENTS_PER_CALL: u32 = 10_000;

/// Name of the feed's source of sessions.
pub(super) const SESSIONS: &str = "study_sessions";

/// What changed since a position.
///
/// Positions are numbers that the database gives to changes once these are committed, the same for all nodes. Who was told
/// a position before reading anything has all changes up to it in what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// All changes up to here are told now.
    pub position: u64,
    /// Whether there are more, to be asked for at once.
    pub more: bool,
    /// Changes up to here are forgotten.
    pub floor: u64,
    /// Who changed, and at which position, in their order.
    pub learners: Vec<(UserId, u64)>,
    /// The last position at which anything of anybody may have changed, as far as this caller knows: also if changes after
    /// the position it asked for are forgotten.
    pub everybody: Option<u64>,
    /// Whether a change waits to be folded.
    pub unfolded: bool,
    /// Another number than before: what was told before means nothing.
    pub epoch: u64,
    /// Why not every change can be told, in words for the operator; empty = every change is.
    pub broken: Vec<String>,
}

/// Telling what changed.
#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// What changed after a position; 0 = whatever is remembered. `None`: changes cannot be told here, and no answer should be kept (nothing may be
    /// written, or the tables are a platform's to which nothing is attached).
    ///
    /// While the feed is broken ([`Changes::broken`]), this store distrusts its summaries and answers from rows.
    ///
    /// One or two small statements; idle ones write nothing. On a connection of its own, so that it never waits for the
    /// pool.
    async fn changes(&self, after: u64) -> Result<Option<Changes>, StoreError>;

    /// Removes changes that are folded and that are older than `keep` or more than `most` in number: one bounded batch.
    /// Beyond `most_bytes` all of them, folded or not, become "anything of anybody changed". Tells how many went.
    async fn prune_changes(&self, keep: Duration, most: u64, most_bytes: u64) -> Result<u64, StoreError>;
}

impl Changes {
    pub(super) fn read(after: u64, polled: Polled) -> Self {
        let told = polled.events.last().map_or(after, |event| event.position);
        let mut changes = Self {
            position: if polled.more { told } else { polled.position },
            more: polled.more,
            floor: polled.floor,
            learners: Vec::with_capacity(polled.events.len()),
            // who was told nothing has nothing that could be old
            everybody: (polled.gap && after > 0).then_some(polled.position),
            unfolded: polled.unsettled,
            epoch: polled.epoch,
            broken: match polled.health {
                FeedHealth::Whole => Vec::new(),
                FeedHealth::Broken(reasons) => reasons,
            },
        };
        for event in polled.events {
            match event.key {
                None => changes.everybody = Some(event.position),
                // a text that is no key is the key of nobody
                Some(key) => changes.learners.extend(key.parse().ok().map(|user: UserId| (user, event.position))),
            }
        }
        changes
    }
}

/// The feed of the four tables, under the names that the mapping gives them.
pub(super) fn feed(keys: KeyType, mapping: &Mapping, has_zones: bool) -> Result<Feed, StoreError> {
    let key_type = match keys {
        KeyType::Uuid => SqlType::Uuid,
        KeyType::Int => SqlType::Bigint,
    };
    let name = |source, column| -> Result<Ident, StoreError> { mapping.column(source, column) };
    let sessions = Source::StudySessions;
    let (id, key) = (name(sessions, "id")?, name(sessions, "user_id")?);
    let at = Some(name(sessions, "start_time")?);
    let shadow = Shadow { table: mapping.archive(), id: id.clone(), key: key.clone(), at: at.clone() };
    let learners = WatchedRows::Keys {
        id: name(Source::Users, "id")?,
        roster: Some(Roster { table: TableName::new(None, ident("tierkeep_learner")), key: ident("user_id") }),
        note: if has_zones { Some(name(Source::Users, "time_zone")?) } else { None },
    };
    let progress = WatchedRows::Owned {
        id: name(Source::CourseProgress, "id")?,
        key: name(Source::CourseProgress, "user_id")?,
        at: None,
        shadow: None,
    };
    let live = WatchedRows::Owned { id: id.clone(), key: key.clone(), at: at.clone(), shadow: Some(shadow) };
    let archived = WatchedRows::Owned { id, key, at, shadow: None };
    let source = |name, table, rows, settles| FeedSource { name, table, rows, settles };
    let feed = Feed::new(
        key_type,
        vec![
            source("users", mapping.table(Source::Users), learners, true),
            // nothing is summarised of course progress, so nothing is to be folded
            source("course_progress", mapping.table(Source::CourseProgress), progress, false),
            source(SESSIONS, mapping.table(sessions), live, true),
            source("study_sessions_archive", mapping.archive(), archived, true),
        ],
    )?;
    if mapping.is_own() {
        return Ok(feed);
    }
    // whatever columns a platform has at the moment: all nodes with this mapping look at the same
    let columns =
        Source::ALL.map(|source| (mapping.table(source), mapping.column_names(source).into_values().collect()));
    Ok(feed.watching_columns(&columns))
}

fn ident(name: &str) -> Ident {
    Ident::new(name).expect("a name of ours is short and has no NUL")
}
