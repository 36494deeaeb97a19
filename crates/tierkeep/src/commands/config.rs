//! `config`: what is wrong with the configuration, and what is in force.

use comfy_table::{Table, TableStyle};
use serde_json::{Map, Value, json};
use tierkeep_learning::calendar::tz_version;

use super::{Context, Failure, serve};
use crate::cli::ConfigCommand;
use crate::config::Shown;
use crate::console::Output;

pub(super) async fn run(command: ConfigCommand, context: &Context) -> Result<(), Failure> {
    context.announce(&context.config().database.url);
    if let ConfigCommand::Check = command {
        context.config().mapping.check().map_err(Failure::usage)?;
        serve::check_reach(context).await?;
    }
    let text = match (command, context.console.output()) {
        (ConfigCommand::Check, Output::Human) => "the configuration is valid".to_owned(),
        (ConfigCommand::Check, Output::Json) => json!({ "valid": true, "file": context.loaded.file }).to_string(),
        (ConfigCommand::Show, Output::Human) => table(context),
        (ConfigCommand::Show, Output::Json) => object(context).to_string(),
    };
    Ok(context.console.result(&text)?)
}

fn table(context: &Context) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::default()).set_header(["key", "value", "from"]);
    for Shown { key, value, origin } in context.loaded.shown() {
        table.add_row([key.to_owned(), value.to_string(), origin.to_string()]);
    }
    format!("{table}\ntime zone data {}, bundled", tz_version())
}

fn object(context: &Context) -> Value {
    let values: Map<String, Value> = context
        .loaded
        .shown()
        .map(|Shown { key, value, origin }| (key.to_owned(), json!({ "value": value, "origin": origin.to_string() })))
        .collect();
    json!({ "file": context.loaded.file, "time_zone_data": tz_version(), "values": values })
}
