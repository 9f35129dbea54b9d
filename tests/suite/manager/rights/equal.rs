//! Compares the rights that roles give with the rights that requests used (P4, P5).

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::Value;

use super::deploy::{Form, folder};
use crate::proxy::{Asked, Right};
use crate::tally;

/// A right that no request uses: Kubernetes' admission plugin `OwnerReferencesPermissionEnforcement` asks for it.
pub(super) struct Unused {
    /// Verb, group and resource.
    pub(super) right: &'static str,
    /// What the plugin says without it.
    pub(super) words: &'static str,
    /// On which object that is shown.
    pub(super) on: Victim,
}

/// The object whose condition shows that a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// A pool that names a Cluster.
    Pool,
    /// An IPAddressClaim.
    Claim,
}

/// Rights that are given and that no request uses. A test takes each away and sees the plugin refuse.
pub(super) const UNUSED: [Unused; 3] = [
    Unused {
        right: "delete ipam.metal3.io ippools",
        words: "cannot set an ownerRef on a resource you can't delete",
        on: Victim::Pool,
    },
    Unused {
        right: "update ipam.metal3.io ippools/finalizers",
        words: "cannot set blockOwnerDeletion",
        on: Victim::Claim,
    },
    Unused {
        right: "update ipam.cluster.x-k8s.io ipaddressclaims/finalizers",
        words: "cannot set blockOwnerDeletion",
        on: Victim::Claim,
    },
];

/// What the roles give that are bound to the manager in this form, with those of the protected diagnostics endpoint and of
/// the webhook's own certificates.
fn granted(form: Form) -> BTreeSet<Right> {
    let mut granted = BTreeSet::new();
    let folders = [["diagnostics", "webhook-self-signed"], form.folders()].concat();
    for object in folders.into_iter().flat_map(|name| folder(name, "n")) {
        let is_role = ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap());
        // That role is for who scrapes.
        if is_role && object["metadata"]["name"] != "ipam-metrics-reader" {
            for rule in object["rules"].as_array().unwrap() {
                granted.extend(rights_of(rule));
            }
        }
    }
    granted
}

fn rights_of(rule: &Value) -> Vec<Right> {
    let words = |field: &str| -> Vec<String> {
        let words = rule[field].as_array().into_iter().flatten();
        words.map(|w| w.as_str().unwrap().to_owned()).collect()
    };
    let mut names: Vec<_> = words("resourceNames").into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    let mut rights = Vec::new();
    for verb in words("verbs") {
        for group in words("apiGroups") {
            for resource in words("resources") {
                for name in &names {
                    rights.push(Right {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                    });
                }
            }
        }
    }
    rights
}

/// Whether this request is one that needs the right.
fn uses(used: &Right, right: &Right) -> bool {
    let is_named = right.name.is_none() || right.name == used.name;
    is_named && used.words() == right.words()
}

/// Fails when the server refused a request for want of a right.
pub(crate) fn assert_none_refused(asked: &[Asked]) {
    let is_refused = |a: &&Asked| {
        let refusals = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED];
        a.status.is_some_and(|status| refusals.contains(&status))
    };
    let refused: Vec<_> = asked.iter().filter(is_refused).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

/// Fails when the server refused a request for want of a right, and when a right is given that no request used.
pub(super) fn assert_equal(form: Form, asked: &[Asked]) -> String {
    assert_none_refused(asked);
    let answered = asked.iter().filter(|a| a.status.is_some());
    let used: BTreeSet<Right> = answered.filter_map(Asked::right).collect();
    let granted = granted(form);
    let (used_rights, unused): (Vec<&Right>, Vec<&Right>) = granted
        .iter()
        .partition(|right| used.iter().any(|used| uses(used, right)));
    let unused: BTreeSet<String> = unused.into_iter().map(Right::to_string).collect();
    let excepted: BTreeSet<String> = UNUSED.iter().map(|u| u.right.to_owned()).collect();
    assert_eq!(
        unused, excepted,
        "{form:?}: rights that deploy/rbac gives and that no request used (left), and those that may be so (right); take a \
         right off the roles or off the list"
    );
    tally::add("rights of deploy/rbac used", used_rights.len() as u64);
    format!(
        "Real: with the roles of {form:?} in deploy/rbac 0 of {} requests were refused; {} of {} rights were used, the others \
         are the plugin's",
        asked.len(),
        used_rights.len(),
        granted.len()
    )
}

#[test]
fn a_right_with_names_is_used_by_a_request_for_one_of_them() {
    let rule = serde_json::json!({"apiGroups": ["g", ""], "resources": ["a", "b/status"], "verbs": ["get"],
        "resourceNames": ["x"]});
    let rights: Vec<String> = rights_of(&rule).iter().map(Right::to_string).collect();
    let expected = [
        "get g a \"x\"",
        "get g b/status \"x\"",
        "get  a \"x\"",
        "get  b/status \"x\"",
    ];
    assert_eq!(rights, expected);
    let right = &rights_of(&rule)[0];
    let named = |name: Option<&str>| Right {
        name: name.map(str::to_owned),
        ..right.clone()
    };
    assert!(uses(&named(Some("x")), right));
    assert!(!uses(&named(Some("y")), right));
    assert!(!uses(&named(None), right), "a list of all names");
    assert!(uses(&named(Some("y")), &named(None)));
}
