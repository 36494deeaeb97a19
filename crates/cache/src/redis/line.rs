//! The connection for commands: kept up by a task, with a time limit for every request.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::scripts;
use super::transport::Dialer;

/// The first pause between attempts to connect, and after a connection that did not last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between attempts to connect: a server that is back is found this late at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lasted this long is replaced at once when it is lost.
const LASTING: Duration = Duration::from_secs(1);
/// Requests in a row without an answer after which the connection is replaced: it may lead nowhere.
const SILENCES: u32 = 5;

/// A way to send commands.
#[derive(Clone)]
pub(super) enum Line {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Line {
    /// Sends commands in one go; answers are in their order. An error is that of the connection.
    async fn send(&mut self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Server(line) => {
                let answers = line.req_packed_commands(commands, 0, commands.len()).await?;
                Ok(answers.into_iter().map(checked).collect())
            }
            Self::Cluster(line) => {
                let sent = commands.cmd_iter().map(|command| {
                    let mut line = line.clone();
                    async move { line.req_packed_command(command).await.and_then(checked) }
                });
                join_all(sent)
                    .await
                    .into_iter()
                    .map(|answer| match answer {
                        Err(error) if refusal(&error).is_none() => Err(error),
                        answer => Ok(answer),
                    })
                    .collect()
            }
        }
    }
}

/// An error of the server as an error. Only at the top: no answer to our commands holds errors deeper down.
fn checked(answer: Value) -> RedisResult<Value> {
    match answer {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Unreachable(String),
    TimedOut(Duration),
    Refused(String),
}

/// What the server said, if it was the server who said it.
fn refusal(error: &RedisError) -> Option<String> {
    let is_answer =
        matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed);
    is_answer.then(|| error.to_string())
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match refusal(&error) {
            Some(said) => Self::Refused(said),
            None => Self::Unreachable(error.to_string()),
        }
    }
}

/// How the connection for commands is doing.
#[derive(Clone)]
enum State {
    /// An attempt is being made, and none failed before: worth waiting for.
    Connecting,
    Connected(Line, u64),
    /// Attempts fail, the last one with this.
    Down(String),
}

/// The connection for commands, made again whenever it is lost.
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// Connections up to this one are to be replaced.
    given_up: watch::Sender<u64>,
    /// Connections that were made so far.
    connections: Arc<AtomicU64>,
    silences: AtomicU32,
    command_timeout: Duration,
    keeper: JoinHandle<()>,
}

impl Link {
    /// Starts the task that connects. Returns when the first attempt has ended, well or not.
    pub(super) async fn start(dialer: Arc<Dialer>, connect_timeout: Duration, command_timeout: Duration) -> Self {
        let (sender, mut state) = watch::channel(State::Connecting);
        let (given_up, receiver) = watch::channel(0);
        let connections = Arc::new(AtomicU64::new(0));
        let keeper =
            Keeper { dialer, connect_timeout, state: sender, given_up: receiver, connections: connections.clone() };
        let keeper = tokio::spawn(keeper.run());
        // Ends: every attempt has a time limit.
        state.wait_for(|state| !matches!(state, State::Connecting)).await.ok();
        Self { state, given_up, connections, silences: AtomicU32::new(0), command_timeout, keeper }
    }

