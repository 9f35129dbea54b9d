//! CustomResourceDefinition: what is served, to be read only. Its objects are kept as they come.

use super::Kind;
use crate::kinds::Strategy;

pub(super) static DEFINITION: Kind = Kind {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    status_subresource: false,
    strategy: Strategy::Definition,
    selectable: &[],
    columns: &[("Created At", "date", ".metadata.creationTimestamp")],
    object: None,
};
