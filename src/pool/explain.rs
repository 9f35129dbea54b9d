//! What a claim's status shows (U1, U2, U3): its address, or why it has none. Written only when it differs from what is
//! stored, so once per state.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{ClaimKey, ClaimKind};

use super::case::Case;
use super::machine::Pool;
use super::next::{Asking, Assessment, Class, Next, Step};
use super::reason::{BOUND, Final, Reason, WaitState, Waiting};
use super::record::ClaimRecord;
use super::request::ClaimStatus;
use super::time::later;

/// Upstream's text for an address that is held (U2).
pub(super) const NOT_AVAILABLE: &str = "Requested IP not available";

/// How long a reason that may pass within moments is kept back.
const PASSING: SignedDuration = SignedDuration::from_secs(1);

/// A condition in place of the stored one: its time changes with its status only.
pub(super) fn condition(
    before: Option<&Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: String,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let status = if status { "True" } else { "False" };
    let unchanged = before.filter(|c| c.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: (generation > 0).then_some(generation),
        last_transition_time: unchanged.map_or_else(
            || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
            |c| c.last_transition_time.clone(),
        ),
    }
}

/// A list of conditions with one set; others' are kept.
pub(super) fn with_condition(list: &[Condition], condition: Condition) -> Vec<Condition> {
    let mut list = list.to_vec();
    match list.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(place) => *place = condition,
        None => list.push(condition),
    }
    list
}

impl Pool {
    /// The status that shows this object and its address; `None` when it is stored already.
    pub(super) fn binding_status(
        &self,
        key: &ClaimKey,
        claim: &ClaimRecord,
        name: &std::sync::Arc<str>,
        addr: IpAddr,
    ) -> Option<ClaimStatus> {
        let mut status = ClaimStatus::default();
        if claim.published.as_ref() != Some(name) {
            status.published = Some(Some(name.clone()));
        }
        if key.kind == ClaimKind::Metal3 && claim.ip_address != Some(addr) {
            status.ip_address = Some(Some(addr));
        }
        if key.kind == ClaimKind::Metal3 && claim.error.is_some() {
            status.error_message = Some(None);
        }
        status.conditions = self.conditions_with(claim, true, BOUND, String::new());
        (status != ClaimStatus::default()).then_some(status)
    }

    /// Whether this status changes anything that the server keeps, and may be written now. As long as it is not known whether
    /// the server keeps conditions and the address itself, one claim's are written to find out.
    pub(super) fn is_due(&self, key: &ClaimKey, claim: &ClaimRecord, status: &ClaimStatus) -> bool {
        let Some(fields) = self.fields.get(&key.kind) else {
            return *status != ClaimStatus::default();
        };
        let conditions = claim.conditions.list();
        let ready = conditions.iter().find(|c| c.type_ == "Ready");
        let waits = status.is_explanation()
            && !fields.knows(status)
            && fields.asked_by.as_ref().is_some_and(|by| by != key);
        fields.dropped.changes(status, ready) && !waits
    }

    /// The claim's conditions with our `Ready` in them; `None` when it is stored already.
    pub(super) fn conditions_with(
        &self,
        claim: &ClaimRecord,
        ready: bool,
        reason: &str,
        message: String,
    ) -> Option<Vec<Condition>> {
        let generation = (claim.generation > 0).then_some(claim.generation);
        if ready && claim.conditions.are_bound(generation) {
            return None;
        }
        let conditions = claim.conditions.list();
        let before = conditions.iter().find(|c| c.type_ == "Ready");
        let condition = condition(
            before,
            "Ready",
            ready,
            reason,
            message,
            claim.generation,
            self.wall,
        );
        let alike = |before: &Condition| {
            before.status == condition.status
                && before.reason == condition.reason
                && before.message == condition.message
                && before.observed_generation == condition.observed_generation
        };
        if before.is_some_and(alike) {
            return None;
        }
        Some(with_condition(&conditions, condition))
    }

    /// A claim is kept back by its gate.
    pub(super) fn kept_back(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        asking: Asking,
    ) -> Assessment {
        match asking {
            Asking::Waits(waiting) => self.waiting(key, case, claim, waiting),
            Asking::Counted(_) => Assessment {
                asking: Some(asking),
                next: Next::Rest,
            },
        }
    }

    /// A claim waits: when and how its status comes to say so.
    pub(super) fn waiting(
        &self,
        key: &ClaimKey,
        case: &Case,
        claim: &ClaimRecord,
        waiting: Waiting,
    ) -> Assessment {
        let since = match case.work().wait.as_deref() {
            Some(wait) if wait.state == WaitState::Waits(waiting.reason) => wait.since,
            Some(_) | None => self.now,
        };
        let mut status = ClaimStatus::default();
        let mut due = None;
        match &waiting.error {
            Some((text, last)) if key.kind == ClaimKind::Metal3 => {
                let at = match last {
                    Final::Now => self.now,
                    Final::Later => later(since, self.config.exhausted_error_after),
                };
                if claim.error.as_deref() != Some(text) {
                    if at <= self.now {
                        status.error_message = Some(Some(text.clone()));
                    } else {
                        due = Some(at);
                    }
                }
            }
            Some(_) | None => {}
        }
        let (reason, message) = waiting
            .reason
            .in_condition(key.kind, waiting.message.clone());
        status.conditions = self.conditions_with(claim, false, reason, message);
        let moved = waiting.reason == Reason::AddressMissing;
        let shows = claim.published.is_some() || claim.ip_address.is_some();
        if shows
            && !moved
            && !self.outlives_pool(case, claim)
            && self.returning(key, case).is_none()
        {
            match self.shown_and_unseen(key, case, claim) {
                // It is not known what it shows (A2): that is read first.
                Some(unseen) if case.work().backoff.until(self.now).is_none() => {
                    return Assessment {
                        asking: Some(Asking::Waits(waiting)),
                        next: Next::Do(Class::Going, Step::ReadShown(unseen)),
                    };
                }
                Some(_) => {}
                // U3: what it shows is none of its own.
                None => {
                    status.published = claim.published.is_some().then_some(None);
                    status.ip_address = claim.ip_address.is_some().then_some(None);
                }
            }
        }
        if waiting.reason.is_passing() {
            let passed = later(since, PASSING);
            if passed > self.now && status != ClaimStatus::default() {
                due = Some(passed);
                status = ClaimStatus::default();
            }
        }
        let next = if self.is_due(key, claim, &status) {
            let step = Step::Explain(waiting.reason, Box::new(status));
            Next::Do(Class::Status, step)
        } else if let Some(due) = due {
            Next::Later(due)
        } else {
            Next::Rest
        };
        Assessment {
            asking: Some(Asking::Waits(waiting)),
            next,
        }
    }

    /// Something is done for a claim. If it has no address yet, it keeps the reason that it waits for until it has one.
    pub(super) fn still_waiting(&self, key: &ClaimKey, case: &Case, next: Next) -> Assessment {
        let asks = !self.is_bound(key, case);
        let asking = asks.then(|| Asking::Counted(case.wait_state()));
        Assessment { asking, next }
    }
}
