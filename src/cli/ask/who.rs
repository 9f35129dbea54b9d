//! `metal3-ipam who`: who has an address, or what a name has.

use std::fmt::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use super::super::names;
use super::super::objects::Fed;
use super::answer::Answer;
use super::owners::Owners;
use super::target::{Output, Target};
use super::{Asked, Sight, entry_number};
use crate::alloc::Location;
use crate::api::ip::parse_ip;
use crate::api::metal3::AllocationStrategy;
use crate::api::{Address, AddressKey, Claim, ClaimKey, Kind, PoolKey};
use crate::pool::{Held, Standing};

/// Shows who has an address, in any spelling, or which addresses a claim, an address object or an owner has.
///
/// What a name owns is looked for where no claim and no address object has the name. It looks at all namespaces unless one is
/// given, and nothing is written. Exit code 1: the address is in no pool, or nothing has the name; 2: not everything could be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Who {
    /// An address such as 10.0.0.7, 2001:db8::7, [2001:db8::7] or 10.0.0.7/24; or the name of a claim, of an address object, or of
    /// what owns a claim.
    #[arg(value_name = "ADDRESS|NAME", add = names::held())]
    asked: String,
    #[command(flatten)]
    target: Target,
    /// How the answer is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

impl Who {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let text = self.asked.trim().to_owned();
        ensure!(!text.is_empty(), "give an address or a name");
        let target = self.target.everywhere();
        let address = address_of(&text);
        let asked = match address {
            Some(address) => Asked::at(&target, address).await?,
            None => Asked::named(&target, &text).await?,
        };
        let mut found = match address {
            Some(address) => at(&asked.sight, address),
            None => named(&asked.sight, &text),
        };
        let mut owners = Owners::new(&asked.client);
        for one in &mut found {
            let namespace = one.pool.namespace.to_string();
            one.chain = owners.chain(&namespace, &one.owners).await;
        }
        let without = match address {
            Some(_) => Vec::new(),
            None => without_address(&asked.sight, &text, &found),
        };
        asked.finish(&answer(&text, &found, &without), self.output)
    }
}

/// The address that a text is, in any spelling.
pub(super) fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.split('/').next()?.trim();
    let bare = bare.strip_prefix('[').unwrap_or(bare);
    let bare = bare.strip_suffix(']').unwrap_or(bare);
    let address = parse_ip(bare).ok().or_else(|| bare.parse().ok())?;
    Some(address.to_canonical())
}

/// One address in one pool, and who has it.
#[derive(Debug)]
pub(super) struct Found {
    pool: PoolKey,
    address: IpAddr,
    /// In one sentence.
    says: String,
    /// The claim that has it.
    claim: Option<ClaimKey>,
    object: Option<AddressKey>,
    since: Option<Timestamp>,
    /// Why it got this one.
    rule: Option<&'static str>,
    /// As the claim names them.
    owners: Vec<OwnerReference>,
    /// Owners of the claim, nearest first.
    pub(super) chain: Vec<String>,
}

/// What is known of an address, in every pool that has it or has something at it.
pub(super) fn at(sight: &Sight, address: IpAddr) -> Vec<Found> {
    let mut found = Vec::new();
    for fed in &sight.pools {
        let standing = fed.pool.standing(address);
        if standing.place == Location::Outside && standing.holders.is_empty() {
            continue;
        }
        found.extend(in_pool(sight, fed, address, &standing));
    }
    found
}

