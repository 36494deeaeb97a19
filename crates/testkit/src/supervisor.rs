//! A shell that owns one server, so that the server ends with the test process however that ends.
//!
//! A destructor does not run when a process is killed, or for a `static`; a kernel-side death signal
//! would need `unsafe`. A pipe is closed in every case, so the shell waits for the end of a pipe.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::account::Account;
use crate::directory::ServerDirectory;

/// Lines of the server's log that an error repeats.
const LOG_LINES: usize = 12;

/// What a server is told by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// End now, without a word; nothing is cleaned up.
    Kill,
    /// PostgreSQL: disconnect the clients, write a checkpoint, end. Redis: end.
    Interrupt,
    /// PostgreSQL: end at once as after a crash, but release shared memory.
    Quit,
    /// Stop running until [`Signal::Continue`]; sockets stay open.
    Pause,
    /// Run again.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Pause => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A server, its directory and the shell that owns both. All methods block.
///
/// Dropping it ends the server, waits for that, and removes the directory.
#[derive(Debug)]
pub(crate) struct Supervisor {
    directory: PathBuf,
    shell: Mutex<Shell>,
}

#[derive(Debug)]
struct Shell {
    child: Child,
    /// `None` once the conversation is over.
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Takes over the directory; the server is not started yet.
    ///
    /// `command` is the server's program and its arguments; `last` is the signal it gets when the
    /// test process is gone.
    ///
    /// # Errors
    /// `/bin/sh` cannot be run.
    pub(crate) fn spawn(directory: ServerDirectory, command: &Command, last: Signal) -> Result<Self> {
        let mut shell = command_as(directory.account(), Path::new("/bin/sh"));
        shell
            .args(["-c", include_str!("supervisor.sh"), "supervisor"])
            .arg(directory.path())
            .arg(last.name())
            .arg(command.get_program())
            .args(command.get_args())
            // Its own group: an interrupt from the terminal reaches only the tests.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not ours: a test runner would wait for the shell to close it.
            .stderr(Stdio::null());
        let mut child = shell.spawn().context("running /bin/sh")?;
        let directory = directory.into_path();
        let commands = child.stdin.take();
        let replies = child.stdout.take().context("the shell has no standard output")?;
        Ok(Self { directory, shell: Mutex::new(Shell { child, commands, replies: BufReader::new(replies) }) })
    }

    /// Starts the server and waits until it accepts connections; returns its process number.
    ///
    /// # Errors
    /// The server ended at once or is not ready within about a minute; the error ends with its log.
    pub(crate) fn start(&self) -> Result<u32> {
        let reply = self.ask("start")?;
        match reply.strip_prefix("running ") {
            Some(pid) => pid.parse().with_context(|| format!("the shell answered {reply:?}")),
            None => bail!("the server did not start ({reply}):\n{}", self.log_end()),
        }
    }

    /// Ends the server and waits until its process is gone; a server that does not run is fine.
    ///
    /// # Errors
    /// The shell is gone.
    pub(crate) fn end(&self, signal: Signal) -> Result<()> {
        self.ask(&format!("end {}", signal.name())).map(drop)
    }

    /// Sends a signal and does not wait for an effect.
    ///
    /// # Errors
    /// The server does not run, or the shell is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match self.ask(&format!("signal {}", signal.name()))?.as_str() {
            "done" => Ok(()),
            _ => bail!("no server to send {} to", signal.name()),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The last lines the server wrote since it was started.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn ask(&self, command: &str) -> Result<String> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = shell.commands.as_mut().context("the supervisor has ended")?;
        writeln!(commands, "{command}").context("writing to the supervisor")?;
        let mut reply = String::new();
        shell.replies.read_line(&mut reply).context("reading from the supervisor")?;
        if reply.is_empty() {
            bail!("the supervisor of {} has ended", self.directory.display());
        }
        Ok(reply.trim_end().to_owned())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.commands.take());
        // The only error is a child that somebody else has collected: it has ended then, too.
        shell.child.wait().ok();
    }
}

/// A command that runs under the account, from a directory nobody removes.
pub(crate) fn command_as(account: Option<Account>, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Storage;

    /// Supervises a script in place of a server; `$1` in it is the server's directory.
    fn supervise(script: &str) -> Supervisor {
        let directory = ServerDirectory::create("tierkeep-script-", Storage::Disk).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "script"]).arg(directory.path());
        Supervisor::spawn(directory, &command, Signal::Kill).unwrap()
    }

    #[test]
    fn readiness_of_an_earlier_start_is_not_taken_for_a_later_one() {
        let supervisor = supervise(
            "[ -e $1/second ] && exec sleep 0.2
            touch $1/second; echo ready to accept connections; exec sleep 600",
        );
        supervisor.start().unwrap();
        supervisor.end(Signal::Kill).unwrap();

        assert!(supervisor.start().is_err());
    }

    #[test]
    fn server_that_has_ended_by_itself_is_started_again() {
        let supervisor = supervise("echo ready to accept connections; read -r line <$1/fifo");
        let fifo = supervisor.directory().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let first = supervisor.start().unwrap();

        fs::write(&fifo, "end\n").unwrap();
        while supervisor.signal(Signal::Continue).is_ok() {}

        assert_ne!(supervisor.start().unwrap(), first);
    }

    #[test]
    fn log_of_a_server_that_does_not_start_is_repeated() {
        let error = supervise("echo no such setting >&2; exit 1").start().unwrap_err();

        assert_eq!(error.to_string(), "the server did not start (ended):\nno such setting");
    }
}
