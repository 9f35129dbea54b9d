//! Who asks, and may they? Two reviews by the API server, remembered for a while.
//!
//! | | remembered | otherwise |
//! | --- | --- | --- |
//! | TokenReview | 1 min, both ways | 401 |
//! | SubjectAccessReview (non-resource URL, verb) | 5 min when allowed, 30 s when not | 403 |
//! | too many reviews from an address, see `rate.rs` | - | 429 |
//! | no answer, or a right to review is missing | - | 500: it fails closed |
//!
//! The times are those of Kubernetes' own delegated authorization.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::rate::Rate;

const TOKEN_TIME: Duration = Duration::from_mins(1);
const ALLOWED_TIME: Duration = Duration::from_mins(5);
const DENIED_TIME: Duration = Duration::from_secs(30);
/// Time that the API server gets for one review.
const PATIENCE: Duration = Duration::from_secs(10);
/// New tokens, and new paths, that one address may ask with at once after a quiet time. A person opens several pages.
const TOKENS_AT_ONCE: u32 = 10;
const PATHS_AT_ONCE: u32 = 50;
/// No page of ours has a longer path, in bytes.
const LONGEST_PATH: usize = 256;
/// Most answers that are remembered of each kind: guessing tokens must not make the process grow.
const REMEMBERED: usize = 1_024;

/// Asks the API server about those who ask us.
pub struct Access {
    client: Client,
    rate: Rate,
    /// Of paths that a known user asks for.
    paths: Rate,
    users: Cache<String, Option<User>>,
    rights: Cache<(User, String, String), bool>,
}

/// Who asks, as the API server knows them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct User {
    name: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Access {
    /// The client needs the rights to create TokenReviews and SubjectAccessReviews (`deploy/rbac/diagnostics`).
    pub fn new(client: Client) -> Self {
        Self {
            client,
            rate: Rate::of(TOKENS_AT_ONCE),
            paths: Rate::of(PATHS_AT_ONCE),
            users: Cache::default(),
            rights: Cache::default(),
        }
    }

    /// `Ok` when the request may be served; else the answer that it gets.
    pub(super) async fn check(
        &self,
        request: &Parts,
        from: IpAddr,
    ) -> Result<(), (StatusCode, String)> {
        let refused = || (StatusCode::UNAUTHORIZED, "Unauthorized\n".to_owned());
        let too_many = || {
            let text = "too many reviews, please try again later\n".to_owned();
            (StatusCode::TOO_MANY_REQUESTS, text)
        };
        let token = bearer(request).ok_or_else(refused)?;
        let reviewed = if let Some(known) = self.users.get(token) {
            Ok(known)
        } else {
            // What is remembered costs the API server nothing, so only this is limited.
            let _review = self.rate.begin(from).ok_or_else(too_many)?;
            self.user(token).await
        };
        let user = match reviewed {
            Ok(user) => user.ok_or_else(refused)?,
            Err(why) => {
                warn!(why, "who asks for diagnostics cannot be reviewed");
                let text = "Authentication failed\n".to_owned();
                return Err((StatusCode::INTERNAL_SERVER_ERROR, text));
            }
        };
        let path = request.uri.path().to_owned();
        if path.len() > LONGEST_PATH {
            return Err((StatusCode::NOT_FOUND, "Not Found\n".to_owned()));
        }
        let verb = request.method.as_str().to_ascii_lowercase();
        let name = user.name.clone();
        let key = (user, path, verb);
        let may = if let Some(known) = self.rights.get(&key) {
            Ok(known)
        } else {
            // Without this limit a user without rights could ask for ever new paths, each a request to the API server.
            let _review = self.paths.begin(from).ok_or_else(too_many)?;
            self.may(key).await
        };
        match may {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = format!("Authorization denied for user {name}\n");
                Err((StatusCode::FORBIDDEN, text))
            }
            Err(why) => {
                warn!(
                    why,
                    user = name,
                    "a right to diagnostics cannot be reviewed"
                );
                let text = format!("Authorization for user {name} failed\n");
                Err((StatusCode::INTERNAL_SERVER_ERROR, text))
            }
        }
    }

    async fn user(&self, token: &str) -> Result<Option<User>, String> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let status = self.ask(&review).await?.status.unwrap_or_default();
        let user = match (status.authenticated, status.user) {
            (Some(true), Some(user)) => Some(User::of(user)),
            _ => None,
        };
        self.users.put(token.to_owned(), user.clone(), TOKEN_TIME);
        Ok(user)
    }

    async fn may(&self, key: (User, String, String)) -> Result<bool, String> {
        let (user, path, verb) = &key;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.clone()),
                    verb: Some(verb.clone()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let status = self.ask(&review).await?.status.unwrap_or_default();
        let may = status.allowed && status.denied != Some(true);
        let time = if may { ALLOWED_TIME } else { DENIED_TIME };
        self.rights.put(key, may, time);
        Ok(may)
    }

    async fn ask<K>(&self, review: &K) -> Result<K, String>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let api = Api::<K>::all(self.client.clone());
        match timeout(PATIENCE, api.create(&PostParams::default(), review)).await {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        }
    }
}

impl std::fmt::Debug for Access {
    /// Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl User {
    fn of(user: UserInfo) -> Self {
        Self {
            name: user.username.unwrap_or_default(),
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }
    }
}

/// The token of an `Authorization: Bearer` header. Nothing else is taken: who is anonymous has no rights here.
fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Answers with the time until which they hold.
struct Cache<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<K, (Instant, V)>> {
        // Every entry is whole at every moment, also after a panic elsewhere.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known = self.locked();
        let (until, value) = known.get(key)?;
        (Instant::now() < *until).then(|| value.clone())
    }

    fn put(&self, key: K, value: V, time: Duration) {
        let now = Instant::now();
        let mut known = self.locked();
        if known.len() >= REMEMBERED {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, (now + time, value));
    }
}
