//! `migrate` and `rederive`: the tables, and what depends on `[days]`.

use serde_json::json;
use tierkeep_learning::store;

use super::{Context, Failure, create, progress};
use crate::cli::MigrateArgs;
use crate::console::Output;
use crate::signals;

pub(super) async fn migrate(arguments: &MigrateArgs, context: &Context) -> Result<(), Failure> {
    context.guard_own_tables("migrate")?;
    let url = &context.config().database.url;
    context.announce(url);
    let done = store::migrate(url, &context.options(create(arguments.ids))).await?;
    let text = match context.console.output() {
        Output::Json => {
            json!({ "ids": done.ids.to_string(), "version": done.version, "applied": done.applied }).to_string()
        }
        Output::Human if done.applied == 0 => {
            format!("nothing to do: the tables are at migration {}, with {} ids", done.version, done.ids)
        }
        Output::Human => {
            format!("{} migrations applied: the tables are at {}, with {} ids", done.applied, done.version, done.ids)
        }
    };
    Ok(context.console.result(&text)?)
}

pub(super) async fn rederive(context: &Context) -> Result<(), Failure> {
    context.guard_writing("rederive")?;
    let stop = signals::stop_token()?;
    let url = &context.config().database.url;
    context.announce(url);
    let options = context.options(store::OpenMode::Existing);
    store::rederive(url, &options).await?;
    let store = store::open(url, &options).await?;
    let settled = progress::settle(&*store, context.console, &stop).await;
    store.close().await;
    let settled = settled?;
    let text = match context.console.output() {
        Output::Json => settled.json().to_string(),
        Output::Human => settled.to_string(),
    };
    context.console.result(&text)?;
    settled.ending()
}
