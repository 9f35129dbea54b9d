//! What the router does before a pool hears of an object, for the world of these tests: every object passes [`Known`].

use super::super::{
    By, Incarnation, Input, KindChanges, Name, Object, Outcome, Outdated, Request, Reread, Take,
};
use crate::api::{Kind, Uid};

use super::world::{Event, World};

/// The object that a request is about.
pub(super) struct About {
    kind: Kind,
    name: Name,
    /// The incarnation that is to be written.
    uid: Option<Uid>,
    /// What the pool knew of the kinds when it decided on the request.
    pub(super) decided_on: KindChanges,
}

impl About {
    pub(super) fn of(request: &Request, decided_on: KindChanges) -> Self {
        let (kind, name, uid) = match request {
            Request::PoolMeta { uid, .. } | Request::PoolStatus { uid, .. } => {
                (Kind::Pools, "prov", Some(uid))
            }
            Request::ClaimFinalizers { key, uid, .. } | Request::ClaimStatus { key, uid, .. } => {
                (Kind::Claims(key.kind), &*key.name, Some(uid))
            }
            Request::DeleteAddress { key, uid, .. } | Request::AddressMeta { key, uid, .. } => {
                (Kind::Addresses(key.kind), &*key.name, Some(uid))
            }
            Request::CreateAddress(new) => (Kind::Addresses(new.kind), &*new.name, None),
            Request::ReadCluster { name } => (Kind::Clusters, &**name, None),
            Request::ReadClaim { key } => (Kind::Claims(key.kind), &*key.name, None),
            Request::ReadAddress { key } => (Kind::Addresses(key.kind), &*key.name, None),
        };
        let name = Name {
            namespace: "default".into(),
            name: name.into(),
        };
        let uid = uid.cloned();
        Self {
            kind,
            name,
            uid,
            decided_on,
        }
    }
}

impl World {
    /// What a watch shows, as far as it is new.
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Cluster(input) => self.put(input),
            Event::Seen(object) => {
                if let Ok(true) = self.note(&object, By::Event) {
                    self.put(Input::Seen(object));
                }
            }
            Event::Gone {
                kind,
                name,
                uid,
                version,
            } => {
                if let Some(known) = self.known.end(kind, &name, &uid, &version) {
                    self.tell_end(kind, &name, &known);
                }
            }
        }
    }

    /// Whether the object leads to the pool.
    pub(super) fn note(&mut self, object: &Object, by: By) -> Result<bool, Outdated> {
        let (kind, pool) = match object {
            Object::Pool { object, .. } => (Kind::Pools, &object.meta.name),
            Object::Claim { claim, .. } => (Kind::Claims(claim.kind), &claim.pool),
            Object::Address { address, .. } => (Kind::Addresses(address.kind), &address.pool),
        };
        let name = Name::of(object.meta());
        let seen = Incarnation::of(object.meta(), Some(pool.clone()));
        let before = self.known.see(kind, &name, seen, by)?;
        if let Some(before) = before
            && (before.uid != object.meta().uid || before.pool.as_ref() != Some(pool))
        {
            self.tell_end(kind, &name, &before);
        }
        Ok(&**pool == "prov")
    }

    pub(super) fn tell_end(&mut self, kind: Kind, name: &Name, known: &Incarnation) {
        let uid = known.uid.clone();
        let ours = known.pool.as_deref() == Some("prov");
        let input = match kind {
            Kind::Pools if ours => Input::PoolGone { uid },
            Kind::Claims(family) if ours => Input::ClaimGone {
                key: name.claim(family),
                uid,
            },
            Kind::Addresses(family) if ours => Input::AddressGone {
                key: name.address(family),
                uid,
            },
            Kind::Addresses(family) if self.watched.contains(&name.address(family)) => {
                Input::NameFreed(name.address(family))
            }
            Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) | Kind::Clusters => return,
        };
        self.put(input);
    }

    /// Puts something into the pool's mailbox.
    fn put(&mut self, input: Input) {
        self.mailbox.push_back(input);
        if !self.is_busy {
            self.empty_mailbox();
        }
    }

    /// The pool takes in all that is in its mailbox.
    pub(super) fn empty_mailbox(&mut self) {
        while let Some(input) = self.mailbox.pop_front() {
            self.step(input);
        }
    }

    /// Every kind was listed: what is not there is gone.
    pub(super) fn end_missing(&mut self) {
        let version = self.version.to_string();
        for kind in Kind::ALL {
            let live = match kind {
                Kind::Pools => self.pool.iter().map(|pool| Name::of(&pool.meta)).collect(),
                Kind::Claims(family) => {
                    let live = self.claims.values().filter(|claim| claim.kind == family);
                    live.map(|claim| Name::of(&claim.meta)).collect()
                }
                Kind::Addresses(family) => {
                    let live = self.addresses.values().filter(|a| a.kind == family);
                    live.map(|address| Name::of(&address.meta)).collect()
                }
                Kind::Clusters => continue,
            };
            for (name, known) in self
                .known
                .end_missing(kind, &live, &version.as_str().into())
            {
                self.tell_end(kind, &name, &known);
            }
        }
    }

    /// What an answer shows is noted before the machine has it.
    pub(super) fn note_answer(&mut self, about: &About, outcome: &mut Outcome) {
        match outcome {
            Outcome::Stored(object, take) | Outcome::Conflict(Reread::Found(object, take)) => {
                *take = match self.note(object, By::Read) {
                    Ok(true) => Take::In,
                    Ok(false) | Err(Outdated) => Take::LeaveOut,
                };
                if *take == Take::In {
                    // What is older of it must not come after it.
                    let is_older = |input: &Input| match input {
                        Input::Seen(seen) => is_same(seen, object),
                        Input::ClaimLeft { uid, .. } => *uid == object.meta().uid,
                        _ => false,
                    };
                    self.mailbox.retain(|input| !is_older(input));
                }
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                if let Some(uid) = &about.uid {
                    let is_of_it = |input: &Input| match input {
                        Input::Seen(seen) => seen.meta().uid == *uid,
                        Input::ClaimLeft { uid: of, .. } => of == uid,
                        _ => false,
                    };
                    self.mailbox.retain(|input| !is_of_it(input));
                    self.known.end_by_answer(about.kind, &about.name, uid);
                }
            }
            _ => {}
        }
    }
}

/// Whether two objects have one kind and name.
fn is_same(one: &Object, other: &Object) -> bool {
    let kind = |object: &Object| match object {
        Object::Pool { .. } => Kind::Pools,
        Object::Claim { claim, .. } => Kind::Claims(claim.kind),
        Object::Address { address, .. } => Kind::Addresses(address.kind),
    };
    kind(one) == kind(other) && one.meta().name == other.meta().name
}
