//! The API server of these tests: versions, finalizers, preconditions, and which fields of a status it keeps.

use serde_json::{Value, json};

use super::super::{Name, Object, Outcome, Refusal, Request, Reread, Scope, Take};
use crate::api::object::{conditions as conditions_of, pool_status};
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, Kind, Meta, PoolObject, ResourceVersion, owner_references,
};

use super::world::{Event, M, World, address_key, address_object, claim_object};

/// Drops a field as a structural schema without it does; of the conditions also a field of each.
fn drop_field(status: &mut Value, field: &str) {
    let fields = status.as_object_mut().unwrap();
    match field.split_once('.') {
        None => _ = fields.remove(field),
        Some((list, field)) => {
            let items = fields.get_mut(list).and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                item.as_object_mut().unwrap().remove(field);
            }
        }
    }
}

/// The end of an object; its metadata has the version of that.
fn gone(kind: Kind, meta: &Meta) -> Event {
    Event::Gone {
        kind,
        name: Name::of(meta),
        uid: meta.uid.clone(),
        version: meta.resource_version.clone(),
    }
}

impl World {
    pub(super) fn next_version(&mut self) -> ResourceVersion {
        self.version += 1;
        self.version.to_string().into()
    }

    pub(super) fn new_meta(&mut self, name: &str) -> Meta {
        self.uids += 1;
        Meta {
            name: name.into(),
            namespace: "default".into(),
            uid: uuid::Uuid::from_u128(self.uids.into()).to_string().into(),
            resource_version: self.next_version(),
            generation: 1,
            creation_timestamp: Some(self.now),
            ..Meta::default()
        }
    }

    pub(super) fn pool_object(&self, pool: PoolObject) -> Object {
        Object::Pool {
            object: Box::new(pool),
            problems: self.problems.clone(),
            scope: Scope::Ours,
        }
    }

    pub(super) fn tell_pool(&mut self) {
        if let Some(pool) = self.pool.clone() {
            let seen = self.pool_object(pool);
            self.events[0].push_back(Event::Seen(seen));
        }
    }

    pub(super) fn tell_claim(&mut self, claim: Claim) {
        let stream = if claim.kind == M { 1 } else { 2 };
        self.events[stream].push_back(Event::Seen(claim_object(claim)));
    }

    pub(super) fn tell_address(&mut self, address: Address) {
        let stream = if address.kind == M { 3 } else { 4 };
        self.events[stream].push_back(Event::Seen(address_object(address)));
    }

    /// Changes the pool as a user or a writer does; `None` back: it is gone.
    pub(super) fn edit_pool(&mut self, change: impl FnOnce(&mut PoolObject)) -> Option<PoolObject> {
        let mut pool = self.pool.clone()?;
        let before = pool.clone();
        change(&mut pool);
        if pool == before {
            return Some(pool);
        }
        if pool.spec != before.spec {
            pool.meta.generation += 1;
        }
        pool.meta.resource_version = self.next_version();
        if pool.meta.is_deleting() && pool.meta.finalizers.is_empty() {
            self.pool = None;
            self.events[0].push_back(gone(Kind::Pools, &pool.meta));
            return None;
        }
        self.pool = Some(pool.clone());
        self.tell_pool();
        Some(pool)
    }

    pub(super) fn edit_claim(
        &mut self,
        key: &ClaimKey,
        change: impl FnOnce(&mut Claim),
    ) -> Option<Claim> {
        let mut claim = self.claims.get(key)?.clone();
        let before = claim.clone();
        change(&mut claim);
        if claim == before {
            return Some(claim);
        }
        claim.meta.resource_version = self.next_version();
        if claim.meta.is_deleting() && claim.meta.finalizers.is_empty() {
            self.claims.remove(key);
            let stream = if key.kind == M { 1 } else { 2 };
            self.events[stream].push_back(gone(Kind::Claims(key.kind), &claim.meta));
            return None;
        }
        if claim.published != before.published
            && let Some(name) = &claim.published
        {
            self.published
                .push((claim.meta.uid.clone(), key.clone(), name.clone()));
        }
        self.claims.insert(key.clone(), claim.clone());
        self.tell_claim(claim.clone());
        Some(claim)
    }

