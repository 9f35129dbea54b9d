//! `metal3-ipam bench`: how fast claims are bound on an API server, as a share of what that server itself takes.
//!
//! Figures of two runs say little on a shared machine, so every figure has its partner in the same run: rounds come in pairs,
//! one with the three writes of each claim sent with no controller around them (the ceiling), one with the controller; same
//! client, same cap of requests in flight, same watches, same creators. What counts is the ratio.
//!
//! ```text
//!   site.rs      which server: an embedded one of its own, or the one that --kubeconfig names
//!   load.rs      a round's namespace, pools and claims, and their end
//!   observer.rs  watches the claims: when each was created, touched and bound
//!   side.rs      who binds them: the ceiling or the controller
//!   report.rs    medians, the table, JSON          usage.rs   CPU time and memory of this process
//! ```

mod load;
mod observer;
mod report;
mod side;
mod site;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use self::load::Load;
use self::observer::Observer;
use self::report::{Report, Round};
use self::side::{Side, Who};
use self::site::Site;
use super::progress::Progress;
use super::{print, signals};
use crate::api::ClaimKind;
use crate::observe::logs::{self, Format, Level};

/// Measures how fast claims are bound, as a share of what the API server itself takes.
///
/// Rounds come in pairs in one run: the bare writes, then the controller. Everything a round makes is in a namespace of its
/// own, which is removed after it.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Measure the server that this kubeconfig leads to; its definitions must be installed, and no other controller may serve
    /// them. Default: an embedded server, on disk, in a folder of its own.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    /// Where the embedded server keeps its objects, removed at the end. Default: the system's folder for temporary files.
    #[arg(long, value_name = "FOLDER", conflicts_with = "kubeconfig")]
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
    /// Pairs of rounds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Print the figures as JSON instead of a table.
    #[arg(long)]
    json: bool,
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
    /// They are created while they are bound.
    Live,
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
    /// Runs all rounds and prints what came of them. Exit code 1 when an address was given twice.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        logs::init(Format::Text, Level::Warn)?;
        let shutdown = signals::shutdown()?;
        let site = Site::open(&self).await?;
        let measured = tokio::select! {
            measured = self.measure(&site) => measured,
            () = shutdown.cancelled() => Err(anyhow::anyhow!("stopped; a namespace bench-... may be left behind")),
        };
        site.close().await;
        let report = measured?;
        if self.json {
            print(&report.json())?;
        } else {
            print(&report.table())?;
        }
        Ok(ExitCode::from(u8::from(report.duplicates() > 0)))
    }

    async fn measure(&self, site: &Site) -> anyhow::Result<Report> {
        let mut report = Report::new(site.described(), self.claims, self.pools);
        let mut progress = Progress::new();
        let pairs = u32::from(self.rounds);
        for pair in 0..pairs {
            // Whoever comes second finds a fuller store: they take turns.
            let order = if pair % 2 == 0 {
                [Who::Ceiling, Who::Controller]
            } else {
                [Who::Controller, Who::Ceiling]
            };
            for who in order {
                let round = self
                    .round(site, who, &mut progress)
                    .await
                    .with_context(|| format!("round {} of the {}", pair + 1, who.name()))?;
                progress.clear();
                eprintln!("{}", round.line(pair + 1, pairs));
                report.add(round);
            }
        }
        Ok(report)
    }

    async fn round(&self, site: &Site, who: Who, progress: &mut Progress) -> anyhow::Result<Round> {
        let load = Load::prepare(site, self).await?;
        let mut observer = Observer::start(&site.client, &load.namespace);
        if self.mode == Mode::Backlog {
            load.create_claims().await?;
            observer.until_known(self.claims).await?;
        }
        let before = usage::now();
        let mut side = Side::start(site, who, &load, self).await?;
        let creating = async {
            match self.mode {
                Mode::Live => load.create_claims().await,
                Mode::Backlog => Ok(()),
            }
        };
        let binding = observer.until_bound(self.claims, |bound, waiting| {
            progress.show(bound, waiting);
        });
        let both = async { tokio::try_join!(creating, binding).map(drop) };
        tokio::select! {
            done = both => done?,
            failed = side.failed() => return Err(failed),
        }
        let usage = usage::now().since(&before);
        let sent = side.stop().await?;
        let duplicates = load.duplicates().await?;
        let times = observer.times(self.mode);
        load.remove(self).await?;
        Ok(Round {
            who,
            times,
            sent,
            usage,
            duplicates,
            claims: self.claims,
        })
    }
}
