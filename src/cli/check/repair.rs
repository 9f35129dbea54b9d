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

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::super::objects::Reader;
use super::super::progress::Progress;
use super::super::{flags, print, signals};
use super::earlier::Earlier;
use super::finding::{Finding, Level, Subject};
use super::read::Reading;
use super::repaired::Repaired;
use super::view::View;
use super::{Ages, Form, Place, Reached, catalog};
use crate::api::{
    Address, Claim, ClaimKey, ClaimKind, Kind, PoolKey, ReferenceFault, Uid, WireObject,
};
use crate::controller::Direct;
use crate::pool::{Effect, Request};

/// A repair that takes longer shows how far it is.
const QUIET: Duration = Duration::from_secs(1);

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
            carry_out(&mut outcomes, &cluster.client, &signals::shutdown()?).await?;
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
    /// The remedy is to be written.
    Planned,
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
    /// What came of it, once it was sent.
    result: OnceCell<Result<(), String>>,
}

/// An error, and what becomes of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finding: Finding,
    /// All errors of an object share it: one write is decided on for a version of an object.
    pub(super) remedy: Option<Rc<Remedy>>,
    pub(super) fate: Fate,
}

/// What becomes of each error of a reading.
pub(super) fn plan(reading: &Reading, earlier: &Earlier, ages: Ages) -> Vec<Outcome> {
    let view = View::new(&reading.objects, ages);
    let mut errors = super::all(&view);
    errors.retain(|finding| finding.level == Level::Error);
    let known = errors.iter().map(|finding| earlier.has(finding));
    let known: Vec<bool> = known.collect();
    let agreed = errors.iter().zip(&known).filter(|(_, known)| **known);
    let remedies = Remedies::of(&view, agreed.map(|(finding, _)| finding));
    let outcomes = errors.into_iter().zip(known);
    outcomes
        .map(|(finding, known)| {
            let remedy = remedies.get(&finding).filter(|_| known);
            let fate = match (known, &remedy) {
                (false, _) => Fate::New,
                (true, None) => Fate::Left,
                (true, Some(_)) => Fate::Planned,
            };
            Outcome {
                finding,
                remedy,
                fate,
            }
        })
        .collect()
}

/// The write that repairs each object, by its kind and UID.
struct Remedies(HashMap<(String, Uid), Rc<Remedy>>);

impl Remedies {
    /// The release of each leak, and else what the pool's state machine asks for.
    fn of<'a>(view: &View<'_>, agreed: impl Iterator<Item = &'a Finding>) -> Self {
        let leaks = agreed.filter(|finding| finding.check == catalog::LEAK);
        let leaks: HashSet<_> = leaks.map(|finding| &finding.subject.uid).collect();
        let leaked = view.objects.addresses.iter();
        let leaked = leaked.filter(|address| leaks.contains(&address.meta.uid));
        let mut remedies: HashMap<_, _> = leaked.map(release).collect();
        for fed in &view.fed {
            for effect in &fed.effects {
                if let Effect::Request(_, request) = effect
                    && let Some(object) = corrected(request)
                {
                    remedies.entry(object).or_insert_with(|| {
                        Rc::new(Remedy {
                            pool: fed.key.clone(),
                            request: request.clone(),
                            unless: None,
                            result: OnceCell::new(),
                        })
                    });
                }
            }
        }
        Self(remedies)
    }

    fn get(&self, finding: &Finding) -> Option<Rc<Remedy>> {
        let repaired = [
            catalog::LEAK,
            catalog::REPLACED,
            catalog::OWNER,
            catalog::FINALIZER,
        ];
        if !repaired.contains(&finding.check) {
            return None;
        }
        let object = (finding.subject.kind.clone(), finding.subject.uid.clone());
        self.0.get(&object).cloned()
    }
}