/// Who has an address of a pool: one entry for each who does, or one that says that nobody does.
fn in_pool(sight: &Sight, fed: &Fed, address: IpAddr, standing: &Standing) -> Vec<Found> {
    let new = |says: String| Found {
        pool: fed.key.clone(),
        address,
        says,
        claim: None,
        object: None,
        since: None,
        rule: None,
        owners: Vec::new(),
        chain: Vec::new(),
    };
    let place = match standing.place {
        Location::Inside { entry } => format!("entry {}", entry_number(entry)),
        Location::Excluded => "an excluded address".to_owned(),
        Location::Outside => "outside of its ranges".to_owned(),
    };
    let pool = format!("IPPool {} ({place})", fed.key);
    if standing.holders.is_empty() {
        let says = match standing.place {
            Location::Excluded => format!("nobody: {pool} does not hand it out"),
            Location::Inside { .. } if standing.is_free => format!("nobody: free in {pool}"),
            Location::Inside { .. } => format!(
                "nobody: {pool} keeps it back as a network, broadcast or anycast address; a claim that requests it can get it"
            ),
            Location::Outside => return Vec::new(),
        };
        return vec![new(says)];
    }
    let one = |held: &Held| match held {
        Held::Object(key, claim) => {
            let mut found = new(String::new());
            found.object = Some(key.clone());
            found.claim.clone_from(claim);
            let object = sight.address(&fed.key.namespace, key);
            found.since = object.and_then(|object| object.meta.creation_timestamp);
            let known = claim.as_ref();
            let known = known.and_then(|claim| sight.claim(&fed.key.namespace, claim));
            found.says = match (claim, known) {
                (Some(claim), Some(known)) if known.meta.is_deleting() => {
                    format!("{claim}, which is being deleted, in {pool}")
                }
                (Some(claim), Some(_)) => format!("{claim} in {pool}"),
                (Some(claim), None) => {
                    let kind = Kind::Claims(claim.kind);
                    let objects = &sight.objects;
                    let fate = if objects.is_missing(kind, &fed.key.namespace, &claim.name) {
                        "which does not exist"
                    } else {
                        "which could not be read"
                    };
                    format!("{key}, for {claim}, {fate}, in {pool}")
                }
                (None, _) => format!("{key}, which names no claim, in {pool}"),
            };
            if let (Some(object), Some(known)) = (object, known) {
                found.rule = rule(sight, fed, object, known, address);
                found.owners.clone_from(&known.meta.owner_references);
            }
            found
        }
        Held::Next(claim) => {
            let mut found = new(format!(
                "reserved for {claim}, which gets it next, in {pool}"
            ));
            found.claim = Some(claim.clone());
            found
        }
        Held::Shown(claim) => {
            let mut found = new(format!(
                "{claim}, whose status shows it; its IPAddress is missing, and {pool} keeps the address for it"
            ));
            found.claim = Some(claim.clone());
            found
        }
        Held::NameTaken(key) => new(format!(
            "nobody, and {pool} cannot hand it out: {key} has the name that its IPAddress would have, and is not that"
        )),
        Held::Gateway => new(format!(
            "nobody: a gateway of {pool}; a claim that requests it can get it"
        )),
        Held::PreAllocated(name) => new(format!(
            "nobody yet: {pool} has it pre-allocated to the claim {name}"
        )),
    };
    let is_held = standing
        .holders
        .iter()
        .any(|held| matches!(held, Held::Object(..) | Held::Next(_) | Held::Shown(_)));
    let says_more =
        |held: &&Held| !is_held || !matches!(held, Held::Gateway | Held::PreAllocated(_));
    standing.holders.iter().filter(says_more).map(one).collect()
}

/// By which rule a claim got its address.
fn rule(
    sight: &Sight,
    fed: &Fed,
    object: &Address,
    claim: &Claim,
    address: IpAddr,
) -> Option<&'static str> {
    let is_it = |text: &str| address_of(text) == Some(address);
    let spec = sight.pool_object(&fed.key)?.spec.as_ref().ok()?;
    let promised = spec.pre_allocations.get(&*claim.meta.name);
    Some(if claim.requested().is_some_and(is_it) {
        "requested by the claim's annotation"
    } else if promised.is_some_and(|text| is_it(&text.0)) {
        "pre-allocated to it by the pool"
    } else if object.meta.created() < claim.meta.created() {
        "adopted: the address object is older than the claim"
    } else if spec.allocation_strategy == AllocationStrategy::Random {
        "chosen at random"
    } else {
        "the first free one"
    })
}

/// What a name has: of a claim, of an address object, or of what owns a claim; and claims of that name that have nothing.
pub(super) fn named(sight: &Sight, name: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for claim in of_name(sight, name) {
        let meta = &claim.meta;
        let key = claim.key();
        let before = found.len();
        for address in &sight.objects.addresses {
            if address.meta.namespace == meta.namespace && address.claim_key() == key {
                found.extend(of_object(sight, address));
            }
        }
        if found.len() == before {
            found.extend(without_object(sight, claim));
        }
    }
    for address in &sight.objects.addresses {
        let is_known = found.iter().any(|one: &Found| {
            one.object.as_ref() == Some(&address.key())
                && one.pool.namespace == address.meta.namespace
        });
        if [&*address.meta.name, &*address.claim].contains(&name) && !is_known {
            found.extend(of_object(sight, address));
        }
    }
    found.extend(promised(sight, name, &found));
    found
}

/// Addresses that pools keep for a claim of this name, which has not got them.
fn promised(sight: &Sight, name: &str, found: &[Found]) -> Vec<Found> {
    let mut promised = Vec::new();
    for pool in &sight.objects.pools {
        let texts = pool
            .spec
            .iter()
            .filter_map(|spec| spec.pre_allocations.get(name));
        for address in texts.filter_map(|text| parse_ip(text).ok()) {
            let key = pool.key();
            let is_known = found
                .iter()
                .any(|one| one.pool == key && one.address == address);
            if let Some(fed) = sight.pool(&key).filter(|_| !is_known) {
                let standing = fed.pool.standing(address);
                promised.extend(in_pool(sight, fed, address, &standing));
            }
        }
    }
    promised
}

