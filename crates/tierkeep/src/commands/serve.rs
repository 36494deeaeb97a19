//! `serve`: the API until a signal.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use tierkeep_db::{DatabaseUrl, SqlitePath};
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::OpenMode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Context, Failure, create, progress};
use crate::cli::ServeArgs;
use crate::config::Origin;
use crate::console::Output;
use crate::http::{self, App, Limits};
use crate::{demo, signals, upkeep};

/// The database of `--demo`.
const DEMO_FILE: &str = "tierkeep-demo.db";

pub(super) async fn run(arguments: &ServeArgs, context: Context) -> Result<(), Failure> {
    guard_loopback(context.config().http.listen)?;
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
    let tiers = context.tiers(statistics).await?;
    console.note(format_args!("listening on {base}, on loopback only: this version has no API tokens"));
    match console.output() {
        Output::Json => console.result(&json!({ "address": base, "examples": examples }).to_string())?,
        Output::Human => {
            for address in &examples {
                console.result(&format!("curl -s '{address}'"))?;
            }
        }
    }
    let limits = Limits { body: context.config().http.body_limit, timeout: context.config().http.request_timeout };
    let app = Arc::new(App { tiers, clock: context.clock, limits });
    let upkeep = (!store.is_read_only()).then(|| {
        let unfolded = Arc::clone(&app);
        upkeep::start(store, context.config().freshness.retention(), move || unfolded.tiers.is_unfolded(), stop.clone())
    });
    let served = http::serve(listener, http::router(Arc::clone(&app)), stop.clone()).await;
    stop.cancel();
    if let Some(upkeep) = upkeep {
        upkeep.await.context("the task that folds changes panicked")?;
    }
    app.tiers.close().await;
    console.note("stopped");
    Ok(served?)
}

/// Refuses an address that is reachable from outside.
pub(super) fn guard_loopback(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Failure::refused(anyhow::anyhow!(
        "{address} is reachable from outside, and without API tokens, which this version does not have, the API is \
         served on loopback only: listen on 127.0.0.1 or [::1]"
    )))
}

/// `--database` names another one; the configured database is not filled with sample data by accident.
fn demo_url(context: &Context) -> DatabaseUrl {
    let given =
        context.loaded.shown().any(|shown| shown.key == "database.url" && shown.origin == Origin::Flag("--database"));
    if given { context.config().database.url.clone() } else { DatabaseUrl::Sqlite(SqlitePath::new(DEMO_FILE)) }
}
