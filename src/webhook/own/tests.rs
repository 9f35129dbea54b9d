//! What a Secret holds over the years, what spoils it, and what is patched.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::authority::{Content, Exchange, Step, verify};
use super::bundle::{authorities, elsewhere, is_kept_by_others, patch};
use super::origin::{Evidence, Origin};

fn names() -> Vec<String> {
    vec![
        "webhook-service.system.svc".to_owned(),
        "127.0.0.1".to_owned(),
    ]
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

#[test]
fn over_twelve_years_every_api_server_trusts_every_replica_at_every_moment() {
    const EVERY: i64 = 5;
    let names = names();
    let mut now = start();
    let mut content = Content::new(&names, now).unwrap();
    // One look ago: what a replica may still serve and an API server may still have.
    let mut before = content.clone();
    let (mut authorities, mut certificates, mut steps) = (BTreeSet::new(), BTreeSet::new(), 0);
    while now < start() + days(12 * 365) {
        authorities.insert(content.bundle[0].clone());
        certificates.insert(content.pair.certificate.clone());
        for served in [&before, &content] {
            for trusting in [&before, &content] {
                verify(&served.pair, &trusting.bundle, &names, now)
                    .unwrap_or_else(|why| panic!("{now}, after {steps} steps: {why}"));
            }
        }
        let standing = content.renewal(&names, now).unwrap();
        let known = known(&before.bundle);
        let origin = known.judge(&content, &names, now);
        assert_eq!(origin, Origin::Ours, "{now}, after {steps} steps");
        let (trusted, served) = (before.bundle == content.bundle, before.pair == content.pair);
        let step = standing.next(trusted, served);
        steps += usize::from(step != Step::Nothing);
        before = content.clone();
        content = content.after(step, &names, now).unwrap();
        now += days(EVERY);
    }
    assert_eq!(authorities.len(), 2, "one exchange, in the tenth year");
    let per_certificate = 12 * 365 / i64::try_from(certificates.len()).unwrap();
    assert!(
        (50..=65).contains(&per_certificate),
        "a certificate each {per_certificate} days"
    );
    assert_eq!(content.bundle.len(), 1, "the old authority is gone");
}

/// What a replica knows that has looked regularly, without configurations.
fn known(bundle: &[String]) -> Evidence<'_> {
    Evidence {
        known: bundle,
        is_sure: true,
        in_force: &[],
    }
}

#[test]
fn what_no_known_authority_has_signed_is_foreign_to_who_is_sure_and_taken_at_the_first_look() {
    let (names, now) = (names(), start());
    let [ours, theirs] = [0, 1].map(|_| Content::new(&names, now).unwrap());
    let (a, b) = (ours.bundle.as_slice(), theirs.bundle.as_slice());
    // A certificate is no secret: anyone may put ours behind another one.
    let mut beside = theirs.clone();
    beside.bundle.push(ours.bundle[0].clone());
    for foreign in [&theirs, &beside] {
        assert!(foreign.renewal(&names, now).is_ok(), "it is whole");
        let judge = |known, is_sure, in_force| {
            let evidence = Evidence {
                known,
                is_sure,
                in_force,
            };
            evidence.judge(foreign, &names, now)
        };
        assert_eq!(judge(a, true, &[]), Origin::Foreign);
        assert_eq!(judge(a, true, a), Origin::Foreign);
        assert_eq!(judge(a, false, a), Origin::Unknown, "others may be sure");
        assert_eq!(judge(a, false, &[]), Origin::Unknown);
        assert_eq!(judge(&[], false, a), Origin::Unknown, "the first look");
        assert_eq!(judge(&[], false, &[]), Origin::Ours, "nobody knows better");
        // The leader has had the API server trust it: this replica was away.
        assert_eq!(judge(a, true, b), Origin::Ours);
        assert_eq!(judge(&[], false, b), Origin::Ours);
    }
}

#[test]
fn nothing_is_signed_by_an_authority_that_is_not_trusted_yet() {
    let (names, now) = (names(), start());
    let content = Content::new(&names, now).unwrap();
    let content = content.after(Step::NewAuthority, &names, now).unwrap();
    let standing = content.renewal(&names, now).unwrap();
    assert_eq!(standing.exchange, Exchange::Announced);
    assert_eq!(standing.next(false, true), Step::Nothing);
    assert_eq!(standing.next(true, true), Step::NewCertificate);
    let content = content.after(Step::NewCertificate, &names, now).unwrap();
    let standing = content.renewal(&names, now).unwrap();
    assert_eq!(standing.next(true, false), Step::Nothing);
    assert_eq!(standing.next(true, true), Step::DropOld);
    let content = content.after(Step::DropOld, &names, now).unwrap();
    assert_eq!(
        content.renewal(&names, now).unwrap().next(true, true),
        Step::Nothing
    );
}

