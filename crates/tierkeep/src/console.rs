//! The terminal: results on stdout, everything said about them on stderr.
//!
//! A reader that went away (`| head`) is no failure: what it no longer wants is not written.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Human,
    /// For programs: JSON on stdout and nothing else there.
    Json,
}

/// The two streams.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    output: Output,
}

impl Console {
    /// A console that writes results as `output` says.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// How results are written.
    #[must_use]
    pub fn output(self) -> Output {
        self.output
    }

    /// Whether stderr is a terminal, so that progress may be drawn.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        io::stderr().is_terminal()
    }

    /// Says a line on stderr.
    pub fn note(self, line: impl Display) {
        // nowhere is left to report that stderr is closed
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Writes a piece of a result to stdout.
    ///
    /// # Errors
    /// As [`Console::result`].
    pub fn piece(self, piece: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(piece).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a result and a line end to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written for another reason than a reader that went away.
    pub fn result(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { stdout.write_all(b"\n") })
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
