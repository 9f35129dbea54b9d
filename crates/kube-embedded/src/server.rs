//! The server as a whole: an open data folder, with clients in process and over TLS.
//!
//! Who owns what: [`Server`] is a handle; the folder is closed (and may be opened again) once the server is closed and the
//! last client of it is dropped. [`Listening`] owns the accept loop, and dropping it ends the loop. [`InMemory`] is the same
//! server without a folder and without a listener.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use serde_json::json;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http::{Api, UNREAD, serve};
use super::metrics::Metrics;
use super::private;
use super::reach;
use super::registry::{self, Clock, Limits, OpenError, Place, Registry};
use super::serves::Serves;
use super::store;
use super::tls::{self, Credentials, TlsError};
use listen::Listener;

/// Options of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the objects, the certificate authority, the token and the kubeconfig. It is created if it is missing, and can be
    /// open in one server at a time.
    pub data_dir: PathBuf,
    /// What is served.
    pub serves: Serves,
}

/// Why a server cannot be opened or listen.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The objects cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The credentials cannot be read or created.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("listening on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The kubeconfig cannot be written.
    #[error("writing {}: {source}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl ServerError {
    /// Whether the database is damaged, or the disk fails.
    pub fn is_of_store(&self) -> bool {
        match self {
            Self::Open(OpenError::Store { .. } | OpenError::Prepare(_)) => true,
            Self::Open(_) | Self::Tls(_) | Self::Listen { .. } | Self::Kubeconfig { .. } => false,
        }
    }
}

/// An open data folder, served.
#[derive(Clone)]
pub struct Server {
    api: Api,
    registry: Registry,
    credentials: Arc<Credentials>,
    data_dir: PathBuf,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

/// A server that keeps everything in memory and has clients in process only. Tests can give it a clock and a seed, and then see
/// the same run twice. Its objects are dropped with it and its clients.
#[derive(Clone)]
pub struct InMemory {
    api: Api,
    registry: Registry,
    closing: CancellationToken,
}

/// Options of an [`InMemory`] server.
#[derive(Debug, Clone)]
pub struct InMemoryOptions {
    /// What is served.
    pub serves: Serves,
    /// The source of the times in objects.
    pub clock: Clock,
    /// Seed of UIDs and generated names. `None` for a random one.
    pub seed: Option<u64>,
    /// Bounds of the history for watches.
    pub limits: Limits,
}

/// A TLS listener. It accepts no more connections when it is dropped.
#[derive(Debug)]
pub struct Listening {
    /// The address listened on, with the actual port when 0 was asked for.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
    stopping: CancellationToken,
    _on_drop: DropGuard,
}

// === impl Server ===

impl Server {
    /// Opens the folder, and recovers it after a crash.
    ///
    /// # Errors
    /// When the folder cannot be created or read, is damaged, or is open in another process.
    pub async fn open(options: Options) -> Result<Self, ServerError> {
        let Options { data_dir, serves } = options;
        let product = serves.product.clone();
        let options = registry::Options::new(&data_dir, serves);
        // First, because of its lock: two servers must not create credentials in one folder.
        let registry = Registry::open(options).await?;
        let credentials = Credentials::open(&data_dir, product.name)?;
        let closing = CancellationToken::new();
        let file = data_dir.join(store::FILE);
        let commits = registry.commit_seconds().clone();
        let metrics = Arc::new(Metrics::new(&product, Some(file), commits));
        let token = Some(credentials.token());
        let api = Api::new(
            registry.clone(),
            token,
            Arc::clone(&metrics),
            closing.clone(),
        );
        Ok(Self {
            api,
            metrics,
            registry,
            credentials: Arc::new(credentials),
            data_dir,
            closing,
        })
    }

    /// Registers the server's metrics.
    ///
    /// # Errors
    /// When the registry holds one of the names already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)
    }

