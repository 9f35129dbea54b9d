//! What the webhook server asks about the cluster, answered by the pools' workers from memory, on a standby too. Nothing here
//! reads the API server: a write waits for the answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, BoxFuture};
use futures::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admission::Holder;
use crate::alloc::Coverage;
use crate::api::{ClaimKey, ClaimKind, PoolKey, names};
use crate::pool;
use crate::webhook::{Answer, Facts, Question};

use super::registry::Registry;
use super::router::Router;
use super::view::Counts;
use crate::api::Kind;

/// Time that a pool's worker gets. The webhook's own time is 3 s in our configurations.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time that a review waits for its turn to compare ranges.
const FOR_A_WARNING: Duration = Duration::from_millis(500);
/// Reviews that compare ranges at once.
pub(super) const COMPARING: usize = 4;
/// Pools that are asked at once for one of them, and most that are named: an answer has 64 warnings at most.
const ASKED_AT_ONCE: usize = 64;
const NAMED: usize = 65;
/// A worker that has just left is replaced with the next input of its pool: asked again, its successor answers.
const TRIES: usize = 2;

/// What a run knows of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct LiveFacts {
    pub(super) registry: Arc<Registry>,
    pub(super) router: Arc<Router>,
    pub(super) counts: Arc<Counts>,
    /// [`COMPARING`].
    pub(super) comparing: Arc<Semaphore>,
    /// The one namespace that is looked at.
    pub(super) namespace: Option<String>,
}

impl Facts for LiveFacts {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        match question {
            Question::Holders(pool) => self.holders(pool).boxed(),
            Question::HoldersOf(pool, address) => self.holders_of(pool, address).boxed(),
            Question::Overlaps(pool, added) => self.overlaps(pool, added).boxed(),
            Question::ClaimPoolRef { namespace, claim } => {
                self.claim_pool_ref(namespace, claim).boxed()
            }
        }
    }
}

impl LiveFacts {
    async fn holders(&self, pool: PoolKey) -> Answer {
        if let Some(namespace) = &self.namespace
            && **namespace != *pool.namespace
        {
            return Answer::NotSeen(format!("this manager serves namespace {namespace} only"));
        }
        // Claims too: one may show an address whose object is missing (A2).
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Clusters) {
            if !self.counts.was_listed(kind) {
                return Answer::NotYet(format!("{kind} is not listed yet"));
            }
        }
        match self.ask_pool(&pool, pool::Question::InUse).await {
            Told::Fact(fact) => Answer::Holders(holders(fact)),
            Told::NoWorker => Answer::Holders(Vec::new()),
            Told::Nothing => Answer::NotYet("its worker is busy".to_owned()),
        }
    }

    async fn holders_of(&self, pool: PoolKey, address: IpAddr) -> Answer {
        match self
            .ask_pool(&pool, pool::Question::ObjectsAt(address))
            .await
        {
            Told::Fact(fact) => Answer::Holders(holders(fact)),
            Told::NoWorker | Told::Nothing => Answer::Holders(Vec::new()),
        }
    }

    async fn overlaps(&self, pool: PoolKey, added: Arc<Coverage>) -> Answer {
        let others = self.router.pools_in(&pool.namespace);
        let others = others.into_iter().filter(|other| *other != pool);
        let question = pool::Question::Meets(added);
        let until = Instant::now() + PATIENCE;
        // It is for warnings alone, and a namespace may have thousands of pools: where many ask at once some get none.
        let Ok(_turn) = timeout(FOR_A_WARNING, self.comparing.acquire()).await else {
            return Answer::Overlaps(Vec::new());
        };
        let asked = others.map(|other| {
            let question = question.clone();
            async move {
                match self.ask_pool(&other, question).await {
                    Told::Fact(pool::Fact::Meets(common)) => {
                        Some((other.name.to_string(), common?))
                    }
                    Told::Fact(_) | Told::NoWorker | Told::Nothing => None,
                }
            }
        });
        let met = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        let met = met.take_until(sleep_until(until));
        let mut met: Vec<_> = met.filter_map(future::ready).take(NAMED).collect().await;
        met.sort();
        Answer::Overlaps(met)
    }

    /// Known only where it is a pool of ours: claims of other providers are not looked at.
    async fn claim_pool_ref(&self, namespace: String, claim: String) -> Answer {
        let key = ClaimKey {
            kind: ClaimKind::Capi,
            name: claim.as_str().into(),
        };
        let Some(pool) = self.router.pool_of(&namespace, &key) else {
            return Answer::PoolRef(None);
        };
        let told = self.ask_pool(&pool, pool::Question::IsAskedBy(key)).await;
        Answer::PoolRef(match told {
            Told::Fact(pool::Fact::IsAsked(true)) => Some(json!({
                "apiGroup": names::METAL3_GROUP, "kind": "IPPool", "name": &*pool.name,
            })),
            Told::Fact(_) | Told::NoWorker | Told::Nothing => None,
        })
    }

    async fn ask_pool(&self, pool: &PoolKey, question: pool::Question) -> Told {
        for _ in 0..TRIES {
            let Some(handle) = self.registry.get(pool) else {
                return Told::NoWorker;
            };
            match timeout(PATIENCE, handle.mailbox.ask(question.clone())).await {
                Ok(Ok(fact)) => return Told::Fact(fact),
                // It has left.
                Ok(Err(_)) => {}
                Err(_) => return Told::Nothing,
            }
        }
        Told::Nothing
    }
}

/// What came of a question to a pool.
enum Told {
    Fact(pool::Fact),
    /// Nothing is known of this pool: no object names it.
    NoWorker,
    /// No answer in time.
    Nothing,
}

fn holders(fact: pool::Fact) -> Vec<Holder> {
    let pool::Fact::InUse(in_use) = fact else {
        return Vec::new();
    };
    let holder = |pool::InUse {
                      address,
                      by,
                      is_external,
                  }| Holder {
        address,
        by,
        is_external,
    };
    in_use.into_iter().map(holder).collect()
}
