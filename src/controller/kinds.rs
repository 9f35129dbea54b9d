//! When pools may write (A3): the state of every kind, the terms in which this process leads, and the role that keeps both from the
//! pools until it does. Part of the router, and behind its lock.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::api::{ClaimKind, Kind};
use crate::pool::{KindChanges, KindState};

use super::absence::Absences;
use super::lease::Entry;
use super::router::{Router, State};
use super::term::{LeaderTerms, Term};

/// Time that a create waits for discovery's answer about kinds that are absent.
const ABSENCE_PATIENCE: Duration = Duration::from_secs(5);

/// Whether pools are told the state of the kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// Another process may lead: for the pools no kind is listed, so they write nothing. They get every object all the same.
    #[default]
    Standby,
    /// This process leads, or no lease is asked for.
    Leader,
}

/// What a complete list is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// It holds everything that a leader before this process wrote.
    Counts,
    /// It was begun in a term before this one: list again.
    Outdated,
}

/// Kinds that may be absent, or come back, and whose objects hold addresses: address objects, and claims by their status (A2).
const HOLDERS: [Kind; 2] = [
    Kind::Addresses(ClaimKind::Capi),
    Kind::Claims(ClaimKind::Capi),
];

impl Router {
    /// The state of a kind changed, other than by a list.
    pub(super) fn kind_is(&self, kind: Kind, to: KindState) {
        self.set(&mut self.state(), kind, to);
    }

    fn set(&self, state: &mut State, kind: Kind, to: KindState) {
        if !state.kinds.change(kind, to) {
            return;
        }
        self.kinds_changed.notify_waiters();
        self.counts.kinds(state.kinds);
        if state.role == Role::Leader {
            self.tell_all(state);
        }
    }

    /// The term that a list is begun in, and when the next one comes.
    pub(super) fn terms(&self) -> &LeaderTerms {
        &self.terms
    }

    /// Returns once the Clusters are listed in the current term, or there are none, and returns that term. The lists of address
    /// objects begin then, so they hold what was created before the end of a pause that the list of Clusters shows (P3).
    pub(super) async fn addresses_begin(&self) -> Term {
        loop {
            let changed = self.kinds_changed.notified();
            {
                let mut state = self.state();
                if state.kinds[Kind::Clusters] != KindState::Pending {
                    state.addresses_begun = true;
                    return self.terms.current();
                }
            }
            changed.await;
        }
    }

    /// A list that was begun in this term is complete and was put in.
    pub(super) fn listed(&self, kind: Kind, begun: Term) -> Listing {
        let mut state = self.state();
        if begun < self.terms.current() {
            return Listing::Outdated;
        }
        self.set(&mut state, kind, KindState::Listed);
        Listing::Counts
    }

    /// Discovery that was asked in this term, at `at`, says that the server does not have the kind: it is absent, or unavailable
    /// where its objects were known.
    pub(super) fn not_there(&self, kind: Kind, to: KindState, asked: Term, at: Instant) {
        let mut state = self.state();
        if asked == self.terms.current() {
            self.set(&mut state, kind, to);
            self.absences.confirm(kind, at);
            self.kinds_changed.notify_waiters();
        }
    }

    /// Which absent kinds discovery is to be asked for anew.
    pub(super) fn absences(&self) -> &Absences {
        &self.absences
    }

    /// Whether an address object may be created now (A3): every kind whose objects hold addresses is known, those that are absent
    /// were absent no longer than `age` ago, and the pool that decided on the address knew what these kinds are like now. Waits until
    /// discovery has answered.
    ///
    /// `decided_on`: what the pool knew of the kinds. A kind may come and be listed between the decision and the create, also while
    /// this waits: then its objects may hold the address.
    pub(super) async fn knows_who_holds(&self, decided_on: KindChanges, age: Duration) -> bool {
        let since = Instant::now();
        let since = since.checked_sub(age).unwrap_or(since);
        let known = async {
            loop {
                let changed = self.kinds_changed.notified();
                let kinds = self.state().kinds;
                if kinds.changes() != decided_on {
                    return false;
                }
                let mut confirmed = true;
                for kind in HOLDERS {
                    match kinds[kind] {
                        KindState::Listed => {}
                        KindState::Pending => return false,
                        KindState::Absent | KindState::Unavailable => {
                            confirmed &= self.absences.is_confirmed(kind, since);
                        }
                    }
                }
                if kinds[Kind::Clusters] == KindState::Absent {
                    // Nothing waits for it, but a Cluster may come that is paused (P1).
                    self.absences.is_confirmed(Kind::Clusters, since);
                }
                if confirmed {
                    return true;
                }
                changed.await;
            }
        };
        timeout(ABSENCE_PATIENCE, known).await.unwrap_or(false)
    }

    /// This process leads from now on.
    pub(super) fn lead(&self, entry: Entry) {
        if entry == Entry::Late {
            self.next_term();
        }
        let mut state = self.state();
        state.role = Role::Leader;
        self.tell_all(&state);
    }

    /// Another process led until now: no kind counts as listed until a list begun after this call is complete, and none as absent
    /// or unavailable until discovery is asked anew: it may have been installed since, with objects that hold addresses.
    pub(super) fn next_term(&self) {
        let mut state = self.state();
        self.terms.begin();
        state.addresses_begun = false;
        for kind in Kind::ALL {
            self.set(&mut state, kind, KindState::Pending);
        }
    }
}
