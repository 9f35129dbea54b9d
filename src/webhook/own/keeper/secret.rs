//! The Secret with the webhook's certificate: read, made or mended, and moved on by the steps of a renewal.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::time::Instant;
use tracing::{info, warn};

use super::request::{post, sent, written};
use super::{Keeper, SURE};
use crate::observe::metrics::SecretRepair;
use crate::webhook::own::authority::{Content, Damage, Step};
use crate::webhook::own::origin::{Evidence, Origin};

/// Tries for the Secret in one round: who loses a race takes what the winner wrote.
const TRIES: usize = 3;

impl Keeper {
    /// The Secret as it stands, made or put right where that was needed.
    pub(super) async fn secret(&mut self) -> Result<(Secret, Content), String> {
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.own.namespace);
        let name = self.own.secret.clone();
        let which = format!("Secret {}/{name}", self.own.namespace);
        let mut raced = String::new();
        for _ in 0..TRIES {
            let now = (self.now)();
            let found = sent(&format!("reading {which}"), api.get_opt(&name)).await?;
            let Some(mut secret) = found else {
                let mut secret = Secret::default();
                secret.metadata.name = Some(name.clone());
                secret.type_ = Some("Opaque".to_owned());
                self.good(now)?.write(&mut secret);
                info!("{which} is created with the webhook's certificate");
                match written(api.create(&post(), &secret), &which).await? {
                    Ok(()) if self.last.is_some() => {
                        self.metrics.repaired_secret(SecretRepair::Missing);
                    }
                    Ok(()) => {}
                    Err(why) => raced = why,
                }
                // What the server holds now counts, also when another replica wrote it.
                continue;
            };
            let (why, repair, next) = match Content::read(&secret, &self.own.names, now) {
                Ok((content, _)) => match self.origin(&content, now).await? {
                    Origin::Ours => return Ok((secret, content)),
                    Origin::Foreign => (
                        "it holds the certificate of an authority that neither this replica nor the webhook \
                         configurations know"
                            .to_owned(),
                        SecretRepair::Foreign,
                        self.good(now)?,
                    ),
                    Origin::Unknown if self.stands_long_enough(&content) => {
                        warn!(
                            "{which} holds the certificate of an authority that is new to this replica and to the webhook \
                             configurations, and no other replica put it right; it is taken"
                        );
                        return Ok((secret, content));
                    }
                    Origin::Unknown => {
                        return Err(format!(
                            "{which} holds the certificate of an authority that is new to this replica and to the \
                             webhook configurations; it is taken if it stays for {} s",
                            self.times.trusted.as_secs()
                        ));
                    }
                },
                Err(Damage { why, signs }) => {
                    let next = self.mended(signs, now).await?;
                    (why, SecretRepair::Damaged, next)
                }
            };
            warn!(
                why,
                "{which} does not hold the webhook's certificate; it is put right"
            );
            next.write(&mut secret);
            let how = post();
            match written(api.replace(&name, &how, &secret), &which).await? {
                Ok(()) => self.metrics.repaired_secret(repair),
                Err(why) => raced = why,
            }
        }
        Err(format!("{which} changes again and again: {raced}"))
    }

    /// Whether content that is whole is this installation's. The configurations are read only where what this replica knows
    /// does not decide.
    async fn origin(&self, content: &Content, now: Timestamp) -> Result<Origin, String> {
        let names = &self.own.names;
        let last = self.last.as_ref();
        if last.is_some_and(|last| content.is_trusted_by(&last.content.bundle, names, now)) {
            return Ok(Origin::Ours);
        }
        // Of an authority that signs no more nothing follows: another replica may have made a new one.
        let known = last.filter(|last| last.content.signs(names, now).is_ok());
        let validating = self.in_force::<ValidatingWebhookConfiguration>(&self.own.validating);
        let mut in_force = validating.await?;
        let mutating = self.in_force::<MutatingWebhookConfiguration>(&self.own.mutating);
        in_force.extend(mutating.await?);
        let evidence = Evidence {
            known: known.map_or(&[], |known| &known.content.bundle),
            is_sure: known.is_some_and(|known| {
                known.looks == SURE && known.at.elapsed() <= self.times.trusted
            }),
            in_force: &in_force,
        };
        Ok(evidence.judge(content, names, now))
    }

    /// Notes since when the Secret holds this; returns whether that is so long that another replica that knows better would have put
    /// it right.
    fn stands_long_enough(&mut self, content: &Content) -> bool {
        match &self.unknown {
            Some((unknown, since)) if unknown == content => since.elapsed() >= self.times.trusted,
            Some(_) | None => {
                self.unknown = Some((content.clone(), Instant::now()));
                false
            }
        }
    }

    /// What goes into a Secret whose content cannot be served; `signs` is that content, where only its pair is at fault.
    ///
    /// Two replicas whose names differ, as in a rolling update that changes the Service's name, must not write in turn what only
    /// one of them can serve. So a pair that is good for other names is never replaced by what was good last here: its authority
    /// signs a pair for both, which the other replica finds good too. A renewal signs for the leader's names alone; who then
    /// misses its own adds them once more, and when the update is over the next renewal leaves the old ones out.
    async fn mended(&self, signs: Option<Box<Content>>, now: Timestamp) -> Result<Content, String> {
        let names = &self.own.names;
        let Some(stored) = signs else {
            return self.good(now);
        };
        let last = self.last.as_ref().map(|last| &last.content);
        let is_last_good = last.is_some_and(|last| last.renewal(names, now).is_ok());
        if is_last_good && stored.further_names(names, now).is_empty() {
            return self.good(now);
        }
        let next = made(stored.signed_anew(names, now))?;
        match self.origin(&next, now).await? {
            Origin::Ours => Ok(next),
            Origin::Foreign | Origin::Unknown => self.good(now),
        }
    }

    /// What was good last: as it was where it still is, else with a new pair of its authority; without it something new.
    fn good(&self, now: Timestamp) -> Result<Content, String> {
        let names = &self.own.names;
        match self.last.as_ref().map(|last| &last.content) {
            Some(last) if last.renewal(names, now).is_ok() => Ok(last.clone()),
            Some(last) if last.signs(names, now).is_ok() => made(last.signed_anew(names, now)),
            Some(_) | None => made(Content::new(names, now)),
        }
    }

    /// Carries out the next step of a renewal.
    pub(super) async fn step(&self, mut secret: Secret, content: &Content) -> Result<(), String> {
        let now = (self.now)();
        let names = &self.own.names;
        let standing = content.renewal(names, now)?;
        let past = |since: Option<Instant>, time| since.is_some_and(|s| s.elapsed() >= time);
        let trusted = past(self.trusted.as_ref().map(|(_, s)| *s), self.times.trusted);
        let served = past(self.served.as_ref().map(|(_, s)| *s), self.times.served);
        let step = standing.next(trusted, served);
        let said = match step {
            Step::Nothing => return Ok(()),
            Step::NewAuthority => "a new authority is trusted beside the old one",
            Step::NewCertificate => "a new certificate was signed",
            Step::DropOld => "the old authority is trusted no longer",
        };
        let next = made(content.after(step, names, now))?;
        next.write(&mut secret);
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.own.namespace);
        let (name, namespace) = (&self.own.secret, &self.own.namespace);
        let which = format!("Secret {namespace}/{name}");
        let how = post();
        if written(api.replace(name, &how, &secret), &which)
            .await?
            .is_ok()
        {
            info!("renewal of the webhook's certificate: {said}");
        }
        Ok(())
    }
}

fn made(content: Result<Content, rcgen::Error>) -> Result<Content, String> {
    content.map_err(|error| format!("making a certificate: {error}"))
}
