//! Client-side `kubectl apply` stores its configuration in an annotation. The first server-side apply of the same user must not
//! conflict with the fields that the annotation has.

use super::Object;
use super::check::check;
use super::compare::compare;
use super::paths::paths_of;
use super::set::Set;
use super::shape::Layout;

/// The annotation.
pub const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager for whose applies the annotation counts: `kubectl apply --server-side` without another name.
pub const KUBECTL: &str = "kubectl";

/// The paths in the annotation whose values have not changed since. Conflicts with them do not count.
pub(super) fn allowed(layout: &Layout, live: &Object, version: &str) -> Set {
    let last = live
        .get("metadata")
        .and_then(|metadata| metadata["annotations"][ANNOTATION].as_str())
        .and_then(|text| serde_json::from_str::<Object>(text).ok())
        .filter(|last| last.get("apiVersion").is_some_and(|found| found == version))
        .filter(|last| check(&layout.root, last).is_none());
    let Some(last) = last else {
        return Set::default();
    };
    let delta = compare(&layout.root, &last, live);
    paths_of(&layout.root, &last)
        .difference(&delta.modified)
        .difference(&delta.added)
        .difference(&delta.removed)
}
