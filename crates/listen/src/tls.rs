//! What TLS the servers of the manager offer: versions, cipher suites and key exchange groups, by Go's names, since operators
//! come with the flags of upstream's manager.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::WantsServerCert;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ConfigBuilder, NamedGroup, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};

/// The oldest version of TLS that is spoken (`--tls-min-version`). Nothing below 1.2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oldest {
    /// 1.2.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

/// What is offered to clients. The default is everything that the library holds safe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// The oldest version.
    pub oldest: Oldest,
    /// The cipher suites of TLS 1.2, those of 1.3 are always offered; `None`: all.
    suites: Option<Vec<CipherSuite>>,
    /// The key exchange groups, the preferred one first; `None`: all.
    groups: Option<Vec<NamedGroup>>,
}

/// A name that Go's flags take.
struct Named<T: 'static> {
    names: &'static [&'static str],
    /// What it is here; `None` where this program does not speak it.
    spoken: Option<T>,
}

const fn spoken<T>(names: &'static [&'static str], what: T) -> Named<T> {
    Named {
        names,
        spoken: Some(what),
    }
}

const fn unspoken<T>(names: &'static [&'static str]) -> Named<T> {
    Named {
        names,
        spoken: None,
    }
}

/// Go's names of cipher suites, those of TLS 1.3 first. What is not spoken has no forward secrecy or no authenticated
/// encryption.
const SUITES: [Named<CipherSuite>; 22] = [
    spoken(
        &["TLS_AES_128_GCM_SHA256"],
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
    spoken(
        &["TLS_AES_256_GCM_SHA384"],
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    spoken(
        &["TLS_CHACHA20_POLY1305_SHA256"],
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    spoken(
        &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    spoken(
        &["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    spoken(
        &[
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        ],
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    spoken(
        &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    spoken(
        &["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    spoken(
        &[
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        ],
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    unspoken(&["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]),
    unspoken(&["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"]),
    unspoken(&["TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"]),
    unspoken(&["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]),
    unspoken(&["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"]),
    unspoken(&["TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"]),
    unspoken(&["TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"]),
    unspoken(&[
        "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
        "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    ]),
    unspoken(&["TLS_RSA_WITH_AES_128_GCM_SHA256"]),
    unspoken(&["TLS_RSA_WITH_AES_256_GCM_SHA384"]),
    unspoken(&[
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA256",
    ]),
    unspoken(&["TLS_RSA_WITH_AES_256_CBC_SHA"]),
    unspoken(&["TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_RC4_128_SHA"]),
];

/// Go's names of key exchange groups, and the numbers that Kubernetes' flags take.
const GROUPS: [Named<NamedGroup>; 5] = [
    spoken(&["X25519", "29"], NamedGroup::X25519),
    spoken(&["CurveP256", "P256", "23"], NamedGroup::secp256r1),
    spoken(&["CurveP384", "P384", "24"], NamedGroup::secp384r1),
    unspoken(&["CurveP521", "P521", "25"]),
    unspoken(&["X25519MLKEM768", "4588"]),
];

impl TlsOptions {
    /// Reads what the flags hold: lists with commas, empty for everything. Also returns a line for each name that is known and
    /// not spoken.
    ///
    /// # Errors
    /// A line about a name that is not known, or when nothing is left to offer.
    pub fn read(oldest: Oldest, suites: &str, groups: &str) -> Result<(Self, Vec<String>), String> {
        let mut warnings = Vec::new();
        let suites = choose("--tls-cipher-suites", suites, &SUITES, &mut warnings)?;
        let groups = choose("--tls-curve-preferences", groups, &GROUPS, &mut warnings)?;
        if groups.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!(
                "--tls-curve-preferences: none of them is spoken here; choose from {}",
                known(&GROUPS)
            ));
        }
        let options = Self {
            oldest,
            suites,
            groups,
        };
        if oldest == Oldest::Tls12 && !options.offers_tls12() {
            warnings.push(
                "--tls-cipher-suites names no suite of TLS 1.2 that is spoken here: only TLS 1.3 is offered"
                    .to_owned(),
            );
        }
        Ok((options, warnings))
    }

    /// A server's configuration, up to the certificate.
    ///
    /// # Errors
    /// When the library refuses the combination.
    pub fn server(&self) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = if self.offers_tls12() {
            &[&TLS13, &TLS12]
        } else {
            &[&TLS13]
        };
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(provider);
        Ok(builder
            .with_protocol_versions(versions)?
            .with_no_client_auth())
    }

    fn offers_tls12(&self) -> bool {
        let is_tls12 = |suite: &CipherSuite| {
            let all = ring::ALL_CIPHER_SUITES.iter();
            all.filter(|s| matches!(s, SupportedCipherSuite::Tls12(_)))
                .any(|s| s.suite() == *suite)
        };
        let has_one = self.suites.as_ref().is_none_or(|s| s.iter().any(is_tls12));
        self.oldest == Oldest::Tls12 && has_one
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(suites) = &self.suites {
            // As in Go, the list is about TLS 1.2: the three suites of 1.3 are not chosen.
            provider.cipher_suites.retain(|suite| match suite {
                SupportedCipherSuite::Tls13(_) => true,
                SupportedCipherSuite::Tls12(_) => suites.contains(&suite.suite()),
            });
        }
        if let Some(groups) = &self.groups {
            let find = |group: &NamedGroup| -> Option<&'static dyn SupportedKxGroup> {
                let all = ring::ALL_KX_GROUPS.iter();
                all.copied().find(|g| g.name() == *group)
            };
            provider.kx_groups = groups.iter().filter_map(find).collect();
        }
        provider
    }
}

/// What a list names; `None` when it is empty.
fn choose<T: Copy + PartialEq>(
    flag: &str,
    list: &str,
    table: &'static [Named<T>],
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<T>>, String> {
    let mut chosen = Vec::new();
    let names = list.split(',').map(str::trim).filter(|n| !n.is_empty());
    let mut any = false;
    for name in names {
        any = true;
        let Some(entry) = table.iter().find(|entry| entry.names.contains(&name)) else {
            return Err(format!(
                "{flag}: {name:?} is not known; known are {}",
                known(table)
            ));
        };
        match entry.spoken {
            Some(what) if !chosen.contains(&what) => chosen.push(what),
            Some(_) => {}
            None => warnings.push(format!("{flag}: {name} is not spoken here and is left out")),
        }
    }
    Ok(any.then_some(chosen))
}

/// The names that can be chosen, one for each entry.
fn known<T>(table: &[Named<T>]) -> String {
    let mut text = String::new();
    for entry in table.iter().filter(|entry| entry.spoken.is_some()) {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}", entry.names[0]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(suites: &str, groups: &str) -> Result<(TlsOptions, Vec<String>), String> {
        TlsOptions::read(Oldest::Tls12, suites, groups)
    }

    #[test]
    fn nothing_said_offers_everything() {
        let (options, warnings) = read("", "").unwrap();
        assert_eq!(options, TlsOptions::default());
        assert_eq!(warnings, [""; 0]);
        let provider = options.provider();
        assert_eq!(provider.cipher_suites.len(), ring::ALL_CIPHER_SUITES.len());
        assert!(options.offers_tls12());
        assert!(options.server().is_ok());
    }

    #[test]
    fn suites_of_tls_1_2_are_chosen_and_those_of_1_3_always_offered() {
        let (options, warnings) = read(
            "TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_RSA_WITH_AES_128_CBC_SHA",
            "",
        )
        .unwrap();
        let offered: Vec<CipherSuite> = options
            .provider()
            .cipher_suites
            .iter()
            .map(SupportedCipherSuite::suite)
            .collect();
        let tls12 = CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
        assert_eq!(offered.len(), 4, "{offered:?}");
        assert!(offered.contains(&tls12) && options.server().is_ok());
        assert_eq!(
            warnings,
            [
                "--tls-cipher-suites: TLS_RSA_WITH_AES_128_CBC_SHA is not spoken here and is left out"
            ]
        );
        // As in Go: no suite of 1.2 in the list, no TLS 1.2.
        let (options, warnings) = read("TLS_AES_128_GCM_SHA256", "").unwrap();
        assert!(!options.offers_tls12() && options.server().is_ok());
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn groups_are_offered_in_the_order_given() {
        for list in ["CurveP384,X25519", "24,29", "P384,P521,X25519,4588"] {
            let (options, _) = read("", list).unwrap();
            let offered: Vec<NamedGroup> = options
                .provider()
                .kx_groups
                .iter()
                .map(|g| g.name())
                .collect();
            assert_eq!(
                offered,
                [NamedGroup::secp384r1, NamedGroup::X25519],
                "{list}"
            );
            assert!(options.server().is_ok());
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known() {
        let error = read("TLS_NULL", "").unwrap_err();
        assert!(
            error.starts_with(
                "--tls-cipher-suites: \"TLS_NULL\" is not known; known are TLS_AES_128_GCM_SHA256, "
            ),
            "{error}"
        );
        let error = read("", "X448").unwrap_err();
        assert_eq!(
            error,
            "--tls-curve-preferences: \"X448\" is not known; known are X25519, CurveP256, CurveP384"
        );
        let error = read("", "P521").unwrap_err();
        assert_eq!(
            error,
            "--tls-curve-preferences: none of them is spoken here; choose from X25519, CurveP256, CurveP384"
        );
    }
}
