//! `metal3-ipam why`: why a claim has no address, and what to do about it.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::names;
use super::super::objects::{fine_reason, pause_of};
use super::super::table::on_one_line;
use super::answer::Answer;
use super::occurred::{self, Occurred};
use super::target::{Output, Target};
use super::{Asked, Sight, claim_kind};
use crate::api::{Claim, ClaimKind, PoolObject};
use crate::pool::Held;

/// Shows why a claim waits or failed, and what to do next.
///
/// It also shows the latest Events of the claim, where they may be read. Nothing is written. Exit code 1: there is no such claim; 2:
/// not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    /// The claim: ipclaim/NAME, ipaddressclaim/NAME, or NAME alone for the claims of both kinds.
    #[arg(value_name = "[KIND/]NAME", add = names::claims())]
    claim: String,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Why {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let (kind, name) = match self.claim.split_once('/') {
            None => (None, &*self.claim),
            Some((word, name)) => match claim_kind(word) {
                Some(kind) => (Some(kind), name),
                None => {
                    bail!("{word} is no kind of claim; write ipclaim/NAME or ipaddressclaim/NAME")
                }
            },
        };
        let asked = Asked::of(&self.target).await?;
        let mut found = look(&asked.sight, asked.namespace.as_deref(), kind, name);
        for one in &mut found {
            one.events = occurred::of(&asked.client, &one.claim.meta).await;
        }
        let answer = answer(&found, asked.namespace.as_deref(), name);
        asked.finish(&answer, self.output)
    }
}

/// Why one claim is as it is.
#[derive(Debug)]
pub(super) struct Reasons<'a> {
    claim: &'a Claim,
    /// In one word: the condition's reason, or a word for a claim that has none.
    reason: String,
    says: String,
    next: &'static str,
    /// What controllers have said of it lately, or why that could not be read.
    events: Result<Vec<Occurred>, String>,
}

/// Every claim of this name, and why it is as it is.
pub(super) fn look<'a>(
    sight: &'a Sight,
    namespace: Option<&str>,
    kind: Option<ClaimKind>,
    name: &str,
) -> Vec<Reasons<'a>> {
    let is_it = |claim: &&Claim| {
        let meta = &claim.meta;
        &*meta.name == name
            && kind.is_none_or(|kind| kind == claim.kind)
            && namespace.is_none_or(|namespace| *meta.namespace == *namespace)
    };
    let claims = sight.objects.claims.iter().filter(is_it);
    claims.map(|claim| reasons(sight, claim)).collect()
}

