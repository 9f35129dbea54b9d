//! A case: one claim and every address object that names it. Either may be missing: a claim that asks has no object, an
//! external object has no claim. A case has one request in flight at most, and how far it is is read off the objects each
//! time, so that a restart finds every case where it was.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::api::{ClaimKey, ClaimKind, ResourceVersion};

use super::next::Class;
use super::reason::{Wait, WaitState};
use super::record::ClaimRecord;
use super::request::{NewAddress, RequestId};
use super::terms::Values;
use super::time::Backoff;

/// A claim and the address objects that name it (see the module).
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) claim: Option<Box<ClaimRecord>>,
    /// Names of the address objects that name the claim.
    pub(super) objects: SmallVec<[Arc<str>; 1]>,
    /// `None` at rest, as nearly all cases are.
    work: Option<Box<Work>>,
}

/// What is under way for a case.
///
/// - Only with a claim: `vanished`, `outlived`, `showing`, `shows_nothing`, `wait`. Only without one: `leak_seen`, `confirmed`. An
///   `attempt` whose create is unanswered outlives its claim (R7).
/// - `vanished` becomes `outlived` when the pool goes: what was to be put back was the pool's.
/// - `timer` and `turn` are what the queue holds of the case ([`super::queue::Queue`] alone changes them).
#[derive(Debug, Default, PartialEq)]
pub(super) struct Work {
    /// The address that it is about to get.
    pub(super) attempt: Option<Box<Attempt>>,
    /// What to put back when its published object has vanished (R4).
    pub(super) vanished: Option<Box<Vanished>>,
    /// The published object that this process has seen, when its pool went after it: it is no forgery.
    pub(super) outlived: Option<Box<Outlived>>,
    pub(super) showing: Option<Showing>,
    /// The object that its status shows, when a read has found that it is none of the claim's.
    pub(super) shows_nothing: Option<Arc<str>>,
    pub(super) flight: Option<RequestId>,
    pub(super) backoff: Backoff,
    /// A write that the server refused, until one succeeds.
    pub(super) refusal: Option<Box<Refused>>,
    /// Why it has no address.
    pub(super) wait: Option<Box<Wait>>,
    /// When to look again.
    pub(super) timer: Option<Timestamp>,
    /// Its place among the cases that want to send something.
    pub(super) turn: Option<(Class, Age)>,
    /// When its objects were first seen without a claim (R6).
    pub(super) leak_seen: Option<Timestamp>,
    /// An uncached read has confirmed that there is no such claim.
    pub(super) confirmed: bool,
}

impl Work {
    /// Nothing is under way.
    const NONE: Self = Self {
        attempt: None,
        vanished: None,
        outlived: None,
        showing: None,
        shows_nothing: None,
        flight: None,
        backoff: Backoff::NONE,
        refusal: None,
        wait: None,
        timer: None,
        turn: None,
        leak_seen: None,
        confirmed: false,
    };

    /// Forgets what held of the claim as it was before. `fresh`: it is another one of the name.
    pub(super) fn claim_changed(
        &mut self,
        before: Option<&ClaimRecord>,
        claim: &ClaimRecord,
        fresh: bool,
    ) {
        let otherwise = before.is_none_or(|before| {
            claim.asks_otherwise(before)
                || (self.refusal.is_some() && before.labels != claim.labels)
        });
        if otherwise {
            self.backoff.reset();
            self.refusal = None;
        }
        let shows = claim.published.as_ref();
        let showing = self.showing().cloned();
        let outlived = &mut self.outlived;
        outlived.take_if(|kept| ![shows, showing.as_ref()].contains(&Some(&kept.name)));
        self.shows_nothing.take_if(|name| shows != Some(name));
        if fresh {
            self.leak_seen = None;
            self.confirmed = false;
        }
    }

    /// The object that the claim's status may show by now.
    pub(super) fn showing(&self) -> Option<&Arc<str>> {
        self.showing.as_ref().map(|showing| &showing.name)
    }
}

impl Case {
    /// Whether claim, objects, attempt and request are all gone, so that the case can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.claim.is_none()
            && self.objects.is_empty()
            && self.work().attempt.is_none()
            && self.work().flight.is_none()
    }

    /// What is under way for it.
    pub(super) fn work(&self) -> &Work {
        self.work.as_deref().unwrap_or(const { &Work::NONE })
    }

    /// The same, to change it.
    pub(super) fn work_mut(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// The same, to take something off it: `None` when nothing is under way.
    pub(super) fn some_work(&mut self) -> Option<&mut Work> {
        self.work.as_deref_mut()
    }

    /// Frees its memory when nothing is under way.
    pub(super) fn shrink(&mut self) {
        self.work.take_if(|work| **work == Work::NONE);
    }

    /// How its claim is counted while something else is done for it: as before, but not as one that is left alone.
    pub(super) fn wait_state(&self) -> WaitState {
        match self.work().wait.as_deref() {
            Some(wait) if wait.state != WaitState::LeftAlone => wait.state,
            Some(_) | None => WaitState::BeingServed,
        }
    }

    /// Its place in a queue.
    pub(super) fn age(&self, key: &ClaimKey) -> Age {
        Age {
            created: self.claim.as_ref().map_or(Timestamp::MIN, |c| c.created),
            name: key.name.clone(),
            kind: key.kind,
        }
    }
}

/// Order of service: the oldest first, then by name, then by kind (A11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    pub(super) created: Timestamp,
    pub(super) name: Arc<str>,
    pub(super) kind: ClaimKind,
}

