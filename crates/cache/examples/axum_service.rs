//! A service that answers from memory, and writes around it.
//!
//! `cargo run -p tierkeep-cache --example axum_service`, then `curl -i localhost:8421/notes/7` and
//! `curl -X PUT -d 'new text' localhost:8421/notes/7`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use tierkeep_cache::{Cache, Loaded, Policy, Source, View};

type Notes = Arc<Mutex<HashMap<u64, String>>>;

#[derive(Clone)]
struct App {
    source: Notes,
    notes: View<u64, String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8421").await?;
    axum::serve(listener, routes()?).await?;
    Ok(())
}

/// What the service answers.
pub(crate) fn routes() -> Result<axum::Router, Box<dyn std::error::Error>> {
    let cache = Cache::builder("notes").build()?;
    let policy = Policy::ttl(Duration::from_secs(300)).negative(Duration::from_secs(30));
    let notes = cache.view::<u64, String>("notes").policy(policy).build()?;
    let app = App { source: Notes::default(), notes };
    Ok(axum::Router::new().route("/notes/{id}", get(read).put(write)).with_state(app))
}

async fn read(State(app): State<App>, Path(id): Path<u64>) -> Response {
    let source = Arc::clone(&app.source);
    let load = move |_| async move {
        let found = source.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        // "There is none" is remembered, too; creating the note forgets it.
        Ok::<Loaded<String>, std::io::Error>(found.into())
    };
    match app.notes.fetch(&id, load).await {
        Ok(found) => {
            let tier = if found.source == Source::Memory { "l1" } else { "miss" };
            let headers = AppendHeaders([("x-cache", tier.to_owned()), ("age", found.age.as_secs().to_string())]);
            match found.value {
                Some(text) => (headers, text.to_string()).into_response(),
                None => (StatusCode::NOT_FOUND, headers).into_response(),
            }
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn write(State(app): State<App>, Path(id): Path<u64>, text: String) -> StatusCode {
    app.source.lock().unwrap_or_else(PoisonError::into_inner).insert(id, text);
    match app.notes.invalidate(&id).await.complete() {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::ACCEPTED,
    }
}
