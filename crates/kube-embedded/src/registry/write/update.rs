//! Computes the successor of an object from the stored one and from what a client sent. Pure.

use serde_json::Value;

use crate::kinds::{Resource, Strategy};
use crate::registry::request::Subresource;
use crate::registry::rules::metadata::{self, Object};
use crate::registry::rules::strategy;
use crate::registry::write::managed_fields::{self, By};

/// Removes what a client cannot set in a new object, and records the owner of the rest. The name may still be missing.
pub(crate) fn prepare_for_create(resource: &Resource, object: &mut Object, by: &By) {
    clear_generation(resource, object);
    strategy::complete(resource, object, false);
    managed_fields::track(resource, None, object, None, by);
}

/// Removes what a POST cannot set: deletion, and the old selfLink. A PUT or an apply that creates an object can.
pub(crate) fn prepare_for_post(object: &mut Object) {
    let metadata = metadata::of(object);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(field);
    }
}

/// Removes the generation that a client sent, for a kind that has generations.
fn clear_generation(resource: &Resource, object: &mut Object) {
    if counts_generations(resource) {
        metadata::of(object).remove("generation");
    }
}

/// The first state of a new object.
pub(crate) fn created(resource: &Resource, mut object: Object, uid: &str, now: &str) -> Object {
    if resource.status_subresource {
        object.remove("status");
    }
    clear_generation(resource, &mut object);
    let metadata = metadata::of(&mut object);
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), now.into());
    if counts_generations(resource) {
        metadata.insert("generation".to_owned(), 1.into());
    }
    if !resource.namespaced {
        metadata.remove("namespace");
    }
    strategy::complete(resource, &mut object, true);
    object
}

/// The successor of `old`, when a client sends `wanted` to the object's path or to a subresource. `by`: the manager to record as
/// the owner of the changes. `None` when `wanted` already has managedFields (server-side apply).
pub(crate) fn successor(
    resource: &Resource,
    old: &Object,
    wanted: Object,
    subresource: Option<Subresource>,
    by: Option<&By>,
) -> Object {
    let mut wanted = wanted;
    if subresource.is_none() {
        strategy::complete(resource, &mut wanted, false);
    }
    if let Some(by) = by {
        managed_fields::track(resource, Some(old), &mut wanted, subresource, by);
    }
    match subresource {
        Some(Subresource::Status) => {
            let mut new = old.clone();
            managed_fields::move_entries(&mut wanted, &mut new);
            replace(&mut new, "status", wanted.remove("status"));
            // A write of the status ignores everything else in the body.
            new
        }
        None => {
            let mut new = wanted;
            if resource.status_subresource {
                replace(&mut new, "status", old.get("status").cloned());
            }
            keep_identity(old, &mut new);
            if resource.kind == "Secret" && !new.contains_key("type") {
                replace(&mut new, "type", old.get("type").cloned());
            }
            if resource.strategy == Strategy::Namespace {
                // `spec.finalizers` of a namespace is changed by the namespace controller alone.
                replace(&mut new, "spec", old.get("spec").cloned());
            }
            count_generation(resource, old, &mut new);
            new
        }
    }
}

fn replace(object: &mut Object, name: &str, value: Option<Value>) {
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
}

/// Keeps what a client may omit but not change, and what it cannot set.
fn keep_identity(old: &Object, new: &mut Object) {
    // The server's times are always kept; UID and grace period only when the client omits them.
    for (name, always) in [
        ("uid", false),
        ("creationTimestamp", true),
        ("deletionTimestamp", true),
        ("deletionGracePeriodSeconds", false),
    ] {
        if let Some(value) = metadata::field(old, name)
            && (always || metadata::field(new, name).is_none())
        {
            metadata::of(new).insert(name.to_owned(), value.clone());
        }
    }
    replace(
        metadata::of(new),
        "generation",
        metadata::field(old, "generation").cloned(),
    );
}

fn counts_generations(resource: &Resource) -> bool {
    match resource.strategy {
        Strategy::Custom | Strategy::Definition => true,
        Strategy::Namespace | Strategy::Event | Strategy::Lease | Strategy::Plain => false,
    }
}

/// Increments the generation when anything but metadata changed, and but status where that is a subresource.
fn count_generation(resource: &Resource, old: &Object, new: &mut Object) {
    if !counts_generations(resource) {
        return;
    }
    let counted =
        |name: &str| name != "metadata" && !(name == "status" && resource.status_subresource);
    let changed = old
        .iter()
        .filter(|(name, _)| counted(name))
        .any(|(name, value)| new.get(name) != Some(value))
        || new
            .keys()
            .any(|name| counted(name) && !old.contains_key(name));
    if changed {
        raise_generation(new);
    }
}

/// Increments the generation, for a kind that has generations.
pub(crate) fn raise_generation(object: &mut Object) {
    if let Some(generation) = metadata::field(object, "generation").and_then(Value::as_i64)
        && generation > 0
    {
        metadata::of(object).insert("generation".to_owned(), (generation + 1).into());
    }
}

/// Whether the two differ in anything but the resourceVersion.
pub(crate) fn differs(old: &Object, new: &Object) -> bool {
    let rest = |object: &Object, other: &Object| {
        object
            .iter()
            .any(|(name, value)| name != "metadata" && other.get(name) != Some(value))
    };
    if rest(old, new) || rest(new, old) {
        return true;
    }
    let fields = |object| metadata_without_version(object).count();
    fields(old) != fields(new)
        || metadata_without_version(old).any(|(name, value)| {
            metadata_without_version(new).find(|(other, _)| *other == name) != Some((name, value))
        })
}

fn metadata_without_version(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    object
        .get("metadata")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "resourceVersion")
}
