//! `metal3-ipam standalone`: the embedded API server and the controller in one process, for people without a cluster.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use kube::Client;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Verdict};
use super::documents::{self, Manifest};
use super::flags::{self, Listen};
use super::follow::Follow;
use super::options::{Logging, Serving};
use super::progress::Progress;
use super::status_servers::{Announce, RunStatus, StatusServers};
use super::{apply, leases, print, signals};
use crate::controller::{self, Controller, ControllerError, View};
use crate::observe::diagnostics::Guard;
use crate::observe::logs::{Dial, Level};
use crate::standalone::{self, Listening, Server, ServerError};

/// Time between two looks at how far the claims are.
const LOOK: Duration = Duration::from_millis(100);
/// How long nothing may have happened, here or in the controller, before claims that wait count as waiting for good. The
/// controller reports when it is idle; this covers the moment in which it has taken a change in and not reported it yet.
const QUIET: Duration = Duration::from_millis(300);
/// Most reasons that are printed one by one; the table has them all.
const MAX_REASONS: usize = 20;

/// Runs an embedded API server and the controller in one process: no cluster is needed.
///
/// Serves the objects in the data folder over TLS, writes a kubeconfig for kubectl there, applies the files, waits for their
/// claims, prints who got which address, and goes on serving.
#[derive(Debug, Args)]
pub(super) struct Standalone {
    /// Folder of the objects, the certificate, the token and the kubeconfig. Made when it is not there.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Where to listen, as host:port; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6444", value_parser = listen)]
    listen: Listen,
    /// Another name or address that the server's certificate is good for, beside localhost, its loopback addresses and the
    /// address listened on (for every address: this machine's name and addresses). May be given more than once.
    #[arg(long, value_name = "NAME", value_parser = flags::host, action = clap::ArgAction::Append)]
    tls_san: Vec<String>,
    /// Name or address of this server in the kubeconfig that it writes. The certificate is good for it, too. Default: the
    /// address listened on, or one of this machine's.
    #[arg(long, value_name = "NAME", value_parser = flags::host)]
    advertise_address: Option<String>,
    /// Apply the objects of this YAML or JSON file (-: standard input) before the claims are waited for. May be given more
    /// than once.
    #[arg(long, value_name = "FILE", action = clap::ArgAction::Append)]
    apply: Vec<String>,
    /// End when every claim is bound, with exit code 0; or with 1 and the reasons when one can never be.
    #[arg(long)]
    once: bool,
    /// With --once: how long to wait for the claims; then it ends with exit code 1 and the table as it is. 0: for ever.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = flags::duration, requires = "once")]
    timeout: Duration,
    /// Where health is served, as host:port or :port; 0: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = Listen::parse)]
    health_addr: Listen,
    /// Where the metrics are served, as host:port or :port; 0: nowhere. To anyone and without TLS, so keep it to this
    /// machine: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = Listen::parse)]
    diagnostics_address: Listen,
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    logging: Logging,
}

/// An address to listen at; this server cannot be switched off.
fn listen(text: &str) -> Result<Listen, String> {
    match Listen::parse(text)? {
        Listen::Off => Err("expected host:port, such as 127.0.0.1:6444".to_owned()),
        listen @ (Listen::Everywhere(_) | Listen::At(..)) => Ok(listen),
    }
}

