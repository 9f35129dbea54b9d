//! The rules of section 6 as tables: a write on the left, the exact lines that it gets on the right.

mod address;
mod bounds;
mod claim;
mod examples;
mod pool;
mod update;

use std::cell::RefCell;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Holder, Live, NoFacts, Review, Verdict, covered, review};
use crate::alloc::Coverage;
use crate::api::PoolKey;
use crate::api::metal3::IPPoolSpec;

/// A namespace in a few lines; counts what it was asked.
#[derive(Default)]
struct Namespace {
    holders: Vec<Holder>,
    pools: Vec<(String, IPPoolSpec)>,
    pool_ref: Option<Value>,
    asked: RefCell<Vec<String>>,
}

impl Namespace {
    fn holding(addresses: &[&str]) -> Self {
        let holders = addresses
            .iter()
            .enumerate()
            .map(|(n, address)| Holder {
                address: address.parse().unwrap(),
                by: format!("IPAddress default/a{n} (claim c{n})"),
                is_external: false,
            })
            .collect();
        Self {
            holders,
            ..Self::default()
        }
    }

    fn with_pool(name: &str, pools: &Value) -> Self {
        let spec = json!({"namePrefix": name, "pools": pools});
        Self {
            pools: vec![(name.to_owned(), serde_json::from_value(spec).unwrap())],
            ..Self::default()
        }
    }

    fn note(&self, what: String) {
        self.asked.borrow_mut().push(what);
    }
}

impl Live for Namespace {
    fn holders(&self, pool: &PoolKey) -> Vec<Holder> {
        self.note(format!("holders {pool}"));
        self.holders.clone()
    }

    fn overlaps(&self, pool: &PoolKey, added: &Coverage) -> Vec<(String, IpAddr)> {
        self.note(format!("pools beside {pool}"));
        let common = |(name, spec): &(String, IPPoolSpec)| {
            Some((name.clone(), added.meets(&covered(spec))?))
        };
        self.pools.iter().filter_map(common).collect()
    }

    fn claim_pool_ref(&self, namespace: &str, claim: &str) -> Option<Value> {
        self.note(format!("claim {namespace}/{claim}"));
        self.pool_ref.clone()
    }
}

/// `Namespace` answers `holders_of` by the trait's own default.
#[test]
fn holders_of_an_address_are_a_part_of_all_holders() {
    let live = Namespace::holding(&["10.0.0.1", "fd00::5", "10.0.0.1"]);
    let key = PoolKey {
        namespace: "default".into(),
        name: "p".into(),
    };
    let at = |text: &str| live.holders_of(&key, text.parse::<IpAddr>().unwrap()).len();
    assert_eq!((at("10.0.0.1"), at("fd00:0::5"), at("10.0.0.2")), (2, 1, 0));
}

const METAL3: &str = "ipam.metal3.io";
const CAPI: &str = "ipam.cluster.x-k8s.io";

fn judge(group: &str, kind: &str, old: Option<&Value>, new: &Value, live: &dyn Live) -> Verdict {
    let write = Review {
        group,
        kind,
        namespace: "default",
        old,
        new,
    };
    review(&write, live)
}

fn object(spec: &Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
}

/// A pool's spec with a name prefix and these fields.
fn pool(fields: Value) -> Value {
    let mut spec = json!({"namePrefix": "p"});
    let Value::Object(fields) = fields else {
        panic!("fields of a spec");
    };
    spec.as_object_mut().unwrap().extend(fields);
    spec
}

fn create_pool(spec: &Value) -> Verdict {
    judge(METAL3, "IPPool", None, &object(spec), &NoFacts)
}

fn update_pool(old: &Value, new: &Value, live: &dyn Live) -> Verdict {
    judge(METAL3, "IPPool", Some(&object(old)), &object(new), live)
}

fn lines(verdict: &Verdict) -> Vec<String> {
    verdict.errors.iter().map(ToString::to_string).collect()
}

/// Errors are exactly these lines, and there is no warning.
#[track_caller]
fn refuses(verdict: &Verdict, want: &[&str]) {
    assert_eq!(lines(verdict), want);
    assert_eq!(verdict.warnings, [""; 0]);
}

/// Accepted, with exactly these warnings.
#[track_caller]
fn accepts(verdict: &Verdict, warnings: &[&str]) {
    assert_eq!(lines(verdict), [""; 0]);
    assert_eq!(verdict.warnings, warnings);
}
