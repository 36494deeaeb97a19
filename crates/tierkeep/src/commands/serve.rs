//! `serve`: the API until a signal.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;
use tierkeep_db::{DatabaseUrl, Error as DatabaseError, SqlitePath};
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{self, OpenMode, Store, StoreError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Context, Failure, create, progress};
use crate::access::{Access, Reach};
use crate::cli::ServeArgs;
use crate::config::{Config, Origin};
use crate::console::Output;
use crate::http;
use crate::node::Node;
use crate::{demo, signals, telemetry};

/// The database of `--demo`.
const DEMO_FILE: &str = "tierkeep-demo.db";

pub(super) async fn run(arguments: &ServeArgs, context: Context) -> Result<(), Failure> {
    if arguments.demo && context.read_only {
        return Err(Failure::usage(anyhow::anyhow!("--demo writes sample data, so it cannot be had with --read-only")));
    }
    let stop = signals::stop_token()?;
    let url = if arguments.demo { demo_url(&context) } else { context.config().database.url.clone() };
    let mode = if context.read_only { OpenMode::ReadOnly } else { create(None) };
    let store = context.open(&url, mode).await?;
    let statistics = Statistics::new(Arc::clone(&store), context.config().days.clone());
    let served = serve(arguments, &context, statistics, &stop).await;
    store.close().await;
    served
}

async fn serve(
    arguments: &ServeArgs,
    context: &Context,
    statistics: Statistics,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let console = context.console;
    let store = Arc::clone(statistics.store());
    let address = context.config().http.listen;
    let access = guarded(context, &store).await?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let base = format!("http://{}", listener.local_addr()?);

    let mut examples = Vec::new();
    if arguments.demo {
        if demo::is_empty(&*store).await? {
            console.note("filling the empty database with sample learners");
            let filled = demo::fill(&*store, context.clock.now()).await?;
            let settling = progress::settle(&*store, console, stop).await?;
            console.note(format_args!("{} learners, {} sessions; {settling}", filled.users, filled.sessions));
        }
        examples = demo::addresses(&statistics, &base).await?;
    }
    let (app, scheduler) = context.app(statistics, access, stop).await?;
    app.tiers.begin_restore();
    console.note(announcement(&base, Reach::of(address), &app.access, context.clock.now()));
    match console.output() {
        Output::Json => console.result(&json!({ "address": base, "examples": examples }).to_string())?,
        Output::Human => {
            let header = if app.access.is_required() { " -H \"Authorization: Bearer $TIERKEEP_TOKEN\"" } else { "" };
            for address in &examples {
                console.result(&format!("curl -s{header} '{address}'"))?;
            }
        }
    }
    let scheduler = if arguments.no_scheduler { None } else { scheduler };
    let node = Node::begin(Arc::clone(&app), context.config(), scheduler, stop.clone())?;
    let connections = context.config().http.connections.clone();
    let served = http::serve(listener, http::api(app), connections, stop.clone()).await;
    // at the same time: what is left of the time is for both
    let (ended, ()) = tokio::join!(node.end(), telemetry::flush());
    ended?;
    console.note("stopped");
    Ok(served?)
}

/// Refuses an address that is reachable from outside while nobody could be let in.
async fn guarded(context: &Context, store: &Arc<dyn Store>) -> Result<Access, Failure> {
    let address = context.config().http.listen;
    let reach = Reach::of(address);
    let access = Access::load(Arc::clone(store), reach).await.context("the API tokens cannot be read")?;
    if reach == Reach::Network && access.live(context.clock.now()) == 0 {
        return Err(nobody_could_be_let_in(context));
    }
    Ok(access)
}

/// Says what `serve` would say to the configured address; opens the database for it only if others can reach the address.
pub(super) async fn check_reach(context: &Context) -> Result<(), Failure> {
    let address = context.config().http.listen;
    if Reach::of(address) == Reach::Loopback {
        return Ok(());
    }
    let opened = store::open(&context.config().database.url, &context.options(OpenMode::ReadOnly)).await;
    let store = match opened {
        Err(StoreError::NotMigrated | StoreError::Database(DatabaseError::FileMissing { .. })) => {
            return Err(nobody_could_be_let_in(context));
        }
        opened => opened?,
    };
    let checked = guarded(context, &store).await;
    store.close().await;
    checked.map(|_| ())
}

fn nobody_could_be_let_in(context: &Context) -> Failure {
    let Config { http, mapping, .. } = context.config();
    let way = if mapping.is_own() || !context.read_only {
        "make one with `tierkeep token create NAME --scope read`"
    } else {
        "a platform's tables, which are only read, hold none"
    };
    Failure::refused(anyhow::anyhow!(
        "{} is reachable from outside, and without a live API token the API is served on loopback only: {way}; accepted \
         without: 127.0.0.1 or [::1]",
        http.listen
    ))
}

/// What `serve` says when it listens.
fn announcement(base: &str, reach: Reach, access: &Access, now: Timestamp) -> String {
    let live = access.live(now);
    match (reach, access.is_required()) {
        (Reach::Loopback, false) => format!("listening on {base}, on loopback only: there are no API tokens"),
        (Reach::Loopback, true) => {
            format!("listening on {base}, on loopback only; requests need an API token ({live} live)")
        }
        (Reach::Network, _) => format!(
            "listening on {base}; requests need an API token ({live} live), which travels as clear text: let something that \
             speaks TLS stand before this node"
        ),
    }
}

/// `--database` names another one; the configured database is not filled with sample data by accident.
fn demo_url(context: &Context) -> DatabaseUrl {
    let given =
        context.loaded.shown().any(|shown| shown.key == "database.url" && shown.origin == Origin::Flag("--database"));
    if given { context.config().database.url.clone() } else { DatabaseUrl::Sqlite(SqlitePath::new(DEMO_FILE)) }
}
