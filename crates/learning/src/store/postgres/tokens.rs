//! API tokens on PostgreSQL.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::StoreError;
use super::super::tables::Tables;
use super::super::tokens::{self, NewToken, Token, Tokens};
use super::wire::PgInstant;
use super::{PostgresStore, instant_at};

#[async_trait]
impl Tokens for PostgresStore {
    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.list_tokens(&self.sql.token_all).await
    }

    async fn unrevoked_tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.list_tokens(&self.sql.token_unrevoked).await
    }

    async fn create_token(&self, new: NewToken) -> Result<Token, StoreError> {
        self.refuse_read_only()?;
        let db = self.connection().await?;
        let (id, name, scope) = (new.hash.id(), new.name.as_str(), new.scope.name());
        let hash: &[u8] = new.hash.bytes();
        let (created_at, expires_at) = (PgInstant(new.created_at), new.expires_at.map(PgInstant));
        let created = db
            .query_opt(
                &db.prepared(&self.sql.token_create).await?,
                &[&id, &name, &hash, &scope, &created_at, &expires_at],
            )
            .await?;
        created.as_ref().map(token).transpose()?.ok_or(StoreError::TokenNameTaken(new.name.to_string()))
    }

    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Option<Token>, StoreError> {
        self.refuse_read_only()?;
        let db = self.connection().await?;
        let revoked =
            db.query_opt(&db.prepared(&self.sql.token_revoke).await?, &[&name_or_id, &PgInstant(now)]).await?;
        revoked.as_ref().map(token).transpose()
    }

    async fn note_token_uses(&self, uses: Vec<(String, Timestamp)>) -> Result<(), StoreError> {
        self.refuse_read_only()?;
        let mut db = self.connection().await?;
        let statement = db.prepared(&self.sql.token_used).await?;
        let tx = db.transaction().await?;
        for (id, at) in uses {
            tx.execute(&statement, &[&id, &PgInstant(at)]).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl PostgresStore {
    async fn list_tokens(&self, text: &str) -> Result<Vec<Token>, StoreError> {
        if self.tables == Tables::Platform {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        db.query(&db.prepared(text).await?, &[]).await?.iter().map(token).collect()
    }
}

fn token(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        hash: tokens::hash(row.try_get(2)?),
        scope: tokens::scope(row.try_get(3)?),
        created_at: row.try_get::<_, PgInstant>(4)?.0,
        expires_at: instant_at(row, 5)?,
        last_used_at: instant_at(row, 6)?,
        revoked_at: instant_at(row, 7)?,
    })
}
