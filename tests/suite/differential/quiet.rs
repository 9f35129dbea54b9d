//! Whether the garbage collector and the namespace controller have nothing left to do, told from the objects alone. Both servers
//! work on it in the background, each in its own time; what comes out is compared once both are done.

use serde_json::Value;

use super::kinds;

/// What an owner reference leads to.
#[derive(PartialEq)]
enum Owner {
    There,
    /// There, and waits for its dependents to go first.
    Waits,
    Gone,
}

/// Something that the server has still to do to one of these objects, which are all that the references among them lead to.
pub(super) fn still_to_do(objects: &[Value]) -> Option<String> {
    objects.iter().find_map(|object| {
        let why = of(object, objects)?;
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        Some(format!("{kind} {name}: {why}"))
    })
}

fn of(object: &Value, objects: &[Value]) -> Option<&'static str> {
    let metadata = &object["metadata"];
    let has = |finalizer: &str| {
        metadata["finalizers"]
            .as_array()
            .is_some_and(|list| list.iter().any(|f| f == finalizer))
    };
    if is_deleting(object) {
        if object["kind"] == "Namespace" {
            return Some("a namespace goes");
        }
        if has("orphan") {
            return Some("its dependents are to be orphaned");
        }
        if has("foregroundDeletion") && !objects.iter().any(|other| blocks(other, object)) {
            return Some("nothing holds it any more");
        }
        return None;
    }
    if object["kind"] == "Event" {
        // They go by their age alone.
        return None;
    }
    let owners = metadata["ownerReferences"].as_array()?;
    let text = |owner: &Value, field: &str| owner[field].as_str().unwrap_or_default().to_owned();
    let is_known =
        |owner: &Value| kinds::named(&text(owner, "apiVersion"), &text(owner, "kind")).is_some();
    if !owners.iter().all(is_known) {
        // A kind that nobody serves: nothing is known of the object, so nothing is done to it.
        return None;
    }
    let found: Vec<Owner> = owners
        .iter()
        .map(|reference| look(reference, object, objects))
        .collect();
    let left = found.contains(&Owner::There);
    match (left, found.iter().all(|owner| *owner == Owner::There)) {
        (_, true) => None,
        (true, false) => Some("references to owners that are gone are to be taken off"),
        (false, false) => Some("its owners are gone"),
    }
}

fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether `other` is a dependent that `owner` must wait for.
fn blocks(other: &Value, owner: &Value) -> bool {
    other["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|reference| {
            other["kind"] != "Event"
                && reference["uid"] == owner["metadata"]["uid"]
                && reference["blockOwnerDeletion"] == true
        })
}

fn look(reference: &Value, dependent: &Value, objects: &[Value]) -> Owner {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let Some(kind) = kinds::named(text("apiVersion"), text("kind")) else {
        // Its object is looked at by nobody: see above.
        return Owner::There;
    };
    let owner = objects.iter().find(|object| {
        let metadata = &object["metadata"];
        kind.is_of(object)
            && metadata["name"] == reference["name"]
            && metadata["uid"] == reference["uid"]
            && (kind.is_namespace() || metadata["namespace"] == dependent["metadata"]["namespace"])
    });
    let Some(owner) = owner else {
        return Owner::Gone;
    };
    let waits = owner["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| list.iter().any(|f| f == "foregroundDeletion"));
    if is_deleting(owner) && waits {
        Owner::Waits
    } else {
        Owner::There
    }
}