/// What was found, in every form.
pub(super) fn answer(found: &[Reasons<'_>], namespace: Option<&str>, name: &str) -> Answer {
    if found.is_empty() {
        let place = namespace.map_or("any namespace".to_owned(), |n| format!("the namespace {n}"));
        let text = format!(
            "no claim {name} that asks a pool of this program in {place}; an IPAddressClaim of another provider's pool is not shown\n"
        );
        return Answer::missing(text, json!({"claims": []}));
    }
    let text: String = found.iter().map(text).collect();
    let names = found.iter().map(|of| {
        let (kind, meta) = (of.claim.kind, &of.claim.meta);
        let word = kind.claim().to_ascii_lowercase();
        format!("{word}.{}/{}", kind.group(), meta.name)
    });
    let names = names.collect();
    Answer::new(
        text,
        json!({"claims": found.iter().map(value).collect::<Vec<_>>()}),
        names,
    )
}

/// Until when a pool keeps the address of this deleted claim, if it has a grace period (R3).
fn kept_until(claim: &Claim, pool: Option<&PoolObject>) -> Option<Timestamp> {
    let spec = pool?.spec.as_ref().ok()?;
    let grace = spec
        .address_reuse_grace_period_seconds
        .filter(|seconds| *seconds > 0)?;
    let deleted = claim.meta.deletion_timestamp?;
    deleted.checked_add(SignedDuration::from_secs(grace)).ok()
}

fn reasons<'a>(sight: &Sight, claim: &'a Claim) -> Reasons<'a> {
    let new = |reason: &str, says: String, next: &'static str| Reasons {
        claim,
        reason: reason.to_owned(),
        says,
        next,
        events: Ok(Vec::new()),
    };
    let pool_key = claim.pool_key();
    let pool = sight.pool_object(&pool_key);
    let paused = pause_of(claim, pool, |name| {
        let mut clusters = sight.objects.clusters.iter();
        clusters.any(|(namespace, facts)| {
            **namespace == *claim.meta.namespace && *facts.name == *name && facts.paused
        })
    });
    let fed = sight.pool(&pool_key);
    let key = claim.key();
    let waits = fed.and_then(|fed| fed.pool.waits_for(&key));
    if let Some(what) = &paused
        && (waits.is_some() || claim.meta.is_deleting())
    {
        let says = format!("{what} is paused, and nothing is written to the claim");
        return new(
            "Paused",
            says,
            "end the pause; after clusterctl move it ends by itself",
        );
    }
    let told = claim
        .condition("Ready")
        .filter(|ready| ready.status == "False");
    if claim.meta.is_deleting() {
        let others: Vec<&str> = claim.meta.finalizers.iter().map(String::as_str).collect();
        let mut says = format!(
            "it is being deleted, and waits for its finalizers: {}",
            others.join(", ")
        );
        if let Some(until) = kept_until(claim, pool) {
            let _ = write!(
                says,
                "; pool {} keeps its address until {until} (addressReuseGracePeriodSeconds)",
                claim.pool
            );
        }
        let Some(told) = told.filter(|told| fine_reason(claim.kind, told) == "ReleaseFailed")
        else {
            return new(
                "Deleting",
                says,
                "nothing, if these go within a minute or after the time that it names; else look at the controllers whose finalizers these are",
            );
        };
        let says = format!("{says}. {}", told.message);
        return new("ReleaseFailed", says, next_step("ReleaseFailed"));
    }
    let Some(waits) = waits else {
        return bound(sight, claim).unwrap_or_else(|| {
            let says = "nothing is known to stand in its way".to_owned();
            new("Pending", says, next_step("Pending"))
        });
    };
    // What was refused, and which address the claim has had, only the manager knows, and has said so.
    let known = told.filter(|told| waits == "Pending" && !told.message.is_empty());
    let known = known.map(|told| (fine_reason(claim.kind, told), told));
    if let Some((reason @ ("AllocationFailed" | "AddressConflict" | "AddressMissing"), told)) =
        known
    {
        return new(reason, told.message.clone(), next_step(reason));
    }
    let would = fed.and_then(|fed| fed.pool.explains(&key));
    let message = would.map(|(_, message)| message).filter(|m| !m.is_empty());
    let message = message.or_else(|| told.map(|told| told.message.clone()));
    let says = match (waits, message) {
        ("Pending", _) => {
            let holds = |held: &Held| matches!(held, Held::Next(of) if *of == key);
            let mut held = fed.into_iter().flat_map(|fed| fed.pool.held_addresses());
            let next = held.find(|(_, holders)| holders.iter().any(holds));
            match next {
                Some((address, _)) => format!("nothing stands in its way: {address} is free for it, and a manager that serves the pool binds it at once"),
                None => "nothing stands in its way: a manager that serves the pool goes on with it at once".to_owned(),
            }
        }
        (_, Some(message)) => message,
        (_, None) => format!("{pool_key} has no address for it"),
    };
    let next = match fed.map(|fed| fed.pool.snapshot().ready) {
        Some(Err(unready)) if waits == "PoolNotReady" => next_step_of_pool(unready),
        Some(_) | None => next_step(waits),
    };
    new(waits, says, next)
}

/// A claim that has its address.
fn bound<'a>(sight: &Sight, claim: &'a Claim) -> Option<Reasons<'a>> {
    let (namespace, key) = (&claim.meta.namespace, claim.key());
    let mut addresses = sight.objects.addresses.iter();
    let object = addresses.find(|address| {
        address.meta.namespace == *namespace
            && address.claim_key() == key
            && claim.published.as_ref() == Some(&address.meta.name)
    })?;
    let address = object.address.as_ref().ok()?;
    let since = object
        .meta
        .creation_timestamp
        .map(|at| format!(" since {at}"));
    let mut says = format!(
        "it has {address} by {}{}",
        object.key(),
        since.unwrap_or_default()
    );
    let holders = sight
        .pool(&claim.pool_key())
        .map(|fed| fed.pool.standing(*address).holders);
    let other = holders.into_iter().flatten().find(|held| match held {
        Held::Object(other, _) => *other != object.key(),
        Held::Shown(other) => *other != key,
        Held::Next(_) | Held::NameTaken(_) | Held::Gateway | Held::PreAllocated(_) => false,
    });
    let next = match other {
        None => "nothing",
        Some(other) => {
            match other {
                Held::Object(other, Some(claim)) => {
                    let _ = write!(says, "; {other} of {claim} has that address too");
                }
                Held::Object(other, None) => {
                    let _ = write!(says, "; {other} has that address too");
                }
                _ => says.push_str("; another claim's status shows that address too"),
            }
            "find out which machine uses the address: metal3-ipam check tells what to delete"
        }
    };
    Some(Reasons {
        claim,
        reason: "AddressAllocated".to_owned(),
        says,
        next,
        events: Ok(Vec::new()),
    })
}

