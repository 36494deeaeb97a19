//! API tokens on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::super::StoreError;
use super::super::tables::Tables;
use super::super::tokens::{self, NewToken, Token, Tokens};
use super::wire::{instant_at, micros, optional_instant_at};
use super::{Shared, SqliteStore, each};

#[async_trait]
impl Tokens for SqliteStore {
    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.read(|shared, db| list(shared, db, &shared.sql.token_all)).await
    }

    async fn unrevoked_tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.read(|shared, db| list(shared, db, &shared.sql.token_unrevoked)).await
    }

    async fn create_token(&self, new: NewToken) -> Result<Token, StoreError> {
        self.write(move |shared, db| {
            let parameters = params![
                new.hash.id(),
                new.name.as_str(),
                &new.hash.bytes()[..],
                new.scope.name(),
                micros(new.created_at),
                new.expires_at.map(micros),
            ];
            returned(db, &shared.sql.token_create, parameters)?
                .ok_or_else(|| StoreError::TokenNameTaken(new.name.to_string()))
        })
        .await
    }

    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Option<Token>, StoreError> {
        let name_or_id = name_or_id.to_owned();
        self.write(move |shared, db| returned(db, &shared.sql.token_revoke, params![name_or_id, micros(now)])).await
    }

    async fn note_token_uses(&self, uses: Vec<(String, Timestamp)>) -> Result<(), StoreError> {
        self.write(move |shared, db| {
            let mut statement = db.prepare_cached(&shared.sql.token_used)?;
            for (id, at) in uses {
                statement.execute(params![id, micros(at)])?;
            }
            Ok(())
        })
        .await
    }
}

fn list(shared: &Shared, db: &Connection, text: &str) -> Result<Vec<Token>, StoreError> {
    let mut found = Vec::new();
    if shared.tables != Tables::Platform {
        each(db, text, [], &mut |row| {
            found.push(token(row)?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// The row that a statement returns, if it returns one.
fn returned(db: &Connection, text: &str, parameters: impl rusqlite::Params) -> Result<Option<Token>, StoreError> {
    let mut found = None;
    each(db, text, parameters, &mut |row| {
        found = Some(token(row)?);
        Ok(())
    })?;
    Ok(found)
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        hash: tokens::hash(&row.get::<_, Vec<u8>>(2)?),
        scope: tokens::scope(&row.get::<_, String>(3)?),
        created_at: instant_at(row, 4)?,
        expires_at: optional_instant_at(row, 5)?,
        last_used_at: optional_instant_at(row, 6)?,
        revoked_at: optional_instant_at(row, 7)?,
    })
}
