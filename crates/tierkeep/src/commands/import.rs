//! `import`: files into tables, then the summaries.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table as Sheet, TableStyle};
use serde_json::{Map, Value, json};
use tierkeep_db::DatabaseUrl;
use tierkeep_learning::estimator::Estimator;
use tierkeep_learning::import::{
    Imported, Progress, Rejects, Table, XapiImported, detect_csv_key_type, detect_xapi_key_type, import_csv,
    import_xapi,
};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::{Store, Written};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::progress::{Meter, Settling, settle};
use super::{Context, Ending, Failure, create};
use crate::cli::ImportArgs;
use crate::console::{Console, Output};
use crate::signals;

/// Longest wait for the end of a chunk once the end was asked for. The chunk is one transaction: given up, it is undone.
const CHUNK_PATIENCE: Duration = Duration::from_secs(10);
/// Most columns that a note names; the JSON report names all.
const NAMED: usize = 5;

/// A file and what is in it.
struct Input<'a> {
    kind: Kind,
    path: &'a Path,
    name: String,
}

/// What is in a file, in the order of importing: what is referred to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Csv(Table),
    Xapi(Estimator),
}

/// What the import of one file did.
struct Done {
    file: String,
    table: &'static str,
    rows: u64,
    written: Written,
    rejected: u64,
    seconds: f64,
    /// Columns that were skipped; of a CSV file only.
    unknown_columns: Vec<String>,
    xapi: Option<XapiImported>,
}

pub(super) async fn run(arguments: &ImportArgs, context: &Context) -> Result<(), Failure> {
    context.guard_own_tables("import")?;
    let inputs = inputs(arguments)?;
    let ids = key_type(arguments.ids, &inputs)?;
    let database = &context.config().database.url;
    let mut rejects = rejects(arguments.rejects.as_deref(), &inputs, database)?;
    let stop = signals::stop_token()?;
    let store = context.open(database, create(ids)).await?;
    let imported = import(&*store, &inputs, &mut rejects, context, &stop).await;
    store.close().await;
    let (done, settling) = imported?;
    report(&done, settling.as_ref(), &rejects, context.console)?;
    rejects.finish().context("cannot write the file of rejected rows")?;
    if stop.is_cancelled() {
        let error =
            anyhow::anyhow!("stopped early; run the same command again to continue: rows are written by their id");
        return Err(Failure { ending: Ending::Stopped, error });
    }
    Ok(())
}

fn inputs(arguments: &ImportArgs) -> Result<Vec<Input<'_>>, Failure> {
    let seconds = |duration: Duration, flag: &str| {
        u32::try_from(duration.as_secs())
            .ok()
            .filter(|_| duration.subsec_nanos() == 0)
            .with_context(|| format!("--{flag} must be whole seconds, at most a day"))
            .map_err(Failure::usage)
    };
    let estimator = Estimator::gap(seconds(arguments.timeout, "timeout")?, seconds(arguments.tail, "tail")?)
        .map_err(Failure::usage)?;
    let files = [
        (Kind::Csv(Table::Users), &arguments.users),
        (Kind::Csv(Table::CourseProgress), &arguments.progress),
        (Kind::Csv(Table::StudySessions), &arguments.sessions),
        (Kind::Xapi(estimator), &arguments.xapi),
    ];
    let given = files.into_iter().filter_map(|(kind, path)| path.as_deref().map(|path| (kind, path)));
    Ok(given.map(|(kind, path)| Input { kind, path, name: path.display().to_string() }).collect())
}

/// What the caller says, else what the first file with a readable id has.
fn key_type(asked: Option<KeyType>, inputs: &[Input<'_>]) -> Result<Option<KeyType>, Failure> {
    // every name is looked up before anything is made, so that a mistyped one changes nothing
    for input in inputs {
        let data = std::fs::metadata(input.path).with_context(|| format!("cannot read {}", input.name))?;
        if asked.is_none() && !data.is_file() {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is no regular file and can be read only once: say with --ids uuid or --ids int what its ids are",
                input.name
            )));
        }
    }
    // with --ids no file is read twice, so pipes will do
    let mut found = asked;
    for input in inputs {
        if found.is_none() {
            let file = input.open()?;
            found = match input.kind {
                Kind::Csv(table) => detect_csv_key_type(table, &input.name, file),
                Kind::Xapi(_) => detect_xapi_key_type(&input.name, file),
            }
            .map_err(anyhow::Error::from)?;
        }
    }
    Ok(found)
}

