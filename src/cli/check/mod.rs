//! `metal3-ipam check`: whether the addresses of a cluster contradict themselves. It only reads.
//!
//! ```text
//!   read.rs       objects, page by page; whose cluster it is ──> Reading
//!                      │
//!   view.rs       the objects by name, each pool's own state machine, what is paused or in a move ──> View
//!        ┌─────────────┼────────────┬────────────┐     pure: a View in, findings out
//!   addresses.rs   claims.rs    pools.rs    writers.rs  codes, names and next steps: catalog.rs
//!        └─────────────┴────────────┴────────────┘
//!                      v
//!   finding.rs    errors are kept where a second reading shows the same versions
//!   report.rs     table, JSON, YAML; exit code
//! ```
//! `metal3-ipam repair` is beside it: repair.rs compares with an earlier report (earlier.rs) and sends what each pool's state
//! machine asks for, for objects on which both agree; repaired.rs prints what came of it.
//!
//! What a pool should show is not computed here a second time: its state machine is given the objects as the manager would
//! be, and asked what it would write. Nothing of that is sent.

mod addresses;
mod catalog;
mod claims;
mod earlier;
mod elsewhere;
mod finding;
mod pools;
mod read;
mod repair;
mod repaired;
mod report;
#[cfg(test)]
mod tests;
mod view;
mod writers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

pub(super) use self::repair::Repair;

use self::finding::{Finding, Level, confirmed};
use self::read::Reading;
use self::report::Report;
use self::view::View;
use super::causes::causes;
use super::place::{Form, Place, Reached};
use super::{flags, names, print};

/// Reads a running cluster and reports where its pools, claims and addresses contradict each other.
///
/// Nothing is written. Exit code 0: sound; 1: there are warnings; 2: there are errors, or not everything could be read. The checks
/// are listed in docs/check.md.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
    /// A second cluster, such as the other one of a clusterctl move: pools that both have are reported.
    #[arg(long, value_name = "FILE")]
    other_kubeconfig: Option<PathBuf>,
    /// The context of the second cluster's kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME", requires = "other_kubeconfig")]
    other_context: Option<String>,
    /// Look at this namespace's pools, claims and addresses only. Default: all namespaces.
    #[arg(long, short = 'n', value_name = "NAMESPACE", add = names::namespaces())]
    namespace: Option<String>,
    /// What is younger than this counts as under way: a new address without its claim, a claim without an address, a deletion.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = flags::duration)]
    older_than: Duration,
    /// Warn of pools that are paused for longer than this.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = flags::duration)]
    paused_longer_than: Duration,
    /// Where errors are found, read again after this time and report those that are still there. 0: report the first reading.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = flags::duration)]
    confirm_after: Duration,
    /// How the report is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Form,
}

/// When the objects are judged, and what is too young to be judged.
#[derive(Debug, Clone, Copy)]
struct Ages {
    now: Timestamp,
    /// What is younger counts as under way.
    settled: SignedDuration,
    /// Pauses are warned of after this time.
    paused: SignedDuration,
}

impl Ages {
    /// Whether a moment is longer ago than this.
    fn past(&self, moment: Timestamp, age: SignedDuration) -> bool {
        self.now.duration_since(moment) > age
    }
}

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let reached = async {
            let here = self.place.reach().await?.with_pools()?;
            let other = match self.other() {
                Some(other) => Some(other.reach().await?.with_pools()?),
                None => None,
            };
            anyhow::Ok((here, other))
        };
        let (here, other) = match reached.await {
            Ok(reached) => reached,
            Err(error) => return Ok(not_read(&error)),
        };
        let namespace = self.namespace.as_deref();
        let (mut reading, mut findings) = self.look(&here, other.as_ref(), namespace).await;
        let errors = findings.iter().filter(|f| f.level == Level::Error).count();
        if errors > 0 && !self.confirm_after.is_zero() {
            tell!(
                "{errors} errors; reading again in {} s, to leave out what is just under way",
                self.confirm_after.as_secs_f32()
            );
            tokio::time::sleep(self.confirm_after).await;
            let later;
            (reading, later) = self.look(&here, other.as_ref(), namespace).await;
            findings = confirmed(&findings, later);
        }
        let report = Report::new(&reading, findings, Timestamp::now());
        let text = report.text(self.output)?;
        print(&self.place.painted(text, self.output == Form::Table))?;
        Ok(ExitCode::from(report.exit_code()))
    }

    /// The second cluster.
    fn other(&self) -> Option<Place> {
        let kubeconfig = self.other_kubeconfig.clone()?;
        Some(Place {
            kubeconfig: Some(kubeconfig),
            context: self.other_context.clone(),
            no_color: self.place.no_color,
        })
    }

    /// Reads the clusters and checks them. What could not be read of the second one is with what could not be read of the first.
    async fn look(
        &self,
        here: &Reached,
        other: Option<&Reached>,
        namespace: Option<&str>,
    ) -> (Reading, Vec<Finding>) {
        let mut reading = Reading::read(here, namespace).await;
        let other = match other {
            Some(other) => Some(Reading::read(other, namespace).await),
            None => None,
        };
        let findings = look(&reading, other.as_ref(), self.ages());
        let unread = other.map(|other| other.unread).unwrap_or_default();
        let unread = unread.into_iter();
        reading
            .unread
            .extend(unread.map(|what| format!("of the other cluster: {what}")));
        (reading, findings)
    }

    fn ages(&self) -> Ages {
        let signed = |age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        Ages {
            now: Timestamp::now(),
            settled: signed(self.older_than),
            paused: signed(self.paused_longer_than),
        }
    }
}

/// The exit code of a cluster that cannot be reached or has no pools' definitions: not 0 or 1, which say something of what is in
/// it.
pub(super) fn not_read(error: &anyhow::Error) -> ExitCode {
    tell!("metal3-ipam: {}", causes(error));
    ExitCode::from(2)
}

/// Every check of a cluster, and of the one beside it.
fn look(reading: &Reading, other: Option<&Reading>, ages: Ages) -> Vec<Finding> {
    let view = View::new(&reading.objects, ages);
    let mut findings = all(&view);
    if let Some(other) = other {
        findings.extend(elsewhere::findings(&view, &View::new(&other.objects, ages)));
    }
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    findings
}

/// Every check of one cluster.
fn all(view: &View<'_>) -> Vec<Finding> {
    let mut findings = addresses::findings(view);
    findings.extend(claims::findings(view));
    findings.extend(pools::findings(view));
    findings.extend(writers::findings(view));
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    findings
}
