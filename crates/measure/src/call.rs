//! What `#[measured]` puts around a function's body. Public for the code it generates, not to be written by hand.

mod classified;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

pub use classified::{Probe, ViaAny, ViaResult};
pub use tracing;
use tracing::Span;

use crate::nanos::whole_nanoseconds;
pub use crate::recorder::Ending;
use crate::recorder::Recorder;
use crate::registry;

/// A place in the program whose calls are measured.
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    recorder: OnceLock<Arc<Recorder>>,
}

/// Whether the time that a future is polled is added up, which takes two more readings of the clock a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It is.
    Counted,
    /// It is not.
    Ignored,
}

impl Site {
    /// A place whose calls count under this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, recorder: OnceLock::new() }
    }

    /// A call that begins now, unless measuring is switched off.
    #[must_use]
    #[inline]
    pub fn begin(&'static self, on: bool) -> Call {
        if on { self.begin_now() } else { Call(None) }
    }

    #[inline]
    fn begin_now(&'static self) -> Call {
        let recorder = self.recorder.get_or_init(|| registry::recorder(self.name));
        Call(Some(Begun { recorder, at: Instant::now(), stage: Stage::Running, busy: 0 }))
    }
}

/// A call under way, or none. Dropped before its end, it was broken off: in the middle of its code by a panic, between two
/// polls by whoever dropped its future. That a thread panics says nothing: its unwinding may drop futures that wait.
#[derive(Debug)]
pub struct Call(Option<Begun>);

#[derive(Debug)]
struct Begun {
    recorder: &'static Recorder,
    at: Instant,
    stage: Stage,
    /// Nanoseconds.
    busy: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Waiting,
}

impl Call {
    /// The call has returned.
    #[inline]
    pub fn end(self, ending: Ending) {
        if let Some(begun) = &self.0 {
            begun.end(ending);
        }
        // Nothing is left to be dropped, and taking it out would copy it.
        std::mem::forget(self);
    }

    /// Polls the body of an async function, within a span.
    #[inline]
    pub fn poll<F: Future>(
        &mut self,
        span: Option<&Span>,
        busy: Busy,
        body: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let Some(begun) = &mut self.0 else { return body.poll(context) };
        let _entered = span.map(Span::enter);
        begun.stage = Stage::Running;
        let polled = match busy {
            Busy::Ignored => body.poll(context),
            Busy::Counted => {
                let from = Instant::now();
                let polled = body.poll(context);
                begun.busy += whole_nanoseconds(from.elapsed());
                polled
            }
        };
        if polled.is_pending() {
            begun.stage = Stage::Waiting;
        }
        polled
    }
}

/// A span, unless it is one that nobody wants: that need not be carried along. Boxed, as every future is as large as if it
/// carried one.
#[inline]
#[must_use]
pub fn wanted(span: Span) -> Option<Box<Span>> {
    if span.is_disabled() { None } else { Some(Box::new(span)) }
}

impl Begun {
    #[inline]
    fn end(&self, ending: Ending) {
        self.recorder.ended(whole_nanoseconds(self.at.elapsed()), ending);
        if self.busy > 0 {
            self.recorder.was_busy(self.busy);
        }
    }

    #[cold]
    fn break_off(&self) {
        match self.stage {
            Stage::Running => self.recorder.panicked(),
            Stage::Waiting => self.recorder.cancelled(),
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if let Some(begun) = &self.0 {
            begun.break_off();
        }
    }
}

/// Runs a body. A closure that is called by way of this may give away what it has borrowed mutably.
#[inline]
pub fn once<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// Never called: a `return` of this tells the compiler what a body gives.
///
/// # Panics
/// When it is called all the same.
pub fn promised<T>() -> T {
    unreachable!("it stands behind `if false`")
}

/// A future whose polls are measured, from the first one on; `ending` looks at its output.
pub async fn future<F: Future>(
    site: &'static Site,
    span: impl FnOnce() -> Span,
    busy: Busy,
    body: F,
    ending: impl FnOnce(&F::Output) -> Ending,
) -> F::Output {
    let mut body = pin!(body);
    if !registry::is_enabled() {
        return body.await;
    }
    let span = wanted(span());
    let mut call = site.begin(true);
    let output = poll_fn(|context| call.poll(span.as_deref(), busy, body.as_mut(), context)).await;
    call.end(ending(&output));
    output
}