fn rejects(path: Option<&Path>, inputs: &[Input<'_>], database: &DatabaseUrl) -> Result<Rejects, Failure> {
    let Some(path) = path else { return Ok(Rejects::new()) };
    let mut kept: Vec<&Path> = inputs.iter().map(|input| input.path).collect();
    if let DatabaseUrl::Sqlite(file) = database {
        kept.push(file.path());
    }
    // a file that does not exist yet is nobody's
    let is_target =
        |kept: &&Path| path.canonicalize().is_ok_and(|target| kept.canonicalize().is_ok_and(|kept| kept == target));
    if kept.iter().any(is_target) {
        return Err(Failure::usage(anyhow::anyhow!(
            "--rejects {} would overwrite a file that this import needs; name another one",
            path.display()
        )));
    }
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(Rejects::to_file(BufWriter::new(file)).with_context(|| format!("cannot write {}", path.display()))?)
}

async fn import(
    store: &dyn Store,
    inputs: &[Input<'_>],
    rejects: &mut Rejects,
    context: &Context,
    stop: &CancellationToken,
) -> Result<(Vec<Done>, Option<Settling>), Failure> {
    let mut all = Vec::new();
    for input in inputs {
        if stop.is_cancelled() {
            return Ok((all, None));
        }
        match input.import(store, rejects, context.console, stop).await? {
            Some(done) => all.push(done),
            None => return Ok((all, None)),
        }
    }
    let settling = settle(store, context.console, stop).await?;
    Ok((all, Some(settling)))
}

impl Input<'_> {
    fn open(&self) -> Result<File, Failure> {
        Ok(File::open(self.path).with_context(|| format!("cannot read {}", self.name))?)
    }

    /// Imports the file; `None` when `stop` ended it after a chunk.
    async fn import(
        &self,
        store: &dyn Store,
        rejects: &mut Rejects,
        console: Console,
        stop: &CancellationToken,
    ) -> Result<Option<Done>, Failure> {
        let file = self.open()?;
        // the size of a pipe is not known
        let bytes = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
        let mut meter = Meter::new(self.name.clone(), "rows", bytes, console);
        let chunk_ended = Arc::new(Notify::new());
        let notifier = Arc::clone(&chunk_ended);
        let signal = stop.clone();
        let mut progress = |progress: Progress| {
            meter.set(progress.bytes_read, bytes, progress.rows_stored);
            if signal.is_cancelled() {
                notifier.notify_one();
            }
        };
        let began = Instant::now();
        let importing = async {
            match self.kind {
                Kind::Csv(table) => import_csv(store, table, &self.name, file, &mut progress, rejects)
                    .await
                    .map(|imported| self.done_csv(table, imported)),
                Kind::Xapi(estimator) => import_xapi(store, &self.name, file, estimator, &mut progress, rejects)
                    .await
                    .map(|imported| self.done_xapi(imported)),
            }
        };
        let stopped = async {
            stop.cancelled().await;
            console.note("stopping after this chunk");
            let _ = tokio::time::timeout(CHUNK_PATIENCE, chunk_ended.notified()).await;
        };
        let ended = tokio::select! {
            biased;
            imported = importing => Some(imported),
            () = stopped => None,
        };
        meter.finish();
        let Some(imported) = ended else { return Ok(None) };
        let mut done = imported.map_err(anyhow::Error::from)?;
        done.seconds = began.elapsed().as_secs_f64();
        if let Some(note) = done.skipped() {
            console.note(note);
        }
        Ok(Some(done))
    }

    fn done_csv(&self, table: Table, imported: Imported) -> Done {
        let table = match table {
            Table::Users => "users",
            Table::CourseProgress => "course_progress",
            Table::StudySessions => "study_sessions",
        };
        Done {
            file: self.name.clone(),
            table,
            rows: imported.rows,
            written: imported.written,
            rejected: imported.rejected,
            seconds: 0.0,
            unknown_columns: imported.unknown_columns,
            xapi: None,
        }
    }

    fn done_xapi(&self, imported: XapiImported) -> Done {
        Done {
            file: self.name.clone(),
            table: "xapi",
            rows: imported.statements,
            written: imported.written,
            rejected: imported.rejected,
            seconds: 0.0,
            unknown_columns: Vec::new(),
            xapi: Some(imported),
        }
    }
}

impl Done {
    /// What is said of columns that were not imported: a misspelt one would be lost in silence.
    fn skipped(&self) -> Option<String> {
        let all = &self.unknown_columns;
        let named: Vec<String> = all.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
        let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
        let plural = if all.len() > 1 { "s" } else { "" };
        (!all.is_empty()).then(|| {
            let (file, table, named) = (&self.file, self.table, named.join(", "));
            format!("{file}: skipped the column{plural} {named}{more}, which {table} does not have")
        })
    }

    fn rows_per_second(&self) -> u64 {
        // a file that took no time at all is shown as if it had taken a millisecond; the sum is far below 2^53
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        let rate = (self.rows as f64 / self.seconds.max(0.001)) as u64;
        rate
    }

    fn json(&self) -> Value {
        let mut object = json!({
            "file": self.file,
            "table": self.table,
            "rows": self.rows,
            "inserted": self.written.inserted,
            "updated": self.written.updated,
            "rejected": self.rejected,
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second(),
        });
        if !self.unknown_columns.is_empty() {
            object["skipped_columns"] = json!(self.unknown_columns);
        }
        if let (Some(xapi), Some(fields)) = (&self.xapi, object.as_object_mut()) {
            fields.extend(xapi_json(xapi));
        }
        object
    }
}

fn xapi_json(xapi: &XapiImported) -> Map<String, Value> {
    let fields = [
        ("duplicates", json!(xapi.duplicates)),
        ("conflicts", json!(xapi.conflicts)),
        ("voided", json!(xapi.voided)),
        ("nominal_durations", json!(xapi.nominal_durations)),
        ("verbs", json!(xapi.verbs)),
        ("unknown_verbs", json!(xapi.unknown_verbs)),
        ("learners", json!(xapi.learners)),
        ("recorded_sessions", json!(xapi.recorded_sessions)),
        ("sittings", json!(xapi.sittings)),
        ("counted_seconds", json!(xapi.counted_seconds)),
        ("estimator", json!(xapi.estimator)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn report(all: &[Done], settling: Option<&Settling>, rejects: &Rejects, console: Console) -> Result<(), Failure> {
    if console.output() == Output::Json {
        let first: Vec<Value> = rejects
            .first()
            .iter()
            .map(|reject| {
                json!({ "file": &*reject.file, "line": reject.line, "column": reject.column, "reason": reject.reason })
            })
            .collect();
        let report = json!({
            "files": all.iter().map(Done::json).collect::<Vec<_>>(),
            "rejected": rejects.count(),
            "rejects": first,
            "summaries": settling.map(Settling::json),
        });
        return Ok(console.result(&report.to_string())?);
    }
    let mut text = sheet(all).to_string();
    for xapi in all.iter().filter_map(|done| done.xapi.as_ref()) {
        text.push_str(&xapi_lines(xapi));
    }
    if let Some(settling) = settling {
        text.push_str(&format!("\n{settling}"));
    }
    if rejects.count() > 0 {
        let shown = rejects.first().len();
        text.push_str(&format!("\n{} rejected, the first {shown}:", rejects.count()));
        for reject in rejects.first() {
            text.push_str(&format!("\n  {reject}"));
        }
    }
    Ok(console.result(&text)?)
}

fn sheet(all: &[Done]) -> Sheet {
    let mut sheet = Sheet::new();
    sheet.load_style(TableStyle::default());
    sheet.set_header(["file", "table", "rows", "inserted", "updated", "rejected", "seconds", "rows/s"]);
    for done in all {
        sheet.add_row([
            done.file.clone(),
            done.table.to_owned(),
            done.rows.to_string(),
            done.written.inserted.to_string(),
            done.written.updated.to_string(),
            done.rejected.to_string(),
            format!("{:.1}", done.seconds),
            done.rows_per_second().to_string(),
        ]);
    }
    for column in sheet.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    sheet
}

fn xapi_lines(xapi: &XapiImported) -> String {
    let mut text = format!(
        "\nxapi: {} learners, {} recorded sessions, {} sittings by the rule {}, {} duplicate, {} conflicting and {} \
         voided statements",
        xapi.learners,
        xapi.recorded_sessions,
        xapi.sittings,
        xapi.estimator,
        xapi.duplicates,
        xapi.conflicts,
        xapi.voided
    );
    if !xapi.unknown_verbs.is_empty() {
        text.push_str(&format!("\nxapi: taken as activity: {}", xapi.unknown_verbs.join(", ")));
    }
    text
}
