//! Namespace.

use super::{AGE, Form, Kind, Merge, Owned, Struct, TEXT, TEXT_LIST, TIME, fields};
use crate::kinds::Strategy;

pub(super) static NAMESPACE: Kind = Kind {
    group: "",
    kind: "Namespace",
    plural: "namespaces",
    short_names: &["ns"],
    categories: &[],
    namespaced: false,
    status_subresource: true,
    strategy: Strategy::Namespace,
    selectable: &["status.phase"],
    columns: &[("Status", "string", ".status.phase"), AGE],
    object: Some(&Struct {
        description: "A scope for names.",
        owned: Owned::Granular,
        fields: fields! { object
            2 "spec" Written Form::Struct(&NAMESPACE_SPEC), "What holds the namespace.";
            3 "status" Written Form::Struct(&NAMESPACE_STATUS), "Whether the namespace is being deleted.";
        },
    }),
};

static NAMESPACE_SPEC: Struct = Struct {
    description: "What holds a namespace.",
    owned: Owned::Granular,
    fields: fields! {
        1 "finalizers" Omitted TEXT_LIST, "While there are any, a deleted namespace stays.";
    },
};

static NAMESPACE_STATUS: Struct = Struct {
    description: "Whether a namespace is being deleted.",
    owned: Owned::Granular,
    fields: fields! {
        1 "phase" Omitted TEXT, "Active or Terminating.";
        2 "conditions" Omitted Form::List(Merge::By("type"), &Form::Struct(&NAMESPACE_CONDITION)),
            "What keeps its deletion from ending.";
    },
};

static NAMESPACE_CONDITION: Struct = Struct {
    description: "One thing that keeps a namespace's deletion from ending.",
    owned: Owned::Granular,
    fields: fields! {
        1 "type" Required TEXT, "Which condition.";
        2 "status" Required TEXT, "True, False or Unknown.";
        4 "lastTransitionTime" Omitted TIME, "When the status last changed.";
        5 "reason" Omitted TEXT, "Why, for programs.";
        6 "message" Omitted TEXT, "Why, for people.";
    },
};
