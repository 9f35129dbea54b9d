//! The way to an API server: which kubeconfig, and what is wrong when there is no way.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::causes::causes;
use crate::api::names;

/// How long the server may take to answer the first questions.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Finds the configuration, in the order of upstream's manager: the file named, $KUBECONFIG, the pod's service account,
/// ~/.kube/config. A context means a kubeconfig.
pub(super) async fn config(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let kubeconfig = if let Some(file) = file {
        Kubeconfig::read_from(file)
            .with_context(|| format!("cannot use the kubeconfig {}", file.display()))?
    } else if let Some(files) = std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty()) {
        merged(&files)?
    } else if context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster().context("cannot use the pod's service account");
    } else {
        let hint = "no kubeconfig found; name one with --kubeconfig or $KUBECONFIG, or put it at ~/.kube/config";
        Kubeconfig::read().context(hint)?
    };
    if let Some(context) = context
        && !kubeconfig
            .contexts
            .iter()
            .any(|known| known.name == context)
    {
        let known = kubeconfig.contexts.iter().map(|known| &*known.name);
        let known: Vec<&str> = known.collect();
        bail!(
            "the kubeconfig has no context {context}; it has {}",
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        );
    }
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .context("cannot use the kubeconfig")
}

/// The files that $KUBECONFIG names, as one. As kubectl does, those that do not exist are left out.
pub(super) fn merged(files: &OsStr) -> anyhow::Result<Kubeconfig> {
    let named = std::env::split_paths(files).filter(|file| !file.as_os_str().is_empty());
    let mut merged: Option<Kubeconfig> = None;
    for file in named.filter(|file| file.exists()) {
        let next = Kubeconfig::read_from(&file);
        let next = next.with_context(|| {
            format!(
                "cannot use the kubeconfig {} that $KUBECONFIG names",
                file.display()
            )
        })?;
        merged = Some(match merged {
            Some(before) => before
                .merge(next)
                .context("the files that $KUBECONFIG names contradict each other")?,
            None => next,
        });
    }
    merged.with_context(|| format!("$KUBECONFIG names no file that exists: {}", files.display()))
}

/// Asks the server for its version and for our kinds, so that a wrong address, wrong credentials and missing definitions are
/// told at once and in plain words. Returns the version, and whether the server has our kinds.
pub(super) async fn greet(client: &Client, url: &str) -> anyhow::Result<(String, bool)> {
    match tokio::time::timeout(FIRST_ANSWER, version_and_kinds(client, url)).await {
        Ok(greeting) => greeting,
        Err(_) => bail!(
            "the API server at {url} did not answer within {} s",
            FIRST_ANSWER.as_secs()
        ),
    }
}

async fn version_and_kinds(client: &Client, url: &str) -> anyhow::Result<(String, bool)> {
    let version = match client.apiserver_version().await {
        Ok(version) => version.git_version,
        Err(error) => return Err(not_answered(error, url)),
    };
    let group = format!("{}/{}", names::METAL3_GROUP, names::METAL3_VERSION);
    let served = match client.list_api_group_resources(&group).await {
        Ok(list) => {
            let has = |kind: &str| list.resources.iter().any(|r| r.kind == kind);
            ["IPPool", "IPClaim", "IPAddress"].into_iter().all(has)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => return Err(not_answered(error, url)),
    };
    Ok((version, served))
}

/// What is wrong where a first question has no answer, and what to do.
fn not_answered(error: kube::Error, url: &str) -> anyhow::Error {
    let status = match error {
        kube::Error::Api(status) => status,
        error => {
            let error = anyhow!(error);
            let is_certificate = causes(&error).contains("invalid peer certificate");
            return error.context(if is_certificate {
                format!("the certificate of the API server at {url} is not one that the kubeconfig trusts; compare its certificate-authority-data and tls-server-name with the server's")
            } else {
                format!("cannot reach the API server at {url}; check that it runs and that the kubeconfig's server is right")
            });
        }
    };
    if status.code == 401 {
        return anyhow!(
            "the API server at {url} refuses the credentials of the kubeconfig; renew them"
        );
    }
    anyhow!(
        "the API server at {url} answers {}: {}",
        status.code,
        status.message
    )
}
