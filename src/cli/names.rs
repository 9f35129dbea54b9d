//! Names that shells complete: of the cluster to which the words typed so far lead. What cannot be read is not completed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::{ArgValueCompleter, CompletionCandidate};
use http::Request;
use http::header::ACCEPT;
use kube::Client;
use kube::config::Kubeconfig;
use serde::Deserialize;

use super::connect;
use crate::api::{ClaimKind, Kind};
use crate::controller::{self, version_of};

/// How long a person waits for names at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of a kind that are looked at, at most.
const MOST: usize = 1000;

/// Of IPPools.
pub(super) fn pools() -> ArgValueCompleter {
    of(&[("", Kind::Pools)])
}

/// Of Clusters.
pub(super) fn clusters() -> ArgValueCompleter {
    of(&[("", Kind::Clusters)])
}

/// Of claims, each after its kind.
pub(super) fn claims() -> ArgValueCompleter {
    of(&[
        ("ipclaim/", Kind::Claims(ClaimKind::Metal3)),
        ("ipaddressclaim/", Kind::Claims(ClaimKind::Capi)),
    ])
}

/// Of claims and address objects, whatever their kind.
pub(super) fn held() -> ArgValueCompleter {
    of(&[
        ("", Kind::Claims(ClaimKind::Metal3)),
        ("", Kind::Claims(ClaimKind::Capi)),
        ("", Kind::Addresses(ClaimKind::Metal3)),
        ("", Kind::Addresses(ClaimKind::Capi)),
    ])
}

/// Of namespaces.
pub(super) fn namespaces() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        beginning(
            current,
            asked(|typed| async move { typed.namespaces().await }),
        )
    })
}

/// Of the kubeconfig's contexts.
pub(super) fn contexts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let kubeconfig = match Typed::so_far().kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let contexts = kubeconfig.map(|kubeconfig| kubeconfig.contexts);
        let contexts = contexts.unwrap_or_default().into_iter();
        beginning(current, contexts.map(|context| context.name).collect())
    })
}

fn of(kinds: &'static [(&'static str, Kind)]) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let names = asked(|typed| async move { typed.objects(kinds).await });
        beginning(current, names)
    })
}

fn beginning(current: &OsStr, mut names: Vec<String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    names.retain(|name| name.starts_with(&*current));
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// What the cluster answers within a person's patience; nothing without an answer.
fn asked<F: Future<Output = anyhow::Result<Vec<String>>>>(
    question: impl FnOnce(Typed) -> F,
) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let answer = async { tokio::time::timeout(PATIENCE, question(Typed::so_far())).await };
    match runtime.block_on(answer) {
        Ok(Ok(names)) => names,
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// The flags that say which cluster and namespace is meant, as far as they are typed.
#[derive(Debug, Default, PartialEq)]
struct Typed {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    namespace: Option<String>,
    everywhere: bool,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Typed {
    fn so_far() -> Self {
        Self::of(std::env::args_os())
    }

    fn of(words: impl IntoIterator<Item = OsString>) -> Self {
        let mut typed = Self::default();
        let mut words = words
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned());
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (&*word, None),
            };
            match flag {
                "-A" | "--all-namespaces" => typed.everywhere = true,
                "-n" | "--namespace" => typed.namespace = value.or_else(|| words.next()),
                "--context" => typed.context = value.or_else(|| words.next()),
                "--kubeconfig" => {
                    typed.kubeconfig = value.or_else(|| words.next()).map(PathBuf::from);
                }
                _ => {}
            }
        }
        typed
    }

    async fn client(&self) -> anyhow::Result<(Client, String)> {
        let config = connect::config(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let namespace = config.default_namespace.clone();
        Ok((controller::client(config)?, namespace))
    }

    async fn objects(self, kinds: &[(&str, Kind)]) -> anyhow::Result<Vec<String>> {
        let (client, of_context) = self.client().await?;
        let namespace = self.namespace.unwrap_or(of_context);
        let namespace = (!self.everywhere).then_some(&*namespace);
        let mut names = Vec::new();
        for (prefix, kind) in kinds {
            let version = version_of(&client, *kind).await;
            let Some(version) = version.map_err(anyhow::Error::msg)? else {
                continue;
            };
            let path = kind.collection(version, namespace);
            let found = list(&client, &path).await?;
            names.extend(found.into_iter().map(|name| format!("{prefix}{name}")));
        }
        Ok(names)
    }

    async fn namespaces(self) -> anyhow::Result<Vec<String>> {
        let (client, _) = self.client().await?;
        list(&client, "/api/v1/namespaces").await
    }
}

/// Names of the objects at a path, without the objects.
async fn list(client: &Client, path: &str) -> anyhow::Result<Vec<String>> {
    let request = Request::get(format!("{path}?limit={MOST}"))
        .header(
            ACCEPT,
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        )
        .body(Vec::new())?;
    let list: List = client.request(request).await?;
    Ok(list
        .items
        .into_iter()
        .map(|item| item.metadata.name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_typed_so_far_say_which_cluster_is_meant() {
        let of = |line: &str| Typed::of(line.split(' ').map(OsString::from));
        assert_eq!(of("metal3-ipam pool "), Typed::default());
        assert_eq!(
            of("metal3-ipam pool -n one --context=two --kubeconfig three p"),
            Typed {
                kubeconfig: Some("three".into()),
                context: Some("two".to_owned()),
                namespace: Some("one".to_owned()),
                everywhere: false,
            }
        );
        assert!(of("metal3-ipam pools -A").everywhere);
        assert_eq!(of("metal3-ipam pool -n").namespace, None);
    }

    #[test]
    fn names_that_begin_as_typed_are_sorted_and_shown_once() {
        let names = ["b2", "a", "b1", "b1"].map(str::to_owned).to_vec();
        let shown: Vec<_> = beginning(OsStr::new("b"), names)
            .iter()
            .map(|candidate| candidate.get_value().to_owned())
            .collect();
        assert_eq!(shown, ["b1", "b2"]);
    }
}
