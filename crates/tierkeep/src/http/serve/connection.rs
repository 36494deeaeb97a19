//! One connection, from its first request to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::refusal;
use super::watch::{Phase, Verdict, Watch};
use super::wire::Wire;
use crate::config::Connections;
use crate::http::api::{Answering, Api};
use crate::http::error::Edge;
use crate::http::gate::Peer;

/// Most bytes that a connection keeps of what it reads, and of what the client has not taken, unless headers may be longer.
/// Hyper's own bound is six times as much, times all connections.
const BUFFER: usize = 64 * 1024;

/// What every connection is served with.
pub(super) struct Served {
    pub(super) api: Api,
    pub(super) connections: Connections,
}

/// How connections are told of the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    /// The request under way is the last one.
    pub(super) draining: CancellationToken,
    /// There is no time left.
    pub(super) over: CancellationToken,
}

/// Why a connection is ended.
enum End {
    /// Hyper has come to its end.
    Itself(Result<(), hyper::Error>),
    SlowHead,
    /// For any reason that a client need not be told.
    Silent,
}

/// Serves a connection until its end.
pub(super) async fn run<S>(stream: S, peer: IpAddr, served: Arc<Served>, watch: Arc<Watch>, ends: Ends)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connections = served.connections.clone();
    let limit = usize::try_from(connections.header_limit.get()).unwrap_or(usize::MAX);
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&watch)));
    let asked = Asked { served, peer, watch: Arc::clone(&watch) };
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(limit)
        .max_buf_size(BUFFER.max(limit))
        .serve_connection(wire, asked);

    let end = {
        let mut is_told = false;
        let mut draining = pin!(ends.draining.cancelled());
        let mut is_draining = false;
        let polling = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(End::Itself(ended));
            }
            is_draining = is_draining || draining.as_mut().poll(cx).is_ready();
            // hyper closes a kept connection at once, also if a request has begun to come
            if is_draining && !is_told && watch.phase() != Phase::Head {
                is_told = true;
                Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            () = ends.over.cancelled() => End::Silent,
            end = polling => end,
            end = overdue(&watch, &connections) => end,
            () = watch.is_to_leave() => End::Silent,
        }
    };

    let parts = connection.into_parts();
    let Wire { mut stream, held, .. } = parts.io.into_inner();
    match end {
        End::Itself(Ok(())) => {
            let _ = stream.shutdown().await;
        }
        End::Itself(Err(error)) => match refusal::find(&error, &parts.read_buf, connections.header_limit) {
            Some(edge) if !held.is_empty() => {
                tracing::debug!(%peer, %error, "a request was refused before it was read");
                refuse(stream, &edge, &held, &ends).await;
            }
            _ => tracing::debug!(%peer, %error, "a connection failed"),
        },
        End::SlowHead => {
            tracing::debug!(%peer, "a client was cut off whose headers did not come in time");
            refuse(stream, &Edge::SlowHead(connections.header_timeout), &[], &ends).await;
        }
        End::Silent => {}
    }
}

async fn refuse(stream: impl AsyncRead + AsyncWrite + Unpin, edge: &Edge, instead_of: &[u8], ends: &Ends) {
    tokio::select! {
        biased;
        () = ends.over.cancelled() => {}
        () = refusal::write(stream, edge, instead_of) => {}
    }
}

/// Returns when a connection has been as it is for too long.
async fn overdue(watch: &Watch, connections: &Connections) -> End {
    loop {
        match watch.verdict(connections) {
            Verdict::Fine(left) => tokio::time::sleep(left).await,
            Verdict::SlowHead if watch.phase() == Phase::Head => return End::SlowHead,
            Verdict::SlowHead | Verdict::Idle => return End::Silent,
        }
    }
}

/// The requests of a connection.
struct Asked {
    served: Arc<Served>,
    peer: IpAddr,
    watch: Arc<Watch>,
}

impl hyper::service::Service<Request<Incoming>> for Asked {
    type Response = Response<Watched>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        self.watch.asked();
        request.extensions_mut().insert(Peer(self.peer));
        let answer = self.served.api.answer(request);
        Answer { answer, watch: Arc::clone(&self.watch) }
    }
}

/// An answer that is being found.
struct Answer {
    answer: Answering,
    watch: Arc<Watch>,
}

impl Future for Answer {
    type Output = Result<Response<Watched>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map_ok(|response| {
            self.watch.answering();
            response.map(|body| Watched { body, watch: Arc::clone(&self.watch) })
        })
    }
}

/// The body of an answer, which says when it is made.
struct Watched {
    body: Body,
    watch: Arc<Watch>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.answered();
    }
}

#[cfg(test)]
mod tests;
