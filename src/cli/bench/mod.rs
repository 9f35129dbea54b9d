//! `metal3-ipam bench`: how fast claims are bound on an API server, as a share of what that server itself takes.
//!
//! Figures of two runs say little on a shared machine, so every figure has its partner in the same run: in each round everyone
//! takes part in turn, first the three writes of each claim sent with no controller around them (the ceiling), then the
//! controller; same client, same cap of requests in flight, same watches, same creators. What counts is the ratio.
//!
//! ```text
//!   site.rs      which server: an embedded one, or the one that --kubeconfig names
//!   patient.rs   asks a server again that is not ready yet
//!   load.rs      a namespace, pools and claims, and their end        rule.rs   finalizers put in by the server
//!   hooks.rs     webhooks that the server asks
//!   observer.rs  watches the claims: when each was created and bound      lifetimes.rs  and no address is given twice
//!   side.rs      who binds them: the ceiling or the controller   ceiling.rs  the bare writes
//!   burst.rs     claims of one pool while another one's come in a burst   waves.rs  load for others to see
//!   report.rs    medians, the table, JSON          usage.rs   CPU time and memory of this process
//!   outcome.rs   what is printed and stored        machine.rs cores, memory, load
//!   live.rs      metrics that are scraped while rounds run
//!   page.rs      the same as one HTML page        picture.rs its distributions as coordinates
//!   baseline.rs  a stored run, and a new one beside it          compare.rs  faster, slower or within noise
//! ```

mod baseline;
mod burst;
mod ceiling;
mod compare;
mod hooks;
mod lifetimes;
mod live;
mod load;
mod machine;
mod observer;
mod outcome;
mod page;
mod patient;
mod picture;
mod report;
mod rule;
mod side;
mod site;
mod usage;
mod waves;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use self::baseline::{Baseline, UNDECIDED};
use self::hooks::{Hooks, Reviews, Which};
use self::live::Live;
use self::load::{Load, Release};
use self::observer::Observer;
use self::outcome::Outcome;
use self::report::{Report, Round};
use self::rule::Rule;
use self::side::{Side, Who};
use self::site::{Site, Sites};
use super::flags::Listen;
use super::progress::Progress;
use super::status_servers::{Announce, StatusServers};
use super::{flags, print, signals};
use crate::api::ClaimKind;
use crate::controller::Controller;
use crate::observe::diagnostics::Guard;
use crate::observe::logs::{self, Format, Level};

/// Addresses that a pool has beyond those that its claims need.
const SPARE: u32 = 16;

/// Measures how fast claims are bound, as a share of what the API server itself takes.
///
/// In each round of one run everyone takes part in turn: the bare writes, then the controller. Everything a round makes is in
/// a namespace of its own, which is removed after it.
///
/// Exit code 1: an address was given twice, or the run failed. With --baseline also 3: some side is slower; 4: the runs cannot be
/// compared (other options, another server or machine), or have too few rounds for a verdict on every side.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Bench {
    /// Measure the server that this kubeconfig leads to; its definitions must be installed, and no other controller may serve
    /// them. Default: an embedded server, on disk, in a folder of its own.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    /// Where the embedded server keeps its objects, removed at the end. Default: the system's folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Claims in each round.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    claims: u32,
    /// Pools that they are spread over.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pools: u32,
    /// Which claims.
    #[arg(long, value_name = "KIND", default_value = "both")]
    kind: Kinds,
    /// When the claims come.
    #[arg(long, value_name = "MODE", default_value = "backlog")]
    mode: Mode,
    /// Most requests in flight at once, of the ceiling and of the controller.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Claims that are created at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    creators: u16,
    /// With --mode live: create so many claims a second, if the creators can, whatever becomes of them. Default: as many as the
    /// creators can.
    #[arg(long, value_name = "CLAIMS/S", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Also measure the bare writes and the controller where the API server itself puts in the claims' finalizers as they are
    /// created, by the admission policies of deploy/claim-finalizers: two writes per claim instead of three.
    #[arg(long, requires = "kubeconfig")]
    rule: bool,
    /// Also measure the controller where the API server asks the webhooks of deploy/webhook, first those that check objects,
    /// then also those that put in the claims' finalizers. The bench serves them at 127.0.0.1, where the API server must reach
    /// it, and writes in the name of the manager's ServiceAccount, so it needs the right to impersonate.
    #[arg(long, requires = "kubeconfig")]
    webhook: bool,
    /// Also measure the controller on an embedded server, in the same run.
    #[arg(long, requires = "kubeconfig")]
    with_embedded: bool,
    /// Only make load, for so long (such as 30m): claims come and go in waves that exhaust the pools and let them recover, and
    /// the manager that serves the kubeconfig's server binds them. For dashboards.
    #[arg(long, value_name = "TIME", requires = "kubeconfig", value_parser = flags::duration)]
    duration: Option<Duration>,
    /// Length of one wave.
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "duration", value_parser = flags::duration)]
    wave: Duration,
    /// Print the figures as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Where metrics are served while it runs, as host:port or :port; 0: nowhere. To anyone and without TLS, so keep it to this
    /// machine: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS", default_value = "0", conflicts_with = "duration", value_parser = Listen::parse)]
    diagnostics_address: Listen,
    /// Store the figures in this file as JSON, for --baseline.
    #[arg(long, value_name = "FILE", conflicts_with = "duration")]
    save: Option<PathBuf>,
    /// Write the figures to this file as an HTML page, with pictures of their distributions. It needs no other file and no network.
    #[arg(long, value_name = "FILE", conflicts_with = "duration")]
    report: Option<PathBuf>,
    /// Compare with the run that --save stored in this file: faster, slower or within noise.
    #[arg(long, value_name = "FILE", conflicts_with = "duration")]
    baseline: Option<PathBuf>,
}

