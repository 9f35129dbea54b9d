//! Certificates that a server makes itself: an authority, certificates that it signs, and a look at them as a client takes.
//! Names, lives and places of the files are the server's.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long a certificate is good for.
#[derive(Debug, Clone, Copy)]
pub enum Life {
    /// From this moment for so many days, to the end of the last one.
    Days(Timestamp, i32),
    /// From the beginning of Unix time to RFC 5280's "no well-defined expiration": valid whatever the clock shows.
    Endless,
}

/// A new certificate and its key.
pub struct Made {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: KeyPair,
}

impl Life {
    fn limit(self, params: &mut CertificateParams) {
        params.not_after = match self {
            Self::Days(from, days) => {
                let day = (from + DAY * (days + 1)).to_zoned(TimeZone::UTC).date();
                let [month, of_month] = [day.month(), day.day()].map(i8::unsigned_abs);
                rcgen::date_time_ymd(i32::from(day.year()), month, of_month)
            }
            Self::Endless => {
                params.not_before = rcgen::date_time_ymd(1970, 1, 1);
                rcgen::date_time_ymd(9999, 12, 31)
            }
        };
    }
}

/// An authority of this name.
///
/// # Errors
/// When there is no randomness for a key, or a name can stand in no certificate.
pub fn authority(name: &str, life: Life) -> Result<Made, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = of_authority(name)?;
    life.limit(&mut params);
    let certificate = params.self_signed(&key)?;
    Ok(Made { certificate, key })
}

/// What signs with the key of the authority of this name.
///
/// # Errors
/// When the name can stand in no certificate.
pub fn issuer(name: &str, key: KeyPair) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
    Ok(Issuer::new(of_authority(name)?, key))
}

fn of_authority(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A server's certificate of this name for these hosts (names and addresses), signed by an authority, or by itself.
///
/// # Errors
/// When there is no randomness for a key, or a name can stand in no certificate.
pub fn server(
    name: &str,
    hosts: impl Into<Vec<String>>,
    life: Life,
    by: Option<&Issuer<'static, KeyPair>>,
) -> Result<Made, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    life.limit(&mut params);
    let certificate = if let Some(issuer) = by {
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&key, issuer)?
    } else {
        params.self_signed(&key)?
    };
    Ok(Made { certificate, key })
}

/// The DNS names that a server's certificate is for; none where it cannot be read.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate);
    certificate.map_or_else(
        |_| Vec::new(),
        |certificate| certificate.valid_dns_names().map(str::to_owned).collect(),
    )
}

/// Looks at a chain as a client does that trusts these authorities and knows the server by each of these hosts.
///
/// # Errors
/// Why the client would not trust it.
pub fn verify(
    chain: &[CertificateDer<'_>],
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    hosts: &[ServerName<'_>],
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let [own, between @ ..] = chain else {
        return Err(rustls::Error::NoCertificatesPresented);
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|e| rustls::Error::General(e.to_string()))?;
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    for host in hosts {
        verifier.verify_server_cert(own, between, host, &[], at)?;
    }
    Ok(())
}