/// Claims that have a name, or whose owner has it.
fn of_name<'a>(sight: &'a Sight, name: &str) -> impl Iterator<Item = &'a Claim> {
    let owned = move |owners: &[OwnerReference]| owners.iter().any(|owner| owner.name == name);
    let claims = sight.objects.claims.iter();
    claims.filter(move |claim| &*claim.meta.name == name || owned(&claim.meta.owner_references))
}

/// Those of them that have no address.
pub(super) fn without_address<'a>(sight: &'a Sight, name: &str, found: &[Found]) -> Vec<&'a Claim> {
    let has_one = |claim: &&Claim| {
        found.iter().any(|one| {
            one.pool.namespace == claim.meta.namespace && one.claim.as_ref() == Some(&claim.key())
        })
    };
    of_name(sight, name)
        .filter(|claim| !has_one(claim))
        .collect()
}

/// What an address object holds.
fn of_object(sight: &Sight, object: &Address) -> Option<Found> {
    let address = *object.address.as_ref().ok()?;
    let fed = sight.pool(&object.pool_key())?;
    let standing = fed.pool.standing(address);
    let all = in_pool(sight, fed, address, &standing);
    let key = Some(object.key());
    all.into_iter().find(|found| found.object == key)
}

/// The address that a claim without an object is about to get, or keeps.
fn without_object(sight: &Sight, claim: &Claim) -> Option<Found> {
    let (fed, key) = (sight.pool(&claim.pool_key())?, claim.key());
    let is_its = |held: &Held| matches!(held, Held::Next(of) | Held::Shown(of) if *of == key);
    let mut held = fed.pool.held_addresses();
    let (address, _) = held.find(|(_, holders)| holders.iter().any(is_its))?;
    let standing = fed.pool.standing(address);
    let all = in_pool(sight, fed, address, &standing);
    all.into_iter()
        .find(|found| found.claim.as_ref() == Some(&key))
}

fn value(found: &Found) -> Value {
    json!({
        "address": found.address.to_string(),
        "namespace": &*found.pool.namespace,
        "pool": &*found.pool.name,
        "says": found.says,
        "claim": found.claim.as_ref().map(|claim| json!({"kind": claim.kind.claim(), "name": &*claim.name})),
        "object": found.object.as_ref().map(|key| json!({"group": key.kind.group(), "name": &*key.name})),
        "since": found.since.map(|at| at.to_string()),
        "rule": found.rule,
        "owners": found.chain,
    })
}

/// What was found, in every form.
pub(super) fn answer(asked: &str, found: &[Found], without: &[&Claim]) -> Answer {
    let claims = without.iter().map(|claim| {
        let (kind, meta) = (claim.kind.claim(), &claim.meta);
        json!({"kind": kind, "namespace": &*meta.namespace, "name": &*meta.name, "pool": &*claim.pool})
    });
    let value = json!({
        "asked": asked,
        "found": found.iter().map(value).collect::<Vec<_>>(),
        "claimsWithoutAddress": claims.collect::<Vec<_>>(),
    });
    if found.is_empty() && without.is_empty() {
        let text = match address_of(asked) {
            Some(address) => format!("{address}: in no pool\n"),
            None => format!(
                "{asked}: no claim and no address object has this name, names a claim of it or is owned by something that has it, and no pool pre-allocates to it. Is it spelled as kubectl shows it, and in this cluster?\n"
            ),
        };
        return Answer::missing(text, value);
    }
    let mut out = String::new();
    for one in found {
        let _ = writeln!(out, "{}: {}", one.address, one.says);
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(out, "  {label:<8} {text}");
        };
        if let Some(object) = &one.object {
            line("object", &format!("{object} in {}", one.pool.namespace));
        }
        if let Some(since) = one.since {
            line("since", &since.to_string());
        }
        if let Some(rule) = one.rule {
            line("rule", rule);
        }
        if !one.chain.is_empty() {
            line("owners", &one.chain.join(" <- "));
        }
    }
    for claim in without {
        let (kind, meta) = (claim.kind.claim(), &claim.meta);
        let word = kind.to_ascii_lowercase();
        let _ = writeln!(
            out,
            "{asked}: {kind} {}/{} of IPPool {} has no address; metal3-ipam why {word}/{} -n {} tells why",
            meta.namespace, meta.name, claim.pool, meta.name, meta.namespace
        );
    }
    let objects = found.iter().filter_map(|one| one.object.as_ref());
    let names = objects.map(|key| format!("ipaddress.{}/{}", key.kind.group(), key.name));
    Answer::new(out, value, names.collect())
}
