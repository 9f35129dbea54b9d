//! What keeps a whole pool, a claim or a write back: kinds that are not listed, pause (P1), another manager's objects
//! (P4), a pool that is not ready.

use crate::api::names::DELETE_FOR_MOVE_ANNOTATION;
use crate::api::{ClaimKey, ClaimKind, ClusterFacts, Kind};

use super::case::Case;
use super::input::{KindState, Scope};
use super::ippool::PoolRecord;
use super::machine::Pool;
use super::next::Asking;
use super::reason::{Reason, Until, WaitState, Waiting, echo};
use super::record::ClaimRecord;

/// Why a pool gives nothing out; a reason of its `Ready` condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unready {
    NotFound,
    Starting,
    KindUnavailable,
    Deleting,
    InvalidSpec,
    ClusterNotFound,
    ClusterDeleting,
    Moving,
    NotStored,
}

impl Unready {
    /// The reason of the pool's `Ready` condition.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Starting => "Starting",
            Self::KindUnavailable => "KindUnavailable",
            Self::Deleting => "Deleting",
            Self::InvalidSpec => "InvalidSpec",
            Self::ClusterNotFound => "ClusterNotFound",
            Self::ClusterDeleting => "ClusterDeleting",
            Self::Moving => "Moving",
            Self::NotStored => "FinalizerPending",
        }
    }

    /// What a claim that waits for it shows.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::NotFound => Reason::PoolNotFound,
            Self::Starting
            | Self::KindUnavailable
            | Self::Deleting
            | Self::InvalidSpec
            | Self::ClusterNotFound
            | Self::ClusterDeleting
            | Self::Moving
            | Self::NotStored => Reason::PoolNotReady,
        }
    }
}

impl Pool {
    /// The Cluster of this name, if there is one.
    pub(super) fn cluster(&self, name: &str) -> Option<&ClusterFacts> {
        match self.kinds[Kind::Clusters] {
            KindState::Listed | KindState::Pending => self.clusters.get(name).map(AsRef::as_ref),
            KindState::Absent | KindState::Unavailable => None,
        }
    }

    /// Whether nothing of this pool is written (P1), but for the status that says so.
    pub fn is_paused(&self) -> bool {
        let Some(pool) = &self.ippool.record else {
            return false;
        };
        let cluster = pool.terms.cluster.as_deref();
        pool.paused || cluster.is_some_and(|name| self.is_cluster_paused(name))
    }

    fn is_cluster_paused(&self, name: &str) -> bool {
        self.cluster(name).is_some_and(|c| c.paused)
    }

    /// Whether the pool and all that is its own are another manager's (P4).
    pub(super) fn is_of_another_manager(&self) -> bool {
        let scope = self.ippool.record.as_ref().map(|p| p.scope);
        scope == Some(Scope::Another)
    }

    /// Whether this claim is left alone by itself (P1, P4).
    pub(super) fn leaves_claim_alone(&self, claim: &ClaimRecord) -> bool {
        let cluster = claim.cluster.as_deref();
        claim.scope == Scope::Another
            || claim.paused
            || cluster.is_some_and(|name| self.is_cluster_paused(name))
    }

    /// Whether nothing is written for this case, because of its pool or of its claim (P1, P4).
    pub(super) fn leaves_case_alone(&self, case: &Case) -> bool {
        let claim = case.claim.as_deref();
        self.is_paused()
            || claim.is_some_and(|claim| self.leaves_claim_alone(claim))
            || (self.is_of_another_manager() && !is_released_anywhere(claim, case))
    }

    /// Whether both kinds of the family are listed, or do not exist.
    pub(super) fn is_served(&self, kind: ClaimKind) -> bool {
        let kinds = [Kind::Claims(kind), Kind::Addresses(kind)];
        kinds
            .iter()
            .all(|kind| self.kinds[*kind] == KindState::Listed)
    }

    /// The kind that was there and is not any more, if there is one that matters to this pool (A3). Cluster is not among
    /// them: without the kind there is no Cluster.
    pub(super) fn missing_kind(&self) -> Option<Kind> {
        let matters = |kind: &Kind| match *kind {
            Kind::Pools => true,
            Kind::Claims(family) | Kind::Addresses(family) => self.has_cases(family),
            Kind::Clusters => false,
        };
        let mut missing = Kind::ALL
            .into_iter()
            .filter(|kind| self.kinds[*kind] == KindState::Unavailable);
        missing.find(matters)
    }