/// What to do about a claim that waits for this reason.
fn next_step(reason: &str) -> &'static str {
    match reason {
        "PoolExhausted" => {
            "add an entry to the pool's spec.pools, or delete claims that nobody needs; metal3-ipam plan tells how much is missing"
        }
        "PoolNotFound" => {
            "create the pool, or create the claim again with the right name: the pool of a claim cannot be changed"
        }
        "PoolNotReady" => {
            "create the Cluster; when no clusterctl move goes on, remove its annotation from the claim"
        }
        "AllocationFailed" => {
            "change what the message names: a right, a quota, a policy, a webhook, the pre-allocation or spec.pool"
        }
        "AddressConflict" => "delete one of the two objects that the message names",
        "PreAllocationConflict" => {
            "wait for the holder or delete its claim; or make the annotation ipAddress and the pre-allocation equal"
        }
        "RequestedAddressInvalid" => {
            "write an address such as 192.168.0.10 or fd00::10 into the annotation ipAddress"
        }
        "RequestedAddressOutOfRange" => "change the annotation ipAddress, or the pool's ranges",
        "RequestedAddressUnavailable" => {
            "change the annotation ipAddress, or delete the holder's claim: metal3-ipam who ADDRESS names it"
        }
        "AddressMissing" => {
            "nothing, if a clusterctl move goes on; else remove its annotation from the claim"
        }
        "ReleaseFailed" => {
            "change what the message names; do not take the finalizer off by hand, the address would leak"
        }
        "Pending" => {
            "nothing; if it stays, see whether a manager runs and leads: kubectl get pods,leases -n metal3-ipam-system"
        }
        _ => "see the pool's conditions: kubectl describe ippool",
    }
}

/// What to do about a pool whose condition `Ready` has this reason.
fn next_step_of_pool(reason: &str) -> &'static str {
    match reason {
        "Deleting" => {
            "create the claim again in another pool, or wait until this one is gone and create it anew: metal3-ipam pool tells what it waits for"
        }
        "InvalidSpec" => "correct the pool's spec: metal3-ipam pool lists what is wrong with it",
        "ClusterNotFound" => "create the Cluster, or correct spec.clusterName of the pool",
        "ClusterDeleting" => {
            "wait until the Cluster is gone and create it anew, or correct spec.clusterName of the pool"
        }
        "KindUnavailable" => "install the definition of the kind that the message names",
        "Moving" => {
            "nothing, if a clusterctl move goes on; else remove its annotation from the pool"
        }
        "Starting" | "FinalizerPending" => {
            "nothing; if it stays, see whether a manager runs and leads: kubectl get pods,leases -n metal3-ipam-system"
        }
        _ => "see the pool's condition Ready: kubectl describe ippool",
    }
}

fn text(reasons: &Reasons<'_>) -> String {
    let Reasons {
        claim,
        reason,
        says,
        next,
        events,
    } = reasons;
    let (kind, meta) = (claim.kind.claim(), &claim.meta);
    let says = on_one_line(says);
    let mut text = format!(
        "{kind} {}/{} of IPPool {}: {reason}\n  why   {says}\n  next  {next}\n",
        meta.namespace, meta.name, claim.pool
    );
    let lines = match events {
        Ok(events) => events.iter().map(Occurred::line).collect(),
        Err(why) => vec![format!("not read: {why}")],
    };
    for line in lines {
        let _ = writeln!(text, "  event {}", on_one_line(&line));
    }
    text
}

fn value(reasons: &Reasons<'_>) -> Value {
    let claim = reasons.claim;
    json!({
        "kind": claim.kind.claim(),
        "namespace": &*claim.meta.namespace,
        "name": &*claim.meta.name,
        "pool": &*claim.pool,
        "reason": reasons.reason,
        "why": reasons.says,
        "next": reasons.next,
        "events": reasons.events.as_ref().ok().map(|all| all.iter().map(Occurred::json).collect::<Vec<_>>()),
    })
}
