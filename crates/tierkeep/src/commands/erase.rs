//! `erase` and `export`: a learner's data.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_learning::store::{Erased, OpenMode, Store};

use super::cache::Node;
use super::{Context, Failure};
use crate::cli::{EraseArgs, ExportArgs};
use crate::console::Output;
use crate::erasure::{self, Receipt};
use crate::export::Document;
use crate::http::Invalidated;

pub(super) async fn erase(arguments: &EraseArgs, context: &Context) -> Result<(), Failure> {
    let user = arguments.learner.user;
    if arguments.dry_run {
        let store = open(context).await?;
        let plan = erasure::plan(&*store, user).await;
        store.close().await;
        let plan = plan?.ok_or(ServiceError::UnknownLearner(user))?;
        return show(&plan, context);
    }
    context.guard_writing("erase")?;
    // before anything is removed: a server that was named must answer
    let node = Node::find(arguments.server.as_deref(), context).await?;
    let store = open(context).await?;
    let erased = erase_in(Arc::clone(&store), node, user, context).await;
    store.close().await;
    let receipt = erased?;
    show(&serde_json::to_value(&receipt).map_err(anyhow::Error::from)?, context)?;
    if receipt.complete {
        return Ok(());
    }
    Err(anyhow!("not everything is gone yet: run the same command again, or `tierkeep cache invalidate --user {user}`")
        .into())
}

async fn open(context: &Context) -> Result<Arc<dyn Store>, Failure> {
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    context.open(&context.config().database.url, mode).await
}

async fn erase_in(
    store: Arc<dyn Store>,
    node: Option<Node>,
    user: UserId,
    context: &Context,
) -> Result<Receipt, Failure> {
    let Some(node) = node else {
        // this process stands for a node: its Redis is everybody's
        let tiers = context.tiers(Statistics::new(store, context.config().days.clone())).await?;
        if context.config().redis.url.is_none() {
            context.console.note("no server answers, and no redis.url is configured: no kept answer outlives a server");
        } else {
            context.console.note("no server answers: kept answers are removed from Redis (L2)");
        }
        let erased = erasure::erase(&tiers, user).await;
        tiers.close().await;
        return Ok(erased?.ok_or(ServiceError::UnknownLearner(user))?);
    };
    let erased: Erased = store.erase(user).await?.ok_or(ServiceError::UnknownLearner(user))?;
    let caches = match node.invalidate(&erasure::forgetting(user)).await {
        Ok(told) => serde_json::from_value(told).map_err(anyhow::Error::from)?,
        // the rows are gone, which the receipt has to say
        Err(failure) => Invalidated::failed(&failure.error),
    };
    Ok(Receipt::new(erased, caches))
}

fn show(document: &Value, context: &Context) -> Result<(), Failure> {
    let text = match context.console.output() {
        Output::Json => document.to_string(),
        Output::Human => serde_json::to_string_pretty(document).map_err(anyhow::Error::from)?,
    };
    Ok(context.console.result(&text)?)
}

pub(super) async fn export(arguments: &ExportArgs, context: &Context) -> Result<(), Failure> {
    let store = open(context).await?;
    let exported = export_from(Arc::clone(&store), arguments, context).await;
    store.close().await;
    exported
}

async fn export_from(store: Arc<dyn Store>, arguments: &ExportArgs, context: &Context) -> Result<(), Failure> {
    let user = arguments.learner.user;
    let document = Document::begin(store, user, context.clock.now()).await?;
    let mut document = document.ok_or(ServiceError::UnknownLearner(user))?;
    let Some(path) = &arguments.output else {
        while let Some(piece) = document.next().await? {
            context.console.piece(&piece)?;
        }
        return Ok(());
    };
    // under another name until it is whole
    let unfinished = path.with_added_extension("part");
    let written = write_to(&unfinished, document).await;
    let written = written.and_then(|()| {
        std::fs::rename(&unfinished, path)
            .with_context(|| format!("cannot make {}", path.display()))
            .map_err(Failure::from)
    });
    if written.is_err() {
        // what could not be written may not be there either
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

async fn write_to(path: &Path, mut document: Document) -> Result<(), Failure> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut file = BufWriter::new(file);
    while let Some(piece) = document.next().await? {
        file.write_all(&piece).with_context(|| format!("cannot write {}", path.display()))?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}
