//! A scratch server for a person: `cargo run -p tierkeep-testkit -- postgres` (or `redis`, whose settings may follow:
//! `redis port 7000 bind 127.0.0.1`).
//!
//! Prints the server's address, process number and directory, one per line, and serves until its
//! standard input ends. However this program ends, the server and its directory go with it.

use std::io::Write;

use anyhow::{Result, bail};
use tierkeep_testkit::{PostgresServer, RedisServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("postgres") => {
            let server = PostgresServer::launch().await?;
            serve(&[server.url("postgres"), number(server.pid()), server.directory().display().to_string()])
        }
        Some("redis") => {
            let settings: Vec<String> = std::env::args().skip(2).collect();
            let (pairs, rest) = settings.as_chunks::<2>();
            if let [name] = rest {
                bail!("the setting {name} lacks its value");
            }
            let mut server = RedisServer::builder();
            for [name, value] in pairs {
                server = server.setting(name, value);
            }
            let server = server.launch().await?;
            serve(&[server.url(), number(server.pid()), server.directory().display().to_string()])
        }
        _ => bail!("which server? accepted: postgres, redis"),
    }
}

fn number(pid: Option<u32>) -> String {
    pid.map(|pid| pid.to_string()).unwrap_or_default()
}

/// Prints the lines and waits for the end of standard input; nothing else runs here, so it may block.
fn serve(lines: &[String]) -> Result<()> {
    let mut output = std::io::stdout().lock();
    for line in lines {
        writeln!(output, "{line}")?;
    }
    output.flush()?;
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
