//! `metal3-ipam repair`: what two reports agree on, and what a pool's own state machine would write, is written.
//!
//! ```text
//!   earlier report ─┐
//!                   ├─> errors of the same objects in the same versions ─> remedy ─> sent, with preconditions
//!   a reading now ──┘                                                        │
//!                                                             none: named, a person has to decide
//! ```
//! An address is never freed here: a leaked object is deleted, and our finalizer keeps it until a manager has made sure that no
//! claim needs it (R6). Duplicates are named and never moved.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::objects::Reader;
use super::super::{flags, print, table};
use super::earlier::Earlier;
use super::finding::{Finding, Level};
use super::read::Reading;
use super::view::View;
use super::{Ages, Form, Place, Reached, catalog};
use crate::api::{Claim, ClaimKey, ClaimKind, Kind, PoolKey, ReferenceFault, WireObject};
use crate::controller::Direct;
use crate::pool::{Effect, Request};

/// Repairs what an earlier report of check and the cluster agree on now.
///
/// Only errors of the same objects in the same versions, in two reports at least ten minutes apart, are repaired: leaked
/// IPAddresses are deleted (a running manager then releases the address), owner references and finalizers are corrected. All else is
/// named: addresses held twice are never moved. Exit code 0: nothing is left; 1: errors are left for a person; 2: a write failed, or
/// not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Repair {
    /// The earlier report, as written by metal3-ipam check -o json.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
    /// Leave alone what is younger than this.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = flags::duration)]
    older_than: Duration,
    /// How the result is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Form,
}

impl Repair {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let earlier = Earlier::read(&self.from)?;
        let reached = self.place.reach().await;
        let cluster = match reached.and_then(Reached::with_pools) {
            Ok(cluster) => cluster,
            Err(error) => return Ok(super::not_read(&error)),
        };
        let namespace = earlier.namespace.as_deref();
        let reading = Reading::read(&cluster, namespace).await;
        let ages = Ages {
            now: Timestamp::now(),
            settled: SignedDuration::try_from(self.older_than).unwrap_or(SignedDuration::MAX),
            paused: SignedDuration::MAX,
        };
        earlier.suits(reading.cluster.as_deref(), ages.now)?;
        let mut outcomes = plan(&reading, &earlier, ages);
        if !self.dry_run {
            let direct = Direct::new(cluster.client.clone()).await;
            let direct = direct.map_err(anyhow::Error::msg)?;
            let mut reader = Reader::new(&cluster.client);
            for outcome in &mut outcomes {
                outcome.carry_out(&direct, &mut reader).await;
            }
        }
        let result = Repaired {
            outcomes,
            dry_run: self.dry_run,
            earlier: earlier.time,
            now: ages.now,
            unread: reading.unread,
        };
        let text = result.text(self.output)?;
        print(&self.place.painted(text, self.output == Form::Table))?;
        Ok(ExitCode::from(result.exit_code()))
    }
}

/// What becomes of an error.
#[derive(Debug)]
pub(super) enum Fate {
    /// This is to be written.
    Planned(Box<Remedy>),
    Written,
    /// The write was refused, or the object has changed meanwhile.
    Failed(String),
    /// A person has to decide.
    Left,
    /// The earlier report does not have it, or of other versions.
    New,
}

/// What repairs an error.
#[derive(Debug)]
pub(super) struct Remedy {
    pub(super) pool: PoolKey,
    pub(super) request: Request,
    /// Not while this claim exists.
    pub(super) unless: Option<ClaimKey>,
}

/// An error, and what becomes of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finding: Finding,
    pub(super) fate: Fate,
}

/// What becomes of each error of a reading.
pub(super) fn plan(reading: &Reading, earlier: &Earlier, ages: Ages) -> Vec<Outcome> {
    let view = View::new(&reading.objects, ages);
    let errors = super::all(&view)
        .into_iter()
        .filter(|finding| finding.level == Level::Error);
    errors
        .map(|finding| {
            let fate = match (earlier.has(&finding), remedy(&view, &finding)) {
                (false, _) => Fate::New,
                (true, None) => Fate::Left,
                (true, Some(remedy)) => Fate::Planned(Box::new(remedy)),
            };
            Outcome { finding, fate }
        })
        .collect()
}

/// What repairs an error: the release of a leak, or what the pool's state machine asks for of this object.
fn remedy(view: &View<'_>, finding: &Finding) -> Option<Remedy> {
    if finding.check == catalog::LEAK {
        let mut addresses = view.objects.addresses.iter();
        let address = addresses.find(|address| address.meta.uid == finding.subject.uid)?;
        return Some(Remedy {
            pool: address.pool_key(),
            request: Request::DeleteAddress {
                key: address.key(),
                uid: address.meta.uid.clone(),
                resource_version: address.meta.resource_version.clone(),
            },
            unless: Some(address.claim_key()),
        });
    }
    let by_the_machine = [catalog::REPLACED, catalog::OWNER, catalog::FINALIZER];
    if !by_the_machine.contains(&finding.check) {
        return None;
    }
    view.fed.iter().find_map(|fed| {
        let requests = fed.effects.iter().filter_map(|effect| match effect {
            Effect::Request(_, request) => Some(request),
            _ => None,
        });
        let mut of_it = requests.filter(|request| is_about(request, &fed.key, finding));
        of_it.next().map(|request| Remedy {
            pool: fed.key.clone(),
            request: request.clone(),
            unless: None,
        })
    })
}

