//! The tables of fields.

use super::{Empty, Field, Form, Struct};

const TEXT: Form = Form::Text;
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
    fields: &[
        omitted("annotations", TEXT_MAP),
        omitted("creationTimestamp", Form::Time),
        pointer("deletionGracePeriodSeconds", Form::Int64),
        omitted("deletionTimestamp", Form::Time),
        omitted("finalizers", TEXTS),
        omitted("generateName", TEXT),
        omitted("generation", Form::Int64),
        omitted("labels", TEXT_MAP),
        pointer("managedFields", Form::List(&Form::Struct(&MANAGED_FIELDS))),
        omitted("name", TEXT),
        omitted("namespace", TEXT),
        omitted("ownerReferences", Form::List(&Form::Struct(&OWNER))),
        omitted("resourceVersion", TEXT),
        omitted("selfLink", TEXT),
        omitted("uid", TEXT),
    ],
};

static MANAGED_FIELDS: Struct = Struct {
    fields: &[
        omitted("apiVersion", TEXT),
        omitted("fieldsType", TEXT),
        pointer("fieldsV1", Form::Any),
        omitted("manager", TEXT),
        omitted("operation", TEXT),
        omitted("subresource", TEXT),
        omitted("time", Form::Time),
    ],
};

static OWNER: Struct = Struct {
    fields: &[
        written("apiVersion", TEXT),
        pointer("blockOwnerDeletion", Form::Bool),
        pointer("controller", Form::Bool),
        written("kind", TEXT),
        written("name", TEXT),
        written("uid", TEXT),
    ],
};

const METADATA: Field = omitted("metadata", Form::Struct(&OBJECT_META));
const API_VERSION: Field = omitted("apiVersion", TEXT);
const KIND: Field = omitted("kind", TEXT);

static CONFIG_MAP: Struct = Struct {
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
    fields: &[
        API_VERSION,
        omitted("data", Form::Map(&Form::Bytes)),
        pointer("immutable", Form::Bool),
        KIND,
        METADATA,
        omitted("stringData", TEXT_MAP),
        omitted("type", TEXT),
    ],
};

static REFERENCE: Struct = Struct {
    fields: &[
        API_VERSION,
        omitted("fieldPath", TEXT),
        KIND,
        omitted("name", TEXT),
        omitted("namespace", TEXT),
        omitted("resourceVersion", TEXT),
        omitted("uid", TEXT),
    ],
};

static EVENT_SOURCE: Struct = Struct {
    fields: &[omitted("component", TEXT), omitted("host", TEXT)],
};

static EVENT_SERIES: Struct = Struct {
    fields: &[
        omitted("count", Form::Int32),
        written("lastObservedTime", Form::MicroTime),
    ],
};

static EVENT: Struct = Struct {
    fields: &[
        omitted("action", TEXT),
        API_VERSION,
        omitted("count", Form::Int32),
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
    fields: &[
        pointer("acquireTime", Form::MicroTime),
        pointer("holderIdentity", TEXT),
        pointer("leaseDurationSeconds", Form::Int32),
        pointer("leaseTransitions", Form::Int32),
        pointer("preferredHolder", TEXT),
        pointer("renewTime", Form::MicroTime),
        pointer("strategy", TEXT),
    ],
};

static LEASE: Struct = Struct {
    fields: &[
        API_VERSION,
        KIND,
        METADATA,
        written("spec", Form::Struct(&LEASE_SPEC)),
    ],
};

static NAMESPACE_SPEC: Struct = Struct {
    fields: &[omitted("finalizers", Form::List(&TEXT))],
};

static NAMESPACE_CONDITION: Struct = Struct {
    fields: &[
        omitted("lastTransitionTime", Form::Time),
        omitted("message", TEXT),
        omitted("reason", TEXT),
        written("status", TEXT),
        written("type", TEXT),
    ],
};

static NAMESPACE_STATUS: Struct = Struct {
    fields: &[
        omitted(
            "conditions",
            Form::List(&Form::Struct(&NAMESPACE_CONDITION)),
        ),
        omitted("phase", TEXT),
    ],
};

static NAMESPACE: Struct = Struct {
    fields: &[
        API_VERSION,
        KIND,
        METADATA,
        written("spec", Form::Struct(&NAMESPACE_SPEC)),
        written("status", Form::Struct(&NAMESPACE_STATUS)),
    ],
};

static PRECONDITIONS: Struct = Struct {
    fields: &[pointer("resourceVersion", TEXT), pointer("uid", TEXT)],
};

/// The body of a deletion.
pub(crate) static DELETE_OPTIONS: Struct = Struct {
    fields: &[
        API_VERSION,
        omitted("dryRun", TEXTS),
        pointer("gracePeriodSeconds", Form::Int64),
        pointer(
            "ignoreStoreReadErrorWithClusterBreakingPotential",
            Form::Bool,
        ),
        KIND,
        pointer("orphanDependents", Form::Bool),
        pointer("preconditions", Form::Struct(&PRECONDITIONS)),
        pointer("propagationPolicy", TEXT),
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
