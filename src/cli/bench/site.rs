//! Which server is measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use kube::{Client, Config};

use super::super::{connect, leases};
use super::Bench;
use super::hooks::MANAGER;
use super::live::Live;
use super::patient::patient;
use super::side::Who;
use crate::controller;
use crate::standalone::{self, Server};

/// A server, and clients of it as the manager has them: one for watches, one for writes.
pub(super) struct Site {
    /// For what the bench itself asks: sends again what the server answers 429.
    pub(super) client: Client,
    /// For the controller's watches.
    pub(super) watches: Client,
    /// For writes.
    pub(super) writes: Client,
    /// For writes in the name of the manager's ServiceAccount, with all rights: webhooks leave these alone.
    pub(super) as_manager: Client,
    /// Version of a server that a kubeconfig leads to, or that this program embeds it.
    pub(super) version: String,
    /// What is shown of the controllers that are measured.
    pub(super) live: Arc<Live>,
    described: String,
    embedded: Option<(Server, PathBuf)>,
}

/// The servers of a run.
pub(super) struct Sites {
    pub(super) main: Site,
    embedded: Option<Site>,
}

impl Sites {
    pub(super) async fn open(bench: &Bench, live: &Arc<Live>) -> anyhow::Result<Self> {
        let main = match &bench.kubeconfig {
            Some(kubeconfig) => Site::of(kubeconfig, bench, live).await?,
            None => Site::embedded(bench, live).await?,
        };
        let embedded = if bench.with_embedded {
            Some(Site::embedded(bench, live).await?)
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
            | (
                Who::Ceiling
                | Who::RuledCeiling
                | Who::Controller
                | Who::Ruled
                | Who::Checked
                | Who::Hooked,
                _,
            ) => &self.main,
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
    async fn of(kubeconfig: &Path, bench: &Bench, live: &Arc<Live>) -> anyhow::Result<Self> {
        let config = connect::config(Some(kubeconfig), bench.context.as_deref()).await?;
        let url = config.cluster_url.to_string();
        let watches = controller::client(config.clone())?;
        let writes = controller::client(config.clone())?;
        let as_manager = controller::client(in_name_of(config, MANAGER))?;
        let (version, served) = connect::greet(&patient(watches.clone()), &url).await?;
        if !served {
            bail!(
                "the API server at {url} has no IPPool, IPClaim and IPAddress of ipam.metal3.io/v1alpha1; apply them with: \
                 metal3-ipam crds --with-capi | kubectl apply -f -"
            );
        }
        if bench.duration.is_none() {
            leases::refuse_to_measure_beside_a_manager(&watches).await?;
        }
        let described = format!("{url} ({version})");
        let clients = [watches, writes, as_manager];
        Ok(Self::new(clients, live, version, described))
    }

    /// A server that three clients lead to: for the controller's watches, for writes, for those in the name of the manager.
    fn new(
        [watches, writes, as_manager]: [Client; 3],
        live: &Arc<Live>,
        version: String,
        described: String,
    ) -> Self {
        Self {
            client: patient(watches.clone()),
            watches,
            writes,
            as_manager,
            version,
            live: Arc::clone(live),
            described,
            embedded: None,
        }
    }

    async fn embedded(bench: &Bench, live: &Arc<Live>) -> anyhow::Result<Self> {
        let parent = bench.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("metal3-ipam-bench-{}", std::process::id()));
        let options = standalone::options(folder.clone());
        let server = Server::open(options)
            .await
            .with_context(|| format!("cannot open an embedded server in {}", folder.display()))?;
        let clients = [server.client(), server.client(), server.client()];
        let described = "an embedded server, durable, in process".to_owned();
        Ok(Self {
            embedded: Some((server, folder)),
            ..Self::new(clients, live, "embedded".to_owned(), described)
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
            watches,
            writes,
            as_manager,
            version: _,
            live: _,
            described: _,
            embedded,
        } = self;
        drop((client, watches, writes, as_manager));
        if let Some((server, folder)) = embedded {
            server.close().await;
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tell!("cannot remove {}: {error}", folder.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::super::tests::bench;
    use super::*;
    use crate::cli::progress::Progress;

    /// A client of a server whose storage is initializing: the first request for each path is answered 429.
    fn initializing(client: Client) -> Client {
        let asked = Arc::new(Mutex::new(HashSet::new()));
        let service = service_fn(move |request: Request<Body>| {
            let (client, asked) = (client.clone(), Arc::clone(&asked));
            async move {
                let what = (request.method().clone(), request.uri().path().to_owned());
                if !asked.lock().unwrap().insert(what) {
                    return client.send(request).await;
                }
                let status = json!({"status": "Failure", "code": 429, "reason": "TooManyRequests",
                    "message": "storage is (re)initializing", "details": {"retryAfterSeconds": 0}});
                let answer = Response::builder().status(429).header("retry-after", "0");
                let body = Body::from(status.to_string().into_bytes());
                answer.body(body).map_err(kube::Error::HttpError)
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_server_that_initializes_its_storage_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(standalone::options(folder.path()));
        let server = server.await.unwrap();
        let live = Arc::new(Live::new(&[]));
        let clients = [(); 3].map(|()| initializing(server.client()));
        let site = Site::new(clients, &live, "embedded".to_owned(), "here".to_owned());
        let bench = bench("--claims 12 --pools 2 --mode live");
        for who in [Who::Ceiling, Who::Controller] {
            let round = bench.round(&site, who, &mut Progress::new("bound")).await;
            let round = round.unwrap_or_else(|error| panic!("{}: {error:#}", who.name()));
            assert_eq!(round.times.each.len(), 12, "{}", who.name());
        }
        site.close().await;
        server.close().await;
    }
}
