//! The subcommands that people type, one file each. May use every room; nothing uses it but the binary.
//!
//! ```text
//!   arguments -> Command -> crds         the definitions as YAML
//!                           version
//! ```

mod crds;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// IP address management for bare-metal Kubernetes fleets.
#[derive(Debug, Parser)]
#[command(name = "metal3-ipam", version, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Crds(crds::Crds),
    /// Prints the version.
    Version,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Crds(crds) => crds.text().and_then(|text| print(&text)),
        Command::Version => print(&format!("metal3-ipam {}\n", env!("CARGO_PKG_VERSION"))),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("metal3-ipam: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
