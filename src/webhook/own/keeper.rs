//! The task of one replica: it keeps the Secret good and serves what it holds; on the leader also the configurations.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::authority::{Content, Damage, Step};
use super::bundle;
use super::origin::{Evidence, Origin};
use crate::observe::metrics::{Metrics, SecretRepair};
use crate::webhook::Certificates;

/// What is written under the name of this manager.
const MANAGER: &str = "metal3-ipam-webhook";
/// Time of one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries for the Secret in one round: who loses a race takes what the winner wrote.
const TRIES: usize = 3;
/// Looks in a row after which a replica is sure of what it knows. Before that another one puts a foreign Secret right.
const SURE: u32 = 3;

/// Names of the Secret, the Service and the webhook configurations of this installation.
#[derive(Debug, Clone)]
pub struct Own {
    /// Namespace of the Secret: the manager's.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The ValidatingWebhookConfiguration.
    pub validating: String,
    /// The MutatingWebhookConfiguration.
    pub mutating: String,
    /// Names and addresses by which API servers reach the webhook server.
    pub names: Vec<String>,
}

/// How often, and how long between the steps of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Between two looks.
    pub look: Duration,
    /// From a new bundle in the configurations to a certificate that only it makes trusted: API servers learn of a
    /// configuration by their watches. No two steps follow each other faster, so a replica that looks more often misses none.
    pub trusted: Duration,
    /// From a new certificate to the end of the old authority: some looks of every replica.
    pub served: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(10),
            trusted: Duration::from_mins(1),
            served: Duration::from_mins(5),
        }
    }
}

/// Keeps the Secret with the webhook's certificate, and the `caBundle` of the configurations.
pub struct Keeper {
    client: Client,
    own: Own,
    times: Times,
    certificates: Arc<Certificates>,
    leads: Box<dyn Fn() -> bool + Send + Sync>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    metrics: Arc<Metrics>,
    /// What was good last.
    last: Option<Known>,
    /// Since when the Secret holds content of which this replica cannot know whether it is ours.
    unknown: Option<(Content, Instant)>,
    /// Since when the configurations hold this bundle, without a break that was seen.
    trusted: Option<(String, Instant)>,
    /// Since when the Secret holds this certificate.
    served: Option<(Vec<u8>, Instant)>,
    /// What went wrong, by what it concerned, as it was logged.
    troubles: BTreeMap<&'static str, String>,
}

/// What a look at a configuration came to.
struct Tended {
    /// Whether this look had to write the bundle: API servers learn of it only now.
    is_patched: bool,
    /// Webhooks at our paths that do not lead to us, and what to do about them.
    elsewhere: Option<String>,
}

/// What this replica saw in the Secret when it looked last.
struct Known {
    content: Content,
    /// Looks in a row at which this installation's content was found, up to [`SURE`].
    looks: u32,
    /// When it was found last.
    at: Instant,
}