#[test]
fn what_is_written_is_read_and_what_is_spoiled_is_not() {
    let (names, now) = (names(), start());
    let [content, other] = [0, 1].map(|_| Content::new(&names, now).unwrap());
    let stored = |content: &Content| {
        let mut secret = Secret::default();
        content.write(&mut secret);
        secret
    };
    let (good, strange) = (stored(&content), stored(&other));
    let (read, standing) = Content::read(&good, &names, now).ok().unwrap();
    assert!(read == content);
    assert!(content.further_names(&names, now).is_empty());
    assert_eq!(standing.next(true, true), Step::Nothing);

    let of = |secret: &Secret, key: &str| secret.data.as_ref().unwrap()[key].clone();
    let with = |changes: &[(&str, ByteString)]| {
        let mut secret = good.clone();
        for (key, value) in changes {
            secret
                .data
                .as_mut()
                .unwrap()
                .insert((*key).to_owned(), value.clone());
        }
        secret
    };
    let garbage = || ByteString(b"garbage".to_vec());
    let three = [&good, &strange, &strange]
        .map(|s| of(s, "ca.crt").0)
        .concat();
    let mut spoiled = vec![
        ("empty".to_owned(), Secret::default()),
        ("three".to_owned(), with(&[("ca.crt", ByteString(three))])),
    ];
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        for (what, value) in [
            ("garbage", garbage()),
            ("nothing", ByteString(Vec::new())),
            ("no text", ByteString(vec![0xff; 100])),
            ("another's", of(&strange, key)),
        ] {
            spoiled.push((format!("{key} is {what}"), with(&[(key, value)])));
        }
    }
    let both = ["tls.crt", "tls.key"].map(|key| (key, of(&strange, key)));
    spoiled.push(("another's pair".to_owned(), with(&both)));
    for (what, secret) in spoiled {
        assert!(Content::read(&secret, &names, now).is_err(), "{what}");
    }
    let elsewhere = ["other-service.system.svc".to_owned()];
    assert!(
        Content::read(&good, &elsewhere, now).is_err(),
        "another Service"
    );
    assert!(
        Content::read(&good, &names, now + days(92)).is_err(),
        "expired"
    );
    // Only the authority's own faults cost the authority.
    let signs = |secret: &Secret, names: &[String], now| {
        let damage = Content::read(secret, names, now).err().unwrap();
        damage.signs.is_some()
    };
    assert!(signs(&good, &elsewhere, now) && signs(&good, &names, now + days(92)));
    for key in ["tls.crt", "tls.key"] {
        assert!(signs(&with(&[(key, garbage())]), &names, now), "{key}");
        let nothing = ByteString(Vec::new());
        assert!(signs(&with(&[(key, nothing)]), &names, now), "{key}");
    }
    for key in ["ca.crt", "ca.key"] {
        assert!(!signs(&with(&[(key, garbage())]), &names, now), "{key}");
        let theirs = of(&strange, key);
        assert!(!signs(&with(&[(key, theirs)]), &names, now), "{key}");
    }

    // Without its date an authority is exchanged, in steps.
    let mut dateless = good;
    dateless.metadata.annotations = None;
    let (_, standing) = Content::read(&dateless, &names, now).ok().unwrap();
    assert_eq!(standing.next(true, true), Step::NewAuthority);
}

#[test]
fn an_authority_outlives_its_certificate_and_the_names_in_it() {
    let (old, now) = (names(), start());
    let content = Content::new(&old, now).unwrap();
    let mut secret = Secret::default();
    content.write(&mut secret);
    let damaged = |names: &[String], now| {
        let damage = Content::read(&secret, names, now).err().unwrap();
        damage.signs.unwrap_or_else(|| panic!("{}", damage.why))
    };
    // The cluster was off.
    let later = now + days(100);
    let next = damaged(&old, later).signed_anew(&old, later).unwrap();
    assert!(next.bundle == content.bundle && next.pair != content.pair);
    assert!(next.is_trusted_by(&content.bundle, &old, later));
    let standing = next.renewal(&old, later).unwrap();
    assert_eq!(standing.next(true, true), Step::Nothing);

    // In a rolling update one certificate is good for the names of the old and of the new replicas.
    let new = ["new-service.system.svc".to_owned()];
    let stored = damaged(&new, now);
    assert_eq!(stored.further_names(&new, now), [old[0].clone()]);
    let next = stored.signed_anew(&new, now).unwrap();
    assert!(next.bundle == content.bundle);
    for names in [&new[..], &old[..1]] {
        assert!(next.is_trusted_by(&content.bundle, names, now));
    }
    // Nobody serves what has expired.
    let next = damaged(&new, later).signed_anew(&new, later).unwrap();
    assert!(!next.is_trusted_by(&content.bundle, &old[..1], later));
}

