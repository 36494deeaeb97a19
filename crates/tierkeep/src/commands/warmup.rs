//! `warmup`: what can be asked about some learners is there before anybody asks.

use anyhow::anyhow;
use serde_json::Value;

use super::cache::Node;
use super::{Context, Failure};
use crate::cli::WarmupArgs;
use crate::console::Output;
use crate::http::WarmupRequest;
use crate::tiers::Precomputed;

pub(super) async fn run(arguments: &WarmupArgs, context: &Context) -> Result<(), Failure> {
    context.guard_writing("warmup")?;
    let request = WarmupRequest::new(arguments.users.clone(), arguments.global, arguments.force);
    request
        .check()
        .map_err(|bad| Failure::usage(anyhow!("{}: {}; accepted: {}", bad.parameter, bad.given, bad.accepted)))?;
    let answer = match Node::find(arguments.server.as_deref(), context).await? {
        Some(node) => node.warm_up(&request).await?,
        None => without_server(&request, context).await?,
    };
    context.console.result(&shown(&answer, context.console.output()))?;
    match answer["failed"].as_u64() {
        None | Some(0) => Ok(()),
        Some(failed) => Err(anyhow!("{failed} answers could not be computed").into()),
    }
}

/// A node of its own for the moment: its memory is empty, its Redis is everybody's.
async fn without_server(request: &WarmupRequest, context: &Context) -> Result<Value, Failure> {
    if context.config().redis.url.is_none() {
        return Err(anyhow!(
            "no server answers, and no redis.url is configured: there is nothing that outlives a server's memory"
        )
        .into());
    }
    let tiers = context.tiers(context.statistics().await?).await?;
    context.console.note("no server answers: this is about Redis (L2) and stored summaries (L3) only");
    let done = request.carry_out(&tiers, context.clock.now()).await;
    tiers.close().await;
    tiers.statistics().store().close().await;
    let done: Precomputed =
        done.ok_or_else(|| anyhow!("the database does not say what changed, so nothing may be kept; try again"))?;
    Ok(serde_json::to_value(done).map_err(anyhow::Error::from)?)
}

fn shown(answer: &Value, output: Output) -> String {
    if let Output::Json = output {
        return answer.to_string();
    }
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let (computed, fresh, failed) = (count("computed"), count("fresh"), count("failed"));
    format!("{computed} answers computed, {fresh} there already, {failed} failed{}", failures(answer))
}

/// A line for each of the first answers that failed.
pub(super) fn failures(answer: &Value) -> String {
    let failures = answer["failures"].as_array().into_iter().flatten();
    let part = |failure: &Value, name: &str| failure[name].as_str().unwrap_or_default().to_owned();
    failures.map(|failure| format!("\n{}: {}", part(failure, "key"), part(failure, "reason"))).collect()
}
