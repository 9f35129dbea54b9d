//! The certificate that is served. It is looked up for each connection, so that a new one counts from the next connection on
//! and no connection in progress ends for it.
//!
//! A folder is read anew each time: two small files. The kubelet puts a new pair in by exchanging one symbolic link, between
//! the two reads at the worst; a pair that does not fit together is read again, and if it stays so the last good pair goes on
//! being served.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

use listen::TlsOptions;

use crate::observe::metrics::Metrics;

/// Reads of a folder before its pair is given up as one that does not fit together.
const READS: usize = 3;

/// A certificate with what follows it up to its authority, and its key; both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// Where the server's certificate comes from: a folder, or the Secret that the manager keeps itself.
#[derive(Debug, Clone)]
pub enum Source {
    /// `tls.crt` and `tls.key` of this folder (`--webhook-cert-dir`).
    Folder(PathBuf),
    /// Whatever [`Certificates::give`] was given last.
    Given,
}

/// What is served to the next connection.
pub struct Certificates {
    source: Source,
    options: TlsOptions,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: Option<Pair>,
    /// The last pair that could be served.
    good: Option<(Pair, Arc<ServerConfig>)>,
    /// What is wrong at the moment, as it was logged.
    trouble: Option<String>,
}

impl Certificates {
    /// A source of certificates from which nothing is read yet.
    pub fn new(source: Source, options: TlsOptions, metrics: Arc<Metrics>) -> Self {
        Self {
            source,
            options,
            metrics,
            state: Mutex::default(),
        }
    }

    /// The pair for [`Source::Given`], from the next connection on.
    pub fn give(&self, pair: Pair) {
        self.state().given = Some(pair);
    }

    /// `Ok` when a connection of this moment would be served; else what is missing and what to do.
    ///
    /// # Errors
    /// The line.
    pub fn ready(&self) -> Result<(), String> {
        self.current().map(drop)
    }

    /// What to serve to a connection of this moment.
    pub(super) fn current(&self) -> Result<Arc<ServerConfig>, String> {
        let found = self.find();
        self.metrics.read_certificate(&found);
        let mut state = self.state();
        match found {
            Ok((pair, config)) => {
                if state.trouble.take().is_some() {
                    info!("the webhook server has a certificate that it can serve");
                }
                state.good = Some((pair, Arc::clone(&config)));
                Ok(config)
            }
            Err(why) => {
                let good = state.good.as_ref().map(|(_, config)| Arc::clone(config));
                // Once, and not for each connection.
                if state.trouble.as_ref() != Some(&why) {
                    if good.is_some() {
                        warn!(
                            why,
                            "the webhook server goes on with its last good certificate"
                        );
                    } else {
                        warn!(
                            why,
                            "the webhook server has no certificate and serves nobody"
                        );
                    }
                    state.trouble = Some(why.clone());
                }
                good.ok_or(why)
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Whole at every moment, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the newest pair of certificate and key, and configures TLS with it.
    fn find(&self) -> Result<(Pair, Arc<ServerConfig>), String> {
        match &self.source {
            Source::Given => {
                let given = self.state().given.clone();
                let pair = given.ok_or("no certificate has been made yet")?;
                self.config(pair)
            }
            Source::Folder(folder) => {
                let mut last = String::new();
                for _ in 0..READS {
                    match self.config(read(folder)?) {
                        Ok(found) => return Ok(found),
                        Err(why) => last = why,
                    }
                }
                Err(format!(
                    "tls.crt and tls.key in {} cannot be served: {last}; put a certificate and its own key there",
                    folder.display()
                ))
            }
        }
    }

    /// TLS with this pair, made anew only when it is another one.
    fn config(&self, pair: Pair) -> Result<(Pair, Arc<ServerConfig>), String> {
        if let Some((good, config)) = &self.state().good
            && *good == pair
        {
            return Ok((pair, Arc::clone(config)));
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
        let chain = chain.map_err(|e| format!("the certificate cannot be read: {e}"))?;
        if chain.is_empty() {
            return Err("the certificate's text holds none".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|e| format!("the key cannot be read: {e}"))?;
        let builder = self.options.server().map_err(|e| e.to_string())?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| e.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((pair, Arc::new(config)))
    }
}

fn read(folder: &Path) -> Result<Pair, String> {
    let file = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|e| {
            format!(
                "{} cannot be read: {e}; put the certificate of the webhook there (cert-manager, or --webhook-cert-dir), or \
                 give --webhook-self-signed or --webhook-port=0",
                path.display()
            )
        })
    };
    Ok(Pair {
        certificate: file("tls.crt")?,
        key: file("tls.key")?,
    })
}
