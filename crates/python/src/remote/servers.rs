//! Which server a key's requests go to: the one primary, or the node of a cluster that has the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Cmd, Value};
use tierkeep_cache::redis::{Host, Servers as Named};

use super::RemoteError;
use super::line::{Dialer, host_of, spoken};
use super::names::slot;
use super::pool::{Pool, Repeat};
use super::settings::Settings;

/// How often a request follows the nodes of a cluster to where its key has moved.
const MOVES: usize = 4;

pub(super) struct Servers {
    settings: Settings,
    dialer: Arc<Dialer>,
    primary: Pool,
    replicas: Vec<Pool>,
    cluster: Mutex<Cluster>,
}

#[derive(Default)]
struct Cluster {
    pools: HashMap<(String, u16), Arc<Pool>>,
    /// The last slot of each range and the node that has it, in order; empty if not known.
    ranges: Vec<(u16, Host)>,
}

impl Servers {
    pub(super) fn new(settings: &Settings) -> Result<Self, RemoteError> {
        let tls = if settings.tls.is_some() {
            settings.tls.clone()
        } else if settings.primary.tls {
            Some(tierkeep_cache::redis::tls_settings().map_err(|error| RemoteError::Unreachable(error.to_string()))?)
        } else {
            None
        };
        let dialer = Arc::new(Dialer::new(settings, tls));
        let pool = |host| Pool::new(Arc::clone(&dialer), host, settings);
        let replicas = settings.replicas.iter().map(|host| pool(Some(host.clone()))).collect();
        let primary = pool(None);
        Ok(Self { settings: settings.clone(), dialer, primary, replicas, cluster: Mutex::default() })
    }

    pub(super) fn dialer(&self) -> Arc<Dialer> {
        Arc::clone(&self.dialer)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.settings.is_cluster()
    }

    /// Sends requests to the servers of their keys, those of one server together, and returns the answers in order.
    /// An error of a server is the error of all.
    pub(super) fn ask(&self, requests: Vec<(Vec<u8>, Cmd)>, repeat: Repeat) -> Result<Vec<Value>, RemoteError> {
        if !self.is_cluster() {
            let requests: Vec<Cmd> = requests.into_iter().map(|(_, request)| request).collect();
            return self.primary.ask(&requests, repeat)?.into_iter().map(checked).collect();
        }
        let mut answers: Vec<Option<Value>> = requests.iter().map(|_| None).collect();
        let mut todo: Vec<usize> = (0..requests.len()).collect();
        for _ in 0..MOVES {
            let mut by_node: HashMap<(String, u16), Vec<usize>> = HashMap::new();
            for index in todo.drain(..) {
                let host = self.owner(slot(&requests[index].0))?;
                by_node.entry((host.name, host.port)).or_default().push(index);
            }
            for (node, indices) in by_node {
                let sent: Vec<Cmd> = indices.iter().map(|index| requests[*index].1.clone()).collect();
                let pool = self.node(&Host { name: node.0, port: node.1 });
                let received = pool.ask(&sent, repeat).inspect_err(|_| self.forget_ranges())?;
                for (index, answer) in indices.into_iter().zip(received) {
                    match redirection(&answer) {
                        Some((target, is_lasting)) => {
                            if is_lasting {
                                self.forget_ranges();
                                todo.push(index);
                            } else {
                                let pair = [redis::cmd("ASKING"), requests[index].1.clone()];
                                answers[index] = self.node(&target).ask(&pair, repeat)?.pop();
                            }
                        }
                        None => answers[index] = Some(answer),
                    }
                }
            }
            if todo.is_empty() {
                break;
            }
        }
        let lost = || RemoteError::Refused("a key of the cluster could not be found: its slots move".to_owned());
        answers.into_iter().map(|answer| checked(answer.ok_or_else(lost)?)).collect()
    }

    /// As [`ask`](Self::ask), of requests that only read; of replicas if the primary cannot be reached. The flag is
    /// whether it was the primary that answered.
    pub(super) fn read(&self, requests: Vec<(Vec<u8>, Cmd)>) -> Result<(Vec<Value>, bool), RemoteError> {
        let sent = if self.replicas.is_empty() { Vec::new() } else { requests.clone() };
        let failed = match self.ask(requests, Repeat::Safe) {
            Ok(answers) => return Ok((answers, true)),
            Err(error @ (RemoteError::Refused(_) | RemoteError::NoConnection(_))) => return Err(error),
            Err(error) => error,
        };
        let sent: Vec<Cmd> = sent.into_iter().map(|(_, request)| request).collect();
        for replica in &self.replicas {
            if let Ok(answers) = replica.ask(&sent, Repeat::Safe) {
                return Ok((answers.into_iter().map(checked).collect::<Result<_, _>>()?, false));
            }
        }
        Err(failed)
    }

