//! `_core.NodeClient`: the client of nodes, with what it brings as Python objects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::ending::beneath;
use crate::node::workers::Workers;
use crate::node::{Address, Begun, Method, NodeClient as Client, NodeError, Reply, Request, Settings, Source};

mod json;

/// Status of an answer when no node gave one.
const UNAVAILABLE: i32 = 0;
/// Status of an answer that no node gives.
const UNEXPECTED: i32 = -1;

/// A client of nodes. Each call answers `(status, value, source, tier, node, position)`; status 0: no node answered, and
/// -1: what answered is no node; `value` then says why.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct NodeClient {
    client: Arc<Client>,
    workers: Mutex<Option<Workers>>,
}

/// What is asked, owned: for a thread of its own.
struct Asked {
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    learner: Option<String>,
    position: u64,
    idempotency_key: Option<String>,
    is_write: bool,
}

#[pymethods]
impl NodeClient {
    #[new]
    #[pyo3(signature = (nodes, *, token = None, connect_timeout = 0.2, timeout = 1.0, bound = 1.0, max_stale = 3600.0,
                        kept_bytes = 8 << 20, max_body = 64 << 20))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        nodes: Vec<String>,
        token: Option<String>,
        connect_timeout: f64,
        timeout: f64,
        bound: f64,
        max_stale: f64,
        kept_bytes: usize,
        max_body: usize,
    ) -> PyResult<Self> {
        let nodes = nodes.iter().map(|node| Address::parse(node)).collect::<Result<_, _>>();
        let nodes = nodes.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let is_visible = |token: &String| !token.is_empty() && token.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
        if !token.as_ref().is_none_or(is_visible) {
            return Err(PyValueError::new_err("a token is ASCII without blanks"));
        }
        let settings = Settings {
            nodes,
            token,
            connect_timeout: seconds("connect_timeout", connect_timeout, true)?,
            timeout: seconds("timeout", timeout, true)?,
            bound: seconds("bound", bound, false)?,
            max_stale: seconds("max_stale", max_stale, false)?,
            kept_bytes,
            max_body,
        };
        Ok(Self { client: Arc::new(Client::new(settings)), workers: Mutex::new(None) })
    }

    /// Asks, and waits for the answer with the interpreter released.
    #[pyo3(signature = (method, path, body = None, learner = None, position = 0, idempotency_key = None, is_write = false))]
    #[expect(clippy::too_many_arguments, reason = "one call of Python's, without an object made for it")]
    fn request<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        learner: Option<&str>,
        position: u64,
        idempotency_key: Option<&str>,
        is_write: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let method = parse(method)?;
        let request = Request { method, path, body, learner, position, idempotency_key, is_write };
        let reply = match self.client.begin(request, Instant::now()) {
            Ok(Begun::Done(reply)) => Ok(reply),
            Ok(Begun::Ask(mut errand)) => {
                py.detach(|| errand.run());
                self.client.settle(errand, Instant::now())
            }
            Err(error) => Err(error),
        };
        answer(py, &self.client, reply)
    }

    /// What is kept and fresh, or None. Never waits.
    #[pyo3(signature = (path, learner = None, position = 0))]
    fn kept<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        learner: Option<&str>,
        position: u64,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let reply = self.client.kept(path, learner, position, Instant::now());
        reply.map(|reply| answer(py, &self.client, Ok(reply))).transpose()
    }

    /// Asks in a thread of this library's, which calls `done(answer, error)` in the end; one of both is None.
    #[pyo3(signature = (done, method, path, body = None, learner = None, position = 0, idempotency_key = None, is_write = false))]
    #[expect(clippy::too_many_arguments, reason = "one call of Python's, without an object made for it")]
    fn submit(
        &self,
        done: Py<PyAny>,
        method: &str,
        path: String,
        body: Option<Vec<u8>>,
        learner: Option<String>,
        position: u64,
        idempotency_key: Option<String>,
        is_write: bool,
    ) -> PyResult<()> {
        let asked = Asked { method: parse(method)?, path, body, learner, position, idempotency_key, is_write };
        let client = Arc::clone(&self.client);
        let job = move || asked.answer(&client, &done);
        // attached, so no fork happens while this lock is held
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inherited) = workers.take_if(|workers| !workers.is_of_this_process()) {
            // a thread that is not in this process may hold its lock
            std::mem::forget(inherited);
        }
        if workers.get_or_insert_default().submit(job) {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err("the client is closed, or no thread could be made"))
        }
    }

    /// Forgets what is kept about a learner; without one, everything.
    #[pyo3(signature = (learner = None))]
    fn forget(&self, learner: Option<&str>) {
        self.client.forget(learner);
    }

    /// What has come of all calls of this process.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.client.counts();
        let dict = PyDict::new(py);
        dict.set_item("kept", counts.kept)?;
        dict.set_item("unchanged", counts.unchanged)?;
        dict.set_item("fetched", counts.fetched)?;
        dict.set_item("stale", counts.stale)?;
        dict.set_item("failed", counts.failed)?;
        dict.set_item("entries", counts.entries)?;
        dict.set_item("bytes", counts.bytes)?;
        Ok(dict)
    }

    /// Ends the threads of this process; waits at most so many seconds for what they have begun.
    fn close(&self, py: Python<'_>, limit: f64) -> PyResult<bool> {
        let limit = seconds("limit", limit, false)?;
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(match workers {
            Some(workers) if workers.is_of_this_process() => py.detach(|| workers.close(limit)),
            Some(inherited) => {
                std::mem::forget(inherited);
                true
            }
            None => true,
        })
    }
}

