//! `attach` and `detach`: a platform's own tables.

use serde_json::json;
use tierkeep_learning::store::{self, ArchivedRows, AttachOptions, Attached, OpenMode};

use super::{Context, Failure};
use crate::cli::{AttachArgs, DetachArgs};
use crate::config::Origin;
use crate::console::Output;

pub(super) async fn attach(arguments: &AttachArgs, context: &Context) -> Result<(), Failure> {
    let is_chosen = |key, origin: &Origin| key == "days.time_zone" && *origin != Origin::Default;
    let options = AttachOptions {
        open: context.options(OpenMode::Existing),
        is_zone_chosen: context.loaded.shown().any(|shown| is_chosen(shown.key, &shown.origin)),
    };
    let url = &context.config().database.url;
    if arguments.print_sql {
        context.announce(url);
        let script = store::attach_sql(url, &options).await?;
        let text = match context.console.output() {
            Output::Json => json!({ "statements": script }).to_string(),
            Output::Human => script.join("\n\n"),
        };
        return Ok(context.console.result(&text)?);
    }
    context.guard_writing("attach")?;
    context.announce(url);
    let done = store::attach(url, &options).await?;
    let text = match context.console.output() {
        Output::Json => json!({
            "ids": done.ids.to_string(),
            "version": done.version,
            "applied": done.applied,
            "watched": done.watched,
            "archive": done.archive,
            "changed": done.is_changed,
            "mapping_changed": done.is_mapping_changed,
        })
        .to_string(),
        Output::Human => said(&done),
    };
    Ok(context.console.result(&text)?)
}

fn said(done: &Attached) -> String {
    let Attached { ids, version, watched, archive, is_changed, is_mapping_changed, .. } = done;
    if !is_changed {
        return format!("nothing to do: tierkeep is attached to {}, at migration {version}", watched.join(", "));
    }
    let built = if *is_mapping_changed { "the mapping has changed: `serve` builds all" } else { "`serve` builds the" };
    format!(
        "attached to {} ({ids} ids): triggers on them, the archive {archive}, and tables tierkeep_… at migration \
         {version}; {built} summaries from the rows, and answers are exact meanwhile",
        watched.join(", ")
    )
}

pub(super) async fn detach(arguments: &DetachArgs, context: &Context) -> Result<(), Failure> {
    context.guard_writing("detach")?;
    let rows = match (arguments.restore_all, arguments.keep_archive) {
        (true, _) => ArchivedRows::RestoreAll,
        (false, true) => ArchivedRows::Keep,
        (false, false) => ArchivedRows::Refuse,
    };
    let url = &context.config().database.url;
    context.announce(url);
    let done = store::detach(url, &context.options(OpenMode::Existing), rows).await?;
    let text = match context.console.output() {
        Output::Json => json!({ "restored": done.restored, "kept": done.kept }).to_string(),
        Output::Human => {
            let restored = if rows == ArchivedRows::RestoreAll {
                format!("; {} archived sessions are live again", done.restored)
            } else {
                String::new()
            };
            let kept = done.kept.map(|table| format!("; {table} was kept")).unwrap_or_default();
            format!("detached: triggers, functions and tables of tierkeep are gone{restored}{kept}")
        }
    };
    Ok(context.console.result(&text)?)
}