    /// Connections that were made so far.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Connected(..))
    }

    /// Returns when there is a connection.
    pub(super) async fn connected(&self) {
        self.state.clone().wait_for(|state| matches!(state, State::Connected(..))).await.ok();
    }

    /// Returns when a connection made after this call is up: it may lead to another server, or when there will be none.
    pub(super) fn replacement(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (mut state, number) = (self.state.clone(), self.connections());
        async move {
            state.wait_for(|state| matches!(state, State::Connected(_, later) if *later > number)).await.ok();
        }
    }

    /// Sends commands and awaits their answers, for at most the time limit of a command in all.
    ///
    /// If this future is dropped, the commands may or may not be carried out.
    pub(super) async fn ask(&self, commands: &Pipeline) -> Result<Vec<RedisResult<Value>>, Failure> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = None;
        let asked = async {
            let (mut line, number) = self.line().await?;
            connection = Some(number);
            let mut answers = line.send(commands).await?;
            if answers.iter().any(is_unknown_script) {
                self.teach(&mut line, commands, &mut answers).await?;
            }
            if answers.iter().any(is_read_only) {
                // The master has become a replica: another is to be found.
                self.give_up(number);
            }
            Ok(answers)
        };
        match timeout(self.command_timeout, asked).await {
            Ok(Ok(answers)) => {
                self.silences.store(0, Ordering::Relaxed);
                Ok(answers)
            }
            Ok(Err(failure)) => {
                if let Some(number) = connection.filter(|_| matches!(failure, Failure::Unreachable(_))) {
                    self.give_up(number);
                }
                Err(failure)
            }
            Err(_) => {
                if let Some(number) = connection
                    && self.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES
                {
                    self.silences.store(0, Ordering::Relaxed);
                    self.give_up(number);
                }
                Err(Failure::TimedOut(self.command_timeout))
            }
        }
    }

    /// Brings the programs to a server that does not know them, and repeats those calls that failed for it.
    async fn teach(
        &self,
        line: &mut Line,
        commands: &Pipeline,
        answers: &mut [RedisResult<Value>],
    ) -> Result<(), Failure> {
        let mut lessons = Pipeline::new();
        scripts::load().into_iter().for_each(|lesson| _ = lessons.add_command(lesson));
        line.send(&lessons).await?;
        let unknown: Vec<usize> = (0..answers.len()).filter(|index| is_unknown_script(&answers[*index])).collect();
        let mut again = Pipeline::with_capacity(unknown.len());
        for (index, command) in commands.cmd_iter().enumerate() {
            if unknown.binary_search(&index).is_ok() {
                again.add_command(command.clone());
            }
        }
        for (index, answer) in unknown.into_iter().zip(line.send(&again).await?) {
            answers[index] = answer;
        }
        Ok(())
    }

    async fn line(&self) -> Result<(Line, u64), Failure> {
        let mut state = None;
        loop {
            match &*self.state.borrow() {
                State::Connected(line, number) => return Ok((line.clone(), *number)),
                State::Down(reason) => return Err(Failure::Unreachable(reason.clone())),
                State::Connecting => {}
            }
            let state = state.get_or_insert_with(|| self.state.clone());
            let moved_on = state.wait_for(|state| !matches!(state, State::Connecting)).await;
            if moved_on.is_err() {
                return Err(Failure::Unreachable("its task has ended".to_owned()));
            }
        }
    }

    fn give_up(&self, number: u64) {
        self.given_up.send_if_modified(|given_up| {
            let is_later = number > *given_up;
            *given_up = number.max(*given_up);
            is_later
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn is_unknown_script(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

fn is_read_only(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly))
}

/// The task that keeps the connection up.
struct Keeper {
    dialer: Arc<Dialer>,
    connect_timeout: Duration,
    state: watch::Sender<State>,
    given_up: watch::Receiver<u64>,
    connections: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match timeout(self.connect_timeout, self.dialer.connect()).await {
                Ok(Ok((line, driver))) => {
                    let began = Instant::now();
                    let number = self.connections.fetch_add(1, Ordering::AcqRel) + 1;
                    tracing::debug!(server = %self.dialer.address(), "connected to redis");
                    self.state.send_replace(State::Connected(line, number));
                    tokio::select! {
                        () = driver => {}
                        given_up = self.given_up.wait_for(|given_up| *given_up >= number) => {
                            // nobody is left who would send anything
                            if given_up.is_err() {
                                return;
                            }
                        }
                    }
                    self.state.send_replace(State::Connecting);
                    tracing::warn!(server = %self.dialer.address(), "the connection to redis is lost");
                    if began.elapsed() >= LASTING {
                        pause = FIRST_PAUSE;
                        continue;
                    }
                }
                Ok(Err(error)) => self.failed(error.to_string()),
                Err(_) => self.failed(format!("no connection within {:?}", self.connect_timeout)),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn failed(&self, reason: String) {
        let was_down = matches!(*self.state.borrow(), State::Down(_));
        if !was_down {
            tracing::warn!(server = %self.dialer.address(), reason, "redis cannot be reached");
        }
        self.state.send_replace(State::Down(reason));
    }
}
