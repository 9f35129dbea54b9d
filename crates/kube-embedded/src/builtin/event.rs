//! Event.

use super::{Form, INT32, Kind, MICRO_TIME, Owned, Struct, TEXT, TIME, fields};
use crate::kinds::Strategy;

pub(super) static EVENT: Kind = Kind {
    group: "",
    kind: "Event",
    plural: "events",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    status_subresource: false,
    strategy: Strategy::Event,
    selectable: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ],
    columns: &[
        ("Last Seen", "date", ".lastTimestamp"),
        ("Type", "string", ".type"),
        ("Reason", "string", ".reason"),
        ("Object", "string", ".involvedObject"),
        ("Message", "string", ".message"),
    ],
    object: Some(&Struct {
        description: "Something that happened to an object.",
        owned: Owned::Granular,
        fields: fields! { object
            2  "involvedObject" Required Form::Struct(&REFERENCE), "The object that it happened to.";
            3  "reason" Omitted TEXT, "What happened, for programs.";
            4  "message" Omitted TEXT, "What happened, for people.";
            5  "source" Written Form::Struct(&SOURCE), "Who reported it.";
            6  "firstTimestamp" Written TIME, "When it was first seen.";
            7  "lastTimestamp" Written TIME, "When it was last seen.";
            8  "count" Omitted INT32, "How often it was seen.";
            9  "type" Omitted TEXT, "Normal or Warning.";
            10 "eventTime" Written MICRO_TIME, "When it was first seen, to the microsecond.";
            11 "series" Pointer Form::Struct(&SERIES), "The events that this one stands for.";
            12 "action" Omitted TEXT, "What the reporter did.";
            13 "related" Pointer Form::Struct(&REFERENCE), "Another object that took part.";
            14 "reportingComponent" Written TEXT, "Name of the reporting controller.";
            15 "reportingInstance" Written TEXT, "Which instance of that controller.";
        },
    }),
};

static REFERENCE: Struct = Struct {
    description: "A reference to an object.",
    owned: Owned::Atomic,
    fields: fields! {
        1 "kind" Omitted TEXT, "Kind of the object.";
        2 "namespace" Omitted TEXT, "Namespace of the object.";
        3 "name" Omitted TEXT, "Name of the object.";
        4 "uid" Omitted TEXT, "UID of the object.";
        5 "apiVersion" Omitted TEXT, "API version of the object.";
        6 "resourceVersion" Omitted TEXT, "Version of the object.";
        7 "fieldPath" Omitted TEXT, "Part of the object.";
    },
};

static SOURCE: Struct = Struct {
    description: "Who reported an event.",
    owned: Owned::Granular,
    fields: fields! {
        1 "component" Omitted TEXT, "Name of the component.";
        2 "host" Omitted TEXT, "Node on which it runs.";
    },
};

static SERIES: Struct = Struct {
    description: "Events that are reported as one.",
    owned: Owned::Granular,
    fields: fields! {
        1 "count" Omitted INT32, "How many.";
        2 "lastObservedTime" Written MICRO_TIME, "When the last one was seen.";
    },
};
