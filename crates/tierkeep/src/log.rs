//! The log: lines on stderr for people or for programs, each with the id of the request under which it was written.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Log, LogFormat};
use crate::request;

/// Logs to stderr from here on. A second call, in tests, changes nothing.
pub fn start(log: &Log) {
    let colours = io::stderr().is_terminal();
    let _ = tracing::dispatcher::set_global_default(dispatch(log, colours, io::stderr));
}

/// What writes the lines that `log` asks for to a writer.
pub fn dispatch<W>(log: &Log, colours: bool, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // the configuration has read it
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    Dispatch::new(tracing_subscriber::registry().with(lines(log.format, colours, writer)).with(filter))
}

fn lines<W>(format: LogFormat, colours: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(colours).event_format(Text(Format::default().with_ansi(colours))).boxed(),
        LogFormat::Json => {
            let object = Format::default().json().flatten_event(true).with_span_list(false);
            layer.with_ansi(false).fmt_fields(JsonFields::new()).event_format(Object(object)).boxed()
        }
    }
}

/// A line for people, the id behind everything else.
struct Text(Format);

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match request::with_id(|id| writeln!(writer, "{line} request_id={id}")) {
            Some(written) => written,
            None => writeln!(writer, "{line}"),
        }
    }
}

/// An object on a line, the id as its last field. It needs no escapes: see [`request`].
struct Object(Format<Json>);

impl<S, N> FormatEvent<S, N> for Object
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match (line.strip_suffix('}'), request::with_id(str::to_owned)) {
            (Some(open), Some(id)) => writeln!(writer, "{open},\"request_id\":\"{id}\"}}"),
            _ => writeln!(writer, "{line}"),
        }
    }
}