/// Which claims a round makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kinds {
    /// IPClaims.
    Ipclaim,
    /// IPAddressClaims.
    Ipaddressclaim,
    /// Every second one of each.
    Both,
}

/// When claims come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// All are there before anyone begins to bind them.
    Backlog,
    /// They are created while they are bound, in pools that are served already.
    Live,
    /// They are created while they are bound, and each is deleted as soon as it is.
    Churn,
    /// They come live in one pool, and what is measured are a few claims of another pool meanwhile.
    Burst,
}

impl Kinds {
    /// Kind of the n-th claim.
    fn of(self, n: u32) -> ClaimKind {
        match self {
            Self::Ipclaim => ClaimKind::Metal3,
            Self::Both if n.is_multiple_of(2) => ClaimKind::Metal3,
            Self::Ipaddressclaim | Self::Both => ClaimKind::Capi,
        }
    }
}

impl Bench {
    /// Runs all rounds and prints what came of them.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        self.check()?;
        let baseline = self.baseline.as_deref().map(Baseline::read).transpose()?;
        let dial = logs::init(Format::Text, Level::Warn)?;
        let shutdown = signals::shutdown()?;
        let live = Arc::new(Live::new(&self.participants()));
        let mut servers = StatusServers::default();
        let (address, served) = (&self.diagnostics_address, live.served(dial)?);
        let guard = |_| Ok(Guard::Open);
        servers
            .diagnostics(address, served, guard, Announce::Terminal)
            .await?;
        let sites = Sites::open(&self, &live).await?;
        let done = self.work(&sites, baseline.as_ref(), &shutdown).await;
        sites.close().await;
        servers.stop().await?;
        let (text, code) = done?;
        print(&text)?;
        Ok(ExitCode::from(code))
    }

    /// Refuses what would be ignored, and files that could not be written after the last round.
    fn check(&self) -> anyhow::Result<()> {
        for file in [&self.save, &self.report].into_iter().flatten() {
            let folder = file
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            ensure!(
                folder.is_none_or(Path::is_dir) && !file.is_dir(),
                "{} cannot be written: name a file in a folder that exists",
                file.display()
            );
        }
        ensure!(
            self.data_dir.is_none() || self.kubeconfig.is_none() || self.with_embedded,
            "--data-dir is for an embedded server: leave it out, or say --with-embedded"
        );
        ensure!(
            self.mode != Mode::Burst
                || !(self.rule
                    || self.webhook
                    || self.with_embedded
                    || self.pools > 1
                    || self.diagnostics_address != Listen::Off),
            "--mode burst compares single claims beside one pool's burst: leave out --pools, --rule, --webhook, --with-embedded and --diagnostics-address"
        );
        ensure!(
            self.rate.is_none() || self.mode == Mode::Live,
            "--rate is how fast claims come while they are bound: say --mode live, or leave it out"
        );
        ensure!(
            self.duration != Some(Duration::ZERO) && self.wave != Duration::ZERO,
            "--duration and --wave are times such as 30m: nothing happens in none"
        );
        ensure!(
            self.duration.is_none()
                || !(self.rule
                    || self.webhook
                    || self.with_embedded
                    || self.json
                    || matches!(self.mode, Mode::Live | Mode::Burst)),
            "--duration only makes load: leave out --rule, --webhook, --with-embedded, --json and every --mode but churn"
        );
        Ok(())
    }

    /// Returns what to print, and the exit code.
    async fn work(
        &self,
        sites: &Sites,
        baseline: Option<&Baseline>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<(String, u8)> {
        if let Some(duration) = self.duration {
            let (text, duplicates) = waves::run(&sites.main, self, duration, shutdown).await?;
            return Ok((text, u8::from(duplicates > 0)));
        }
        let options = outcome::options(self, sites);
        if let Some(obstacle) = baseline.and_then(|b| b.obstacle(&options, self.rounds)) {
            tell!("cannot compare with the baseline: {obstacle}");
            return Ok((String::new(), UNDECIDED));
        }
        let load_before = machine::load();
        let mut outcome = tokio::select! {
            measured = self.measure(sites) => measured?,
            () = shutdown.cancelled() => {
                // An embedded server is gone with its folder.
                ensure!(self.kubeconfig.is_some(), "stopped");
                anyhow::bail!(
                "stopped; what begins with bench- may be left behind: delete the namespace, with --rule the admission policies and their bindings, with --webhook the webhook configurations. The namespace's claims are released by a manager: metal3-ipam manager --namespace NAMESPACE does it"
                )
            }
        };
        outcome.describe(options, load_before);
        if let Some(path) = &self.save {
            outcome.save(path)?;
        }
        let compared = baseline.map(|baseline| baseline.compare(&outcome.sides));
        let code = match &compared {
            _ if outcome.duplicates > 0 => 1,
            Some(compared) => compared.exit_code(),
            None => 0,
        };
        if let Some(path) = &self.report {
            page::write(path, &outcome, compared.as_ref())?;
        }
        Ok((outcome.printed(self.json, compared.as_ref()), code))
    }

    fn participants(&self) -> Vec<Who> {
        let mut all = vec![Who::Ceiling, Who::Controller];
        if self.rule {
            all.extend([Who::RuledCeiling, Who::Ruled]);
        }
        if self.webhook {
            all.extend([Who::Checked, Who::Hooked]);
        }
        all.extend(self.with_embedded.then_some(Who::Embedded));
        all
    }

    async fn measure(&self, sites: &Sites) -> anyhow::Result<Outcome> {
        if self.mode == Mode::Burst {
            return burst::run(&sites.main, self).await;
        }
        let mut all = self.participants();
        let mut report = Report::new(sites.described(), self, all.clone());
        let mut progress = Progress::new("bound");
        let rounds = u32::from(self.rounds);
        for n in 1..=rounds {
            for who in &all {
                progress.begin(format!("round {n}/{rounds}, {}", who.name()));
                let round = self
                    .round(sites.of(*who), *who, &mut progress)
                    .await
                    .with_context(|| format!("round {n} of the {}", who.name()))?;
                progress.clear();
                tell!("{}", round.line(n, rounds));
                let live = &sites.of(*who).live.rounds;
                live.ended(who.key(), round.rate(), &round.times.each);
                report.add(round);
                if let Some(share) = report.shares(Who::Ceiling, *who).last() {
                    live.share(who.key(), share);
                }
            }
            // The later one finds a fuller store: they take turns.
            all.rotate_left(1);
        }
        Ok(report.outcome())
    }

    async fn round(&self, site: &Site, who: Who, progress: &mut Progress) -> anyhow::Result<Round> {
        let each = self.claims.div_ceil(self.pools) + SPARE;
        let load = Load::prepare(site, self, (self.pools, each)).await?;
        let controller = Side::controller(site, who, &load, self);
        let added = Added::install(site, who, &load, controller.as_ref()).await?;
        let mut observer = Observer::start(&site.client, &load.namespace);
        if self.mode == Mode::Backlog {
            load.create_claims().await?;
            observer.until_known(self.claims).await?;
        }
        let live = &site.live.rounds;
        live.begun(who.key());
        let mut before = usage::now();
        let mut side = Side::start(site, controller, &load, self).await?;
        if self.mode != Mode::Backlog {
            side.serves(self.pools).await?;
            before = usage::now();
        }
        let all = async {
            let mut counted = 0;
            let show = |done, left| {
                live.bound(who.key(), (done - counted) as u64);
                counted = done;
                progress.show(done, left);
            };
            match self.mode {
                Mode::Backlog => observer.until_bound(self.claims, show).await,
                Mode::Live | Mode::Burst => {
                    let binding = observer.until_bound(self.claims, show);
                    tokio::try_join!(load.create_claims(), binding).map(drop)
                }
                Mode::Churn => load.churn(&mut observer, show).await,
            }
        };
        tokio::select! {
            done = all => done?,
            failed = side.failed() => return Err(failed),
        }
        let usage = usage::now().since(&before);
        let sent = side.stop().await?;
        let least = match self.mode {
            Mode::Backlog | Mode::Live | Mode::Burst => self.claims,
            Mode::Churn => 0,
        };
        let duplicates = load.duplicates(least).await?.max(observer.duplicates());
        let times = observer.times(self.mode);
        let reviews = added.remove().await?;
        load.remove(Release::Here).await?;
        Ok(Round {
            who,
            times,
            sent,
            usage,
            duplicates,
            claims: self.claims,
            reviews,
        })
    }
}

