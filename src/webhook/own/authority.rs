//! What the Secret holds, whether it is good, and what comes next; pure but for the randomness of keys.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::KeyPair;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

use crate::webhook::Pair;
use listen::authority::{self as made, Life, Made};

/// Name of an authority.
const AUTHORITY: &str = "metal3-ipam webhook CA";
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Life of an authority; it is exchanged a year before its end.
const AUTHORITY_DAYS: i32 = 3650;
const AUTHORITY_LEFT: i32 = 365;
/// Life of a certificate; it is exchanged a month before its end.
const CERTIFICATE_DAYS: i32 = 90;
const CERTIFICATE_LEFT: i32 = 30;
/// When a new authority is due, beside the Secret's data.
const RENEW: &str = "ipam.metal3.io/authority-renew-after";

/// The certificates and keys in the Secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Authorities that are trusted, in PEM: the one that signs first, then the one before it.
    pub(super) bundle: Vec<String>,
    /// Key of the first.
    key: String,
    /// What is served.
    pub(super) pair: Pair,
    /// When a new authority is due.
    renew: Timestamp,
}

/// Why a Secret's content cannot be served.
pub(super) struct Damage {
    pub(super) why: String,
    /// The content, where its authority is whole and its key signs: only the pair is at fault. It has expired, is not for our
    /// names, or is spoiled.
    pub(super) signs: Option<Box<Content>>,
}

/// How far an exchange of the authority is, and what of whole content is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) exchange: Exchange,
    /// Whether the certificate's time comes.
    certificate_due: bool,
    /// Whether the authority's time comes.
    authority_due: bool,
}

/// Where the exchange of an authority stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// There is one authority.
    None,
    /// The new one is trusted beside the old one, which has signed what is served.
    Announced,
    /// The new one has signed what is served; the old one is still trusted.
    Signed,
}

/// What the leader does with the Secret next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// A new authority is trusted beside the old one.
    NewAuthority,
    /// The first authority signs a new certificate.
    NewCertificate,
    /// The old authority goes.
    DropOld,
}

/// An authority in PEM, and a certificate of it for these names.
///
/// # Errors
/// When there is no randomness for keys, or a name can stand in no certificate.
pub fn self_signed(names: &[String]) -> Result<(String, Pair), rcgen::Error> {
    let content = Content::new(names, Timestamp::now())?;
    Ok((content.bundle.concat(), content.pair))
}

impl Content {
    /// An authority and a certificate for these names.
    pub(super) fn new(names: &[String], now: Timestamp) -> Result<Self, rcgen::Error> {
        let (authority, key) = authority(now)?;
        let pair = certificate(&key, names, now)?;
        Ok(Self {
            bundle: vec![authority],
            key,
            pair,
            renew: now + DAY * (AUTHORITY_DAYS - AUTHORITY_LEFT),
        })
    }

    /// Reads a Secret and looks whether a client that trusts its authorities can talk to who serves its certificate.
    pub(super) fn read(
        secret: &Secret,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Self, Renewal), Damage> {
        let of_authority = |why| Damage { why, signs: None };
        let empty = BTreeMap::new();
        let data = secret.data.as_ref().unwrap_or(&empty);
        let text = |key: &str| {
            let bytes = data.get(key).map(|ByteString(bytes)| bytes.clone());
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.filter(|text| !text.is_empty())
                .ok_or_else(|| format!("{key} is missing or no text"))
        };
        let renew = secret.metadata.annotations.as_ref();
        let renew = renew.and_then(|all| all.get(RENEW)?.parse().ok());
        let [certificate, key] = ["tls.crt", "tls.key"].map(text);
        let missing = certificate.as_ref().err().or(key.as_ref().err()).cloned();
        let content = Self {
            bundle: split(&text("ca.crt").map_err(of_authority)?),
            key: text("ca.key").map_err(of_authority)?,
            pair: Pair {
                certificate: certificate.unwrap_or_default().into_bytes(),
                key: key.unwrap_or_default().into_bytes(),
            },
            // Who takes it away has the authority exchanged, in steps.
            renew: renew.unwrap_or(Timestamp::MIN),
        };
        content.signs(names, now).map_err(of_authority)?;
        match missing.map_or_else(|| content.standing(names, now), Err) {
            Ok(standing) => Ok((content, standing)),
            Err(why) => Err(Damage {
                why,
                signs: Some(Box::new(content)),
            }),
        }
    }

    /// Writes the content into a Secret.
    pub(super) fn write(&self, secret: &mut Secret) {
        let data = [
            ("ca.crt", self.bundle().into_bytes()),
            ("ca.key", self.key.clone().into_bytes()),
            ("tls.crt", self.pair.certificate.clone()),
            ("tls.key", self.pair.key.clone()),
        ];
        let data = data.map(|(key, bytes)| (key.to_owned(), ByteString(bytes)));
        secret.data = Some(data.into());
        secret.string_data = None;
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(RENEW.to_owned(), self.renew.to_string());
    }

    /// The authorities as one text, as a `caBundle` has them.
    pub(super) fn bundle(&self) -> String {
        self.bundle.concat()
    }

    /// Whether a client that trusts these authorities trusts what is served.
    pub(super) fn is_trusted_by(
        &self,
        authorities: &[String],
        names: &[String],
        now: Timestamp,
    ) -> bool {
        !authorities.is_empty() && verify(&self.pair, authorities, names, now).is_ok()
    }

    /// Whether it can be served to who trusts it, and how far it is.
    pub(super) fn renewal(&self, names: &[String], now: Timestamp) -> Result<Renewal, String> {
        self.signs(names, now)?;
        self.standing(names, now)
    }