    /// Sends one request to each server that has keys: to the primary, or to all primaries of a cluster.
    pub(super) fn primaries(&self) -> Result<Vec<Option<Host>>, RemoteError> {
        if !self.is_cluster() {
            return Ok(vec![None]);
        }
        self.owner(0)?;
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts: Vec<Host> = cluster.ranges.iter().map(|(_, host)| host.clone()).collect();
        hosts.sort_by(|one, other| (&one.name, one.port).cmp(&(&other.name, other.port)));
        hosts.dedup();
        Ok(hosts.into_iter().map(Some).collect())
    }

    /// Sends requests to one of [`primaries`](Self::primaries).
    pub(super) fn ask_one(
        &self,
        host: Option<&Host>,
        requests: &[Cmd],
        repeat: Repeat,
    ) -> Result<Vec<Value>, RemoteError> {
        let answers = match host {
            None => self.primary.ask(requests, repeat)?,
            Some(host) => self.node(host).ask(requests, repeat)?,
        };
        answers.into_iter().map(checked).collect()
    }

    /// Connections that exist.
    pub(super) fn open(&self) -> usize {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes: usize = cluster.pools.values().map(|pool| pool.open()).sum();
        self.primary.open() + self.replicas.iter().map(Pool::open).sum::<usize>() + nodes
    }

    /// Closes connections that are not in use.
    pub(super) fn close_idle(&self) {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<Arc<Pool>> = cluster.pools.values().map(Arc::clone).collect();
        drop(cluster);
        self.replicas.iter().chain([&self.primary]).for_each(Pool::forget_idle);
        nodes.iter().for_each(|pool| pool.forget_idle());
    }

    fn node(&self, host: &Host) -> Arc<Pool> {
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = cluster.pools.entry((host.name.clone(), host.port));
        Arc::clone(
            pool.or_insert_with(|| Arc::new(Pool::new(Arc::clone(&self.dialer), Some(host.clone()), &self.settings))),
        )
    }

    fn owner(&self, slot: u16) -> Result<Host, RemoteError> {
        let find = |ranges: &[(u16, Host)]| {
            ranges.get(ranges.partition_point(|(last, _)| *last < slot)).map(|(_, host)| host.clone())
        };
        let known = find(&self.cluster.lock().unwrap_or_else(PoisonError::into_inner).ranges);
        if let Some(host) = known {
            return Ok(host);
        }
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let answer = self.primary.ask(&[slots], Repeat::Safe)?.pop().map(checked).transpose()?;
        let Named::Cluster(seeds) = &self.settings.primary.servers else { unreachable!("only clusters have slots") };
        let ranges = ranges(answer.unwrap_or_default(), &seeds[0]);
        let found = find(&ranges);
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner).ranges = ranges;
        found.ok_or_else(|| RemoteError::Refused(format!("no node of the cluster has slot {slot}")))
    }

    fn forget_ranges(&self) {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner).ranges.clear();
    }
}

/// The answer to `CLUSTER SLOTS`. A node that does not know its own address is at the first host of the settings.
fn ranges(answer: Value, seed: &Host) -> Vec<(u16, Host)> {
    let Value::Array(parts) = answer else { return Vec::new() };
    let mut ranges: Vec<(u16, Host)> = parts
        .iter()
        .filter_map(|part| {
            let Value::Array(range) = part else { return None };
            let [Value::Int(_), Value::Int(last), Value::Array(node), ..] = range.as_slice() else { return None };
            let host = host_of(node).unwrap_or_else(|| match node.get(1) {
                Some(Value::Int(port)) => Host { name: seed.name.clone(), port: u16::try_from(*port).unwrap_or(0) },
                _ => seed.clone(),
            });
            Some((u16::try_from(*last).ok()?, host))
        })
        .collect();
    ranges.sort_by_key(|(last, _)| *last);
    ranges
}

/// Where the key of a request is instead, and whether it stays there.
fn redirection(answer: &Value) -> Option<(Host, bool)> {
    let Value::ServerError(error) = answer else { return None };
    let is_lasting = match error.code() {
        "MOVED" => true,
        "ASK" => false,
        _ => return None,
    };
    let (name, port) = error.details()?.rsplit(' ').next()?.rsplit_once(':')?;
    Some((Host { name: name.to_owned(), port: port.parse().ok()? }, is_lasting))
}

fn checked(answer: Value) -> Result<Value, RemoteError> {
    match answer {
        Value::ServerError(error) => Err(RemoteError::Refused(spoken(&error))),
        answer => Ok(answer),
    }
}
