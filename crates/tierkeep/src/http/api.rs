//! The API as a service: what is in memory is answered at once, all else by its route.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tower::Service;

use super::fast_path;
use super::observe::Observer;

/// Answers requests. Clones are the same service.
#[derive(Debug, Clone)]
pub struct Api {
    router: Router,
    observer: Option<Arc<Observer>>,
}

impl Api {
    pub(super) fn new(router: Router, observer: Observer) -> Self {
        Self { router, observer: Some(Arc::new(observer)) }
    }

    /// Answers a request that asks for nothing but what is in memory; `None` where it takes a route, and maybe time.
    pub fn at_once<B>(&self, request: &mut Request<B>) -> Option<Response> {
        let observer = self.observer.as_deref()?;
        // what panics here takes its route, which answers for itself or says what went wrong; the panic hook has logged it
        catch_unwind(AssertUnwindSafe(|| fast_path::answer(observer, request))).unwrap_or_default()
    }

    /// Begins to answer a request.
    pub(super) fn answer<B>(&self, mut request: Request<B>) -> Answering
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.at_once(&mut request) {
            Some(response) => Answering(Way::AtOnce(Some(response))),
            // a Router is always ready
            None => Answering(Way::Routed(self.router.clone().call(request.map(Body::new)))),
        }
    }
}

/// Routes alone.
impl From<Router> for Api {
    fn from(router: Router) -> Self {
        Self { router, observer: None }
    }
}

impl Service<Request<Body>> for Api {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        self.answer(request)
    }
}

/// An answer that is being found.
#[expect(missing_debug_implementations, reason = "axum's future has none")]
pub struct Answering(Way);

enum Way {
    /// `None` once it was taken.
    AtOnce(Option<Response>),
    Routed(RouteFuture<Infallible>),
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    /// # Panics
    /// If it is polled after its end.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::AtOnce(response) => Poll::Ready(Ok(response.take().expect("a future is polled until its end"))),
            Way::Routed(answer) => Pin::new(answer).poll(cx),
        }
    }
}
