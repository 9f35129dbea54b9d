//! The subcommands that people type, one file each. May use every room; nothing uses it but the binary.
//!
//! ```text
//!   arguments -> Command -> manager      controller + any API server
//!                           standalone   controller + embedded server, in one process
//!                           bench        controller against the bare writes, on either server
//!                           preflight    what would change in a cluster, and what stands in the way
//!                           top          pools, and what changes in them, on a live screen
//!                           pools, pool, who, why, tree, plan, forecast
//!                                        answers about a cluster, which they only read
//!                           check        where a cluster's pools, claims and addresses contradict each other
//!                           repair       what two such reports agree on
//!                           crds         the definitions as YAML
//!                           completion, man
//!                                        for shells and people at a terminal
//!                           version
//! ```

/// Writes a line to standard error, as [`eprintln`] does, and goes on where nobody reads it any more.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod accepted;
mod apply;
mod ask;
mod bench;
mod board;
mod causes;
mod check;
mod connect;
pub mod crds;
mod documents;
mod flags;
mod follow;
mod leases;
mod manager;
mod names;
mod objects;
mod options;
mod ownership;
mod paint;
mod place;
mod preflight;
mod progress;
mod shell;
mod signals;
mod standalone;
mod status_servers;
mod table;
#[cfg(test)]
mod tests;
mod top;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use causes::causes;

/// IP address management for bare-metal Kubernetes fleets.
#[derive(Debug, Parser)]
#[command(name = "metal3-ipam", version, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(args_override_self = true)]
    Manager(Box<manager::Manager>),
    #[command(args_override_self = true)]
    Standalone(standalone::Standalone),
    Bench(bench::Bench),
    Preflight(preflight::Preflight),
    Top(top::Top),
    Pools(ask::Pools),
    Pool(ask::Pool),
    Who(ask::Who),
    Why(ask::Why),
    Tree(ask::Tree),
    Plan(ask::Plan),
    Forecast(ask::Forecast),
    Check(check::Check),
    Repair(check::Repair),
    Crds(crds::Crds),
    Completion(shell::Completion),
    Man(shell::Man),
    /// Prints the version.
    Version,
}

/// The definition of the command line, of which `cargo xtask docs` makes `docs/cli.md`.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    if let Some(code) = shell::completes().or_else(shell::completes_for_kubectl) {
        return code;
    }
    let arguments = Arguments::parse_from(with_subcommand(std::env::args_os().collect()));
    // As Go's programs do it: the soft limit is for programs that use select(2), and a server has many connections.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let outcome = match arguments.command {
        Command::Manager(manager) => in_runtime(manager.run(), Leftovers::Cut),
        Command::Standalone(standalone) => in_runtime(standalone.run(), Leftovers::Waited),
        Command::Bench(bench) => in_runtime(bench.run(), Leftovers::Cut),
        Command::Preflight(preflight) => in_runtime(preflight.run(), Leftovers::Cut),
        Command::Top(top) => in_runtime(top.run(), Leftovers::Cut),
        Command::Pools(pools) => in_runtime(pools.run(), Leftovers::Cut),
        Command::Pool(pool) => in_runtime(pool.run(), Leftovers::Cut),
        Command::Who(who) => in_runtime(who.run(), Leftovers::Cut),
        Command::Why(why) => in_runtime(why.run(), Leftovers::Cut),
        Command::Tree(tree) => in_runtime(tree.run(), Leftovers::Cut),
        Command::Plan(plan) => in_runtime(plan.run(), Leftovers::Cut),
        Command::Forecast(forecast) => in_runtime(forecast.run(), Leftovers::Cut),
        Command::Check(check) => in_runtime(check.run(), Leftovers::Cut),
        Command::Repair(repair) => in_runtime(repair.run(), Leftovers::Cut),
        Command::Crds(crds) => crds.text().and_then(|text| print(&text)),
        Command::Completion(completion) => completion.run(),
        Command::Man(man) => man.run(),
        Command::Version => print(&format!("metal3-ipam {}\n", env!("CARGO_PKG_VERSION"))),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell!("metal3-ipam: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Upstream's binary is called `manager` and has no subcommands: under that name, or with flags where a subcommand would
/// stand, the arguments are the manager's.
fn with_subcommand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let program = arguments
        .first()
        .and_then(|program| Path::new(program).file_stem());
    let is_manager = program.is_some_and(|program| program == "manager");
    let first = arguments.get(1).and_then(|first| first.to_str());
    let implied = match first {
        None | Some("-h" | "--help") => is_manager,
        Some("-V" | "--version") => false,
        Some(other) => other.starts_with('-'),
    };
    if implied {
        arguments.insert(1, "manager".into());
    }
    arguments
}

/// Time for calls that block a thread, such as a lookup of a name, when all else has ended.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// What becomes of threads that are at work when a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    /// They are cut off: a resolver that does not answer delays no end.
    Cut,
    /// They are waited for: one may close the store.
    Waited,
}

/// Runs to the end on all cores.
fn in_runtime(
    run: impl Future<Output = anyhow::Result<ExitCode>>,
    leftovers: Leftovers,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let outcome = runtime.block_on(run);
    if leftovers == Leftovers::Cut {
        runtime.shutdown_timeout(LAST_CALLS);
    }
    outcome
}

/// Whether anybody reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Gone,
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
fn write_out(text: &str) -> anyhow::Result<Reader> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Writes all that there is to write.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    write_out(text).map(|_| ExitCode::SUCCESS)
}