impl Age {
    pub(super) fn key(&self) -> ClaimKey {
        ClaimKey {
            kind: self.kind,
            name: self.name.clone(),
        }
    }
}

/// An address chosen for a claim, until its object is seen.
#[derive(Debug, PartialEq)]
pub(super) struct Attempt {
    pub(super) address: IpAddr,
    pub(super) state: AttemptState,
    /// What was sent, so that the same is sent again (R7).
    pub(super) sent: Option<Box<NewAddress>>,
    /// Generation of the spec under which it was sent (A8).
    pub(super) generation: i64,
}

/// What is known of the create of an address object. An answer is lost when the connection broke or the time was over: then nobody
/// knows whether the create was carried out.
///
/// ```text
///   Planned --send--> Sent --stored--> (the object is seen: the attempt ends)
///      ^               | ^
///      |               | +--send again (also where it was not sent after an earlier lost answer)--+
///      |               +--answer lost--> Unanswered ----------------------------------------------+
///      |               |                     | refused       | in another manager's pool
///      |               |                     v               v
///      |               |                  Barred ----------------------30 s--> Reading(AnswerLost)
///      |               +--name taken-----------------------------------------> Reading(NameTaken)
///      |               +--stored, and what is newer of it is on its way------> Reading(NewerOnItsWay)
///      |                                                                        | ours: seen, the attempt ends
///      |                                                                        | another's, or of no use: another address
///      +--certainly not made (refused, not sent; read, and no object there)-----+
/// ```
///
/// Every state but `Planned` may lead to an object, and is counted in [`super::machine::Pool::unsettled`]
/// ([`super::machine::Pool::set_attempt`] alone changes states).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptState {
    /// Certainly not carried out.
    Planned,
    /// On its way.
    Sent {
        /// When the answer to an earlier create of it was lost, if one was.
        lost_at: Option<Timestamp>,
    },
    /// The answer is lost: the create is sent again until its answer is definite.
    Unanswered {
        /// When the last answer was lost.
        lost_at: Timestamp,
    },
    /// The answer is lost, and sending it again is refused: a read settles it once nothing can land any more.
    Barred {
        /// When the last answer was lost.
        lost_at: Timestamp,
    },
    /// The object of its name is to be read, or is being read.
    Reading {
        why: ReadWhy,
        /// The object went while we read.
        freed: bool,
    },
}

/// Why the object of an attempt's name is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadWhy {
    /// The server said that an object has the name.
    NameTaken,
    /// Whether the create was carried out is not known, and it can land no more.
    AnswerLost,
    /// The object was made; something newer of it, or its end, was seen by the watch before and is not here yet.
    NewerOnItsWay,
}

/// An object that a claim's status may show by now: a write that says so is on its way, or nobody knows what became of it.
#[derive(Debug, PartialEq)]
pub(super) struct Showing {
    pub(super) name: Arc<str>,
    /// The answer to such a write is lost, or older than what is on its way here: the claim's version on which that was decided. A newer
    /// one settles it.
    pub(super) doubt: Option<ResourceVersion>,
}

/// An object that vanished under its living claim (R4).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vanished {
    pub(super) name: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) values: Values,
    /// When it vanished, if it was marked for `clusterctl move`: for a while nothing is put back.
    pub(super) moved: Option<Timestamp>,
}

/// An object that vanished under its living claim before its pool went (A2).
#[derive(Debug, PartialEq)]
pub(super) struct Outlived {
    pub(super) name: Arc<str>,
    pub(super) address: IpAddr,
}

/// What a case asks the API server for, and its claim has to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    AddFinalizer,
    RemoveFinalizer,
    /// The status with the claim's address.
    ClaimStatus,
    CreateAddress,
    /// A change or the deletion of an address object.
    WriteAddress,
    /// Whose object has the name of the address object to be created.
    ReadName,
    /// The object that the claim's status shows.
    ReadShown,
}

impl Tried {
    /// After "the API server refused".
    fn words(self) -> &'static str {
        match self {
            Self::AddFinalizer => "our finalizer on this claim",
            Self::RemoveFinalizer => "to take our finalizer off this claim",
            Self::ClaimStatus => "the status of this claim with its address",
            Self::CreateAddress => "the address object",
            Self::WriteAddress => "a write of the address object",
            Self::ReadName => {
                "a read of the object that has the name of this claim's address object"
            }
            Self::ReadShown => "a read of the address object that this claim's status shows",
        }
    }

    fn is_read(self) -> bool {
        match self {
            Self::ReadName | Self::ReadShown => true,
            Self::AddFinalizer
            | Self::RemoveFinalizer
            | Self::ClaimStatus
            | Self::CreateAddress
            | Self::WriteAddress => false,
        }
    }
}

/// A request that the API server has refused, or has failed at again and again.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) tried: Tried,
    /// Its message, cut to 1,024 characters.
    pub(super) message: String,
    /// Whether it said no; else nobody knows what became of the write.
    pub(super) is_definite: bool,
    /// The claim's status was written, or tried to be: not again before the next try.
    pub(super) explained: bool,
}

impl Refused {
    pub(super) fn words(&self) -> String {
        let Self { tried, message, .. } = self;
        let what = tried.words();
        if self.is_definite {
            return format!("the API server refused {what}: {message}");
        }
        if tried.is_read() {
            return format!(
                "the API server does not answer {what}: {message}; it is asked again, if this stays look at its log"
            );
        }
        format!(
            "the API server fails to store {what}: {message}; it is asked again, if this stays look at its admission webhooks and its log"
        )
    }
}
