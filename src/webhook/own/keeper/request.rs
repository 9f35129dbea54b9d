//! Requests of the keeper, each with a time, and what to do when one is refused.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use tokio::time::timeout;

/// What is written under the name of this manager.
pub(super) const MANAGER: &str = "metal3-ipam-webhook";
/// Time of one request.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn post() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// The answer to a write: `Err` inside where another replica was faster.
pub(super) async fn written(
    write: impl Future<Output = kube::Result<Secret>>,
    which: &str,
) -> Result<Result<(), String>, String> {
    match timeout(PATIENCE, write).await {
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(Err(status.message)),
        other => done(&format!("writing {which}"), other).map(|_| Ok(())),
    }
}

pub(super) async fn sent<T>(
    doing: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, String> {
    done(doing, timeout(PATIENCE, request).await)
}

/// What a request came to, and what to do about it.
pub(super) fn done<T>(
    doing: &str,
    answer: Result<kube::Result<T>, tokio::time::error::Elapsed>,
) -> Result<T, String> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "{doing}: {}; apply again what you installed (docs/install.md#to-apply-it-again)",
            status.message
        )),
        Ok(Err(error)) => Err(format!("{doing}: {error}")),
        Err(_) => Err(format!(
            "{doing}: no answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}
