//! `metal3-ipam preflight`: what would change if the manager served a cluster, and what stands in the way. It only reads.
//!
//! ```text
//!   read.rs         every object that matters, page by page ──> Survey; what could not be read is named
//!                        │
//!        ┌───────────────┼───────────────────────┐            pure: a Survey in, findings out
//!   rehearsal.rs      pools.rs             environment.rs
//!   each pool's own   pools beside each    upstream, webhooks, conversion,
//!   state machine     other                versions, rights (rights.rs)
//!        └───────────────┴───────────────────────┘
//!                        v
//!   report.rs       table, JSON, YAML; exit code
//! ```
//! What is wrong inside a pool is not judged here a second time: the pool's state machine is given the objects as the manager
//! would be, and asked what it found and what it would write. Nothing of that is sent.

mod environment;
mod pools;
mod read;
mod rehearsal;
mod report;
mod rights;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use self::read::Survey;
use self::report::Report;
use super::check::not_read;
use super::place::{Form, Place};
use super::{names, print};

/// Reads a running cluster and reports what would change if the manager served it, and what stands in the way.
///
/// Nothing is written. Exit code 0: nothing stands in the way (there may be warnings); 1: something does; 2: not everything could
/// be read, so that more may stand in the way.
#[derive(Debug, Args)]
pub(super) struct Preflight {
    #[command(flatten)]
    place: Place,
    /// Look at this namespace's pools, claims and addresses only. Default: all namespaces.
    #[arg(long, short = 'n', value_name = "NAMESPACE", add = names::namespaces())]
    namespace: Option<String>,
    /// As the manager's flag: judge only objects whose label cluster.x-k8s.io/watch-filter has this value, and name the pools
    /// that are not served wholly, with the number of their claims. Default: all are served.
    #[arg(long, value_name = "VALUE")]
    watch_filter: Option<String>,
    /// The ServiceAccount that the manager runs as, as namespace/name. Where it exists its rights are asked for, those too that the
    /// flags of its Deployments need.
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = environment::SERVICE_ACCOUNT, value_parser = service_account)]
    service_account: (String, String),
    /// How the report is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Form,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    /// It must be settled before the manager serves the cluster.
    Blocks,
    /// The manager works, and a person should look.
    Warns,
    /// Good to know.
    Notes,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blocks => "Blocks",
            Self::Warns => "Warns",
            Self::Notes => "Notes",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// Which check found it.
    pub(super) check: &'static str,
    /// The object, as people would look for it.
    pub(super) object: String,
    /// Numbers of the cluster's objects.
    pub(super) message: String,
    /// What to do.
    pub(super) action: String,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        check: &'static str,
        object: impl Into<String>,
        message: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self {
            level,
            check,
            object: object.into(),
            message: message.into(),
            action: action.into(),
        }
    }
}

impl Preflight {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let survey = match self.survey().await {
            Ok(survey) => survey,
            Err(error) => return Ok(not_read(&error)),
        };
        let filter = self.watch_filter.as_deref();
        let report = look(&survey, filter, Timestamp::now());
        let text = report.text(self.output)?;
        print(&self.place.painted(text, self.output == Form::Table))?;
        Ok(ExitCode::from(report.exit_code()))
    }
}

impl Preflight {
    async fn survey(&self) -> anyhow::Result<Survey> {
        let cluster = self.place.reach().await?;
        let account = (&*self.service_account.0, &*self.service_account.1);
        let namespace = self.namespace.as_deref();
        Survey::read(&cluster.client, cluster.version, namespace, account).await
    }
}

/// Every check, for a manager with this `--watch-filter`. The empty text means none, as for the manager.
fn look(survey: &Survey, watch_filter: Option<&str>, now: Timestamp) -> Report {
    let watch_filter = watch_filter.filter(|filter| !filter.is_empty());
    let rehearsals = rehearsal::all(&survey.objects, watch_filter, now);
    let mut findings = survey.unreadable();
    findings.extend(rehearsals.iter().flat_map(rehearsal::findings));
    findings.extend(
        rehearsals
            .iter()
            .filter_map(|rehearsal| rehearsal.not_served(watch_filter?)),
    );
    findings.extend(pools::findings(survey, watch_filter));
    findings.extend(environment::findings(survey, now));
    findings.sort_by(|a, b| (a.level, a.check, &a.object).cmp(&(b.level, b.check, &b.object)));
    Report::new(survey, &rehearsals, findings)
}

fn service_account(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("must be namespace/name".to_owned()),
    }
}