impl Asked {
    /// In a worker: begins and settles attached, waits detached.
    fn answer(self, client: &Client, done: &Py<PyAny>) {
        let request = || Request {
            method: self.method,
            path: &self.path,
            body: self.body.as_deref(),
            learner: self.learner.as_deref(),
            position: self.position,
            idempotency_key: self.idempotency_key.as_deref(),
            is_write: self.is_write,
        };
        // nobody is there to be told once the interpreter ends
        let Some(begun) = Python::try_attach(|_| client.begin(request(), Instant::now())) else { return };
        let errand = match begun {
            Ok(Begun::Ask(mut errand)) => {
                errand.run();
                Ok(errand)
            }
            Ok(Begun::Done(reply)) => Err(Ok(reply)),
            Err(error) => Err(Err(error)),
        };
        let _told = Python::try_attach(|py| {
            let reply = match errand {
                Ok(errand) => client.settle(errand, Instant::now()),
                Err(reply) => reply,
            };
            // Refused once the interpreter ends: then, too, nobody is there to be told.
            let _refused = beneath(|| {
                let told = match answer(py, client, reply) {
                    Ok(answer) => done.call1(py, (answer, py.None())),
                    Err(error) => done.call1(py, (py.None(), error.value(py))),
                };
                if let Err(error) = told {
                    error.write_unraisable(py, None);
                }
                Ok(())
            });
        });
    }
}

fn parse(method: &str) -> PyResult<Method> {
    Method::parse(method).ok_or_else(|| PyValueError::new_err("a method is GET, POST, PUT, PATCH or DELETE"))
}

fn answer<'py>(py: Python<'py>, client: &Client, reply: Result<Reply, NodeError>) -> PyResult<Bound<'py, PyTuple>> {
    let failed = |status: i32, error: &NodeError| {
        (status, error.to_string(), "none", py.None(), py.None(), py.None()).into_pyobject(py)
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(NodeError::Invalid(why)) => return Err(PyValueError::new_err(why)),
        Err(error @ NodeError::Unexpected { .. }) => return failed(UNEXPECTED, &error),
        Err(error) => return failed(UNAVAILABLE, &error),
    };
    let value = match &reply.decoded {
        _ if reply.body.is_empty() => Ok(py.None().into_bound(py)),
        Some(decoded) => json::again(py, &reply.body, decoded),
        None => json::decode(py, &reply.body),
    };
    let value = match value {
        Ok(value) => value,
        // a number beyond all bounds, or arrays within arrays without end
        Err(json::DecodeError::Text(why)) => {
            let node = reply.node.map_or(String::new(), |node| client.settings().nodes[node].to_string());
            return failed(UNEXPECTED, &NodeError::Unexpected { node, why });
        }
        Err(json::DecodeError::Python(error)) => return Err(error),
    };
    let source = match reply.source {
        Source::Kept => pyo3::intern!(py, "kept"),
        Source::Unchanged => pyo3::intern!(py, "unchanged"),
        Source::Fetched => pyo3::intern!(py, "fetched"),
        Source::Stale => pyo3::intern!(py, "stale"),
    };
    (i32::from(reply.status), value, source, reply.tier, reply.node, reply.position).into_pyobject(py)
}

fn seconds(name: &str, given: f64, is_positive: bool) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(given) {
        Ok(duration) if given <= 1e9 && !(is_positive && duration.is_zero()) => Ok(duration),
        _ => Err(PyValueError::new_err(format!("{name} is {given}; accepted: seconds, up to 1e9"))),
    }
}