/// What is put into the API server for a round.
enum Added {
    Nothing,
    Rule(Rule),
    Hooks(Hooks),
}

impl Added {
    async fn install(
        site: &Site,
        who: Who,
        load: &Load,
        controller: Option<&Controller>,
    ) -> anyhow::Result<Self> {
        let which = match (who, controller) {
            (Who::RuledCeiling | Who::Ruled, _) => {
                return Ok(Self::Rule(Rule::install(&site.client, load).await?));
            }
            (Who::Checked, Some(controller)) => (Which::Checking, controller),
            (Who::Hooked, Some(controller)) => (Which::All, controller),
            (Who::Ceiling | Who::Controller | Who::Embedded | Who::Checked | Who::Hooked, _) => {
                return Ok(Self::Nothing);
            }
        };
        let hooks = Hooks::install(&site.client, load, which.1, which.0).await?;
        Ok(Self::Hooks(hooks))
    }

    /// Removes it, and returns which reviews the API server has asked for.
    async fn remove(self) -> anyhow::Result<Option<Reviews>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Rule(rule) => rule.remove().await.map(|()| None),
            Self::Hooks(hooks) => {
                let reviews = hooks.reviews().await?;
                hooks.remove().await?;
                Ok(Some(reviews))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    /// The bench of a command line.
    pub(super) fn bench(line: &str) -> Bench {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        line.bench
    }

    fn check(line: &str) -> Result<(), String> {
        bench(line).check().map_err(|e| e.to_string())
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for fine in [
            "",
            "--mode burst",
            "--data-dir d",
            "--mode live --rate 100",
            "--kubeconfig k --with-embedded --data-dir d --rule",
            "--kubeconfig k --duration 5m --mode churn --pools 3",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for (refused, names) in [
            ("--kubeconfig k --data-dir d", "--with-embedded"),
            ("--mode burst --pools 2", "--pools"),
            ("--mode burst --kubeconfig k --rule", "--rule"),
            ("--mode burst --kubeconfig k --webhook", "--webhook"),
            (
                "--mode burst --diagnostics-address :0",
                "--diagnostics-address",
            ),
            ("--kubeconfig k --duration 5m --json", "--json"),
            ("--kubeconfig k --duration 5m --mode live", "--mode"),
            ("--rate 100", "--mode live"),
            ("--rate 100 --mode burst", "--mode live"),
            ("--save /nonexistent/main.json", "/nonexistent/main.json"),
            ("--report /", "a file in a folder"),
        ] {
            assert!(check(refused).unwrap_err().contains(names), "{refused}");
        }
    }
}
