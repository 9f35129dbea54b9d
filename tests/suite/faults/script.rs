//! A script: what users do to a server in a fixed order, with the states that they wait for. It uses the steps of [`World`] and
//! never reads the controller, so it runs to its end whether the controller runs, dies or starts anew.

use futures::future::LocalBoxFuture;
use metal3_ipam::controller::Settings;

use crate::harness::World;
use crate::oracles::ByHand;
use crate::oracles::end::Comparison;

/// What is done, from an empty server to an end that can be compared.
pub(crate) type Play = for<'a> fn(&'a World) -> LocalBoxFuture<'a, ()>;

/// A script with its name.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// The rules of `docs/spec.md` that it is about.
    pub(crate) rules: &'static [&'static str],
    /// What users do and what must come of it, in a sentence.
    pub(crate) summary: &'static str,
    /// Objects that exist before the controller is started for the first time.
    pub(crate) found: Option<Play>,
    pub(crate) play: Play,
    /// Changes the controller's settings.
    pub(crate) settings: fn(&mut Settings),
    pub(crate) comparison: Comparison,
    /// What users do by hand, which would be a violation otherwise.
    pub(crate) by_hand: &'static [ByHand],
}

impl Script {
    pub(crate) const fn new(
        name: &'static str,
        rules: &'static [&'static str],
        summary: &'static str,
        play: Play,
    ) -> Self {
        Self {
            name,
            rules,
            summary,
            found: None,
            play,
            settings: |_| {},
            comparison: Comparison::Same,
            by_hand: &[],
        }
    }

    /// Claims race for addresses in it.
    pub(crate) const fn racing(mut self) -> Self {
        self.comparison = Comparison::OrderAside;
        self
    }

    /// Begins with what another controller or a move has left.
    pub(crate) const fn found(mut self, found: Play) -> Self {
        self.found = Some(found);
        self
    }

    pub(crate) const fn by_hand(mut self, by_hand: &'static [ByHand]) -> Self {
        self.by_hand = by_hand;
        self
    }

    pub(crate) const fn with(mut self, settings: fn(&mut Settings)) -> Self {
        self.settings = settings;
        self
    }
}