    pub(super) fn edit_address(
        &mut self,
        key: &AddressKey,
        change: impl FnOnce(&mut Address),
    ) -> Option<Address> {
        let mut address = self.addresses.get(key)?.clone();
        let before = address.clone();
        change(&mut address);
        if address == before {
            return Some(address);
        }
        address.meta.resource_version = self.next_version();
        if address.meta.is_deleting() && address.meta.finalizers.is_empty() {
            self.addresses.remove(key);
            let stream = if key.kind == M { 3 } else { 4 };
            self.events[stream].push_back(gone(Kind::Addresses(key.kind), &address.meta));
            return None;
        }
        self.addresses.insert(key.clone(), address.clone());
        self.tell_address(address.clone());
        Some(address)
    }

    pub(super) fn execute(&mut self, request: &Request) -> Outcome {
        if let Some((refuses, words)) = self.refuses
            && refuses(request)
        {
            let name = match request {
                Request::CreateAddress(new) => &*new.name,
                _ => "",
            };
            return Outcome::Refused {
                refusal: Refusal::Invalid,
                message: words.replace("{name}", name),
            };
        }
        if self.undoes.is_some_and(|undoes| undoes(request)) {
            return match request {
                Request::PoolMeta {
                    resource_version, ..
                } => self.patch_pool(resource_version, |_| {}),
                Request::ClaimFinalizers {
                    key,
                    resource_version,
                    ..
                } => self.patch_claim(key, resource_version, |_| {}),
                Request::AddressMeta {
                    key,
                    resource_version,
                    ..
                } => self.patch_address(key, resource_version, |_| {}),
                _ => panic!("no write of metadata: {request:?}"),
            };
        }
        let drops = self.drops.clone();
        match request {
            Request::PoolMeta {
                uid: _,
                resource_version,
                finalizers,
                labels,
                owner_references,
                entries: _,
            } => self.patch_pool(resource_version, |pool| {
                pool.meta.finalizers.clone_from(finalizers);
                for (key, value) in labels {
                    match value {
                        Some(value) => pool.meta.labels.insert(key.clone(), value.clone()),
                        None => pool.meta.labels.remove(key),
                    };
                }
                if let Some(owners) = owner_references {
                    pool.meta.owner_references.clone_from(owners);
                }
            }),
            Request::PoolStatus {
                uid: _,
                resource_version,
                status,
                entries: _,
                counts_only: _,
            } => self.patch_pool(resource_version, |pool| {
                let mut stored = serde_json::to_value(&pool.status).unwrap();
                json_patch::merge(&mut stored, status);
                for field in &drops {
                    drop_field(&mut stored, field);
                }
                pool.status = pool_status(&stored);
            }),
            Request::ClaimFinalizers {
                key,
                uid: _,
                resource_version,
                finalizers,
            } => {
                let adds = |claim: &Claim| {
                    claim.meta.is_deleting()
                        && finalizers.iter().any(|f| !claim.meta.has_finalizer(f))
                };
                if self.claims.get(key).is_some_and(adds) {
                    return Outcome::Refused {
                        refusal: Refusal::Invalid,
                        message: "no new finalizers on what is being deleted".into(),
                    };
                }
                self.patch_claim(key, resource_version, |claim| {
                    claim.meta.finalizers.clone_from(finalizers);
                })
            }
            Request::ClaimStatus {
                key,
                uid: _,
                resource_version,
                status,
            } => self.patch_claim(key, resource_version, |claim| {
                if let Some(published) = &status.published
                    && !drops.contains("address")
                {
                    claim.published.clone_from(published);
                }
                if let Some(ip) = &status.ip_address
                    && !drops.contains("ipAddress")
                {
                    claim.ip_address = *ip;
                }
                if let Some(error) = &status.error_message
                    && !drops.contains("errorMessage")
                {
                    claim.error_message.clone_from(error);
                }
                if let Some(conditions) = &status.conditions {
                    let mut kept = json!({ "conditions": conditions });
                    for field in &drops {
                        drop_field(&mut kept, field);
                    }
                    claim.conditions = conditions_of(kept.get("conditions"));
                }
            }),
            Request::CreateAddress(new) => {
                let key = address_key(new.kind, &new.name);
                if self.addresses.contains_key(&key) {
                    return Outcome::NameTaken;
                }
                let mut meta = self.new_meta(&new.name);
                meta.finalizers = vec![new.kind.address_finalizer().into()];
                meta.labels.clone_from(&new.labels);
                let (claim, pool) = (new.claim_uid.to_string(), new.pool_uid.to_string());
                let version = Kind::Claims(new.kind).versions()[0];
                let owners =
                    owner_references(new.kind, version, (&new.claim, &claim), ("prov", &pool));
                meta.owner_references = owners.into();
                let mut address = Address {
                    meta,
                    kind: new.kind,
                    address: Ok(new.address),
                    pool: "prov".into(),
                    claim: new.claim.clone(),
                    prefix: new.prefix,
                    gateway: new.gateway,
                    dns_servers: new.dns_servers.clone(),
                };
                if let Some(mutates) = self.mutates {
                    mutates(&mut address);
                }
                self.addresses.insert(key, address.clone());
                self.tell_address(address.clone());
                Outcome::Stored(address_object(address), Take::In)
            }
            Request::DeleteAddress {
                key,
                uid,
                resource_version,
            } => {
                let now = self.now;
                let known = self.addresses.get(key).map(|a| a.meta.uid == *uid);
                if known == Some(false) {
                    return self.newest_address(key);
                }
                self.patch_address(key, resource_version, |address| {
                    address.meta.deletion_timestamp.get_or_insert(now);
                })
            }
            Request::AddressMeta {
                key,
                uid: _,
                resource_version,
                finalizers,
                owner_references,
            } => self.patch_address(key, resource_version, |address| {
                if let Some(finalizers) = finalizers {
                    address.meta.finalizers.clone_from(finalizers);
                }
                if let Some(owners) = owner_references {
                    address.meta.owner_references.clone_from(owners);
                }
            }),
            Request::ReadCluster { name } => Outcome::Cluster(self.clusters.get(name).cloned()),
            Request::ReadClaim { key } => self.claims.get(key).map_or(Outcome::Gone, |claim| {
                Outcome::Stored(claim_object(claim.clone()), Take::In)
            }),
            Request::ReadAddress { key } => {
                self.addresses.get(key).map_or(Outcome::Gone, |address| {
                    Outcome::Stored(address_object(address.clone()), Take::In)
                })
            }
        }
    }

