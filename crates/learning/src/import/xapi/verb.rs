//! What a verb says about time.

/// The part a statement plays in a learner's timeline, by its verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// A sitting begins.
    Open,
    /// A sitting ends; a duration is the time of the session.
    Close,
    /// Something is reached; a duration is the time of the attempt.
    Milestone,
    /// Activity.
    Point,
    /// A state that says nothing about time.
    Timeless,
    /// Another statement is taken back.
    Void,
    /// A verb without an entry here; taken as activity and reported.
    Unknown,
}

impl Role {
    /// The role of a verb.
    pub(super) fn of(verb: &str) -> Self {
        match split(verb) {
            Some(("http://adlnet.gov/expapi/verbs/", name)) => match name {
                "initialized" | "launched" | "attempted" | "resumed" => Self::Open,
                "terminated" | "suspended" | "exited" => Self::Close,
                "completed" | "passed" | "failed" | "scored" => Self::Milestone,
                "interacted" | "experienced" | "progressed" | "answered" | "asked" => Self::Point,
                "registered" => Self::Timeless,
                "voided" => Self::Void,
                _ => Self::Unknown,
            },
            Some(("https://w3id.org/xapi/adl/verbs/", name)) => match name {
                "abandoned" => Self::Close,
                "satisfied" | "waived" => Self::Timeless,
                _ => Self::Unknown,
            },
            Some(("https://w3id.org/xapi/video/verbs/", "played" | "paused" | "seeked"))
            | Some(("https://w3id.org/xapi/dod-isd/verbs/", "navigated"))
            | Some(("https://w3id.org/xapi/acrossx/verbs/", "posted" | "edited" | "evaluated"))
            | Some(("http://id.tincanapi.com/verb/", "viewed" | "downloaded")) => Self::Point,
            Some(("http://id.tincanapi.com/verb/", "unregistered" | "earned")) => Self::Timeless,
            _ => Self::Unknown,
        }
    }

    /// Whether the learner did something at that instant.
    pub(super) fn is_activity(self) -> bool {
        !matches!(self, Self::Timeless | Self::Void)
    }
}

/// The verb's collection, with its last slash, and its name.
fn split(verb: &str) -> Option<(&str, &str)> {
    verb.rfind('/').map(|slash| verb.split_at(slash + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_have_the_roles_of_their_profiles() {
        for (verb, role) in [
            ("http://adlnet.gov/expapi/verbs/initialized", Role::Open),
            ("http://adlnet.gov/expapi/verbs/terminated", Role::Close),
            ("https://w3id.org/xapi/adl/verbs/abandoned", Role::Close),
            ("http://adlnet.gov/expapi/verbs/passed", Role::Milestone),
            ("https://w3id.org/xapi/adl/verbs/satisfied", Role::Timeless),
            ("https://w3id.org/xapi/video/verbs/seeked", Role::Point),
            ("http://id.tincanapi.com/verb/downloaded", Role::Point),
            ("http://id.tincanapi.com/verb/earned", Role::Timeless),
            ("http://adlnet.gov/expapi/verbs/voided", Role::Void),
            // the collection counts, not the name alone
            ("https://example.org/verbs/terminated", Role::Unknown),
            ("https://w3id.org/xapi/video/verbs/terminated", Role::Unknown),
            ("played", Role::Unknown),
        ] {
            assert_eq!(Role::of(verb), role, "{verb}");
        }
    }
}
