//! What a pool is told: objects seen and gone, answers to its requests, and time. Nothing else changes its state.

use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClusterFacts, Kind, Meta, PoolObject, Uid, names,
};

use super::request::RequestId;

/// One input of [`super::Pool::step`]. Inputs about different objects come in any order; those about one object have passed
/// [`super::Known`], so that each is newer than the one before.
#[derive(Debug, Clone)]
pub enum Input {
    /// The pool, a claim that leads to it, or an address object that names it, as it is stored now.
    Seen(Object),
    /// The pool object of this UID is gone.
    PoolGone {
        /// Which incarnation.
        uid: Uid,
    },
    /// A Cluster of the pool's namespace as it stands.
    ClusterSeen(Arc<ClusterFacts>),
    /// There is no Cluster of this name in the namespace.
    ClusterGone {
        /// Its name.
        name: Arc<str>,
    },
    /// The claim of this UID is gone.
    ClaimGone {
        /// Which claim.
        key: ClaimKey,
        /// Which incarnation.
        uid: Uid,
    },
    /// The claim of this UID lives and leads to another pool now. It may come back.
    ClaimLeft {
        /// Which claim.
        key: ClaimKey,
        /// Which incarnation.
        uid: Uid,
    },
    /// The address object of this UID is gone.
    AddressGone {
        /// Which object.
        key: AddressKey,
        /// Which incarnation.
        uid: Uid,
    },
    /// An address object that does *not* name this pool is gone: a name that was taken for the pool is free (A12).
    NameFreed(AddressKey),
    /// The state of every watched kind; replaces what was told before. Nothing is written while a kind is pending (A3).
    Kinds(Kinds),
    /// The answer to one request of this pool.
    Answer {
        /// Which request.
        id: RequestId,
        /// What came of it.
        outcome: Outcome,
    },
    /// Time has passed; sent at the moment that the last [`super::Effect::WakeAt`] named, or later.
    Tick,
}

/// An object as the API server stores it, and what the manager's settings make of it.
#[derive(Debug, Clone)]
pub enum Object {
    /// A pool.
    Pool {
        /// The object.
        object: Box<PoolObject>,
        /// What admission finds wrong with its spec, one line each with the field's path, for the `InvalidSpec` condition; empty
        /// when the spec is sound. Good entries stay served all the same.
        problems: Vec<String>,
        /// Whether `--watch-filter` lets us act on the pool and its claims (P4).
        scope: Scope,
    },
    /// A claim.
    Claim {
        /// The object.
        claim: Box<Claim>,
        /// Whether `--watch-filter` lets us act on it.
        scope: Scope,
    },
    /// An address object.
    Address {
        /// The object.
        address: Box<Address>,
        /// Whether `--watch-filter` lets us act on it where no claim tells whose it is (R6). It is held either way.
        scope: Scope,
    },
}

impl Object {
    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Pool { object, .. } => &object.meta,
            Self::Claim { claim, .. } => &claim.meta,
            Self::Address { address, .. } => &address.meta,
        }
    }
}

/// Whether the pool takes in the object that an answer brought. The router decides: it knows what the watches have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// It is the newest state that is known of the object.
    In,
    /// A watch has shown a newer state of it, or its end; or it names another pool now, to which it was passed on.
    LeaveOut,
}

/// Whether we may act on an object (P4). Address objects count as held whatever their label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Ours to act on.
    #[default]
    Ours,
    /// Another manager's: its labels do not match `--watch-filter`.
    Another,
}

impl Scope {
    /// Of an object, for a manager with this `--watch-filter`.
    pub fn of(meta: &Meta, watch_filter: Option<&str>) -> Self {
        let label = meta.labels.get(names::WATCH_FILTER_LABEL);
        match watch_filter {
            Some(filter) if label.map(String::as_str) != Some(filter) => Self::Another,
            _ => Self::Ours,
        }
    }
}

