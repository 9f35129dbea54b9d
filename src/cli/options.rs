//! Flags that more than one subcommand takes.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::{accepted, flags};
use crate::controller::{Events, Settings};
use crate::observe::logs::{self, Dial, Format, Level};
use crate::observe::metrics::PoolMetrics;
use crate::pool::{self, LeakRepair};

/// Format and level of the log.
#[derive(Debug, Args)]
pub(super) struct Logging {
    /// How much is logged: 0 decisions and problems, 1 also steps, 4 everything. Alone it means 0.
    #[arg(short = 'v', long = "v", value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    pub(super) verbosity: Option<u32>,
    /// How a line of the log is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) logging_format: LogFormat,
    #[command(flatten)]
    pub(super) accepted: accepted::LoggingFlags,
}

/// The forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags that say how pools are served, common to `manager` and `standalone`.
#[derive(Debug, Args)]
pub(super) struct Serving {
    /// How long a claim waits for an address before its status says so in errorMessage, which machine controllers take as
    /// final. It is still served when an address comes free.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = flags::duration)]
    pub(super) exhausted_error_after: Duration,
    /// What to do with address objects of ours that lead to no claim.
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    pub(super) leak_repair: Repair,
    /// Most writes on their way to the API server at once, over all pools.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) in_flight: u16,
    /// Which pools have metrics of their own: all (the first 5,000 by need), top=N, or off.
    #[arg(long, value_name = "WHICH", default_value_t = PoolMetrics::All)]
    pub(super) pool_metrics: PoolMetrics,
    /// Also write Events of every claim that gets, loses or waits for an address. Events of pools and of claims that somebody has
    /// to change are written always.
    #[arg(long)]
    pub(super) claim_events: bool,
}

/// What `--leak-repair` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Repair {
    /// Release them, once two looks ten minutes apart agree and a fresh read confirms.
    Auto,
    /// Report them only.
    Report,
}

impl Serving {
    /// The controller's settings, as far as these flags set them.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            in_flight: usize::from(self.in_flight),
            pool: pool::Config {
                // Go's durations end at 292 years, far below the other's bound.
                exhausted_error_after: SignedDuration::try_from(self.exhausted_error_after)
                    .unwrap_or(SignedDuration::MAX),
                leak_repair: match self.leak_repair {
                    Repair::Auto => LeakRepair::Auto,
                    Repair::Report => LeakRepair::Report,
                },
                seed: rand::random(),
                ..pool::Config::default()
            },
            events: if self.claim_events {
                Events::EveryClaim
            } else {
                Events::Usual
            },
            ..Settings::default()
        }
    }
}

impl Logging {
    /// Sets up the log; without `-v` its level is `quietest`. The returned value changes the level later.
    pub(super) fn start(&self, quietest: Level) -> anyhow::Result<Dial> {
        let format = match self.logging_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let dial = logs::init(format, self.verbosity.map_or(quietest, Level::of_verbosity))?;
        for warning in self.accepted.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(dial)
    }
}
