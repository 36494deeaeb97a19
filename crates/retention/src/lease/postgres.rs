//! The lease on PostgreSQL.

use tierkeep_db::{Connection, Pool};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, error::SqlState};

use super::{LEASE, Seen, Ticket, microseconds, stopped};
use crate::RetentionError;

/// The session of a holder, or of somebody who would be one. It is closed afterwards and not lent again: it has an advisory
/// lock and a setting of its own.
pub(super) struct Session {
    /// Present until it is dropped.
    connection: Option<Connection>,
}

impl Session {
    pub(super) async fn open(pool: &Pool) -> Result<Self, RetentionError> {
        let session = Self { connection: Some(pool.get().await?) };
        // A server that closes idle sessions would take a holder between two renewals for gone. The setting is of
        // PostgreSQL 14.
        session
            .client()
            .batch_execute(
                "select set_config('idle_session_timeout', '0', false)
                 where current_setting('idle_session_timeout', true) is not null",
            )
            .await?;
        Ok(session)
    }

    pub(super) fn client(&self) -> &Client {
        self.connection.as_ref().expect("a session has its connection until it is dropped")
    }

    /// Holder and fence if it was taken.
    pub(super) async fn try_take(&mut self, name: &str) -> Result<Option<(String, i64)>, RetentionError> {
        let connection = self.connection.as_mut().expect("a session has its connection until it is dropped");
        let tx = connection.transaction().await?;
        // For the batch of a former holder that is still in flight; whoever waits longer asks again.
        tx.batch_execute("set local lock_timeout = '250ms'").await?;
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&name, Type::TEXT), (&microseconds(LEASE), Type::INT8)];
        let taken = match tx.query_typed(include_str!("../sql/postgres/lease_take.sql"), &parameters).await {
            Ok(rows) => rows.first().map(|row| (row.get(0), row.get(1))),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => None,
            Err(error) => return Err(error.into()),
        };
        tx.commit().await?;
        Ok(taken)
    }

    pub(super) async fn look(&self) -> Result<Option<Seen>, RetentionError> {
        let rows = self.client().query_typed(include_str!("../sql/postgres/lease_look.sql"), &[]).await?;
        Ok(rows.first().map(|row| Seen { holder: row.get(0), stop: row.get(1), since: row.get(2), until: row.get(3) }))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

pub(super) async fn keep(client: &Client, ticket: &Ticket) -> Result<(), RetentionError> {
    stopped(check(client, ticket).await?)
}

/// Renews the lease; what the switch says.
pub(super) async fn check(client: &Client, ticket: &Ticket) -> Result<Option<String>, RetentionError> {
    if ticket.is_given_up() {
        return Err(RetentionError::Fenced);
    }
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&ticket.fence, Type::INT8), (&ticket.holder, Type::TEXT), (&microseconds(LEASE), Type::INT8)];
    let rows = client.query_typed(include_str!("../sql/postgres/lease_keep.sql"), &parameters).await?;
    rows.first().map(|row| row.get(0)).ok_or(RetentionError::Fenced)
}

pub(super) async fn release(client: &Client, ticket: &Ticket) -> Result<(), RetentionError> {
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&ticket.fence, Type::INT8), (&ticket.holder, Type::TEXT)];
    let released = client.execute_typed(include_str!("../sql/postgres/lease_release.sql"), &parameters).await?;
    if released == 0 { Err(RetentionError::Fenced) } else { Ok(()) }
}
