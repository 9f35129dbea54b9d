//! Flags that the subcommands which read a cluster share: which cluster, and how a report is printed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::Client;
use serde_json::Value;

use super::{connect, names, paint};
use crate::controller;

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// The cluster's kubeconfig. Default: $KUBECONFIG, the pod's service account, ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME", add = names::contexts())]
    pub(super) context: Option<String>,
    /// No colours, as without a terminal or with the variable NO_COLOR.
    #[arg(long)]
    pub(super) no_color: bool,
}

/// A cluster that answers.
pub(super) struct Reached {
    pub(super) client: Client,
    /// Of the API server.
    pub(super) url: String,
    /// Of Kubernetes.
    pub(super) version: String,
    /// Whether it has our kinds.
    pub(super) has_pools: bool,
    /// That of the context.
    pub(super) namespace: String,
}

impl Place {
    /// Whether what is printed for people has colours.
    pub(super) fn has_colours(&self) -> bool {
        !self.no_color && paint::is_wanted()
    }

    /// The text as it is printed: a table for people with colours, where they are wanted.
    pub(super) fn painted(&self, text: String, is_table: bool) -> String {
        if !is_table {
            return text;
        }
        // Others' words may hold what a terminal would obey.
        let text = text.replace(|c: char| c.is_control() && c != '\n', " ");
        if self.has_colours() {
            paint::table(&text)
        } else {
            text
        }
    }

    /// Connects, and asks the API server for its version and for our kinds.
    pub(super) async fn reach(&self) -> anyhow::Result<Reached> {
        let config = connect::config(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let (url, namespace) = (
            config.cluster_url.to_string(),
            config.default_namespace.clone(),
        );
        let client = controller::client(config)?;
        let (version, has_pools) = connect::greet(&client, &url).await?;
        Ok(Reached {
            client,
            url,
            version,
            has_pools,
            namespace,
        })
    }
}

impl Reached {
    /// The cluster, where it has our kinds: without them nothing can be said of its pools.
    pub(super) fn with_pools(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.has_pools,
            "the API server at {} has no IPPools; install the definitions first: metal3-ipam crds | kubectl apply --server-side -f -",
            self.url
        );
        Ok(self)
    }
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

impl Form {
    /// The report in this form.
    pub(super) fn text(
        self,
        table: impl FnOnce() -> String,
        value: impl FnOnce() -> Value,
    ) -> anyhow::Result<String> {
        Ok(match self {
            Self::Table => table(),
            Self::Json => format!("{:#}\n", value()),
            Self::Yaml => serde_saphyr::to_string(&value())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_nothing_that_a_terminal_would_obey() {
        let place = Place {
            kubeconfig: None,
            context: None,
            no_color: true,
        };
        let text = "one\x1b]0;title\x07\u{9b}2J\r\ntwo\n".to_owned();
        assert_eq!(
            place.painted(text.clone(), true),
            "one ]0;title  2J \ntwo\n"
        );
        assert_eq!(place.painted(text.clone(), false), text);
    }
}
