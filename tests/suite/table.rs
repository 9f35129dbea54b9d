//! Scenarios as tables: a list of steps, each of which writes one object and says what the claim of its line then has.
//!
//! ```text
//!   play(on, vec![
//!       pool("p", json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]})),
//!       claim("a").gets("10.0.0.1"),
//!       claim("b").asking_for("10.0.0.1").waits_for("RequestedAddressUnavailable"),
//!       deleted("a"),
//!       later("b").gets("10.0.0.1"),
//!   ])
//! ```
//! A failure names the step by its number and text.

use std::fmt;

use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, capi_claim_json, claim_json};
use crate::steps::asking_for;

/// One line of a table.
pub(crate) enum Step {
    /// Creates a pool with these spec fields.
    Pool(&'static str, Value),
    /// Merges these fields into a pool's spec.
    PoolChanges(&'static str, Value),
    /// A claim is written (or not) and has this.
    Claim(Line, Has),
    /// Deletes an IPClaim or IPAddressClaim.
    Deleted(Kind, &'static str),
    /// Deletes an IPAddress of Metal3's kind.
    ObjectDeleted(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    IPClaim,
    IPAddressClaim,
}

/// What is done to a claim before its outcome is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// The claim is created.
    Create,
    /// The claim exists and its annotation `ipAddress` is set.
    Annotate,
    /// Nothing: an earlier step changes its outcome.
    Nothing,
}

/// The left side of a claim's line.
#[derive(Debug)]
pub(crate) struct Line {
    act: Act,
    kind: Kind,
    name: &'static str,
    pool: &'static str,
    asks: Option<&'static str>,
}

/// The right side of a claim's line.
#[derive(Debug)]
pub(crate) enum Has {
    /// Bound to this address.
    Address(&'static str),
    /// `Ready=False` for this reason, with this text in the message.
    Reason(&'static str, &'static str),
    /// This text in `status.errorMessage`; `None` where there is none.
    Error(Option<&'static str>),
}

const fn line(act: Act, kind: Kind, name: &'static str) -> Line {
    Line {
        act,
        kind,
        name,
        pool: "p",
        asks: None,
    }
}

pub(crate) fn pool(name: &'static str, spec: Value) -> Step {
    Step::Pool(name, spec)
}

pub(crate) fn pool_changes(name: &'static str, spec: Value) -> Step {
    Step::PoolChanges(name, spec)
}

pub(crate) fn object_deleted(name: &'static str) -> Step {
    Step::ObjectDeleted(name)
}

/// An IPClaim on the pool `p` is created.
pub(crate) const fn claim(name: &'static str) -> Line {
    line(Act::Create, Kind::IPClaim, name)
}

/// An IPAddressClaim on the pool `p` is created.
pub(crate) const fn capi_claim(name: &'static str) -> Line {
    line(Act::Create, Kind::IPAddressClaim, name)
}

/// An IPClaim of an earlier step.
pub(crate) const fn later(name: &'static str) -> Line {
    line(Act::Nothing, Kind::IPClaim, name)
}

/// An IPClaim of an earlier step gets another annotation `ipAddress`.
pub(crate) const fn now_asking(name: &'static str, address: &'static str) -> Line {
    let mut line = line(Act::Annotate, Kind::IPClaim, name);
    line.asks = Some(address);
    line
}

pub(crate) fn deleted(claim: &'static str) -> Step {
    Step::Deleted(Kind::IPClaim, claim)
}

pub(crate) fn capi_deleted(claim: &'static str) -> Step {
    Step::Deleted(Kind::IPAddressClaim, claim)
}

impl Line {
    /// On another pool than `p`.
    pub(crate) const fn of(mut self, pool: &'static str) -> Self {
        self.pool = pool;
        self
    }

    /// With the annotation `ipAddress`.
    pub(crate) const fn asking_for(mut self, address: &'static str) -> Self {
        self.asks = Some(address);
        self
    }

    pub(crate) const fn gets(self, address: &'static str) -> Step {
        Step::Claim(self, Has::Address(address))
    }

    pub(crate) const fn waits_for(self, reason: &'static str) -> Step {
        self.waits_saying(reason, "")
    }

    pub(crate) const fn waits_saying(self, reason: &'static str, text: &'static str) -> Step {
        Step::Claim(self, Has::Reason(reason, text))
    }

    /// Only an IPClaim has an error text.
    pub(crate) const fn has_error(self, text: Option<&'static str>) -> Step {
        Step::Claim(self, Has::Error(text))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(name, spec) => write!(f, "pool {name} {spec}"),
            Self::PoolChanges(name, spec) => write!(f, "pool {name} changes to {spec}"),
            Self::Claim(line, has) => {
                let Line {
                    act,
                    kind,
                    name,
                    pool,
                    asks,
                } = line;
                write!(f, "{act:?} {kind:?} {name} of {pool}")?;
                if let Some(address) = asks {
                    write!(f, " asking for {address}")?;
                }
                write!(f, ": {has:?}")
            }
            Self::Deleted(kind, name) => write!(f, "delete {kind:?} {name}"),
            Self::ObjectDeleted(name) => write!(f, "delete IPAddress {name}"),
        }
    }
}

/// Plays a table on a server of its own, from the first step to the last.
pub(crate) async fn play(on: On, steps: Vec<Step>) {
    let world = World::start(on).await;
    play_in(&world, steps).await;
    world.end().await;
}

/// Plays a table in a scenario that does more than that.
pub(crate) async fn play_in(world: &World, steps: Vec<Step>) {
    for (number, step) in (1..).zip(steps) {
        let text = format!("step {number}: {step}");
        // Only a failure shows it.
        println!("{text}");
        perform(world, step, &text).await;
    }
}

async fn perform(world: &World, step: Step, text: &str) {
    match step {
        Step::Pool(name, spec) => drop(world.pool(name, spec).await),
        Step::PoolChanges(name, spec) => {
            let patch = json!({"spec": spec});
            drop(world.patch::<IPPool>(name, patch).await);
        }
        Step::Claim(line, has) => {
            write(world, &line).await;
            check(world, &line, has, text).await;
        }
        Step::Deleted(Kind::IPClaim, name) => world.delete::<IPClaim>(name).await,
        Step::Deleted(Kind::IPAddressClaim, name) => world.delete::<IPAddressClaim>(name).await,
        Step::ObjectDeleted(name) => world.delete::<IPAddress>(name).await,
    }
}

async fn write(world: &World, line: &Line) {
    let asks = line.asks;
    let with = |claim: Value| match asks {
        Some(address) => asking_for(claim, address),
        None => claim,
    };
    match (line.act, line.kind) {
        (Act::Nothing, _) => {}
        (Act::Create, Kind::IPClaim) => {
            let claim = with(claim_json(line.name, line.pool));
            drop(world.create::<IPClaim>(claim).await);
        }
        (Act::Create, Kind::IPAddressClaim) => {
            let claim = with(capi_claim_json(line.name, line.pool));
            drop(world.create::<IPAddressClaim>(claim).await);
        }
        (Act::Annotate, Kind::IPClaim) => {
            let patch = json!({"metadata": {"annotations": {"ipAddress": asks}}});
            drop(world.patch::<IPClaim>(line.name, patch).await);
        }
        (Act::Annotate, Kind::IPAddressClaim) => {
            let patch = json!({"metadata": {"annotations": {"ipAddress": asks}}});
            drop(world.patch::<IPAddressClaim>(line.name, patch).await);
        }
    }
}

async fn check(world: &World, line: &Line, has: Has, text: &str) {
    let name = line.name;
    match (has, line.kind) {
        (Has::Address(address), Kind::IPClaim) => {
            assert_eq!(world.address_of(name).await, address, "{text}");
        }
        (Has::Address(address), Kind::IPAddressClaim) => {
            assert_eq!(world.capi_address_of(name).await, address, "{text}");
        }
        (Has::Reason(reason, part), Kind::IPClaim) => {
            let message = world.waits_for(name, reason).await;
            let is_kept = world.keeps_conditions();
            assert!(!is_kept || message.contains(part), "{text}: {message}");
        }
        (Has::Reason(reason, part), Kind::IPAddressClaim) => {
            let message = world.capi_waits_for(name, reason).await;
            assert!(message.contains(part), "{text}: {message}");
        }
        (Has::Error(wanted), _) => {
            let shown = |claim: &IPClaim| {
                let status = claim.status.as_ref();
                status.and_then(|s| s.error_message.clone())
            };
            let what = format!("{text}: the error text");
            world
                .until::<IPClaim>(&what, |all| shown(&all[name]).as_deref() == wanted)
                .await;
        }
    }
}