    /// Whether the authority is whole and its key signs.
    pub(super) fn signs(&self, names: &[String], now: Timestamp) -> Result<(), String> {
        let [first, rest @ ..] = self.bundle.as_slice() else {
            return Err("ca.crt holds no certificate".to_owned());
        };
        if rest.len() > 1 {
            return Err("ca.crt holds more than two certificates".to_owned());
        }
        // Does the key belong to the first authority? What it signs now must be trusted by it.
        let probe = certificate(&self.key, names, now).map_err(|e| format!("ca.key: {e}"))?;
        let of_first = std::slice::from_ref(first);
        verify(&probe, of_first, names, now)
            .map_err(|why| format!("ca.key does not belong to ca.crt: {why}"))
    }

    /// Whether the pair can be served, and how far it is.
    fn standing(&self, names: &[String], now: Timestamp) -> Result<Renewal, String> {
        verify(&self.pair, &self.bundle, names, now).map_err(|why| format!("tls.crt: {why}"))?;
        belong_together(&self.pair).map_err(|why| format!("tls.key: {why}"))?;
        let later = now + DAY * CERTIFICATE_LEFT;
        let exchange = match self.bundle.as_slice() {
            [] | [_] => Exchange::None,
            [first, ..] => match verify(&self.pair, std::slice::from_ref(first), names, now) {
                Ok(()) => Exchange::Signed,
                Err(_) => Exchange::Announced,
            },
        };
        Ok(Renewal {
            exchange,
            certificate_due: verify(&self.pair, &self.bundle, names, later).is_err(),
            authority_due: self.renew <= now,
        })
    }

    /// Names beside these for which the pair can be served: replicas with other flags or of another version serve it.
    pub(super) fn further_names(&self, names: &[String], now: Timestamp) -> Vec<String> {
        let own = CertificateDer::from_pem_slice(&self.pair.certificate);
        let all = own.map_or_else(|_| Vec::new(), |own| made::names(&own));
        let is_good = verify(&self.pair, &self.bundle, &all, now)
            .and_then(|()| belong_together(&self.pair))
            .is_ok();
        let further = all.into_iter().filter(|name| !names.contains(name));
        further.filter(|_| is_good).collect()
    }

    /// The content with a new pair, signed by its first authority for these names and those that its pair is good for. In the
    /// minute in which that authority is only announced API servers may not trust it yet; the key of the one before is gone.
    pub(super) fn signed_anew(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, rcgen::Error> {
        let mut all = names.to_vec();
        all.extend(self.further_names(names, now));
        let mut next = self.clone();
        next.pair = certificate(&self.key, &all, now)?;
        Ok(next)
    }

    /// The content after this step.
    pub(super) fn after(
        &self,
        step: Step,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, rcgen::Error> {
        let mut next = self.clone();
        match step {
            Step::Nothing => {}
            Step::NewAuthority => {
                let (authority, key) = authority(now)?;
                next.bundle.truncate(1);
                next.bundle.insert(0, authority);
                next.key = key;
                next.renew = now + DAY * (AUTHORITY_DAYS - AUTHORITY_LEFT);
            }
            Step::NewCertificate => next.pair = certificate(&self.key, names, now)?,
            Step::DropOld => next.bundle.truncate(1),
        }
        Ok(next)
    }
}

impl Renewal {
    /// What comes next. `trusted`: every API server has had the time to learn the whole bundle; `served`: every replica has had
    /// the time to serve what the first authority signed.
    pub(super) fn next(self, trusted: bool, served: bool) -> Step {
        match self.exchange {
            Exchange::Announced if trusted => Step::NewCertificate,
            Exchange::None | Exchange::Signed if self.certificate_due => Step::NewCertificate,
            Exchange::Signed if served => Step::DropOld,
            Exchange::None if self.authority_due => Step::NewAuthority,
            Exchange::None | Exchange::Announced | Exchange::Signed => Step::Nothing,
        }
    }
}

/// An authority and its key, in PEM.
fn authority(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let Made { certificate, key } = made::authority(AUTHORITY, Life::Days(now, AUTHORITY_DAYS))?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A certificate for these names, signed with this authority's key.
fn certificate(key: &str, names: &[String], now: Timestamp) -> Result<Pair, rcgen::Error> {
    let issuer = made::issuer(AUTHORITY, KeyPair::from_pem(key)?)?;
    let life = Life::Days(now, CERTIFICATE_DAYS);
    let Made { certificate, key } =
        made::server("metal3-ipam webhook", names, life, Some(&issuer))?;
    Ok(Pair {
        certificate: certificate.pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
    })
}

/// Looks at a pair as a client does that trusts these authorities and knows the server by each of these names.
pub(super) fn verify(
    pair: &Pair,
    authorities: &[String],
    names: &[String],
    at: Timestamp,
) -> Result<(), String> {
    let authorities = authorities.iter().map(|authority| {
        CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| e.to_string())
    });
    let authorities = authorities.collect::<Result<Vec<_>, _>>()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
    let chain = chain.map_err(|e| e.to_string())?;
    let names = names.iter().map(|name| ServerName::try_from(name.as_str()));
    let names = names
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    made::verify(&chain, authorities, &names, at).map_err(|e| e.to_string())
}

/// Whether the key is that of the certificate.
fn belong_together(pair: &Pair) -> Result<(), String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
    let chain = chain.map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|e| e.to_string())?;
    let checked = CertifiedKey::from_der(chain, key, &ring::default_provider());
    checked.map(drop).map_err(|e| e.to_string())
}

/// The certificates of a text, one text each.
pub(super) fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = bundle.split_inclusive(END);
    let parts = parts.filter(|part| part.contains(END));
    parts.map(|part| format!("{}\n", part.trim())).collect()
}
