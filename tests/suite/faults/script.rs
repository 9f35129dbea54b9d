//! A script: what users do to a server in a fixed order, with the states that they wait for. It is told in [`World`]'s words
//! and never looks at the controller, so it runs to its end whether that lives, dies or starts anew.

use futures::future::LocalBoxFuture;
use metal3_ipam::controller::Settings;

use crate::harness::World;
use crate::oracles::ByHand;
use crate::oracles::end::Likeness;

/// What is done, from an empty server to an end that can be compared.
pub(crate) type Play = for<'a> fn(&'a World) -> LocalBoxFuture<'a, ()>;

/// A script with its name.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// The rules of `docs/spec.md` that it is about.
    pub(crate) rules: &'static [&'static str],
    /// What happens, in a sentence.
    pub(crate) tells: &'static str,
    /// What stands already when the controller is started for the first time.
    pub(crate) found: Option<Play>,
    pub(crate) play: Play,
    /// Changes the controller's settings.
    pub(crate) settings: fn(&mut Settings),
    pub(crate) likeness: Likeness,
    /// What its users do that would be a finding otherwise.
    pub(crate) by_hand: &'static [ByHand],
}

impl Script {
    pub(crate) const fn new(
        name: &'static str,
        rules: &'static [&'static str],
        tells: &'static str,
        play: Play,
    ) -> Self {
        Self {
            name,
            rules,
            tells,
            found: None,
            play,
            settings: |_| {},
            likeness: Likeness::Same,
            by_hand: &[],
        }
    }

    /// Claims race for addresses in it.
    pub(crate) const fn racing(mut self) -> Self {
        self.likeness = Likeness::OrderAside;
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