/// Whether a request writes the metadata of the object that an error names.
fn is_about(request: &Request, pool: &PoolKey, finding: &Finding) -> bool {
    let (kind, uid) = match request {
        Request::PoolMeta { uid, .. } => ("IPPool".to_owned(), uid),
        Request::ClaimFinalizers { key, uid, .. } => (key.kind.claim().to_owned(), uid),
        Request::AddressMeta { key, uid, .. } => (format!("IPAddress.{}", key.kind.group()), uid),
        _ => return false,
    };
    let subject = &finding.subject;
    subject.kind == kind && subject.uid == *uid && *subject.namespace == *pool.namespace
}

impl Outcome {
    /// Sends what is planned. A leak is deleted only when the API server says now that its claim does not exist, or that a claim of
    /// that name asks another pool.
    async fn carry_out(&mut self, direct: &Direct, reader: &mut Reader<'_>) {
        let Fate::Planned(remedy) = &self.fate else {
            return;
        };
        self.fate = match remedy.carry_out(direct, reader).await {
            Ok(()) => Fate::Written,
            Err(why) => Fate::Failed(why),
        };
    }

    fn result(&self) -> &'static str {
        match self.fate {
            Fate::Planned(_) => "Planned",
            Fate::Written => "Repaired",
            Fate::Failed(_) => "Failed",
            Fate::Left => "Left",
            Fate::New => "New",
        }
    }

    /// What is or was written, or what to do.
    fn detail(&self) -> String {
        let check = self.finding.check;
        let what = match &self.fate {
            Fate::Failed(why) => why,
            Fate::Left => check.action,
            Fate::New => {
                "not in the earlier report, or its objects have changed since; check again in ten minutes"
            }
            Fate::Planned(_) | Fate::Written if check == catalog::LEAK => {
                "delete the IPAddress; a running manager then releases its address (R6)"
            }
            Fate::Planned(_) | Fate::Written if check == catalog::FINALIZER => {
                "add the finalizer of metal3-ipam"
            }
            Fate::Planned(_) | Fate::Written => "correct the owner references",
        };
        what.to_owned()
    }
}

impl Remedy {
    async fn carry_out(&self, direct: &Direct, reader: &mut Reader<'_>) -> Result<(), String> {
        if let Some(claim) = &self.unless {
            let kind = Kind::Claims(claim.kind);
            let found = reader.object(kind, &self.pool.namespace, &claim.name).await;
            if let Some(why) = reader.unread.pop() {
                return Err(why);
            }
            if found.is_some_and(|found| is_of_pool(claim.kind, found, &self.pool)) {
                return Err(format!("{claim} exists now; nothing was deleted"));
            }
        }
        direct.send(&self.pool, &self.request).await.map(drop)
    }
}

/// Whether a claim asks this pool, so that an address of the pool may be its own. One that cannot be understood may be such a claim.
/// A claim of that name which asks another pool keeps nothing in this one; the manager's own check says the same (R6).
fn is_of_pool(kind: ClaimKind, claim: Value, pool: &PoolKey) -> bool {
    let read = WireObject::deserialize(claim).map(|claim| Claim::read(kind, claim));
    read.map_or(true, |claim| {
        let is_served = claim.fault.is_none_or(ReferenceFault::may_be_bound);
        claim.pool_key() == *pool && is_served
    })
}

/// What came of a repair, and how it is printed.
pub(super) struct Repaired {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) dry_run: bool,
    pub(super) earlier: Timestamp,
    pub(super) now: Timestamp,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

impl Repaired {
    /// 0: nothing is left; 1: errors are left; 2: a write failed, or not everything could be read.
    pub(super) fn exit_code(&self) -> u8 {
        let any = |is: fn(&Fate) -> bool| self.outcomes.iter().any(|o| is(&o.fate));
        if !self.unread.is_empty() || any(|fate| matches!(fate, Fate::Failed(_))) {
            2
        } else {
            u8::from(any(|fate| !matches!(fate, Fate::Written)))
        }
    }

    pub(super) fn text(&self, output: Form) -> anyhow::Result<String> {
        output.text(|| self.table(), || self.value())
    }

    fn table(&self) -> String {
        let mut out = String::new();
        let row = |outcome: &Outcome| {
            [
                outcome.result().to_owned(),
                outcome.finding.check.code.to_owned(),
                outcome.finding.subject.to_string(),
                outcome.finding.message.clone(),
                outcome.detail(),
            ]
        };
        if !self.outcomes.is_empty() {
            let rows: Vec<_> = self.outcomes.iter().map(row).collect();
            out += &table::render(["RESULT", "CODE", "OBJECT", "WHAT", "REPAIR"], &rows);
            out.push('\n');
        }
        for what in &self.unread {
            out.extend(["Not read: ", what, "\n"]);
        }
        let count = |is: fn(&Fate) -> bool| self.outcomes.iter().filter(|o| is(&o.fate)).count();
        let left = count(|fate| matches!(fate, Fate::Left | Fate::New));
        let failed = count(|fate| matches!(fate, Fate::Failed(_)));
        let planned = count(|fate| matches!(fate, Fate::Planned(_)));
        let written = count(|fate| matches!(fate, Fate::Written));
        let done = if self.dry_run {
            format!("{planned} would be repaired")
        } else {
            format!("{written} repaired, {failed} failed")
        };
        format!("{out}{} errors: {done}, {left} left\n", self.outcomes.len())
    }

    fn value(&self) -> Value {
        let outcomes = self.outcomes.iter().map(|outcome| {
            json!({
                "result": outcome.result(),
                "code": outcome.finding.check.code,
                "check": outcome.finding.check.name,
                "object": outcome.finding.subject,
                "others": outcome.finding.others,
                "message": outcome.finding.message,
                "repair": outcome.detail(),
            })
        });
        json!({
            "from": self.earlier.to_string(),
            "time": self.now.to_string(),
            "dryRun": self.dry_run,
            "errors": outcomes.collect::<Vec<_>>(),
            "notRead": self.unread,
            "exitCode": self.exit_code(),
        })
    }
}
