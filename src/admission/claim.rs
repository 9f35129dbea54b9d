//! IPClaim and IPAddressClaim: which pool they ask, once and for all, and for which address (A9).

use serde_json::Value;

use super::item::{Item, Reading, Spec, equivalent};
use super::path::Path;
use super::review::Review;
use super::text::host_address;
use super::verdict::{Cause, Findings};
use crate::api::rules::NO_NAME;
use crate::api::{ClaimKind, names, names_our_pool};

pub(super) fn judge(kind: ClaimKind, review: &Review<'_>, out: &mut Findings) {
    if review.spec_stands() && review.is_deleting() {
        return;
    }
    match review.old_spec() {
        Some(_) => immutable(kind.claim(), review, out),
        None => match kind {
            ClaimKind::Metal3 => {
                pool_reference("is asked", Spec::new(review.new_spec(), None), review, out);
            }
            ClaimKind::Capi => capi_pool_reference(review.new_spec(), out),
        },
    }
    if names_our_pool(kind, review.new_spec()) {
        requested_address(review, out);
    }
}

/// The annotation by which a claim asks for one address; `""` is no request (A9).
fn requested_address(review: &Review<'_>, out: &mut Findings) {
    let annotation = |object: &'_ Value| {
        object
            .pointer("/metadata/annotations")
            .and_then(|a| a.get(names::REQUESTED_ADDRESS_ANNOTATION))
            .cloned()
    };
    let value = annotation(review.new);
    let request = Item {
        path: Path::of("metadata", "annotations").key(names::REQUESTED_ADDRESS_ANNOTATION),
        value: value.as_ref().filter(|v| v.as_str() != Some("")),
        fresh: review.old.is_none_or(|old| annotation(old) != value),
    };
    request.parsed(out, host_address);
}

/// `spec.pool` of an IPClaim or IPAddress of Metal3: a name, and if anything more is said, an IPPool of this namespace.
pub(super) fn pool_reference(role: &str, spec: Spec<'_>, review: &Review<'_>, out: &mut Findings) {
    let pool = spec.field("pool");
    if !is_reference(&pool, out) {
        return;
    }
    let name = pool.child("name");
    match name.text(out) {
        Reading::Absent | Reading::Is("") => name.error(
            out,
            Cause::Required,
            format_args!("cannot be empty; name the IPPool that {role}"),
        ),
        Reading::Is(text) if !names::is_object_name(text) => {
            name.invalid(out, NO_NAME);
        }
        Reading::Bad | Reading::Is(_) => {}
    }
    let kind = pool.child("kind");
    match kind.text(out) {
        Reading::Absent | Reading::Bad | Reading::Is("" | "IPPool") => {}
        Reading::Is(_) => kind.error(out, Cause::NotSupported, "supported values: \"IPPool\""),
    }
    let version = pool.child("apiVersion");
    match version.text(out) {
        Reading::Absent | Reading::Bad | Reading::Is("") => {}
        Reading::Is(text) => {
            if text.split('/').next() != Some(names::METAL3_GROUP) {
                let ours = format!("{}/{}", names::METAL3_GROUP, names::METAL3_VERSION);
                version.error(
                    out,
                    Cause::NotSupported,
                    format_args!("supported values: \"{ours}\""),
                );
            }
        }
    }
    own_namespace(&pool, review, out);
}

/// Whether a required reference is there at all, as an object.
pub(super) fn is_reference(reference: &Item<'_>, out: &mut Findings) -> bool {
    match reference.value {
        Some(Value::Object(_)) => true,
        Some(_) => {
            reference.invalid(out, "must be a reference with a name");
            false
        }
        None => {
            reference.error(out, Cause::Required, "must be a reference with a name");
            false
        }
    }
}

/// A pool, its claims and its addresses live in one namespace.
pub(super) fn own_namespace(reference: &Item<'_>, review: &Review<'_>, out: &mut Findings) {
    let namespace = reference.child("namespace");
    match namespace.text(out) {
        Reading::Absent | Reading::Bad | Reading::Is("") => {}
        Reading::Is(text) => {
            if text != review.namespace {
                namespace.invalid(
                    out,
                    format_args!(
                        "must be empty or the object's own namespace {}: a pool, its claims and its addresses share one",
                        super::verdict::shown(review.namespace)
                    ),
                );
            }
        }
    }
}

/// `spec.poolRef` of an IPAddressClaim. Other providers' pools are theirs to judge.
fn capi_pool_reference(spec: &Value, out: &mut Findings) {
    let pool = Spec::new(spec, None).field("poolRef");
    if !is_reference(&pool, out)
        || pool.child("apiGroup").value.and_then(Value::as_str) != Some(names::METAL3_GROUP)
    {
        return;
    }
    let kind = pool.child("kind");
    if kind.value.and_then(Value::as_str) != Some("IPPool") {
        kind.error(out, Cause::NotSupported, "supported values: \"IPPool\"");
    }
    let name = pool.child("name");
    match name.text(out) {
        Reading::Absent | Reading::Is("") => name.error(
            out,
            Cause::Required,
            "cannot be empty; name the IPPool that is asked",
        ),
        Reading::Bad | Reading::Is(_) => {}
    }
}

/// Refuses every change of the spec, field by field. What only some clients write (`""`, `0`, `[]`) is no change.
pub(super) fn immutable(kind: &str, review: &Review<'_>, out: &mut Findings) {
    let (new, old) = (review.new_spec(), review.old_spec().unwrap_or(&Value::Null));
    let detail = format!("cannot be modified; delete the {kind} and create another");
    let (Value::Object(new_fields), Value::Object(old_fields)) = (new, old) else {
        if !equivalent(Some(new), Some(old)) {
            out.error("spec", Cause::Invalid, Some(new), detail);
        }
        return;
    };
    let removed = old_fields.keys().filter(|k| !new_fields.contains_key(*k));
    let mut changed: Vec<&String> = new_fields
        .keys()
        .chain(removed)
        .filter(|key| !equivalent(new.get(key), old.get(key)))
        .collect();
    changed.sort_unstable();
    for key in changed {
        let path = format!("spec.{}", super::verdict::shown(key));
        let value = new.get(key).unwrap_or(&Value::Null);
        out.error(&path, Cause::Invalid, Some(value), &detail);
    }
}