    pub(super) fn patch_pool(
        &mut self,
        version: &ResourceVersion,
        change: impl FnOnce(&mut PoolObject),
    ) -> Outcome {
        let Some(pool) = &self.pool else {
            return Outcome::Gone;
        };
        if pool.meta.resource_version != *version {
            let found = self.pool_object(pool.clone());
            return Outcome::Conflict(Reread::Found(found, Take::In));
        }
        match self.edit_pool(change) {
            Some(pool) => Outcome::Stored(self.pool_object(pool), Take::In),
            None => Outcome::Gone,
        }
    }

    pub(super) fn patch_claim(
        &mut self,
        key: &ClaimKey,
        version: &ResourceVersion,
        change: impl FnOnce(&mut Claim),
    ) -> Outcome {
        let Some(claim) = self.claims.get(key) else {
            return Outcome::Gone;
        };
        if claim.meta.resource_version != *version {
            let found = claim_object(claim.clone());
            return Outcome::Conflict(Reread::Found(found, Take::In));
        }
        match self.edit_claim(key, change) {
            Some(claim) => Outcome::Stored(claim_object(claim), Take::In),
            None => Outcome::Gone,
        }
    }

    pub(super) fn newest_address(&self, key: &AddressKey) -> Outcome {
        Outcome::Conflict(self.addresses.get(key).map_or(Reread::Gone, |address| {
            Reread::Found(address_object(address.clone()), Take::In)
        }))
    }

    pub(super) fn patch_address(
        &mut self,
        key: &AddressKey,
        version: &ResourceVersion,
        change: impl FnOnce(&mut Address),
    ) -> Outcome {
        let Some(address) = self.addresses.get(key) else {
            return Outcome::Gone;
        };
        if address.meta.resource_version != *version {
            return self.newest_address(key);
        }
        match self.edit_address(key, change) {
            Some(address) => Outcome::Stored(address_object(address), Take::In),
            None => Outcome::Gone,
        }
    }
}
