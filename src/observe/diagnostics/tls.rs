//! TLS with a certificate that is made at start and signed by itself: scrapers of this endpoint are configured not to check
//! it, as with upstream's manager, and its token is what protects it.

use std::net::IpAddr;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

use listen::TlsOptions;
use listen::authority::{self, Life, Made};

/// Why diagnostics cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Making the certificate failed.
    #[error("making a certificate for diagnostics: {0}")]
    Generate(#[from] rcgen::Error),
    /// It cannot be served.
    #[error("setting up TLS for diagnostics: {0}")]
    Setup(#[from] rustls::Error),
}

/// TLS with a fresh certificate for `localhost`, loopback and the address listened on.
///
/// # Errors
/// When the certificate cannot be made or used.
pub fn self_signed(listening: IpAddr, options: &TlsOptions) -> Result<ServerConfig, TlsError> {
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    if !listening.is_unspecified() && !names.contains(&listening.to_string()) {
        names.push(listening.to_string());
    }
    // It never expires: on a machine without a real-time clock the time may be years too early at the start.
    let made = authority::server("metal3-ipam diagnostics", names, Life::Endless, None)?;
    let Made { certificate, key } = made;
    let certificate = certificate.der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = options
        .server()?
        .with_single_cert(vec![certificate], key.into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
