//! More than one server: a cluster, and a master that sentinels name.

use std::net::SocketAddr;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use tierkeep_cache::bus::{Announcement, Bus as _, BusMessage, Heartbeat, NodeId, Notice};
use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_cache::remote::{Bump, RemoteError, RemoteTier as _};
use tierkeep_cache::{Severity, TagId};
use tierkeep_testkit::{ChaosProxy, Endpoint, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{MARGIN, ask, raw, run};

struct Member {
    server: RedisServer,
    port: u16,
    bus_port: u16,
}

/// A cluster of two servers, each with half of the slots.
pub(crate) struct Cluster {
    members: Vec<Member>,
    line: ClusterConnection,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let (first, second) = (member().await, member().await);
        let (one, other) = (raw(&first.server).await, raw(&second.server).await);
        run(&one, &[b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"8191"]).await;
        run(&other, &[b"CLUSTER", b"ADDSLOTSRANGE", b"8192", b"16383"]).await;
        let ports = [second.port, second.bus_port].map(|port| port.to_string());
        run(&one, &[b"CLUSTER", b"MEET", b"127.0.0.1", ports[0].as_bytes(), ports[1].as_bytes()]).await;
        let agreed = async {
            for member in [&one, &other] {
                loop {
                    let info: String = ask(&[b"CLUSTER", b"INFO"]).query_async(&mut member.clone()).await.unwrap();
                    if info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384") {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        timeout(MARGIN * 6, agreed).await.unwrap();
        let client = ClusterClient::new(vec![format!("redis://127.0.0.1:{}", first.port)]).unwrap();
        let line = client.get_async_connection().await.unwrap();
        Self { members: vec![first, second], line }
    }

    pub(crate) fn url(&self) -> String {
        let members: Vec<String> = self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
        format!("redis+cluster://{}", members.join(","))
    }

    pub(crate) async fn flush(&self) {
        ask(&[b"FLUSHALL"]).query_async::<()>(&mut self.line.clone()).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: Vec<u8>) {
        ask(&[b"DEL", &name]).query_async::<()>(&mut self.line.clone()).await.unwrap();
    }
}

/// A server in cluster mode. Members find each other by port, so that it needs one; somebody else may take it in
/// between.
async fn member() -> Member {
    for _ in 0..20 {
        let port = free_port().await;
        let bus_port = free_port().await;
        let server = RedisServer::builder()
            .setting("port", &port.to_string())
            .setting("bind", "127.0.0.1")
            .setting("cluster-enabled", "yes")
            .setting("cluster-port", &bus_port.to_string());
        if let Ok(server) = server.launch().await {
            return Member { server, port, bus_port };
        }
    }
    panic!("no free port");
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn bus_of_a_cluster_is_numbered_and_heard_whole() {
    let cluster = Cluster::new().await;
    let redis = Redis::connect(RedisConfig::new(&cluster.url()).unwrap()).await.unwrap();
    let bus = redis.bus();
    let mut messages = bus.subscribe().await.unwrap();
    let notice = Notice { sender: NodeId(1), severity: Severity::Hard, targets: Vec::new() };
    let strict = Announcement { notice, strict: true };

    let mut announced = bus.announce(&strict).await.unwrap();
    let lease = Duration::from_secs(100);
    let epoch = Some(announced.epoch);
    bus.heartbeat(&Heartbeat { node: NodeId(2), nonce: 3, epoch, applied: 1, lease }).await.unwrap();
    announced = bus.announce(&strict).await.unwrap();
    bus.confirm(NodeId(2), announced.epoch, 2).await.unwrap();

    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(timeout(MARGIN, messages.recv()).await.unwrap().unwrap());
    }
    assert_eq!((announced.number, announced.holders[0].node), (2, NodeId(2)));
    assert!(matches!(heard[0], BusMessage::Notice { number: 1, .. }), "{heard:?}");
    assert!(matches!(heard[1], BusMessage::Echo { last: 1, granted: true, .. }), "{heard:?}");
    assert!(matches!(heard[2], BusMessage::Notice { number: 2, .. }), "{heard:?}");
    assert_eq!(heard[3], BusMessage::Confirmed { node: NodeId(2), epoch: announced.epoch, number: 2 });
}

/// Answers as a sentinel does, with the address that `master` holds.
struct Sentinel {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Sentinel {
    async fn new(master: watch::Receiver<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let master = master.clone();
                clients.spawn(async move {
                    let mut buffer = vec![0; 4096];
                    while let Ok(length @ 1..) = client.read(&mut buffer).await {
                        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                        // Each command is an array.
                        for command in text.split('*').skip(1) {
                            let (ip, port) = (master.borrow().ip().to_string(), master.borrow().port().to_string());
                            let answer = if command.contains("GET-MASTER-ADDR-BY-NAME") && command.contains("main") {
                                format!("*2\r\n${}\r\n{ip}\r\n${}\r\n{port}\r\n", ip.len(), port.len())
                            } else {
                                "+OK\r\n".to_owned()
                            };
                            client.write_all(answer.as_bytes()).await.ok();
                        }
                    }
                });
            }
        });
        Self { address, _serving: serving }
    }
}

/// A TCP port in front of a server.
async fn port(server: &RedisServer) -> (ChaosProxy, SocketAddr) {
    let proxy = ChaosProxy::on_tcp(Endpoint::Unix(server.socket().to_path_buf())).await.unwrap();
    let Endpoint::Tcp(address) = *proxy.address() else { panic!("a TCP port was asked for") };
    (proxy, address)
}

#[tokio::test]
async fn demoted_master_is_left_for_the_one_that_sentinels_name() {
    let (old, new) = (RedisServer::launch().await.unwrap(), RedisServer::launch().await.unwrap());
    let (_old_proxy, old_port) = port(&old).await;
    let (_new_proxy, new_port) = port(&new).await;
    let (master, known) = watch::channel(old_port);
    let sentinel = Sentinel::new(known).await;
    // The first sentinel is gone.
    let dead = free_port().await;
    let url = format!("redis+sentinel://127.0.0.1:{dead},{}/main/0", sentinel.address);
    let redis = Redis::connect(RedisConfig::new(&url).unwrap().prefix("p")).await.unwrap();
    let bump = Bump { tag: TagId::from_bytes([1; 16]), severity: Severity::Hard, soft: 1 };
    redis.tier().bump(&[bump]).await.unwrap();
    let mut messages = redis.bus().subscribe().await.unwrap();

    run(&raw(&old).await, &[b"REPLICAOF", b"127.0.0.1", b"1"]).await;
    master.send_replace(new_port);
    let refused = redis.tier().bump(&[bump]).await;
    let again = async {
        while redis.tier().bump(&[bump]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(MARGIN, again).await.unwrap();
    let heard = timeout(MARGIN, messages.recv()).await.unwrap();

    assert_eq!(heard, None, "the old server is not listened to any more");
    assert!(matches!(refused, Err(RemoteError::Refused(_))), "{refused:?}");
    let kept: bool = ask(&[b"EXISTS", b"p:bumps"]).query_async(&mut raw(&new).await).await.unwrap();
    assert!(kept);
}

#[tokio::test]
async fn configuration_that_cannot_work_is_an_error_at_once() {
    for prefix in ["", "a{b", "a}b"] {
        let config = RedisConfig::new("redis://localhost").unwrap().prefix(prefix);
        assert!(Redis::connect(config).await.is_err(), "{prefix}");
    }
    let shown = format!("{:?}", RedisConfig::new("redis://app:secret@localhost").unwrap());
    assert!(shown.contains("localhost") && !shown.contains("secret"), "{shown}");
}

#[cfg(not(feature = "redis-tls"))]
#[tokio::test]
async fn tls_that_was_not_built_in_is_an_error_at_once() {
    let error = Redis::connect(RedisConfig::new("rediss://localhost").unwrap()).await.unwrap_err();

    assert!(error.to_string().contains("redis-tls"), "{error}");
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn server_without_tls_is_not_talked_to_in_clear() {
    let server = RedisServer::launch().await.unwrap();
    let (_proxy, address) = port(&server).await;

    let url = format!("rediss://localhost:{}", address.port());
    let redis = Redis::connect(RedisConfig::new(&url).unwrap().connect_timeout(MARGIN / 5)).await;

    // A host without authorities cannot have TLS at all.
    let Ok(redis) = redis else { return };
    assert!(!redis.is_connected());
    assert!(matches!(redis.tier().read(&[], &[TagId::from_bytes([1; 16])]).await, Err(RemoteError::Unreachable(_))));
}
