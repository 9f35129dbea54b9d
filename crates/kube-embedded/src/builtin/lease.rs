//! Lease.

use super::{AGE, Form, INT32, Kind, MICRO_TIME, Owned, Struct, TEXT, fields};
use crate::kinds::Strategy;

pub(super) static LEASE: Kind = Kind {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    short_names: &[],
    categories: &[],
    namespaced: true,
    status_subresource: false,
    strategy: Strategy::Lease,
    selectable: &[],
    columns: &[("Holder", "string", ".spec.holderIdentity"), AGE],
    object: Some(&Struct {
        description: "A lock with an end in time, as leader election uses it.",
        owned: Owned::Granular,
        fields: fields! { object
            2 "spec" Written Form::Struct(&SPEC), "Who holds the lease.";
        },
    }),
};

static SPEC: Struct = Struct {
    description: "Who holds a lease, and until when.",
    owned: Owned::Granular,
    fields: fields! {
        1 "holderIdentity" Pointer TEXT, "Who holds it.";
        2 "leaseDurationSeconds" Pointer INT32, "Seconds after the last renewal at which others may take it.";
        3 "acquireTime" Pointer MICRO_TIME, "When the holder took it.";
        4 "renewTime" Pointer MICRO_TIME, "When the holder last renewed it.";
        5 "leaseTransitions" Pointer INT32, "How often the holder changed.";
        6 "strategy" Pointer TEXT, "How the holder is chosen in coordinated leader election.";
        7 "preferredHolder" Pointer TEXT, "Who should take it next in coordinated leader election.";
    },
};