    /// A client of this server in process: the same routes and answers, without TLS and token.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.api.clone(), "default")
    }

    /// Serves TLS on this address, with the folder's certificate and token, until the listener is stopped or dropped.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(&self, addr: SocketAddr) -> Result<Listening, ServerError> {
        self.listen_as(addr, &[]).await
    }

    /// As [`Self::listen`], with a certificate that is also valid for these names and addresses.
    ///
    /// # Errors
    /// As [`Self::listen`], and for a name that no certificate can have.
    pub async fn listen_as(
        &self,
        addr: SocketAddr,
        names: &[String],
    ) -> Result<Listening, ServerError> {
        self.listen_with(addr, addr.ip(), names, UNREAD).await
    }

    /// As [`Self::listen_as`], with the certificate of a server that listens on `reached_at`. `unread`: how long a client may read
    /// nothing.
    pub(super) async fn listen_with(
        &self,
        addr: SocketAddr,
        reached_at: IpAddr,
        names: &[String],
        unread: Duration,
    ) -> Result<Listening, ServerError> {
        let config = self.credentials.server_config(reached_at, names)?;
        let failed = |source| ServerError::Listen { addr, source };
        let listener = Listener::bind(addr).await.map_err(failed)?;
        let listener = listener.counted(self.metrics.connections());
        let addr = listener.addr();
        let stopping = self.closing.child_token();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let api = self.api.until(stopping.clone());
        let failure = self.registry.failure();
        let serving = AssertUnwindSafe(serve(listener, unread, acceptor, api, stopping.clone()));
        let task = tokio::spawn(async move {
            if let Err(panic) = serving.catch_unwind().await {
                failure.panicked("the accept loop", &*panic);
            }
        });
        Ok(Listening {
            addr,
            task,
            _on_drop: stopping.clone().drop_guard(),
            stopping,
        })
    }

    /// Writes `kubeconfig` into the folder, for a server that listens on this address, and returns its path. Where that is every
    /// address, the kubeconfig names one by which this machine is reached.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, addr: SocketAddr) -> Result<PathBuf, ServerError> {
        self.write_kubeconfig_for(&reach::address(addr).to_string())
    }

    /// As [`Self::write_kubeconfig`], for clients that reach the server at this `host:port`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig_for(&self, host: &str) -> Result<PathBuf, ServerError> {
        let path = self.data_dir.join(tls::KUBECONFIG);
        let text = kubeconfig(host, &self.credentials);
        match private::write(&path, &text) {
            Ok(()) => Ok(path),
            Err(source) => Err(ServerError::Kubeconfig { path, source }),
        }
    }

    /// Returns when the server cannot go on, with the reason: its disk failed, or one of its tasks panicked. Nothing can be written
    /// from then on; the folder has to be opened again.
    pub async fn failed(&self) -> String {
        self.registry.failure().happened().await.to_owned()
    }

    /// Transactions that were synced.
    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.registry.commits()
    }

    /// Snapshots of the store that are held.
    #[cfg(test)]
    pub(super) fn snapshots(&self) -> usize {
        self.registry.snapshots()
    }

    /// Ends watches and listeners, and closes the folder once every accepted write is on disk.
    pub async fn close(self) {
        self.closing.cancel();
        self.registry.close().await;
    }
}

fn kubeconfig(host: &str, credentials: &Credentials) -> String {
    let server = format!("https://{host}");
    // As JSON, which is YAML.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "standalone", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(credentials.ca_pem()),
        }}],
        "users": [{"name": "standalone", "user": {"token": credentials.token()}}],
        "contexts": [{"name": "standalone", "context": {
            "cluster": "standalone", "user": "standalone", "namespace": "default",
        }}],
        "current-context": "standalone",
    });
    format!("{config:#}\n")
}

// === impl InMemory ===

impl InMemory {
    /// An empty server, with the namespaces that every cluster has.
    ///
    /// # Errors
    /// When these cannot be created.
    pub async fn open(options: InMemoryOptions) -> Result<Self, ServerError> {
        let InMemoryOptions {
            serves,
            clock,
            seed,
            limits,
        } = options;
        let registry = Registry::open(registry::Options {
            serves,
            place: Place::Memory,
            limits,
            clock,
            seed,
        })
        .await?;
        let closing = CancellationToken::new();
        let metrics = {
            let commits = registry.commit_seconds().clone();
            Arc::new(Metrics::new(registry.product(), None, commits))
        };
        let api = Api::new(registry.clone(), None, metrics, closing.clone());
        Ok(Self {
            api,
            registry,
            closing,
        })
    }

    /// A client of this server, with the routes and answers of a client over TLS.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.api.clone(), "default")
    }

    /// Ends its watches and its tasks.
    pub async fn close(self) {
        self.closing.cancel();
        self.registry.close().await;
    }
}

impl InMemoryOptions {
    /// The defaults, with the system's clock.
    pub fn new(serves: Serves) -> Self {
        Self {
            serves,
            clock: Clock::new(jiff::Timestamp::now),
            seed: None,
            limits: Limits::default(),
        }
    }
}

// === impl Listening ===

impl Listening {
    /// Accepts no more connections, ends watches, and returns when the other requests have ended.
    pub async fn stop(self) {
        self.stopping.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the accept loop failed");
        }
    }
}