impl Standalone {
    /// Runs until a signal, or with `--once` until the claims are settled.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        // The table shall not drown in the log.
        let dial = self.logging.start(Level::Warn)?;
        let shutdown = signals::shutdown()?;
        // Read before anything is made or written, so that a mistake in a file leaves nothing behind.
        let manifests = tokio::select! {
            read = read(self.apply.clone()) => read?,
            () = shutdown.cancelled() => bail!("stopped before the files to apply were read"),
        };
        let options = standalone::options(self.data_dir.clone());
        let server = tokio::select! {
            opened = Server::open(options) => opened.map_err(advised)?,
            () = shutdown.cancelled() => {
                // A large folder is read whole after a crash. That cannot be interrupted, but nothing is lost with it.
                tell!("metal3-ipam: stopped before the data folder was open");
                std::process::exit(1);
            }
        };
        let serving = self.serve(&server, &manifests, dial, &shutdown);
        let ended = tokio::select! {
            ended = serving => ended,
            // Nothing can be written any more: what is kept in memory is left as it is.
            why = server.failed() => bail!(
                "the server ends because it cannot go on: {why}; the objects in {} are as they were after the last write that was answered. Free space or mend the disk, then start it again",
                self.data_dir.display()
            ),
        };
        server.close().await;
        ended
    }

    async fn serve(
        &self,
        server: &Server,
        manifests: &[Manifest],
        dial: Dial,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let client = server.client();
        // Before anyone can reach the server.
        leases::hold_for_standalone(&client).await?;
        let names: Vec<String> = self
            .tls_san
            .iter()
            .chain(&self.advertise_address)
            .cloned()
            .collect();
        let listening = bind(server, &self.listen, &names).await?;
        let kubeconfig = match &self.advertise_address {
            None => server.write_kubeconfig(listening.addr)?,
            Some(host) => server.write_kubeconfig_for(&with_port(host, listening.addr.port()))?,
        };
        let kubeconfig = std::path::absolute(&kubeconfig).unwrap_or(kubeconfig);
        print(&format!(
            "Serving at https://{}\nexport KUBECONFIG={}\n",
            listening.addr,
            quoted(&kubeconfig)
        ))?;
        tokio::select! {
            applied = self.apply(&client, manifests) => applied?,
            () = shutdown.cancelled() => bail!("stopped before everything was applied"),
        }
        // Started only now, so that its first decision knows all that was applied.
        let settings = self.serving.settings();
        let metrics = Arc::clone(&settings.metrics);
        let counted = controller::counted(client.clone(), &listening.addr.to_string(), &metrics);
        let controller = Controller::new(counted.clone(), counted, settings);
        let view = controller.view();
        let mut servers = StatusServers::default();
        let address = &self.health_addr;
        servers
            .health(address, view.clone(), None, Announce::Terminal)
            .await?;
        let status = RunStatus {
            view: view.clone(),
            pools: self.serving.pool_metrics,
            dial,
            server: Some(server.clone()),
        };
        let address = &self.diagnostics_address;
        servers
            .diagnostics(
                address,
                status.served()?,
                |_| Ok(Guard::Open),
                Announce::Terminal,
            )
            .await?;
        // Not a child of `shutdown`: an end of the controller that was not asked for here is a failure.
        let stop = CancellationToken::new();
        let mut running = tokio::spawn(controller.run(stop.clone()));
        let mut kept = pin!(leases::keep_for_standalone(&client));
        let ended = tokio::select! {
            ended = &mut running => return failed(ended),
            settled = self.wait(&client, &view) => settled,
            () = shutdown.cancelled() => Ok(None),
            why = &mut kept => Err(why),
        };
        let code = match ended? {
            // A signal. Who asked for an end once the claims are settled did not get that.
            None => Ok(ExitCode::from(u8::from(self.once))),
            Some(code) if self.once => Ok(code),
            Some(_) => tokio::select! {
                ended = &mut running => return failed(ended),
                () = shutdown.cancelled() => Ok(ExitCode::SUCCESS),
                why = &mut kept => Err(why),
            },
        };
        stop.cancel();
        running.await.context("the controller broke off")??;
        servers.stop().await?;
        listening.stop().await;
        code
    }

    async fn apply(&self, client: &Client, manifests: &[Manifest]) -> anyhow::Result<()> {
        if manifests.is_empty() {
            return Ok(());
        }
        let applied = apply::apply(client, manifests).await?;
        for note in &applied.notes {
            tell!("note: {note}");
        }
        tell!(
            "applied: {} created, {} updated",
            applied.created,
            applied.updated
        );
        Ok(())
    }

    /// Waits until every claim is bound or waits for good, then prints the table. The answer is the exit code of `--once`.
    async fn wait(&self, client: &Client, view: &View) -> anyhow::Result<Option<ExitCode>> {
        let start = Instant::now();
        let mut follow = Follow::start(client);
        let mut board = Board::default();
        let mut progress = Progress::new("bound");
        let mut changes = view.changes();
        let mut last_change = start;
        let mut look = start + LOOK;
        let stuck = loop {
            tokio::select! {
                change = follow.next() => {
                    board.take(change?);
                    last_change = Instant::now();
                    continue;
                }
                () = view.changed(&mut changes) => {
                    last_change = Instant::now();
                    continue;
                }
                () = sleep_until(look) => {}
            }
            if !self.timeout.is_zero() && start.elapsed() >= self.timeout {
                progress.clear();
                print(&board.table())?;
                tell!("not all claims were settled within {:?}", self.timeout);
                return Ok(Some(ExitCode::FAILURE));
            }
            let idle = view.is_idle() && last_change.elapsed() >= QUIET;
            match board.verdict(&view.snapshots()) {
                Verdict::Bound => break Vec::new(),
                Verdict::Stuck(reasons) if idle => break reasons,
                Verdict::Stuck(_) | Verdict::Open => {
                    let (bound, waiting) = board.counts();
                    if bound + waiting > 0 {
                        progress.show(bound, waiting);
                    }
                }
            }
            look = Instant::now() + LOOK;
        };
        progress.clear();
        let (bound, waiting) = board.counts();
        print(&board.table())?;
        summarize(view, last_change - start);
        if stuck.is_empty() {
            return Ok(Some(ExitCode::SUCCESS));
        }
        tell!("{waiting} of {} claims have no address:", bound + waiting);
        for reason in stuck.iter().take(MAX_REASONS) {
            tell!("  {reason}");
        }
        if stuck.len() > MAX_REASONS {
            tell!("  and {} more", stuck.len() - MAX_REASONS);
        }
        Ok(Some(ExitCode::FAILURE))
    }
}

