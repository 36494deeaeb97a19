//! One table: which answers are kept under which name, how long, and with which tags.

use std::time::Duration;

use tierkeep_cache::{Policy, Tag};
use tierkeep_learning::key::UserId;
use tierkeep_learning::statistic::StatisticKind;

use super::question::Question;

/// How long an answer of a statistic lives unless configured: a backstop, as a change ends its life before.
pub(crate) const fn default_ttl(kind: StatisticKind) -> Duration {
    Duration::from_secs(match kind {
        StatisticKind::Daily => 300,
        StatisticKind::Weekly | StatisticKind::Courses => 900,
        StatisticKind::Monthly | StatisticKind::Heatmap => 1800,
        StatisticKind::Analytics | StatisticKind::Streaks => 600,
        StatisticKind::Global => 3600,
    })
}

/// A hit in the last fifth of an answer's life computes it anew in the background, so that nobody waits for the answers
/// that are asked for all the time.
const REFRESH_AT_PERCENT: u8 = 80;

/// The rules for one statistic's answers. Nothing is served after its life, unless the database does not answer; a
/// learner who does not exist is asked for again each time, for tomorrow they may.
pub(super) fn policy(ttl: Duration, max_stale: Duration, patience: Duration) -> Policy {
    Policy::ttl(ttl)
        .early_refresh(REFRESH_AT_PERCENT)
        .stale_if_error(max_stale)
        // what takes longer than a request may is of no use to anybody
        .loader_timeout(None, patience)
}

/// The tags of an answer: `user:ID`, or `global`.
pub(super) fn tags(question: &Question) -> Vec<Tag> {
    vec![question.user().map_or_else(|| Tag::named(GLOBAL), user_tag)]
}

const USER: &str = "user";
const GLOBAL: &str = "global";

/// What all answers about a learner carry.
#[must_use]
pub fn user_tag(user: UserId) -> Tag {
    Tag::of(USER, user.to_string())
}

/// What answers about all learners together carry.
#[must_use]
pub fn global_tag() -> Tag {
    Tag::named(GLOBAL)
}

/// The tag of a name, `user:ID` or `global`; `None` for any other.
#[must_use]
pub fn named_tag(name: &str) -> Option<Tag> {
    match name.split_once(':') {
        Some((USER, id)) => id.parse().ok().map(user_tag),
        None if name == GLOBAL => Some(Tag::named(GLOBAL)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_the_names_that_commands_use() {
        let of = |text: &str| tags(&text.parse().unwrap());

        assert_eq!(of("streaks/7"), [named_tag("user:7").unwrap()]);
        assert_eq!(of("global"), [named_tag("global").unwrap()]);
        assert_ne!(of("streaks/7"), of("streaks/8"));
        assert_eq!((named_tag("user:x"), named_tag("learner:7")), (None, None));
    }
}
