//! Questions about the caller, as far as they are read: kubectl sends them in protobuf.

use super::{Form, Owned, Struct, TEXT, fields};

pub(crate) static SELF_REVIEW: Struct = Struct {
    description: "Who am I?",
    owned: Owned::Granular,
    fields: fields! { object },
};

pub(crate) static ACCESS_REVIEW: Struct = Struct {
    description: "May I do this?",
    owned: Owned::Granular,
    fields: fields! { object
        2 "spec" Written Form::Struct(&ACCESS_SPEC), "The question.";
    },
};

static ACCESS_SPEC: Struct = Struct {
    description: "What is asked about.",
    owned: Owned::Granular,
    fields: fields! {
        1 "resourceAttributes" Pointer Form::Struct(&RESOURCE), "An act on a resource.";
        2 "nonResourceAttributes" Pointer Form::Struct(&PATH), "An act on another path.";
    },
};

static RESOURCE: Struct = Struct {
    description: "An act on a resource.",
    owned: Owned::Granular,
    fields: fields! {
        1 "namespace" Omitted TEXT, "Namespace.";
        2 "verb" Omitted TEXT, "Verb.";
        3 "group" Omitted TEXT, "API group.";
        4 "version" Omitted TEXT, "API version.";
        5 "resource" Omitted TEXT, "Plural name.";
        6 "subresource" Omitted TEXT, "Subresource.";
        7 "name" Omitted TEXT, "Name of the object.";
    },
};

static PATH: Struct = Struct {
    description: "An act on another path.",
    owned: Owned::Granular,
    fields: fields! {
        1 "path" Omitted TEXT, "Path.";
        2 "verb" Omitted TEXT, "Verb.";
    },
};

pub(crate) static RULES_REVIEW: Struct = Struct {
    description: "What may I do?",
    owned: Owned::Granular,
    fields: fields! { object
        2 "spec" Written Form::Struct(&RULES_SPEC), "The question.";
    },
};

static RULES_SPEC: Struct = Struct {
    description: "What is asked about.",
    owned: Owned::Granular,
    fields: fields! {
        1 "namespace" Omitted TEXT, "Namespace.";
    },
};
