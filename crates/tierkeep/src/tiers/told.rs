//! Who changed last at which position, in bounded memory.

use std::collections::HashMap;

use tierkeep_learning::key::UserId;
use tierkeep_learning::store::Changes;

/// Learners that are remembered one by one: some 5 MB. Beyond that the half that changed longest ago becomes one number.
const REMEMBERED: usize = 100_000;

/// From which position on an answer holds everything this node was told of.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For learners who are not remembered one by one.
    low: u64,
    /// The last change of anybody.
    latest: u64,
    learners: HashMap<UserId, u64>,
}

impl Told {
    /// What answers about a learner must have been computed at, or after; `None` = about all together.
    pub(super) fn required(&self, user: Option<UserId>) -> u64 {
        match user {
            None => self.latest,
            Some(user) => self.learners.get(&user).copied().unwrap_or(self.low).max(self.low),
        }
    }

    /// Takes in what was told next.
    pub(super) fn note(&mut self, changes: &Changes) {
        if let Some(everybody) = changes.everybody {
            self.everything(everybody);
        }
        for (user, position) in &changes.learners {
            self.latest = self.latest.max(*position);
            self.learners.insert(*user, *position);
        }
        if self.learners.len() > REMEMBERED {
            self.forget_half();
        }
    }

    /// Anything of anybody may have changed up to a position.
    pub(super) fn everything(&mut self, position: u64) {
        self.low = self.low.max(position);
        self.latest = self.latest.max(position);
        self.learners.retain(|_, changed| *changed > position);
    }

    /// Positions before these mean nothing any more.
    pub(super) fn begin_again(&mut self, position: u64) {
        *self = Self { low: position, latest: position, learners: HashMap::new() };
    }

    fn forget_half(&mut self) {
        let mut positions: Vec<u64> = self.learners.values().copied().collect();
        let middle = positions.len() / 2;
        let (_, median, _) = positions.select_nth_unstable(middle);
        self.low = self.low.max(*median);
        let low = self.low;
        self.learners.retain(|_, changed| *changed > low);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tierkeep_learning::key::Key;

    use super::*;

    fn user(n: u64) -> UserId {
        UserId::new(Key::Int(i64::try_from(n).unwrap()))
    }

    fn changes(learners: Vec<(UserId, u64)>, everybody: Option<u64>) -> Changes {
        let position = learners.iter().map(|(_, position)| *position).max().or(everybody).unwrap_or(0);
        Changes { position, more: false, floor: 0, learners, everybody, unfolded: true, epoch: 1, broken: Vec::new() }
    }

    #[test]
    fn a_change_of_one_learner_outdates_their_answers_and_those_about_all() {
        let mut told = Told::default();

        told.note(&changes(vec![(user(7), 5)], None));

        assert_eq!((told.required(Some(user(7))), told.required(Some(user(8))), told.required(None)), (5, 0, 5));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_required_of_everybody() {
        let mut told = Told::default();
        let many = REMEMBERED as u64 + 1;

        told.note(&changes((1..=many).map(|n| (user(n), n)).collect(), None));

        assert!(told.learners.len() <= REMEMBERED / 2 + 1);
        assert_eq!(told.required(Some(user(many))), many);
        assert!(told.required(Some(user(1))) >= 1);
    }

    proptest! {
        /// Never less than a map without bounds would say.
        #[test]
        fn no_change_is_required_too_little(
            steps in prop::collection::vec((0_u64..20, prop::option::weighted(0.1, Just(()))), 1..200),
            forgets in prop::collection::vec(any::<bool>(), 200),
        ) {
            let (mut told, mut model) = (Told::default(), HashMap::new());
            let mut everybody = 0;
            for (n, (who, all)) in steps.iter().enumerate() {
                let position = n as u64 + 1;
                if all.is_some() {
                    told.note(&changes(Vec::new(), Some(position)));
                    everybody = position;
                } else {
                    told.note(&changes(vec![(user(*who), position)], None));
                    model.insert(*who, position);
                }
                if forgets[n] && !told.learners.is_empty() {
                    told.forget_half();
                }
                for who in 0..20 {
                    let wanted = model.get(&who).copied().unwrap_or(0).max(everybody);
                    prop_assert!(told.required(Some(user(who))) >= wanted);
                    prop_assert!(told.required(Some(user(who))) <= position);
                }
                prop_assert_eq!(told.required(None), position);
            }
        }
    }
}