    fn has_cases(&self, kind: ClaimKind) -> bool {
        let first = ClaimKey {
            kind,
            name: "".into(),
        };
        let next = self.cases.range(first..).next();
        next.is_some_and(|(key, _)| key.kind == kind)
    }

    /// The pool, if it gives addresses out.
    pub(super) fn ready(&self) -> Result<&PoolRecord, Unready> {
        if !self.kinds.is_synced() {
            return Err(Unready::Starting);
        }
        let pool = self.ippool.record.as_ref().ok_or(Unready::NotFound)?;
        if self.missing_kind().is_some() {
            return Err(Unready::KindUnavailable);
        }
        if pool.deleting {
            return Err(Unready::Deleting);
        }
        if pool.terms.is_cluster_impossible {
            return Err(Unready::InvalidSpec);
        }
        if let Some(name) = &pool.terms.cluster {
            match self.cluster(name) {
                None => return Err(Unready::ClusterNotFound),
                Some(cluster) if cluster.deleting && !self.is_meta_stored() => {
                    return Err(Unready::ClusterDeleting);
                }
                Some(_) => {}
            }
        }
        if pool.spec.is_err() {
            return Err(Unready::InvalidSpec);
        }
        if pool.is_moving() {
            return Err(Unready::Moving);
        }
        if !self.is_meta_stored() {
            return Err(Unready::NotStored);
        }
        Ok(pool)
    }

    /// What keeps every claim like this one from being served, if anything does.
    pub(super) fn gate(&self, claim: &ClaimRecord) -> Option<Asking> {
        let waits = |reason, message| {
            Some(Asking::Waits(Waiting {
                reason,
                message,
                error: None,
                until: Until::Change,
            }))
        };
        if let Err(unready) = self.ready() {
            if unready == Unready::NotStored && !self.ippool.backoff.has_failed() {
                // Its first write is on its way.
                return Some(Asking::Counted(WaitState::BeingServed));
            }
            return waits(unready.reason(), self.unready_message(unready));
        }
        let cluster = claim.cluster.as_deref().filter(|_| claim.cluster_required);
        if let Some(name) = cluster.filter(|name| self.cluster(name).is_none()) {
            let message = format!("Cluster {} of this claim does not exist", echo(name));
            return waits(Reason::PoolNotReady, message);
        }
        None
    }

    /// What a claim or the pool's condition says about a pool that is not ready.
    pub(super) fn unready_message(&self, unready: Unready) -> String {
        let key = &self.key;
        let cluster = || {
            let pool = self.ippool.record.as_ref();
            pool.and_then(|p| p.terms.cluster.as_deref())
                .unwrap_or_default()
                .to_owned()
        };
        match unready {
            Unready::NotFound => format!("pool {key} does not exist; create it"),
            Unready::Starting => format!("pool {key} waits until every kind is listed"),
            Unready::KindUnavailable => format!(
                "the API server does not serve {} any more; nothing is given out or freed until it does",
                self.missing_kind().map_or("a kind", Kind::resource)
            ),
            Unready::Deleting => format!("pool {key} is being deleted"),
            Unready::InvalidSpec => {
                format!(
                    "the spec of pool {key} is invalid; its Ready condition says what to correct"
                )
            }
            Unready::ClusterNotFound => format!(
                "pool {key} waits for Cluster {}, which does not exist",
                cluster()
            ),
            Unready::ClusterDeleting => format!(
                "pool {key} belongs to Cluster {}, which is being deleted",
                cluster()
            ),
            Unready::Moving => format!(
                "pool {key} is marked for clusterctl move and has lost its finalizer; when no move goes on, remove the annotation {DELETE_FOR_MOVE_ANNOTATION} from it"
            ),
            Unready::NotStored => match &self.ippool.refusal {
                Some(words) => format!(
                    "the API server refuses the finalizer, labels or owner reference of pool {key}: {words}"
                ),
                None => format!("the finalizer of pool {key} is not stored yet"),
            },
        }
    }
}

/// Whether all that is left to do for the claim is to take our finalizer off it: that its own manager does, whoever serves the pool
/// (R8). The pool's manager leaves the claim alone.
fn is_released_anywhere(claim: Option<&ClaimRecord>, case: &Case) -> bool {
    claim.is_some_and(|claim| claim.deleted.is_some()) && case.objects.is_empty()
}
