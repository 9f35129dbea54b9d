//! The credentials of a data folder: a certificate authority, a server certificate signed by it, and one token. Authority and
//! token are created once and kept, so that a kubeconfig works after restarts.
//!
//! ```text
//!   D/ca.crt  D/ca.key   the authority; it does not expire
//!   D/token              256 random bits in hexadecimal
//! ```
//! The server's key is never on the disk: a new one is signed at every start, for loopback and the address listened on.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use thiserror::Error;

use listen::authority::{self, Life, Made};

use super::{private, reach};

/// Files of a data folder beside the store: the authority, the token, and the kubeconfig that holds both.
pub(crate) const FILES: [&str; 4] = ["ca.crt", "ca.key", TOKEN, KUBECONFIG];
/// Written last of them, so that a folder that has it was served before.
pub(crate) const TOKEN: &str = "token";
/// How clients reach the server, written at each start.
pub(crate) const KUBECONFIG: &str = "kubeconfig";

/// Why the credentials of a data folder cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// `reading` or `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file exists and is malformed.
    #[error("{} is damaged ({why}); restore it, or delete ca.crt, ca.key and token beside it to have new ones made (old kubeconfigs stop working)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A certificate could not be created.
    #[error("making a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// TLS cannot be set up with the certificate.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The credentials of one data folder.
pub(super) struct Credentials {
    ca_pem: String,
    ca: Issuer<'static, KeyPair>,
    token: String,
    ca_path: PathBuf,
    product: String,
}

impl Credentials {
    /// Reads the folder's credentials, or creates them.
    pub(super) fn open(dir: &Path, product: &str) -> Result<Self, TlsError> {
        let [ca_path, key_path, token_path, _] = FILES.map(|name| dir.join(name));
        let damaged = |path: &Path, why: String| TlsError::Damaged {
            path: path.to_owned(),
            why,
        };
        let (ca_pem, key) = match (read(&ca_path)?, read(&key_path)?) {
            (Some(ca_pem), Some(key_pem)) => {
                let key = KeyPair::from_pem(&key_pem)
                    .map_err(|error| damaged(&key_path, error.to_string()))?;
                (ca_pem, key)
            }
            // The token is written after the key, so where a token exists, kubeconfigs may name this authority.
            (Some(_), None) if read(&token_path)?.is_some() => {
                return Err(damaged(&key_path, "it is missing".to_owned()));
            }
            // After a crash during their creation: the stored certificate has signed nothing.
            (_, None) => {
                // A server that runs for years must not end because its certificate expired.
                let Made { certificate, key } =
                    authority::authority(&of_authority(product), Life::Endless)?;
                let ca_pem = certificate.pem();
                write(&ca_path, &ca_pem)?;
                write(&key_path, &key.serialize_pem())?;
                (ca_pem, key)
            }
            (None, Some(_)) => return Err(damaged(&ca_path, "it is missing".to_owned())),
        };
        let token = if let Some(token) = read(&token_path)? {
            let token = token.trim().to_owned();
            if token.len() < 32 || !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(damaged(&token_path, "it holds no token".to_owned()));
            }
            token
        } else {
            let token = new_token();
            write(&token_path, &token)?;
            token
        };
        let credentials = Self {
            ca_pem,
            ca: authority::issuer(&of_authority(product), key)?,
            token,
            ca_path,
            product: product.to_owned(),
        };
        // Checks now, and not at the first connection, that certificate and key belong together.
        credentials.server_config(IpAddr::from([127, 0, 0, 1]), &[])?;
        Ok(credentials)
    }

    /// The certificate of the authority, in PEM.
    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// TLS with a fresh server certificate for loopback, this address (where it is every address: this machine's name and
    /// addresses), and these names and addresses.
    pub(super) fn server_config(
        &self,
        listening: IpAddr,
        more: &[String],
    ) -> Result<ServerConfig, TlsError> {
        let Made { certificate, key } = self.certificate(listening, more)?;
        let certificate = certificate.der().clone();
        self.check(&certificate, Timestamp::now())?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A new certificate of the server. It never expires, as its authority never does: on a machine without a real-time clock the
    /// time may be years too early when the server starts.
    fn certificate(&self, listening: IpAddr, more: &[String]) -> Result<Made, TlsError> {
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let own = if listening.is_unspecified() {
            reach::names()
        } else {
            vec![listening.to_string()]
        };
        for name in own.iter().chain(more) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let name = format!("{} standalone", self.product);
        Ok(authority::server(
            &name,
            names,
            Life::Endless,
            Some(&self.ca),
        )?)
    }

    /// Verifies the server certificate as a client with `ca.crt` does at this time.
    fn check(&self, certificate: &CertificateDer<'_>, at: Timestamp) -> Result<(), TlsError> {
        let damaged = |why: String| TlsError::Damaged {
            path: self.ca_path.clone(),
            why,
        };
        let root = CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .map_err(|error| damaged(error.to_string()))?;
        let loopback = ServerName::from(IpAddr::from([127, 0, 0, 1]));
        let chain = std::slice::from_ref(certificate);
        authority::verify(chain, [root], &[loopback], at)
            .map_err(|error| damaged(format!("it does not fit ca.key: {error}")))
    }
}

