//! The task of one replica: it keeps the Secret good (secret.rs) and serves what it holds; on the leader also the configurations
//! (configurations.rs).

mod configurations;
mod request;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::authority::Content;
use crate::observe::metrics::Metrics;
use crate::webhook::Certificates;

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
}