/// The release of a leaked address object.
fn release(address: &Address) -> ((String, Uid), Rc<Remedy>) {
    let remedy = Remedy {
        pool: address.pool_key(),
        request: Request::DeleteAddress {
            key: address.key(),
            uid: address.meta.uid.clone(),
            resource_version: address.meta.resource_version.clone(),
        },
        unless: Some(address.claim_key()),
        result: OnceCell::new(),
    };
    let subject = Subject::from(address);
    ((subject.kind, subject.uid), Rc::new(remedy))
}

/// The object whose metadata a request corrects.
fn corrected(request: &Request) -> Option<(String, Uid)> {
    let (kind, uid) = match request {
        Request::PoolMeta { uid, .. } => ("IPPool".to_owned(), uid),
        Request::ClaimFinalizers { key, uid, .. } => (key.kind.claim().to_owned(), uid),
        Request::AddressMeta { key, uid, .. } => (format!("IPAddress.{}", key.kind.group()), uid),
        _ => return None,
    };
    Some((kind, uid.clone()))
}

/// Sends what is planned, one object after the other, until all is sent or a signal asks for the end: what is not begun then stays
/// planned. A leak is deleted only when the API server says now that its claim does not exist, or that a claim of that name asks
/// another pool.
pub(super) async fn carry_out(
    outcomes: &mut [Outcome],
    client: &Client,
    end: &CancellationToken,
) -> anyhow::Result<()> {
    let direct = Direct::new(client.clone()).await;
    let direct = direct.map_err(anyhow::Error::msg)?;
    let mut reader = Reader::new(client);
    let mut progress = Progress::new("done");
    let begun = Instant::now();
    let planned = |outcome: &&Outcome| matches!(outcome.fate, Fate::Planned);
    let (mut done, mut waiting) = (0, outcomes.iter().filter(planned).count());
    for outcome in outcomes {
        let (Fate::Planned, Some(remedy)) = (&outcome.fate, &outcome.remedy) else {
            continue;
        };
        let result = match remedy.result.get() {
            Some(result) => result,
            None if end.is_cancelled() => continue,
            None => {
                let result = remedy.carry_out(&direct, &mut reader).await;
                remedy.result.get_or_init(|| result)
            }
        };
        outcome.fate = match result {
            Ok(()) => Fate::Written,
            Err(why) => Fate::Failed(why.clone()),
        };
        (done, waiting) = (done + 1, waiting.saturating_sub(1));
        if begun.elapsed() > QUIET {
            progress.show(done, waiting);
        }
    }
    progress.clear();
    Ok(())
}

impl Outcome {
    pub(super) fn result(&self) -> &'static str {
        match self.fate {
            Fate::Planned => "Planned",
            Fate::Written => "Repaired",
            Fate::Failed(_) => "Failed",
            Fate::Left => "Left",
            Fate::New => "New",
        }
    }

    /// What is or was written, or what to do.
    pub(super) fn detail(&self) -> &str {
        let remedy = self.remedy.as_deref();
        let deletes = remedy.is_some_and(|r| matches!(r.request, Request::DeleteAddress { .. }));
        match &self.fate {
            Fate::Failed(why) => why,
            Fate::Left => self.finding.check.action,
            Fate::New => {
                "not in the earlier report, or its objects have changed since; check again in ten minutes"
            }
            Fate::Planned | Fate::Written if deletes => {
                "delete the IPAddress; a running manager then releases its address (R6)"
            }
            Fate::Planned | Fate::Written if self.finding.check == catalog::FINALIZER => {
                "add the finalizer of metal3-ipam"
            }
            Fate::Planned | Fate::Written => "correct the owner references",
        }
    }

    /// The detail with what it holds for: all errors of a kind, or where a write failed the one object.
    pub(super) fn explained(&self) -> String {
        let (result, code, detail) = (self.result(), self.finding.check.code, self.detail());
        match self.fate {
            Fate::Failed(_) => format!("{result} {code} {}: {detail}", self.finding.subject),
            Fate::Planned | Fate::Written | Fate::Left | Fate::New => {
                format!("{result} {code}: {detail}")
            }
        }
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
