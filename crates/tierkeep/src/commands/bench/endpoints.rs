//! Endpoints of a node on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{Answer, Client};
use super::load::Load;
use super::{Context, Failure, Measured};
use crate::access::{Access, Reach};
use crate::cli::BenchHttpArgs;
use crate::commands::cache::host_of;
use crate::http;
use crate::node::Node;

/// What is asked unless told: every statistic.
const PATHS: [&str; 8] = [
    "/v1/users/{id}/stats/daily",
    "/v1/users/{id}/stats/weekly",
    "/v1/users/{id}/stats/monthly",
    "/v1/users/{id}/analytics",
    "/v1/users/{id}/streaks",
    "/v1/users/{id}/heatmap",
    "/v1/users/{id}/courses/summary",
    "/v1/stats/global",
];

/// Longest list of paths: each takes up to an hour.
const MOST: usize = 50;
/// What stands for a learner in a path.
const LEARNER: &str = "{id}";
/// Longest wait for a connection to the configured node, to see whether it runs.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(
    arguments: &BenchHttpArgs,
    load: Load,
    context: &Context,
    stop: &CancellationToken,
) -> Result<Measured, Failure> {
    let paths = paths(arguments).map_err(Failure::usage)?;
    if let Some(address) = running(arguments.server.as_deref(), context).await? {
        context.console.note(format_args!("asking the node at {address}"));
        return measure(address, &paths, arguments.learners, load, context, stop).await;
    }
    let own = OwnNode::start(context).await?;
    context
        .console
        .note(format_args!("no node runs at the configured address: asking one of its own at {}", own.address));
    let measured = measure(own.address, &paths, arguments.learners, load, context, stop).await;
    own.end().await?;
    measured
}

/// Checked paths, each once.
fn paths(arguments: &BenchHttpArgs) -> anyhow::Result<Vec<String>> {
    if arguments.paths.is_empty() {
        return Ok(PATHS.map(str::to_owned).to_vec());
    }
    if arguments.paths.len() > MOST {
        return Err(anyhow!("{} paths; accepted: at most {MOST}", arguments.paths.len()));
    }
    for (place, path) in arguments.paths.iter().enumerate() {
        // it becomes part of a request's head
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(anyhow!(
                "{path:?} is no path; accepted: /, then letters of an address, such as /v1/stats/global"
            ));
        }
        if arguments.paths[..place].contains(path) {
            return Err(anyhow!("{path} is named twice; accepted: each once"));
        }
    }
    Ok(arguments.paths.clone())
}

/// The node that was named, or the configured one if somebody listens there.
async fn running(server: Option<&str>, context: &Context) -> Result<Option<SocketAddr>, Failure> {
    let Some(url) = server else {
        let address = reachable(context.config().http.listen);
        if Reach::of(address) == Reach::Network {
            return Ok(None);
        }
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
        return Ok(matches!(connected, Ok(Ok(_))).then_some(address));
    };
    let host = host_of(url).ok_or_else(|| Failure::usage(anyhow!("{url:?} is no http://host:port")))?;
    let addresses: Vec<SocketAddr> =
        lookup_host(&host).await.with_context(|| format!("{host} is not known"))?.collect();
    if let Some(far) = addresses.iter().find(|address| Reach::of(**address) == Reach::Network) {
        return Err(Failure::refused(anyhow!(
            "{far} is not this machine, and a benchmark is an attack on whom it was not meant for; accepted: 127.0.0.1, [::1] \
             or localhost"
        )));
    }
    let mut failed = None;
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(Some(address)),
            Ok(Err(error)) => failed = Some(anyhow::Error::from(error)),
            Err(_) => failed = Some(anyhow!("no connection within {} s", PATIENCE.as_secs())),
        }
    }
    let failed = failed.unwrap_or_else(|| anyhow!("it has no address"));
    Err(failed.context(format!("{host} does not answer")).into())
}

/// Where a node that listens on all addresses is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    if listen.ip().is_unspecified() { SocketAddr::new(loopback, listen.port()) } else { listen }
}

async fn measure(
    address: SocketAddr,
    paths: &[String],
    learners: u32,
    load: Load,
    context: &Context,
    stop: &CancellationToken,
) -> Result<Measured, Failure> {
    let client = Arc::new(Client::new(address, context.token.as_deref()));
    let users =
        if paths.iter().any(|path| path.contains(LEARNER)) { users(&client, learners).await? } else { Vec::new() };
    let mut measured = Measured::default();
    for path in paths {
        let asked: Vec<Arc<str>> = if path.contains(LEARNER) {
            users.iter().map(|user| path.replace(LEARNER, user).into()).collect()
        } else {
            vec![path.as_str().into()]
        };
        let ask = |number: usize| {
            let (client, path) = (Arc::clone(&client), Arc::clone(&asked[number % asked.len()]));
            async move { client.get(&path).await.and_then(Answer::succeeded).map(|_| ()) }
        };
        measured.add(path, load, asked.len(), stop, ask).await?;
    }
    Ok(measured)
}

/// Ids of learners, as an address holds them.
async fn users(client: &Client, learners: u32) -> Result<Vec<String>, Failure> {
    let answer = client.get(&format!("/v1/users?limit={learners}")).await.and_then(Answer::succeeded);
    let body = answer.map_err(|failure| anyhow!("the learners cannot be listed: {failure}"))?;
    let page: Value = serde_json::from_slice(&body).context("the server is not Tierkeep")?;
    let ids = page["items"].as_array().into_iter().flatten().filter_map(|user| match &user["id"] {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    let ids: Vec<String> = ids.collect();
    if ids.is_empty() {
        return Err(anyhow!("there are no learners that {LEARNER} could stand for; name paths without it").into());
    }
    Ok(ids)
}

/// A node in this process, on a port of its own.
struct OwnNode {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    node: Node,
    store: Arc<dyn tierkeep_learning::store::Store>,
}

impl OwnNode {
    /// Without the schedule: what it would do is no part of what is measured.
    async fn start(context: &Context) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let statistics = context.statistics().await?;
        let store = Arc::clone(statistics.store());
        let access =
            Access::load(Arc::clone(&store), Reach::Loopback).await.context("the API tokens cannot be read")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (app, _) = context.app(statistics, access, &stop).await?;
        let node = Node::begin(Arc::clone(&app), context.config(), None, stop.clone())?;
        let connections = context.config().http.connections.clone();
        let serving = tokio::spawn(http::serve(listener, http::api(app), connections, stop.clone()));
        Ok(Self { address, stop, serving, node, store })
    }

    async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.serving.await.context("the node panicked")??;
        self.node.end().await?;
        self.store.close().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_reached_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:0", "127.0.0.1:0"),
            ("[::]:0", "[::1]:0"),
            ("127.0.0.2:0", "127.0.0.2:0"),
            ("10.0.0.1:0", "10.0.0.1:0"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
