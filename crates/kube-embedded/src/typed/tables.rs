//! The tables of fields.

use super::{Empty, Field, Form, Struct};

const TEXT: Form = Form::Text("string");
const TEXTS: Form = Form::List(&TEXT);
const TEXT_MAP: Form = Form::Map(&TEXT);

const fn omitted(name: &'static str, form: Form) -> Field {
    Field {
        name,
        form,
        empty: Empty::Omitted,
    }
}

const fn pointer(name: &'static str, form: Form) -> Field {
    Field {
        name,
        form,
        empty: Empty::Pointer,
    }
}

const fn written(name: &'static str, form: Form) -> Field {
    Field {
        name,
        form,
        empty: Empty::Written,
    }
}

/// `metadata` of every object.
pub(crate) static OBJECT_META: Struct = Struct {
    name: "ObjectMeta",
    go: "v1.ObjectMeta",
    fields: &[
        omitted("annotations", TEXT_MAP),
        omitted("creationTimestamp", Form::Time),
        pointer("deletionGracePeriodSeconds", Form::Int("int64")),
        omitted("deletionTimestamp", Form::Time),
        omitted("finalizers", TEXTS),
        omitted("generateName", TEXT),
        omitted("generation", Form::Int("int64")),
        omitted("labels", TEXT_MAP),
        pointer("managedFields", Form::List(&Form::Struct(&MANAGED_FIELDS))),
        omitted("name", TEXT),
        omitted("namespace", TEXT),
        omitted("ownerReferences", Form::List(&Form::Struct(&OWNER))),
        omitted("resourceVersion", TEXT),
        omitted("selfLink", TEXT),
        omitted("uid", Form::Text("types.UID")),
    ],
};

static MANAGED_FIELDS: Struct = Struct {
    name: "ManagedFieldsEntry",
    go: "v1.ManagedFieldsEntry",
    fields: &[
        omitted("apiVersion", TEXT),
        omitted("fieldsType", TEXT),
        pointer("fieldsV1", Form::Any),
        omitted("manager", TEXT),
        omitted("operation", Form::Text("v1.ManagedFieldsOperationType")),
        omitted("subresource", TEXT),
        omitted("time", Form::Time),
    ],
};

static OWNER: Struct = Struct {
    name: "OwnerReference",
    go: "v1.OwnerReference",
    fields: &[
        written("apiVersion", TEXT),
        pointer("blockOwnerDeletion", Form::Bool),
        pointer("controller", Form::Bool),
        written("kind", TEXT),
        written("name", TEXT),
        written("uid", Form::Text("types.UID")),
    ],
};

const METADATA: Field = omitted("metadata", Form::Struct(&OBJECT_META));
const API_VERSION: Field = omitted("apiVersion", TEXT);
const KIND: Field = omitted("kind", TEXT);

static CONFIG_MAP: Struct = Struct {
    name: "ConfigMap",
    go: "v1.ConfigMap",
    fields: &[
        API_VERSION,
        omitted("binaryData", Form::Map(&Form::Bytes)),
        omitted("data", TEXT_MAP),
        pointer("immutable", Form::Bool),
        KIND,
        METADATA,
    ],
};

static SECRET: Struct = Struct {
    name: "Secret",
    go: "v1.Secret",
    fields: &[
        API_VERSION,
        omitted("data", Form::Map(&Form::Bytes)),
        pointer("immutable", Form::Bool),
        KIND,
        METADATA,
        omitted("stringData", TEXT_MAP),
        omitted("type", Form::Text("v1.SecretType")),
    ],
};

static REFERENCE: Struct = Struct {
    name: "ObjectReference",
    go: "v1.ObjectReference",
    fields: &[
        API_VERSION,
        omitted("fieldPath", TEXT),
        KIND,
        omitted("name", TEXT),
        omitted("namespace", TEXT),
        omitted("resourceVersion", TEXT),
        omitted("uid", Form::Text("types.UID")),
    ],
};

static EVENT_SOURCE: Struct = Struct {
    name: "EventSource",
    go: "v1.EventSource",
    fields: &[omitted("component", TEXT), omitted("host", TEXT)],
};

static EVENT_SERIES: Struct = Struct {
    name: "EventSeries",
    go: "v1.EventSeries",
    fields: &[
        omitted("count", Form::Int("int32")),
        written("lastObservedTime", Form::MicroTime),
    ],
};

