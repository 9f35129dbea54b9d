//! Which server is measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kube::{Client, Config};

use super::super::connect;
use super::Bench;
use super::hooks::MANAGER;
use super::side::Who;
use crate::controller;
use crate::standalone::{self, Server};

/// A server, and clients of it as the manager has them: one for watches, one for writes.
pub(super) struct Site {
    /// For watches, and for what the bench itself asks.
    pub(super) client: Client,
    /// For writes.
    pub(super) writes: Client,
    /// For writes in the name of the manager's ServiceAccount, with all rights: webhooks leave these alone.
    pub(super) as_manager: Client,
    described: String,
    embedded: Option<(Server, PathBuf)>,
}

/// The servers of a run.
pub(super) struct Sites {
    pub(super) main: Site,
    embedded: Option<Site>,
}

impl Sites {
    pub(super) async fn open(bench: &Bench) -> anyhow::Result<Self> {
        let main = match &bench.kubeconfig {
            Some(kubeconfig) => Site::of(kubeconfig, bench).await?,
            None => Site::embedded(bench).await?,
        };
        let embedded = if bench.with_embedded {
            Some(Site::embedded(bench).await?)
        } else {
            None
        };
        Ok(Self { main, embedded })
    }

    /// Where a side takes part.
    pub(super) fn of(&self, who: Who) -> &Site {
        match (who, &self.embedded) {
            (Who::Embedded, Some(embedded)) => embedded,
            (Who::Embedded, None)
            | (Who::Ceiling | Who::Controller | Who::Ruled | Who::Checked | Who::Hooked, _) => {
                &self.main
            }
        }
    }

    /// For people.
    pub(super) fn described(&self) -> String {
        self.main.described()
    }

    pub(super) async fn close(self) {
        self.main.close().await;
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

/// The same way to the server, as another user and with all rights. Without the right to impersonate, the first write is refused.
fn in_name_of(mut config: Config, user: &str) -> Config {
    config.auth_info.impersonate = Some(user.to_owned());
    config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
    config
}

impl Site {
    async fn of(kubeconfig: &Path, bench: &Bench) -> anyhow::Result<Self> {
        let config = connect::config(Some(kubeconfig), bench.context.as_deref()).await?;
        let url = config.cluster_url.to_string();
        let client = controller::client(config.clone())?;
        let writes = controller::client(config.clone())?;
        let as_manager = controller::client(in_name_of(config, MANAGER))?;
        let (version, served) = connect::greet(&client, &url).await?;
        if !served {
            bail!(
                "the API server at {url} has no IPPool, IPClaim and IPAddress of ipam.metal3.io/v1alpha1; apply them with: \
                 metal3-ipam crds --with-capi | kubectl apply -f -"
            );
        }
        Ok(Self {
            client,
            writes,
            as_manager,
            described: format!("{url} ({version})"),
            embedded: None,
        })
    }

    async fn embedded(bench: &Bench) -> anyhow::Result<Self> {
        let parent = bench.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("metal3-ipam-bench-{}", std::process::id()));
        let options = standalone::options(folder.clone());
        let server = Server::open(options)
            .await
            .with_context(|| format!("cannot open an embedded server in {}", folder.display()))?;
        Ok(Self {
            client: server.client(),
            writes: server.client(),
            as_manager: server.client(),
            described: "an embedded server, durable, in process".to_owned(),
            embedded: Some((server, folder)),
        })
    }

    /// For people.
    pub(super) fn described(&self) -> String {
        self.described.clone()
    }

    /// Ends the embedded server and removes its folder.
    async fn close(self) {
        let Self {
            client,
            writes,
            as_manager,
            described: _,
            embedded,
        } = self;
        drop((client, writes, as_manager));
        if let Some((server, folder)) = embedded {
            server.close().await;
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                eprintln!("cannot remove {}: {error}", folder.display());
            }
        }
    }
}
