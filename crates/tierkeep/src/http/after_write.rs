//! What follows a write of the API: this node knows of it before the client does.

use tierkeep_learning::key::UserId;

use super::App;

impl App {
    /// Makes every later read on this node see what was just written of these learners (none = it is not known of whom),
    /// and tells a position that covers it; `None` where the database cannot tell one.
    ///
    /// If the database does not say, nothing that was kept before is served until it does.
    pub(super) async fn after_write(&self, _: &[UserId]) -> Option<u64> {
        self.tiers.learn_of_change().await
    }
}