/// What to do about a store that cannot be read.
fn advised(error: ServerError) -> anyhow::Error {
    let is_of_store = error.is_of_store();
    let error = anyhow::Error::from(error);
    if is_of_store {
        return error.context(
            "the objects in the data folder cannot be read, and none was changed; free space or mend the disk where that is the cause, else \
             restore the folder from a backup (docs/backup.md)",
        );
    }
    error
}

/// Prints the rate, when this run has bound anything.
fn summarize(view: &View, took: Duration) {
    let counters = view.counters();
    let bound: u64 = counters.bound.values().sum();
    if bound > 0 {
        let rate = bound as f64 / took.as_secs_f64().max(0.001);
        let writes = counters.writes() as f64 / bound as f64;
        tell!(
            "bound {bound} in {:.2} s ({rate:.0}/s, {writes:.1} writes each)",
            took.as_secs_f64()
        );
    }
}

/// The controller ends by itself only when something is wrong.
fn failed(
    ended: Result<Result<(), ControllerError>, tokio::task::JoinError>,
) -> anyhow::Result<ExitCode> {
    ended
        .context("the controller broke off")?
        .context("the controller failed")?;
    bail!("the controller ended by itself")
}

/// Reads the files to apply, on a thread that the end of the program does not wait for: standard input may never end.
async fn read(files: Vec<String>) -> anyhow::Result<Vec<Manifest>> {
    let (sent, read) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut manifests = Vec::new();
        let all = files.iter().try_for_each(|file| {
            let read = documents::load(file)?;
            let what = if file == "-" { "standard input" } else { file };
            ensure!(!read.is_empty(), "{what} holds no object to apply");
            manifests.extend(read);
            Ok(())
        });
        // Not awaited any more when the program is ending.
        let _ = sent.send(all.map(|()| manifests));
    });
    read.await.context("reading the files to apply broke off")?
}

/// A host as a URL has it before its port.
fn with_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

async fn bind(server: &Server, listen: &Listen, names: &[String]) -> anyhow::Result<Listening> {
    let candidates = listen
        .candidates()
        .await
        .with_context(|| format!("cannot find the address {listen}"))?;
    let mut last = None;
    for addr in candidates {
        match server.listen_as(addr, names).await {
            Ok(listening) => return Ok(listening),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error @ ServerError::Listen { .. }) => Err(error).context(
            "cannot listen; choose another address with --listen, or 127.0.0.1:0 for a free port",
        ),
        Some(error) => Err(error.into()),
        None => bail!("{listen} is no address of this machine"),
    }
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_shell() {
        for (path, want) in [
            ("/a/b-c.d", "/a/b-c.d"),
            ("/a b", "'/a b'"),
            ("/it's", r"'/it'\''s'"),
            ("/$x", "'/$x'"),
        ] {
            assert_eq!(quoted(Path::new(path)), want);
        }
    }
}
