//! What every object has, and the options of a deletion.

use super::{
    BOOL, Empty, Field, Form, INT64, Merge, Owned, Struct, TEXT, TEXT_LIST, TEXT_MAP, TIME, fields,
};

pub(crate) const API_VERSION: Field = Field {
    number: 0,
    name: "apiVersion",
    empty: Empty::Omitted,
    form: TEXT,
    description: "Version of the API that this object is written in.",
};
pub(crate) const KIND: Field = Field {
    number: 0,
    name: "kind",
    empty: Empty::Omitted,
    form: TEXT,
    description: "Kind of this object.",
};
pub(crate) const METADATA: Field = Field {
    number: 1,
    name: "metadata",
    empty: Empty::Omitted,
    form: Form::Struct(&OBJECT_META),
    description: "Name, namespace, labels, annotations and what the server keeps of an object.",
};

/// `metadata` of every object.
pub(crate) static OBJECT_META: Struct = Struct {
    description: "What every object has.",
    owned: Owned::Granular,
    fields: fields! {
        1  "name" Omitted TEXT, "Name; unique among the objects of the kind in the namespace.";
        2  "generateName" Omitted TEXT, "Beginning of a name that the server completes; used when there is no name.";
        3  "namespace" Omitted TEXT, "Namespace that the object lives in.";
        4  "selfLink" Omitted TEXT, "No longer used by Kubernetes.";
        5  "uid" Omitted TEXT, "Tells this object from all others that ever had its name. Set by the server.";
        6  "resourceVersion" Omitted TEXT, "Version of the object; changes with every write. Set by the server.";
        7  "generation" Omitted INT64, "Counts the changes of the spec. Set by the server.";
        8  "creationTimestamp" Omitted TIME, "When the object was created. Set by the server.";
        9  "deletionTimestamp" Omitted TIME, "When the object's deletion was requested. Set by the server.";
        10 "deletionGracePeriodSeconds" Pointer INT64, "Seconds that the object had left when its deletion was requested.";
        11 "labels" Omitted TEXT_MAP, "Labels, for selecting objects.";
        12 "annotations" Omitted TEXT_MAP, "Notes of people and programs; not for selecting.";
        13 "ownerReferences" Omitted Form::List(Merge::By("uid"), &Form::Struct(&OWNER)),
            "Objects that this one depends on: it is deleted when all of them are gone.";
        14 "finalizers" Omitted Form::List(Merge::Set, &TEXT), "While there are any, a deleted object stays.";
        0  "managedFields" Pointer Form::List(Merge::Atomic, &Form::Struct(&MANAGED_FIELDS)),
            "Which manager owns which fields. Set by the server.";
    },
};

static OWNER: Struct = Struct {
    description: "An object that another one depends on.",
    owned: Owned::Atomic,
    fields: fields! {
        5 "apiVersion" Required TEXT, "API version of the owner.";
        1 "kind" Required TEXT, "Kind of the owner.";
        3 "name" Required TEXT, "Name of the owner.";
        4 "uid" Required TEXT, "UID of the owner.";
        6 "controller" Pointer BOOL, "Whether the owner manages this object.";
        7 "blockOwnerDeletion" Pointer BOOL, "Whether the owner, deleted in the foreground, waits for this object.";
    },
};

static MANAGED_FIELDS: Struct = Struct {
    description: "The fields that one manager owns.",
    owned: Owned::Granular,
    fields: fields! {
        1 "manager" Omitted TEXT, "Name of the manager.";
        2 "operation" Omitted TEXT, "Apply or Update.";
        3 "apiVersion" Omitted TEXT, "API version in which the fields are named.";
        4 "time" Omitted TIME, "When the manager last changed what it owns.";
        6 "fieldsType" Omitted TEXT, "FieldsV1.";
        0 "fieldsV1" Pointer Form::Any, "The fields, as a tree.";
        8 "subresource" Omitted TEXT, "Subresource through which the manager wrote.";
    },
};

/// What the envelope of a body in protobuf says of the object in it.
pub(crate) static TYPE_META: Struct = Struct {
    description: "What an object is.",
    owned: Owned::Granular,
    fields: fields! {
        1 "apiVersion" Omitted TEXT, "Version of the API.";
        2 "kind" Omitted TEXT, "Kind of the object.";
    },
};

static PRECONDITIONS: Struct = Struct {
    description: "What must hold for the object to be deleted.",
    owned: Owned::Granular,
    fields: fields! {
        1 "uid" Pointer TEXT, "UID that the object must have.";
        2 "resourceVersion" Pointer TEXT, "resourceVersion that the object must have.";
    },
};

/// The body of a deletion.
pub(crate) static DELETE_OPTIONS: Struct = Struct {
    description: "How to delete.",
    owned: Owned::Granular,
    fields: fields! {
        0 "apiVersion" Omitted TEXT, "Version of the API.";
        0 "kind" Omitted TEXT, "DeleteOptions.";
        1 "gracePeriodSeconds" Pointer INT64, "Seconds that the object has left.";
        2 "preconditions" Pointer Form::Struct(&PRECONDITIONS), "What must hold.";
        3 "orphanDependents" Pointer BOOL, "Older form of propagationPolicy.";
        4 "propagationPolicy" Pointer TEXT, "Orphan, Background or Foreground.";
        5 "dryRun" Omitted TEXT_LIST, "All: nothing is stored.";
        6 "ignoreStoreReadErrorWithClusterBreakingPotential" Pointer BOOL, "Has no effect here.";
    },
};