static EVENT: Struct = Struct {
    name: "Event",
    go: "v1.Event",
    fields: &[
        omitted("action", TEXT),
        API_VERSION,
        omitted("count", Form::Int("int32")),
        written("eventTime", Form::MicroTime),
        written("firstTimestamp", Form::Time),
        written("involvedObject", Form::Struct(&REFERENCE)),
        KIND,
        written("lastTimestamp", Form::Time),
        omitted("message", TEXT),
        METADATA,
        omitted("reason", TEXT),
        pointer("related", Form::Struct(&REFERENCE)),
        written("reportingComponent", TEXT),
        written("reportingInstance", TEXT),
        pointer("series", Form::Struct(&EVENT_SERIES)),
        written("source", Form::Struct(&EVENT_SOURCE)),
        omitted("type", TEXT),
    ],
};

static LEASE_SPEC: Struct = Struct {
    name: "LeaseSpec",
    go: "v1.LeaseSpec",
    fields: &[
        pointer("acquireTime", Form::MicroTime),
        pointer("holderIdentity", TEXT),
        pointer("leaseDurationSeconds", Form::Int("int32")),
        pointer("leaseTransitions", Form::Int("int32")),
        pointer("preferredHolder", TEXT),
        pointer("renewTime", Form::MicroTime),
        pointer("strategy", Form::Text("v1.CoordinatedLeaseStrategy")),
    ],
};

static LEASE: Struct = Struct {
    name: "Lease",
    go: "v1.Lease",
    fields: &[
        API_VERSION,
        KIND,
        METADATA,
        written("spec", Form::Struct(&LEASE_SPEC)),
    ],
};

static NAMESPACE_SPEC: Struct = Struct {
    name: "NamespaceSpec",
    go: "v1.NamespaceSpec",
    fields: &[omitted(
        "finalizers",
        Form::List(&Form::Text("v1.FinalizerName")),
    )],
};

static NAMESPACE_CONDITION: Struct = Struct {
    name: "NamespaceCondition",
    go: "v1.NamespaceCondition",
    fields: &[
        omitted("lastTransitionTime", Form::Time),
        omitted("message", TEXT),
        omitted("reason", TEXT),
        written("status", Form::Text("v1.ConditionStatus")),
        written("type", Form::Text("v1.NamespaceConditionType")),
    ],
};

static NAMESPACE_STATUS: Struct = Struct {
    name: "NamespaceStatus",
    go: "v1.NamespaceStatus",
    fields: &[
        omitted(
            "conditions",
            Form::List(&Form::Struct(&NAMESPACE_CONDITION)),
        ),
        omitted("phase", Form::Text("v1.NamespacePhase")),
    ],
};

static NAMESPACE: Struct = Struct {
    name: "Namespace",
    go: "v1.Namespace",
    fields: &[
        API_VERSION,
        KIND,
        METADATA,
        written("spec", Form::Struct(&NAMESPACE_SPEC)),
        written("status", Form::Struct(&NAMESPACE_STATUS)),
    ],
};

static PRECONDITIONS: Struct = Struct {
    name: "Preconditions",
    go: "v1.Preconditions",
    fields: &[
        pointer("resourceVersion", TEXT),
        pointer("uid", Form::Text("types.UID")),
    ],
};

/// The body of a deletion.
pub(crate) static DELETE_OPTIONS: Struct = Struct {
    name: "DeleteOptions",
    go: "v1.DeleteOptions",
    fields: &[
        API_VERSION,
        omitted("dryRun", TEXTS),
        pointer("gracePeriodSeconds", Form::Int("int64")),
        pointer(
            "ignoreStoreReadErrorWithClusterBreakingPotential",
            Form::Bool,
        ),
        KIND,
        pointer("orphanDependents", Form::Bool),
        pointer("preconditions", Form::Struct(&PRECONDITIONS)),
        pointer("propagationPolicy", Form::Text("v1.DeletionPropagation")),
    ],
};

/// The type of a built-in kind.
pub(crate) fn of_kind(group: &str, kind: &str) -> Option<&'static Struct> {
    match (group, kind) {
        ("", "ConfigMap") => Some(&CONFIG_MAP),
        ("", "Secret") => Some(&SECRET),
        ("", "Event") => Some(&EVENT),
        ("", "Namespace") => Some(&NAMESPACE),
        ("coordination.k8s.io", "Lease") => Some(&LEASE),
        _ => None,
    }
}