impl Keeper {
    /// `leads` says whether this replica is the leader. Nothing is read before [`Self::run`].
    pub fn new(
        client: Client,
        own: Own,
        certificates: Arc<Certificates>,
        metrics: Arc<Metrics>,
        leads: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            client,
            own,
            times: Times::default(),
            certificates,
            leads: Box::new(leads),
            now: Box::new(Timestamp::now),
            metrics,
            last: None,
            unknown: None,
            trusted: None,
            served: None,
            troubles: BTreeMap::new(),
        }
    }

    /// With other times than the default ones.
    #[must_use]
    pub fn with_times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Box::new(now);
        self
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let look = self.times.look;
        let looking = async {
            loop {
                self.look().await;
                tokio::time::sleep(look).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    async fn look(&mut self) {
        let secret = self.secret().await;
        let secret = self.noted("secret", secret);
        let Some((secret, content)) = secret else {
            return;
        };
        if self.last.as_ref().map(|last| &last.content) != Some(&content) {
            self.certificates.give(content.pair.clone());
        }
        self.saw(content.clone());
        let served = &mut self.served;
        if served
            .as_ref()
            .is_none_or(|(pair, _)| *pair != content.pair.certificate)
        {
            *served = Some((content.pair.certificate.clone(), Instant::now()));
        }
        if !(self.leads)() {
            self.trusted = None;
            return;
        }
        let bundle = content.bundle();
        let validating = self.tend::<ValidatingWebhookConfiguration>(&self.own.validating, &bundle);
        let validating = validating.await;
        let mutating = self
            .tend::<MutatingWebhookConfiguration>(&self.own.mutating, &bundle)
            .await;
        let both = [
            self.noted("validating", validating),
            self.noted("mutating", mutating),
        ];
        let [validating, mutating] = &both;
        // What leads elsewhere does not trust us, whatever it says: no exchange waits for it.
        for (what, tended) in [
            ("validating, leading elsewhere", validating),
            ("mutating, leading elsewhere", mutating),
        ] {
            if let Some(tended) = tended {
                let elsewhere = tended.elsewhere.clone();
                self.noted(what, elsewhere.map_or(Ok(()), Err));
            }
        }
        // Somebody may have put an older bundle back, which API servers trust until they have seen this look's.
        let is_patched = both.iter().flatten().any(|tended| tended.is_patched);
        if both.iter().any(Option::is_none) {
            self.trusted = None;
        } else if is_patched || self.trusted.as_ref().is_none_or(|(of, _)| *of != bundle) {
            self.trusted = Some((bundle, Instant::now()));
        }
        let stepped = self.step(secret, &content).await;
        self.noted("renewal", stepped);
    }

    /// Remembers the content that this look found.
    fn saw(&mut self, content: Content) {
        let looks = match &self.last {
            Some(last) if last.at.elapsed() <= self.times.trusted => last.looks,
            Some(_) | None => 0,
        };
        self.last = Some(Known {
            content,
            looks: SURE.min(looks + 1),
            at: Instant::now(),
        });
        self.unknown = None;
    }

    /// What came of something; what went wrong is logged when it is another fault than the last time.
    fn noted<T>(&mut self, what: &'static str, came: Result<T, String>) -> Option<T> {
        match came {
            Ok(came) => {
                if self.troubles.remove(what).is_some() {
                    info!(what, "the webhook's own certificates are in order again");
                }
                Some(came)
            }
            Err(why) => {
                if self.troubles.get(what) != Some(&why) {
                    warn!(
                        why,
                        "the webhook's own certificates cannot be kept in order"
                    );
                    self.troubles.insert(what, why);
                }
                None
            }
        }
    }

    /// The Secret as it stands, made or put right where that was needed.
    async fn secret(&mut self) -> Result<(Secret, Content), String> {
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
                    Origin::Unknown if self.has_stood(&content) => {
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

    /// Whether the Secret has held this for so long that another replica that knows better would have put it right.
    fn has_stood(&mut self, content: &Content) -> bool {
        match &self.unknown {
            Some((unknown, since)) if unknown == content => since.elapsed() >= self.times.trusted,
            Some(_) | None => {
                self.unknown = Some((content.clone(), Instant::now()));
                false
            }
        }
    }

    /// The authorities in a configuration; none where there is none or where it may not be read.
    async fn in_force<K>(&self, name: &str) -> Result<Vec<String>, String>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = Api::<K>::all(self.client.clone());
        let reading = format!("reading {} {name}", K::kind(&()));
        let found = match timeout(PATIENCE, api.get_opt(name)).await {
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => None,
            other => done(&reading, other)?,
        };
        let found = serde_json::to_value(found).map_err(|e| format!("{reading}: {e}"))?;
        Ok(bundle::authorities(&found, &self.own.names))
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
    async fn step(&self, mut secret: Secret, content: &Content) -> Result<(), String> {
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

    /// Has the webhooks of a configuration that lead here trust this bundle. One that does not exist needs nothing.
    async fn tend<K>(&self, name: &str, bundle: &str) -> Result<Tended, String>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = Api::<K>::all(self.client.clone());
        let kind = K::kind(&());
        let reading = format!("reading {kind} {name}");
        let found = match timeout(PATIENCE, api.get_opt(name)).await {
            // A server without webhooks.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => None,
            other => done(&reading, other)?,
        };
        let found = serde_json::to_value(found).map_err(|e| format!("{reading}: {e}"))?;
        let names = &self.own.names;
        if bundle::is_kept_by_others(&found, names) {
            return Err(format!(
                "{kind} {name} has an annotation by which cert-manager keeps its caBundle; remove it, or \
                 --webhook-self-signed"
            ));
        }
        let elsewhere = bundle::elsewhere(&found, names);
        let elsewhere = (!elsewhere.is_empty()).then(|| {
            format!(
                "webhooks of {kind} {name} do not lead to this manager, whose names are {}, so their caBundle is left alone: \
                 {}; correct their clientConfig or --webhook-service, or give this manager a configuration of its own \
                 (--webhook-validating, --webhook-mutating)",
                names.join(" and "),
                elsewhere.join(", "),
            )
        });
        let Some(patch) = bundle::patch(&found, names, bundle) else {
            return Ok(Tended {
                is_patched: false,
                elsewhere,
            });
        };
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        sent(
            &format!("patching {kind} {name}"),
            api.patch(name, &how, &patch),
        )
        .await?;
        info!("caBundle of {kind} {name} is that of the webhook's certificate");
        Ok(Tended {
            is_patched: true,
            elsewhere,
        })
    }
}

fn made(content: Result<Content, rcgen::Error>) -> Result<Content, String> {
    content.map_err(|error| format!("making a certificate: {error}"))
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// The answer to a write: `Err` inside where another replica was faster.
async fn written(
    write: impl Future<Output = kube::Result<Secret>>,
    which: &str,
) -> Result<Result<(), String>, String> {
    match timeout(PATIENCE, write).await {
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(Err(status.message)),
        other => done(&format!("writing {which}"), other).map(|_| Ok(())),
    }
}

async fn sent<T>(doing: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    done(doing, timeout(PATIENCE, request).await)
}

/// What a request came to, and what to do about it.
fn done<T>(
    doing: &str,
    answer: Result<kube::Result<T>, tokio::time::error::Elapsed>,
) -> Result<T, String> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "{doing}: {}; apply deploy/rbac/webhook-self-signed",
            status.message
        )),
        Ok(Err(error)) => Err(format!("{doing}: {error}")),
        Err(_) => Err(format!(
            "{doing}: no answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests;