#[test]
fn the_ca_bundle_of_our_webhooks_alone_is_patched_and_only_where_it_differs() {
    let names = &names();
    let service = |path: &str, bundle: Option<&str>| {
        let mut client =
            json!({"service": {"name": "webhook-service", "namespace": "system", "path": path}});
        if let Some(bundle) = bundle {
            client["caBundle"] = json!(bundle);
        }
        json!({"name": "x", "clientConfig": client})
    };
    let (ours, url) = (
        "/validate-ipam-metal3-io-v1alpha1-ippool",
        "https://127.0.0.1:9443/validate-ipam-metal3-io-v1alpha1-ipclaim?timeout=3s",
    );
    // "CA" in base64.
    let mut configuration = json!({"metadata": {"name": "c", "resourceVersion": "7"}, "webhooks": [
        service("/validate-other", Some("b3RoZXI=")),
        service(ours, None),
        {"name": "y", "clientConfig": {"url": url, "caBundle": "b2xk"}},
        service(ours, Some("Q0E=")),
    ]});
    let untouched = configuration.clone();
    let made = patch(&configuration, names, "CA").unwrap();
    json_patch::patch(&mut configuration, &made).unwrap();
    let bundles: Vec<_> = configuration["webhooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["clientConfig"]["caBundle"].clone())
        .collect();
    assert_eq!(bundles, ["b3RoZXI=", "Q0E=", "Q0E=", "Q0E="]);
    assert!(patch(&configuration, names, "CA").is_none());
    assert_eq!(authorities(&configuration, names), [""; 0], "no PEM");
    let ours_now = Content::new(names, start()).unwrap();
    let trusting = patch(&configuration, names, &ours_now.bundle()).unwrap();
    let mut trusted = configuration.clone();
    json_patch::patch(&mut trusted, &trusting).unwrap();
    assert_eq!(
        authorities(&trusted, names),
        vec![ours_now.bundle[0].clone(); 3]
    );
    assert!(patch(&json!({}), names, "CA").is_none());

    let mut newer = untouched;
    newer["metadata"]["resourceVersion"] = json!("8");
    assert!(
        json_patch::patch(&mut newer, &made).is_err(),
        "the places are those of version 7"
    );

    assert!(!is_kept_by_others(&configuration, names));
    configuration["metadata"]["annotations"] = json!({"cert-manager.io/inject-ca-from": "n/c"});
    assert!(is_kept_by_others(&configuration, names));
}

#[test]
fn webhooks_of_another_installation_are_reported_and_neither_patched_nor_believed() {
    let (names, path) = (names(), "/validate-ipam-metal3-io-v1alpha1-ippool");
    let theirs = Content::new(&["webhook-service.other.svc".to_owned()], start()).unwrap();
    let bundle = STANDARD.encode(theirs.bundle());
    let webhook = |name: &str, mut client: Value| {
        client["caBundle"] = json!(bundle);
        json!({"name": name, "clientConfig": client})
    };
    let service = |service: &str, namespace: &str| json!({"service": {"name": service, "namespace": namespace, "path": path}});
    let other_path = json!({"service": {"name": "x", "namespace": "y", "path": "/validate-other"}});
    let mut configuration = json!({"metadata": {
        "annotations": {"cert-manager.io/inject-ca-from": "other/c"}, "resourceVersion": "7"},
    "webhooks": [
        webhook("namespace", service("webhook-service", "other")),
        webhook("name", service("other-service", "system")),
        webhook("url", json!({"url": format!("https://192.0.2.1:9443{path}")})),
        webhook("path", other_path),
    ]});
    assert!(patch(&configuration, &names, "CA").is_none());
    assert_eq!(authorities(&configuration, &names), [""; 0]);
    assert!(!is_kept_by_others(&configuration, &names), "not ours");
    assert_eq!(
        elsewhere(&configuration, &names),
        [
            "namespace to webhook-service.other.svc",
            "name to other-service.system.svc",
            "url to 192.0.2.1",
        ]
    );

    let ours = webhook("ours", service("webhook-service", "system"));
    configuration["webhooks"].as_array_mut().unwrap().push(ours);
    let patch = patch(&configuration, &names, "CA").unwrap();
    assert_eq!(patch.0.len(), 2, "the version, and one caBundle: {patch}");
    assert!(is_kept_by_others(&configuration, &names));
    assert_eq!(elsewhere(&configuration, &names).len(), 3);
}
