//! `token`: makes, lists and revokes API tokens, in the database, whether or not a node runs.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use comfy_table::{Table, TableStyle};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tierkeep_learning::store::{NewToken, OpenMode, Scope, Store, Token};

use super::{Context, Failure};
use crate::access::Secret;
use crate::cli::TokenCommand;
use crate::console::{Console, Output};

/// Shortest and longest life of a token that expires.
const LIFE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 36_500);

/// What is to be done, checked before the database is opened.
enum Order<'a> {
    Create(NewToken, Secret),
    List,
    Revoke(&'a str),
}

impl<'a> Order<'a> {
    fn new(command: &'a TokenCommand, now: Timestamp, context: &Context) -> Result<Self, Failure> {
        match command {
            TokenCommand::Create { name, scope, expires } => {
                context.guard_writing("token create")?;
                let secret = Secret::generate().context("the operating system gives no random numbers")?;
                let (name, hash, expires_at) = (name.clone(), secret.hash(), end(*expires, now)?);
                Ok(Self::Create(NewToken { name, hash, scope: *scope, created_at: now, expires_at }, secret))
            }
            TokenCommand::List => Ok(Self::List),
            TokenCommand::Revoke { token } => {
                context.guard_writing("token revoke")?;
                Ok(Self::Revoke(token))
            }
        }
    }
}

pub(super) async fn run(command: &TokenCommand, context: &Context) -> Result<(), Failure> {
    let (now, console) = (context.clock.now(), context.console);
    let order = Order::new(command, now, context)?;
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    let store = context.open(&context.config().database.url, mode).await?;
    let done = match order {
        Order::Create(new, secret) => create(&*store, new, &secret, console).await,
        Order::List => list(&*store, now, console).await,
        Order::Revoke(name_or_id) => revoke(&*store, name_or_id, now, console).await,
    };
    store.close().await;
    Ok(console.result(&done?)?)
}

/// When a token that is made now expires.
fn end(life: Option<Duration>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(life) = life else { return Ok(None) };
    let end = LIFE.contains(&life).then(|| now.checked_add(SignedDuration::try_from(life).ok()?).ok()).flatten();
    match end {
        Some(end) => Ok(Some(end)),
        None => Err(Failure::usage(anyhow!("--expires is out of range; accepted: 1s to 36500d"))),
    }
}

async fn create(store: &dyn Store, new: NewToken, secret: &Secret, console: Console) -> Result<String, Failure> {
    let (scope, now) = (new.scope, new.created_at);
    let token = store.create_token(new).await?;
    let until = token.expires_at.map_or_else(|| "does not expire".to_owned(), |end| format!("expires at {end}"));
    console.note(format_args!(
        "token {} with id {}, scope {scope}, {until}; it is shown this once, as only its hash is stored",
        token.name, token.id
    ));
    Ok(match console.output() {
        Output::Human => secret.text().to_owned(),
        Output::Json => {
            let mut document = document(&token, now);
            document["token"] = secret.text().into();
            document.to_string()
        }
    })
}

async fn list(store: &dyn Store, now: Timestamp, console: Console) -> Result<String, Failure> {
    let tokens = store.tokens().await?;
    let documents: Vec<Value> = tokens.iter().map(|token| document(token, now)).collect();
    if let Output::Json = console.output() {
        return Ok(Value::from(documents).to_string());
    }
    if documents.is_empty() {
        return Ok("there are no tokens".to_owned());
    }
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(["id", "name", "scope", "state", "created at", "expires at", "last used at", "revoked at"]);
    for document in &documents {
        table.add_row(document.as_object().into_iter().flatten().map(|(_, value)| value.as_str().unwrap_or("-")));
    }
    Ok(table.to_string())
}

async fn revoke(store: &dyn Store, name_or_id: &str, now: Timestamp, console: Console) -> Result<String, Failure> {
    let Some(token) = store.revoke_token(name_or_id, now).await? else {
        return Err(anyhow!(
            "no token that is not revoked has the name or id {name_or_id:?}; `tierkeep token list` shows them"
        )
        .into());
    };
    if store.unrevoked_tokens().await?.is_empty() {
        console.note(
            "no token is left: nodes on loopback answer everybody there, and nodes that others can reach answer nobody",
        );
    }
    Ok(match console.output() {
        Output::Human => format!("revoked {} with id {}", token.name, token.id),
        Output::Json => document(&token, now).to_string(),
    })
}

/// A token for people and programs, without its hash.
fn document(token: &Token, now: Timestamp) -> Value {
    let state = match token {
        Token { revoked_at: Some(_), .. } => "revoked",
        _ if token.is_expired(now) => "expired",
        _ if token.is_live(now) => "live",
        _ => "unreadable",
    };
    let at = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
    json!({
        "id": token.id,
        "name": token.name,
        "scope": token.scope.map(Scope::name),
        "state": state,
        "created_at": at(Some(token.created_at)),
        "expires_at": at(token.expires_at),
        "last_used_at": at(token.last_used_at),
        "revoked_at": at(token.revoked_at),
    })
}
