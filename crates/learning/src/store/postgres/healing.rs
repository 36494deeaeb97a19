//! After the platform has altered a table, statements that were prepared before fail once.

use std::future::Future;

use super::super::StoreError;
use super::PostgresStore;

impl PostgresStore {
    /// Asks, and asks once more on new connections if a prepared statement was of a schema that is no more.
    pub(super) async fn healed<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match ask().await {
            Err(error) if is_outdated(&error) => {
                self.pool.renew();
                ask().await
            }
            answer => answer,
        }
    }
}

/// "cached plan must not change result type", in whatever language the server says it.
fn is_outdated(error: &StoreError) -> bool {
    let error = match error {
        StoreError::Postgres(error) | StoreError::Database(tierkeep_db::Error::Postgres(error)) => error,
        _ => return false,
    };
    error.as_db_error().is_some_and(|refused| refused.routine() == Some("RevalidateCachedQuery"))
}