/// Name of a product's authority.
fn of_authority(product: &str) -> String {
    format!("{product} standalone CA")
}

fn new_token() -> String {
    use std::fmt::Write as _;
    let bits: [u8; 32] = rand::random();
    bits.iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
}

/// The text of a file. `None` when it is missing or empty, after a crash between creating and filling it.
fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::File {
            action: "reading",
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    private::write(path, text).map_err(|source| TlsError::File {
        action: "writing",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_made_once_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Credentials::open(dir.path(), "some-operator").unwrap();
        for name in ["ca.crt", "ca.key", "token"] {
            let mode = fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let again = Credentials::open(dir.path(), "some-operator").unwrap();
        assert_eq!(first.ca_pem(), again.ca_pem());
        assert_eq!(first.token(), again.token());
        assert_eq!(first.token().len(), 64);
        // A certificate that the second start signs is one that the first start's clients trust.
        again
            .server_config(IpAddr::from([10, 0, 0, 1]), &[])
            .unwrap();
        let other = tempfile::tempdir().unwrap();
        assert_ne!(
            Credentials::open(other.path(), "some-operator")
                .unwrap()
                .token(),
            first.token()
        );
    }

    /// A machine without a real-time clock starts in 1970, and NTP sets the time while the server runs.
    #[test]
    fn a_certificate_is_valid_whatever_the_clock_shows() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(dir.path(), "some-operator").unwrap();
        let made = credentials.certificate(IpAddr::from([127, 0, 0, 1]), &[]);
        let certificate = made.unwrap().certificate.der().clone();
        for at in [
            "1970-01-01T00:00:10Z",
            "2026-11-30T00:00:00Z",
            "2199-01-01T00:00:00Z",
        ] {
            let checked = credentials.check(&certificate, at.parse().unwrap());
            assert!(checked.is_ok(), "{at}: {checked:?}");
        }
    }

    #[test]
    fn damaged_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        Credentials::open(dir.path(), "some-operator").unwrap();
        Credentials::open(other.path(), "some-operator").unwrap();
        let open = || {
            Credentials::open(dir.path(), "some-operator")
                .err()
                .map(|error| error.to_string())
        };

        // A certificate of someone else's key.
        let ours = fs::read(dir.path().join("ca.crt")).unwrap();
        fs::copy(other.path().join("ca.crt"), dir.path().join("ca.crt")).unwrap();
        assert!(open().unwrap().contains("ca.crt is damaged"));
        for garbage in [
            "garbage",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(dir.path().join("ca.crt"), garbage).unwrap();
            assert!(open().unwrap().contains("ca.crt is damaged"), "{garbage}");
        }
        fs::write(dir.path().join("ca.crt"), ours).unwrap();
        assert_eq!(open(), None);

        fs::write(dir.path().join("token"), "short").unwrap();
        assert!(open().unwrap().contains("token is damaged"));
        fs::remove_file(dir.path().join("token")).unwrap();
        assert_eq!(open(), None, "a token that is gone is made anew");

        fs::write(dir.path().join("ca.key"), "garbage").unwrap();
        assert!(open().unwrap().contains("ca.key is damaged"));
    }

    #[test]
    fn a_lost_key_is_no_reason_for_a_new_authority() {
        let dir = tempfile::tempdir().unwrap();
        let first = Credentials::open(dir.path(), "some-operator").unwrap();
        let key = fs::read(dir.path().join("ca.key")).unwrap();
        fs::remove_file(dir.path().join("ca.key")).unwrap();
        let error = Credentials::open(dir.path(), "some-operator")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("ca.key is damaged (it is missing)"),
            "{error}"
        );
        fs::write(dir.path().join("ca.key"), key).unwrap();
        let again = Credentials::open(dir.path(), "some-operator").unwrap();
        assert_eq!(first.ca_pem(), again.ca_pem());
    }

    #[test]
    fn a_crash_while_making_them_leaves_nothing_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), "").unwrap();
        fs::write(dir.path().join("ca.crt.new"), "half").unwrap();
        Credentials::open(dir.path(), "some-operator").unwrap();
        // The certificate was written, its key was not, nor the token, which comes after both.
        fs::remove_file(dir.path().join("ca.key")).unwrap();
        fs::remove_file(dir.path().join("token")).unwrap();
        Credentials::open(dir.path(), "some-operator").unwrap();
        // The key stands without its certificate: what was signed cannot be checked any more.
        fs::remove_file(dir.path().join("ca.crt")).unwrap();
        assert!(Credentials::open(dir.path(), "some-operator").is_err());
    }
}
