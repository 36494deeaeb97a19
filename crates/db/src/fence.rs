//! Leave to write: what a transaction checks that is only right while its process has not been replaced.

use tokio_postgres::types::{ToSql, Type};

use crate::Error;

/// A name and a number, a row of `tierkeep_fence (name, token)`. The number rises whenever what the name stands for changes
/// hands. A transaction that [holds](Fence::hold_postgres) the fence commits only if that has not happened, and whoever
/// raises it waits for such transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    name: String,
    token: i64,
}

impl Fence {
    /// The fence of a name, as it was when this number was given.
    #[must_use]
    pub fn new(name: impl Into<String>, token: i64) -> Self {
        Self { name: name.into(), token }
    }

    /// What it stands before.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Holds it until the transaction ends: nobody can raise it before.
    ///
    /// Unless the session has a limit of its own, it also makes the server end this transaction if its client stands still
    /// for half a minute: whoever raises the fence would wait for it.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it was raised; what the database says.
    pub async fn hold_postgres(&self, transaction: &tokio_postgres::Transaction<'_>) -> Result<(), Error> {
        const HOLD: &str = "select case when current_setting('idle_in_transaction_session_timeout') = '0'
                then set_config('idle_in_transaction_session_timeout', '30s', true) end
            from tierkeep_fence where name = $1 and token = $2 for share";
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.name, Type::TEXT), (&self.token, Type::INT8)];
        match transaction.query_typed(HOLD, &parameters).await?.first() {
            Some(_) => Ok(()),
            None => Err(Error::Fenced { name: self.name.clone() }),
        }
    }

    /// The same on SQLite, where a writing transaction keeps all others out.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it was raised; what the database says.
    pub fn hold_sqlite(&self, transaction: &rusqlite::Transaction<'_>) -> Result<(), Error> {
        const HOLD: &str = "select 1 from tierkeep_fence where name = ?1 and token = ?2";
        match transaction.prepare_cached(HOLD)?.exists((&self.name, self.token))? {
            true => Ok(()),
            false => Err(Error::Fenced { name: self.name.clone() }),
        }
    }
}
