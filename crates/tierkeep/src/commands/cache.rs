//! `cache`: asks the running node, or, where none answers, works on Redis.

mod shown;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::shown::shown;
use super::{Context, Failure};
use crate::cli::{CacheArgs, CacheCommand};
use crate::http::{InvalidateRequest, Invalidated, WarmupRequest, cache_document};
use crate::tiers::{Question, Tiers};

/// Longest wait for the node.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: &CacheArgs, context: &Context) -> Result<(), Failure> {
    let orders = match &arguments.command {
        CacheCommand::Stats => None,
        // refused before anybody is asked
        CacheCommand::Explain { key } => {
            key.parse::<Question>().map_err(Failure::usage)?;
            None
        }
        CacheCommand::Invalidate { keys, tags, users } => {
            Some(InvalidateRequest::new(keys.clone(), tags.clone(), users.clone()))
        }
        CacheCommand::Clear => Some(InvalidateRequest::everything()),
    };
    if let Some(request) = &orders {
        request
            .orders()
            .map_err(|bad| Failure::usage(anyhow!("{}: {}; accepted: {}", bad.parameter, bad.given, bad.accepted)))?;
    }
    let key = if let CacheCommand::Explain { key } = &arguments.command { Some(key.as_str()) } else { None };
    let answer = match (Node::find(arguments.server.as_deref(), context).await?, &orders) {
        (Some(node), None) => node.standing(key).await?,
        (Some(node), Some(request)) => node.invalidate(request).await?,
        (None, request) => without_server(request.as_ref(), key, context).await?,
    };
    context.console.result(&shown(&answer, context.console.output()))?;
    match answer.get("complete") {
        Some(Value::Bool(false)) => Err(anyhow!("not every tier has forgotten yet").into()),
        _ => Ok(()),
    }
}

/// A node of its own for the moment: its memory is empty, its Redis is everybody's.
async fn without_server(
    request: Option<&InvalidateRequest>,
    key: Option<&str>,
    context: &Context,
) -> Result<Value, Failure> {
    if context.config().redis.url.is_none() {
        return Err(anyhow!(
            "no server answers, and no redis.url is configured: there is nothing that outlives a server's memory"
        )
        .into());
    }
    let tiers = context.tiers(context.statistics().await?).await?;
    context.console.note("no server answers: this is about Redis (L2) only; a node's memory (L1) ends with it");
    let answer = ask(&tiers, request, key).await;
    tiers.close().await;
    tiers.statistics().store().close().await;
    answer
}

async fn ask(tiers: &Tiers, request: Option<&InvalidateRequest>, key: Option<&str>) -> Result<Value, Failure> {
    let answer = match request {
        None => {
            let mut document = cache_document(tiers).map_err(anyhow::Error::from)?;
            if let Some(key) = key {
                let explanation = tiers.explain(key.parse().map_err(Failure::usage)?).await;
                document["explanation"] = explanation.map(|explanation| explanation.to_string()).into();
            }
            document
        }
        Some(request) => {
            let mut receipts = Vec::new();
            for order in request.orders().map_err(|bad| Failure::usage(anyhow!("{} is refused", bad.parameter)))? {
                receipts.extend(tiers.invalidate(&order).await);
            }
            serde_json::to_value(Invalidated::of(&receipts)).map_err(anyhow::Error::from)?
        }
    };
    Ok(answer)
}

/// A running node, by its address.
pub(super) struct Node {
    address: String,
    /// The line that says who asks.
    authorization: String,
}

impl Node {
    /// `None`: nobody listens at the configured address. A server that was named must answer.
    pub(super) async fn find(server: Option<&str>, context: &Context) -> Result<Option<Self>, Failure> {
        let named = match server {
            None => None,
            Some(url) => Some(host_of(url).ok_or_else(|| Failure::usage(anyhow!("{url:?} is no http://host:port")))?),
        };
        let address = named.clone().unwrap_or_else(|| context.config().http.listen.to_string());
        let authorization =
            context.token.as_ref().map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        match tokio::time::timeout(PATIENCE, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => Ok(Some(Self { address, authorization })),
            Ok(Err(error)) if named.is_some() => {
                Err(anyhow::Error::from(error).context(format!("{address} does not answer")).into())
            }
            Ok(Err(_)) => Ok(None),
            Err(_) => Err(anyhow!("{address} does not answer in time").into()),
        }
    }

    async fn standing(&self, key: Option<&str>) -> Result<Value, Failure> {
        // a key that was read as one has no letter that an address must escape
        let query = key.map_or_else(String::new, |key| format!("?key={key}"));
        self.send(&format!("GET /v1/admin/cache{query}"), "").await
    }

    /// What `POST /v1/admin/cache/invalidate` answers.
    pub(super) async fn invalidate(&self, request: &InvalidateRequest) -> Result<Value, Failure> {
        let body = serde_json::to_string(request).map_err(anyhow::Error::from)?;
        self.send("POST /v1/admin/cache/invalidate", &body).await
    }

    /// What `POST /v1/admin/warmup` answers.
    pub(super) async fn warm_up(&self, request: &WarmupRequest) -> Result<Value, Failure> {
        let body = serde_json::to_string(request).map_err(anyhow::Error::from)?;
        self.send("POST /v1/admin/warmup", &body).await
    }

    /// One request in HTTP/1.0, which ends with the connection: nothing needs to be known of its length.
    async fn send(&self, request: &str, body: &str) -> Result<Value, Failure> {
        let Self { address, authorization } = self;
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.0\r\nhost: {address}\r\n{authorization}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.context("the server does not answer in time")??;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("the server does not speak HTTP")?;
        let json: Value = serde_json::from_str(body).context("the server is not Tierkeep")?;
        let status = head.split(' ').nth(1);
        if status == Some("200") {
            return Ok(json);
        }
        if status == Some("401") {
            let detail = json["detail"].as_str().unwrap_or("it needs a token");
            return Err(anyhow!("the server refused: {detail}; give one of scope admin with TIERKEEP_TOKEN").into());
        }
        Err(anyhow!("the server refused: {}", json["detail"].as_str().unwrap_or(head)).into())
    }
}

/// Host and port of an `http://host:port`.
pub(super) fn host_of(url: &str) -> Option<String> {
    let host = url.strip_prefix("http://")?.trim_end_matches('/');
    (!host.is_empty() && !host.contains('/'))
        .then(|| if host.contains(':') { host.to_owned() } else { format!("{host}:80") })
}