/// State of one watched kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KindState {
    /// Not listed completely yet.
    #[default]
    Pending,
    /// Listed completely, watched.
    Listed,
    /// Discovery says that the server has no such kind, and no object of it was ever seen.
    Absent,
    /// It was there and is not served now: what is known of it stays held, nothing of it is freed.
    Unavailable,
}

/// State of every watched kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    states: [KindState; Kind::ALL.len()],
    changes: KindChanges,
}

/// How often the state of a kind has changed. Two tables with the same number are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindChanges(u64);

impl Kinds {
    /// A table in which every kind is in this state.
    pub fn all(state: KindState) -> Self {
        Self {
            states: [state; Kind::ALL.len()],
            changes: KindChanges::default(),
        }
    }

    /// Whether every kind has been listed completely or is known to be absent.
    pub fn is_synced(self) -> bool {
        !self.states.contains(&KindState::Pending)
    }

    /// Changes the state of a kind; returns whether it was another one.
    pub fn change(&mut self, kind: Kind, to: KindState) -> bool {
        let before = std::mem::replace(&mut self[kind], to);
        if before != to {
            self.changes.0 += 1;
        }
        before != to
    }

    /// How often a state has changed by [`Self::change`].
    pub fn changes(self) -> KindChanges {
        self.changes
    }
}

impl Index<Kind> for Kinds {
    type Output = KindState;

    fn index(&self, kind: Kind) -> &KindState {
        &self.states[kind.place()]
    }
}

impl IndexMut<Kind> for Kinds {
    fn index_mut(&mut self, kind: Kind) -> &mut KindState {
        &mut self.states[kind.place()]
    }
}

/// What came of a request. The writer sorts every HTTP answer into one of these; nothing else is possible.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Done; this is the object as it is stored now. Of a DELETE: it still exists (a finalizer keeps it).
    Stored(Object, Take),
    /// The object does not exist (any more): the request removed it, or 404.
    Gone,
    /// Answer of [`super::Request::ReadCluster`]; `None`: there is none.
    Cluster(Option<ClusterFacts>),
    /// 409: its resourceVersion or precondition no longer holds. The writer has read the object anew.
    Conflict(Reread),
    /// 409 AlreadyExists on a create. Whose object has the name is asked with [`super::Request::ReadAddress`], after
    /// [`super::Effect::WatchName`], so that its end cannot be missed.
    NameTaken,
    /// A definite no (other 4xx): nothing was changed, and the same request will get the same answer for a while.
    Refused {
        /// Which kind of no.
        refusal: Refusal,
        /// The server's words, bounded.
        message: String,
    },
    /// Certainly not carried out: 429, connection refused, no lease, or given up before sending. May be sent again.
    NotSent {
        /// How long the server asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Certainly not carried out: it was withdrawn before it left ([`super::Effect::Withdraw`]).
    Withdrawn,
    /// Nobody knows whether it was carried out: timeout, 5xx, connection reset (R7).
    Unknown {
        /// What happened.
        message: String,
    },
}

/// Result of the uncached read that follows a 409.
#[derive(Debug, Clone)]
pub enum Reread {
    /// The object as it is now.
    Found(Object, Take),
    /// It is gone.
    Gone,
    /// It could not be read; the watch will show it.
    Unread,
    /// It still is as it was when the request was decided on: not another's write, but something else refuses, such as a
    /// webhook.
    Unchanged {
        /// The words of the 409, bounded.
        message: String,
    },
}

/// Which kind of definite no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 403: a right is missing.
    Forbidden,
    /// 403 because the namespace is being deleted.
    NamespaceTerminating,
    /// 422 or 400: the object breaks a rule of the server or of a webhook.
    Invalid,
    /// 409 of a create that is no AlreadyExists: the server asks to try again (a quota, a race inside it).
    Conflict,
    /// Any other 4xx.
    Other,
}

impl Refusal {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Other => "other",
        }
    }
}
