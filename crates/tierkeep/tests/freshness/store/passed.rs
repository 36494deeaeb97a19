//! What goes to the store as it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_learning::key::{CourseProgressId, SessionId, UserId};
use tierkeep_learning::rows::{ProgressRow, UserRow};
use tierkeep_learning::store::erasure::{Grace, Traces};
use tierkeep_learning::store::export::{BaseDay, QuarantineId, QuarantinedRow, SessionTable};
use tierkeep_learning::store::writes::{Reply, WriteRequest, Writes};
use tierkeep_learning::store::{
    Active, ActiveWithin, Aging, Backlog, Cleanup, Difference, Erased, Erasure, Export, Keep, Leases, ListedSession,
    NewToken, Retention, StoreError, Token, Tokens, Verification, Verified,
};
use tierkeep_retention::{
    Broken, Order, Outcome, Plan, PlanLimits, RestoreOrder, RestoreReport, Restored, RunEntry, RunId,
};

use super::Watched;

#[async_trait]
impl Leases for Watched {
    async fn take_lease(&self, name: &str, holder: &str, time: Duration) -> Result<Option<u64>, StoreError> {
        self.inner.take_lease(name, holder, time).await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.inner.release_lease(name, holder).await
    }
}

#[async_trait]
impl Tokens for Watched {
    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.tokens().await
    }

    async fn unrevoked_tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.unrevoked_tokens().await
    }

    async fn create_token(&self, token: NewToken) -> Result<Token, StoreError> {
        self.inner.create_token(token).await
    }

    async fn revoke_token(&self, id: &str, at: Timestamp) -> Result<Option<Token>, StoreError> {
        self.inner.revoke_token(id, at).await
    }

    async fn note_token_uses(&self, uses: Vec<(String, Timestamp)>) -> Result<(), StoreError> {
        self.inner.note_token_uses(uses).await
    }
}

#[async_trait]
impl Writes for Watched {
    async fn write(&self, request: WriteRequest) -> Result<Reply, StoreError> {
        self.inner.write(request).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
        self.inner.session(id).await
    }

    async fn forget_idempotency_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget_idempotency_keys(before).await
    }
}

#[async_trait]
impl Verification for Watched {
    async fn verify(&self, users: &[UserId]) -> Result<Verified, StoreError> {
        self.inner.verify(users).await
    }

    async fn verify_totals(&self) -> Result<Vec<Difference>, StoreError> {
        self.inner.verify_totals().await
    }

    async fn known_learners(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.inner.known_learners(after, limit).await
    }

    async fn random_learners(&self, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.inner.random_learners(limit).await
    }

    async fn forget(&self, users: &[UserId]) -> Result<(), StoreError> {
        self.inner.forget(users).await
    }
}

#[async_trait]
impl Erasure for Watched {
    async fn erase(&self, user: UserId) -> Result<Option<Erased>, StoreError> {
        self.inner.erase(user).await
    }

    async fn traces(&self, user: UserId) -> Result<Traces, StoreError> {
        self.inner.traces(user).await
    }

    async fn erased_among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.inner.erased_among(users).await
    }

    async fn note_departures(&self) -> Result<u64, StoreError> {
        self.inner.note_departures().await
    }

    async fn erase_departed(&self, grace: Grace, limit: u32) -> Result<Vec<Erased>, StoreError> {
        self.inner.erase_departed(grace, limit).await
    }
}

#[async_trait]
impl Export for Watched {
    async fn export_user(&self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        self.inner.export_user(user).await
    }

    async fn export_progress(
        &self,
        user: UserId,
        after: Option<CourseProgressId>,
        limit: u32,
    ) -> Result<Vec<ProgressRow>, StoreError> {
        self.inner.export_progress(user, after, limit).await
    }

    async fn export_sessions(
        &self,
        user: UserId,
        table: SessionTable,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        self.inner.export_sessions(user, table, after, limit).await
    }

    async fn export_quarantine(
        &self,
        user: UserId,
        after: Option<QuarantineId>,
        limit: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        self.inner.export_quarantine(user, after, limit).await
    }

    async fn export_base(&self, user: UserId) -> Result<Vec<BaseDay>, StoreError> {
        self.inner.export_base(user).await
    }
}

#[async_trait]
impl Backlog for Watched {
    async fn database_now(&self) -> Result<Timestamp, StoreError> {
        self.inner.database_now().await
    }

    async fn retention_backlog(&self, cutoff: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.inner.retention_backlog(cutoff).await
    }
}

#[async_trait]
impl Active for Watched {
    async fn active_learners(
        &self,
        within: ActiveWithin,
        now: Timestamp,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        self.inner.active_learners(within, now, after, limit).await
    }

    async fn learner_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.inner.learner_ids(after, limit).await
    }
}

#[async_trait]
impl Aging for Watched {
    async fn delete_archived(&self, ids: &[SessionId], keep: Keep) -> Result<u64, StoreError> {
        self.inner.delete_archived(ids, keep).await
    }

    async fn delete_data(&self, users: &[UserId]) -> Result<u64, StoreError> {
        self.inner.delete_data(users).await
    }
}

#[async_trait]
impl Retention for Watched {
    async fn plan_cleanup(
        self: Arc<Self>,
        cleanup: &Cleanup,
        limits: PlanLimits,
        is_forced: bool,
    ) -> Result<Plan, StoreError> {
        Arc::clone(&self.inner).plan_cleanup(cleanup, limits, is_forced).await
    }

    async fn clean_up(self: Arc<Self>, cleanup: &Cleanup, order: &Order) -> Result<Outcome, StoreError> {
        Arc::clone(&self.inner).clean_up(cleanup, order).await
    }

    async fn plan_restore(self: Arc<Self>, order: &RestoreOrder) -> Result<RestoreReport, StoreError> {
        Arc::clone(&self.inner).plan_restore(order).await
    }

    async fn restore(self: Arc<Self>, order: &RestoreOrder) -> Result<Restored, StoreError> {
        Arc::clone(&self.inner).restore(order).await
    }

    async fn retention_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, StoreError> {
        self.inner.retention_runs(before, limit).await
    }

    async fn audit_runs(&self) -> Result<Vec<Broken>, StoreError> {
        self.inner.audit_runs().await
    }
}
