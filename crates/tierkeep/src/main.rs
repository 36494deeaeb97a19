//! The binary; its story is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    tierkeep::cli::run(std::env::args_os())
}
