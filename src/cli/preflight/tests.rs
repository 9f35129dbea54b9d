//! Every check over planted trouble, and none without.

mod rights;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::objects::Objects;
use super::super::place::Form;
use super::read::Survey;
use super::report::Report;
use super::{Level, look, rehearsal};
use crate::api::Kind;
use crate::api::{Address, Claim, ClaimKind, PoolObject, WireObject, names};
use crate::pool::{KindState, Kinds};

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn wire(object: Value) -> WireObject {
    serde_json::from_value(object).unwrap()
}

fn meta(namespace: &str, name: &str, kind: Option<&str>) -> Value {
    json!({"namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "resourceVersion": "1",
        "creationTimestamp": "2026-11-01T12:00:00Z", "finalizers": kind.into_iter().collect::<Vec<_>>()})
}

/// A cluster in which all is well: one pool, one bound claim, Cluster API's kinds, the right versions and rights.
fn survey() -> Survey {
    let mut survey = Survey {
        version: "v1.34.1".to_owned(),
        account: (
            "metal3-ipam-system/ipam-manager".to_owned(),
            Some(Vec::new()),
        ),
        objects: Objects {
            kinds: Kinds::all(KindState::Listed),
            ..Objects::default()
        },
        services: Some(BTreeSet::new()),
        ..Survey::default()
    };
    add_pool(
        &mut survey,
        "a",
        "prov",
        json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}),
    );
    add_claim(&mut survey, "c", "prov", Some("prov-10-0-0-1"));
    add_address(&mut survey, "prov-10-0-0-1", "10.0.0.1", "prov", "c");
    survey
}

fn add_pool(survey: &mut Survey, namespace: &str, name: &str, mut spec: Value) {
    spec["namePrefix"] = spec.get("namePrefix").cloned().unwrap_or(json!(name));
    let meta = meta(namespace, name, Some("ippool.ipam.metal3.io"));
    survey.objects.pools.push(PoolObject::read(wire(
        json!({"metadata": meta, "spec": spec}),
    )));
}

fn add_claim(survey: &mut Survey, name: &str, pool: &str, address: Option<&str>) {
    let meta = meta("a", name, Some("ipclaim.ipam.metal3.io"));
    let status = address.map_or(
        json!({}),
        |name| json!({"address": {"name": name, "namespace": "a"}}),
    );
    let claim = wire(json!({"metadata": meta, "spec": {"pool": {"name": pool}}, "status": status}));
    survey
        .objects
        .claims
        .push(Claim::read(ClaimKind::Metal3, claim));
}

fn add_address(survey: &mut Survey, name: &str, address: &str, pool: &str, claim: &str) {
    let mut meta = meta("a", name, Some("ipaddress.ipam.metal3.io"));
    meta["ownerReferences"] = json!([{"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "name": claim,
        "uid": format!("uid-a-{claim}")}]);
    let spec = json!({"address": address, "pool": {"name": pool}, "claim": {"name": claim}});
    let object = wire(json!({"metadata": meta, "spec": spec}));
    survey
        .objects
        .addresses
        .push(Address::read(ClaimKind::Metal3, object));
}

fn found(survey: &Survey) -> Vec<(Level, &'static str, String, String)> {
    let report = look(survey, None, now());
    let cells = |f: super::Finding| (f.level, f.check, f.object, f.message);
    report.findings.into_iter().map(cells).collect()
}

/// The one finding, of this check.
#[track_caller]
fn only(survey: &Survey, level: Level, check: &str) -> (String, String) {
    let mut found = found(survey);
    assert_eq!(found.len(), 1, "{found:?}");
    let (at, name, object, message) = found.remove(0);
    assert_eq!((at, name), (level, check), "{object}: {message}");
    (object, message)
}

#[test]
fn a_cluster_in_which_all_is_well() {
    let survey = survey();
    assert_eq!(found(&survey), []);
    let report = look(&survey, None, now());
    assert_eq!(report.exit_code(), 0);
    // What upstream left shows no counts, and its claims no conditions.
    let writes = &rehearsal::all(&survey.objects, None, now())[0].writes;
    let of_addresses = writes.keys().filter(|what| what.contains("address"));
    assert_eq!(of_addresses.count(), 0, "{writes:?}");
    let text = report.text(Form::Table).unwrap();
    assert!(
        text.starts_with(
            "Kubernetes v1.34.1: 1 IPPools, 0 IPAddressClaims, 1 IPClaims, 1 IPAddresses\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("\n0 block, 0 warn, 0 to note\n"), "{text}");
    let json: Value = serde_json::from_str(&report.text(Form::Json).unwrap()).unwrap();
    assert_eq!(json["findings"], json!([]));
    let yaml: Value = serde_saphyr::from_str(&report.text(Form::Yaml).unwrap()).unwrap();
    assert_eq!(json, yaml);
}

#[test]
fn duplicates_over_both_kinds_block() {
    let mut survey = survey();
    let meta = meta("a", "theirs", None);
    let spec = json!({"address": "10.0.0.1", "prefix": 24, "claimRef": {"name": "d"},
        "poolRef": {"name": "prov", "kind": "IPPool", "apiGroup": "ipam.metal3.io"}});
    let object = wire(json!({"metadata": meta, "spec": spec}));
    survey
        .objects
        .addresses
        .push(Address::read(ClaimKind::Capi, object));
    survey
        .objects
        .moved
        .insert((ClaimKind::Capi, "a".to_owned(), "theirs".to_owned()));
    let (object, message) = only(&survey, Level::Blocks, "DuplicateAddress");
    assert_eq!(object, "IPPool a/prov");
    assert!(message.starts_with("10.0.0.1 is held by "), "{message}");
    assert_eq!(look(&survey, None, now()).exit_code(), 1);
}

#[test]
fn leaks_are_told() {
    let mut survey = survey();
    add_address(&mut survey, "prov-10-0-0-2", "10.0.0.2", "prov", "gone");
    let (_, message) = only(&survey, Level::Warns, "Leak");
    assert!(message.contains("gone"), "{message}");
    assert_eq!(look(&survey, None, now()).exit_code(), 0);
}

#[test]
fn pools_that_meet_are_told_once_over_all_namespaces() {
    let mut survey = survey();
    add_pool(
        &mut survey,
        "b",
        "other",
        json!({"pools": [{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.0/28"}]}),
    );
    add_pool(
        &mut survey,
        "b",
        "six",
        json!({"pools": [{"subnet": "fd00::/64"}]}),
    );
    let (object, message) = only(&survey, Level::Warns, "OverlappingPools");
    assert_eq!(object, "IPPool a/prov");
    assert_eq!(
        message,
        "has addresses in common with IPPool b/other, such as 10.0.0.1"
    );
}

#[test]
fn names_that_two_pools_would_give_are_told() {
    let mut survey = survey();
    let spec = json!({"namePrefix": "prov", "pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]});
    add_pool(&mut survey, "a", "twin", spec);
    let checks: Vec<_> = found(&survey).iter().map(|f| f.1).collect();
    assert_eq!(checks, ["NameCollision", "OverlappingPools"]);
}

#[test]
fn promises_that_others_hold_and_gateways_that_are_held_are_told() {
    let mut survey = survey();
    survey.objects.pools.clear();
    let entry = json!({"start": "10.0.0.1", "end": "10.0.0.9", "gateway": "10.0.0.2"});
    add_pool(
        &mut survey,
        "a",
        "prov",
        json!({"pools": [entry], "preAllocations": {"later": "10.0.0.1", "c": "10.0.0.3"}}),
    );
    let (_, message) = only(&survey, Level::Warns, "PreAllocationHeld");
    assert!(
        message.contains(r#"promises 10.0.0.1 to the claim "later""#),
        "{message}"
    );
    add_claim(&mut survey, "g", "prov", Some("prov-10-0-0-2"));
    add_address(&mut survey, "prov-10-0-0-2", "10.0.0.2", "prov", "g");
    let checks: Vec<_> = found(&survey).iter().map(|f| f.1).collect();
    assert_eq!(checks, ["GatewayHeld", "PreAllocationHeld"]);
}

#[test]
fn what_a_move_leaves_behind_is_told() {
    let mut survey = survey();
    add_address(&mut survey, "by-hand", "10.0.0.5", "prov", "router");
    survey.objects.addresses[1].meta.finalizers.clear();
    let (object, _) = only(&survey, Level::Notes, "ExternalAddress");
    assert_eq!(object, "IPAddress.ipam.metal3.io a/by-hand");
    survey
        .objects
        .moved
        .insert((ClaimKind::Metal3, "a".to_owned(), "by-hand".to_owned()));
    assert_eq!(found(&survey), []);
}

#[test]
fn an_address_object_without_its_owner_is_one_that_a_move_leaves_behind() {
    let mut survey = survey();
    survey.objects.addresses[0].meta.owner_references.clear();
    let (object, message) = only(&survey, Level::Warns, "NoOwner");
    assert_eq!(object, "IPAddress.ipam.metal3.io a/prov-10-0-0-1");
    assert!(message.contains(r#"to its claim "c""#), "{message}");
    let key = (ClaimKind::Metal3, "a".to_owned(), object);
    survey.objects.moved.insert(key);
    only(&survey, Level::Warns, "NoOwner");
    let key = (
        ClaimKind::Metal3,
        "a".to_owned(),
        "prov-10-0-0-1".to_owned(),
    );
    survey.objects.moved.insert(key);
    assert_eq!(found(&survey), []);
}

#[test]
fn what_would_wait_and_what_would_be_served_is_told() {
    let mut survey = survey();
    add_claim(&mut survey, "new", "prov", None);
    add_claim(&mut survey, "lost", "no-such-pool", None);
    let (object, message) = only(&survey, Level::Notes, "WaitingClaims");
    assert_eq!(
        (object.as_str(), message.as_str()),
        ("IPPool a/no-such-pool", "1 claims would wait: PoolNotFound")
    );
    let writes: u64 = rehearsal::all(&survey.objects, None, now())
        .iter()
        .filter_map(|r| r.writes.get("new address objects"))
        .sum();
    assert_eq!(writes, 1);
}

#[test]
fn a_spec_that_admission_refuses_blocks() {
    let mut survey = survey();
    add_pool(
        &mut survey,
        "a",
        "bad",
        json!({"pools": [{"start": "10.9.0.9", "end": "10.9.0.1"}]}),
    );
    let (object, message) = only(&survey, Level::Blocks, "InvalidSpec");
    assert_eq!(object, "IPPool a/bad");
    assert!(message.contains("spec.pools[0].end"), "{message}");
}

#[test]
fn a_pool_that_outgrows_its_status_is_told() {
    let mut survey = survey();
    survey.objects.pools.clear();
    add_pool(
        &mut survey,
        "a",
        "prov",
        json!({"pools": [{"subnet": "10.0.0.0/16"}]}),
    );
    for n in 2..=4097_u32 {
        let (name, claim) = (
            format!("prov-10-0-{}-{}", n / 256, n % 256),
            format!("c{n}"),
        );
        let address = format!("10.0.{}.{}", n / 256, n % 256);
        add_claim(&mut survey, &claim, "prov", Some(&name));
        add_address(&mut survey, &name, &address, "prov", &claim);
    }
    only(&survey, Level::Notes, "LargePool");
}

#[test]
fn a_pool_whose_claims_have_long_names_outgrows_its_status_sooner() {
    let mut survey = survey();
    survey.objects.pools.clear();
    add_pool(
        &mut survey,
        "a",
        "prov",
        json!({"pools": [{"subnet": "10.0.0.0/16"}]}),
    );
    for n in 2..=1100_u32 {
        let (name, claim) = (
            format!("prov-10-0-{}-{}", n / 256, n % 256),
            format!("{}{n}", "c".repeat(240)),
        );
        let address = format!("10.0.{}.{}", n / 256, n % 256);
        add_claim(&mut survey, &claim, "prov", Some(&name));
        add_address(&mut survey, &name, &address, "prov", &claim);
    }
    only(&survey, Level::Notes, "LargePool");
}

#[test]
fn upstream_blocks_unless_it_elects() {
    let deployment = |args: Value, replicas: Value| {
        json!({"metadata": {"namespace": "capm3-system", "name": "ipam-controller-manager"}, "spec": {"replicas": replicas,
            "template": {"spec": {"containers": [{"name": "manager", "args": args,
                "image": "quay.io/metal3-io/ip-address-manager:v1.9.0"}]}}}})
    };
    let mut survey = survey();
    survey.deployments = vec![deployment(json!(["--webhook-port=9443"]), json!(1))];
    let (object, _) = only(&survey, Level::Blocks, "UpstreamRuns");
    assert_eq!(object, "Deployment capm3-system/ipam-controller-manager");
    let elects: [&[&str]; 4] = [
        &["--leader-elect"],
        &["--enable-leader-election=T"],
        &["--leader-elect=false", "--v=2", "--leader-elect=1"],
        &["--leader-elect=0", "--enable-leader-election"],
    ];
    for flags in elects {
        survey.deployments = vec![deployment(json!(flags), Value::Null)];
        only(&survey, Level::Warns, "UpstreamRuns");
    }
    // What a JSON patch of kustomize appends counts.
    let does_not: [&[&str]; 3] = [
        &["--leader-elect", "--leader-elect=false"],
        &["--leader-elect=yes"],
        &["--leader-elect-lease-duration=15s"],
    ];
    for flags in does_not {
        survey.deployments = vec![deployment(json!(flags), Value::Null)];
        only(&survey, Level::Blocks, "UpstreamRuns");
    }
    survey.deployments = vec![deployment(json!(["--leader-elect"]), Value::Null)];
    // Both at once: each asks for something else, and the worse comes first.
    survey
        .deployments
        .insert(0, deployment(json!([]), json!(1)));
    let text = look(&survey, None, now()).text(Form::Table).unwrap();
    let (_, actions) = text.split_once("What to do").unwrap();
    let lines: Vec<&str> = actions.lines().skip(1).take(2).collect();
    assert!(
        lines[0].contains("to 0 replicas") && lines[1].contains("replace it in place"),
        "{actions}"
    );
    survey.deployments = vec![deployment(json!([]), json!(0))];
    assert_eq!(found(&survey), []);
}

#[test]
fn a_record_of_clusterctl_is_told_unless_clusterctl_has_installed_ours() {
    let mut survey = survey();
    survey.providers = vec![
        json!({"metadata": {"namespace": "metal3-ipam-system", "name": "ipam-metal3"}, "version": "v1.13.2",
        "type": "IPAMProvider", "providerName": "metal3"}),
    ];
    let (object, message) = only(&survey, Level::Warns, "ClusterctlOwns");
    assert_eq!(object, "Provider metal3-ipam-system/ipam-metal3");
    assert!(message.contains("has installed v1.13.2"), "{message}");
    let deployment = |namespace: &str, labels: Value, image: &str| {
        let meta =
            json!({"namespace": namespace, "name": "ipam-controller-manager", "labels": labels});
        json!({"metadata": meta, "spec": {"replicas": 0, "template": {"spec": {"containers": [{"image": image}]}}}})
    };
    let (ours, theirs) = (
        "ghcr.io/metal3-ipam/metal3-ipam:v0.1.0",
        "quay.io/metal3-io/ip-address-manager:v1.13.2",
    );
    let installed = json!({"clusterctl.cluster.x-k8s.io": ""});
    let mut found_with = |namespace: &str, labels: &Value, image: &str| {
        survey.deployments = vec![deployment(namespace, labels.clone(), image)];
        found(&survey).len()
    };
    assert_eq!(found_with("metal3-ipam-system", &installed, theirs), 1);
    assert_eq!(found_with("metal3-ipam-system", &json!({}), ours), 1);
    assert_eq!(found_with("elsewhere", &installed, ours), 1);
    assert_eq!(found_with("metal3-ipam-system", &installed, ours), 0);
}

#[test]
fn a_lease_that_is_held_is_told() {
    let mut survey = survey();
    let lease = |ago: i64| {
        json!({"metadata": {"namespace": "n", "name": "controller-leader-election-ipam-capm3"}, "spec": {
            "holderIdentity": "x_1", "leaseDurationSeconds": 15, "renewTime": (now() - SignedDuration::from_secs(ago)).to_string()}})
    };
    survey.leases = vec![lease(3)];
    only(&survey, Level::Notes, "LeaseHeld");
    survey.leases = vec![lease(300)];
    assert_eq!(found(&survey), []);
}

#[test]
fn webhooks_and_conversions_without_a_service_block() {
    let service = json!({"service": {"namespace": "capm3-system", "name": "ipam-webhook-service"}});
    let webhook = |policy: &str, group: &str| {
        json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "w"}, "webhooks": [{"name": "v",
            "failurePolicy": policy, "clientConfig": service, "rules": [{"apiGroups": [group]}]}]})
    };
    let mut survey = survey();
    survey.webhooks = vec![webhook("Fail", "ipam.metal3.io"), webhook("Fail", "apps")];
    only(&survey, Level::Blocks, "WebhookWithoutService");
    survey.webhooks = vec![webhook("Ignore", "ipam.metal3.io")];
    only(&survey, Level::Warns, "WebhookWithoutService");
    let text = look(&survey, None, now()).text(Form::Table).unwrap();
    assert!(
        text.contains("apply again what you installed") && !text.contains("deploy/"),
        "{text}"
    );
    survey.services = None;
    assert_eq!(found(&survey), [], "Services could not be read");
    let name = "capm3-system/ipam-webhook-service".to_owned();
    survey.services = Some([name].into());
    assert_eq!(found(&survey), []);
    let definition = |versions: Value| {
        json!({"metadata": {"name": "ippools.ipam.metal3.io"}, "spec": {"group": "ipam.metal3.io", "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": service}}}})
    };
    survey.definitions = vec![definition(
        json!([{"name": "v1alpha1"}, {"name": "v1beta1"}]),
    )];
    let (_, message) = only(&survey, Level::Blocks, "Conversion");
    assert!(
        message.contains("capm3-system/ipam-webhook-service"),
        "{message}"
    );
    survey.definitions = vec![definition(json!([{"name": "v1alpha1"}]))];
    only(&survey, Level::Notes, "Conversion");
}

#[test]
fn versions_and_rights_are_checked() {
    let mut survey = survey();
    survey.version = "v1.30.9".to_owned();
    only(&survey, Level::Blocks, "KubernetesVersion");
    survey.version = "v1.31.0-eks-1".to_owned();
    assert_eq!(found(&survey), []);
    survey.definitions = vec![
        json!({"metadata": {"name": "ipaddressclaims.ipam.cluster.x-k8s.io"}, "spec": {
        "group": "ipam.cluster.x-k8s.io", "versions": [{"name": "v1alpha1", "served": true}]}}),
    ];
    only(&survey, Level::Blocks, "ClusterApiVersion");
    survey.definitions.clear();
    survey.account.1 = Some(vec![(
        Level::Blocks,
        "patch ippools of ipam.metal3.io".to_owned(),
    )]);
    only(&survey, Level::Blocks, "MissingRights");
    // A part of deploy/ alone would break an installation in another namespace.
    let text = look(&survey, None, now()).text(Form::Table).unwrap();
    assert!(
        text.contains("apply again what you installed") && !text.contains("deploy/"),
        "{text}"
    );
    // Before it is installed there is no account to ask for.
    survey.account.1 = None;
    assert_eq!(found(&survey), []);
    let lists_leases = |within| {
        let rights = super::rights::rights("own", within, &[]).unwrap();
        assert!(rights.len() > 20);
        let mut rights = rights.iter().map(ToString::to_string);
        rights.any(|right| right.starts_with("list leases"))
    };
    // Only a manager of all namespaces looks for another leader elsewhere; a Role does not grant that.
    assert!(lists_leases(None));
    assert!(!lists_leases(Some("metal3-ipam-system")));
}

#[test]
fn docs_install_md_names_the_versions_that_preflight_accepts() {
    let page = include_str!("../../../docs/install.md");
    let oldest = format!("Kubernetes 1.{} or later", super::environment::OLDEST_MINOR);
    assert!(page.contains(&oldest), "no {oldest:?} in docs/install.md");
    for version in Kind::Claims(ClaimKind::Capi).versions() {
        let name = format!("`{version}`");
        assert!(page.contains(&name), "no {name} in docs/install.md");
        let mut survey = survey();
        survey.definitions = vec![
            json!({"metadata": {"name": "ipaddressclaims.ipam.cluster.x-k8s.io"}, "spec": {
            "group": "ipam.cluster.x-k8s.io", "versions": [{"name": version, "served": true}]}}),
        ];
        assert_eq!(found(&survey), []);
    }
}

#[test]
fn with_a_watch_filter_only_what_the_manager_would_serve_is_judged() {
    let label = |meta: &mut crate::api::Meta| {
        let (key, value) = (names::WATCH_FILTER_LABEL, "blue");
        meta.labels.insert(key.to_owned(), value.to_owned());
    };
    let found = |survey: &Survey| -> Vec<_> {
        let report = look(survey, Some("blue"), now());
        let cells = |f: super::Finding| (f.level, f.check, f.object, f.message);
        report.findings.into_iter().map(cells).collect()
    };
    // Trouble of every sort in a pool that lacks the label.
    let mut survey = survey();
    survey.objects.pools.clear();
    let entry = json!({"start": "10.0.0.9", "end": "10.0.0.1", "gateway": "10.0.0.1"});
    let spec = json!({"pools": [entry], "preAllocations": {"later": "10.0.0.1"}});
    add_pool(&mut survey, "a", "prov", spec);
    add_address(&mut survey, "by-hand", "10.0.0.5", "prov", "router");
    survey.objects.addresses[1].meta.finalizers.clear();
    add_address(&mut survey, "leak", "10.0.0.6", "prov", "gone");
    add_address(&mut survey, "twin", "10.0.0.1", "prov", "c2");
    let twin = json!({"pools": [{"subnet": "10.0.0.0/28"}], "namePrefix": "prov"});
    add_pool(&mut survey, "a", "twin", twin);
    let not_served = |pool: &str, message: &str| {
        (
            Level::Notes,
            "NotServed",
            format!("IPPool a/{pool}"),
            message.to_owned(),
        )
    };
    let text = "lacks the label cluster.x-k8s.io/watch-filter=blue: the manager leaves it and its";
    let wanted = [
        not_served("prov", &format!("{text} 1 claims alone")),
        not_served("twin", &format!("{text} 0 claims alone")),
    ];
    assert_eq!(found(&survey), wanted);
    assert!(
        rehearsal::all(&survey.objects, Some("blue"), now())
            .iter()
            .all(|r| r.writes.is_empty())
    );
    // The empty text means no filter, as for the manager.
    assert!(look(&survey, Some(""), now()).findings.len() > 5);

    // Its claim carries the label and the pool does not.
    label(&mut survey.objects.claims[0].meta);
    let (level, check, _, message) = found(&survey).remove(0);
    assert_eq!((level, check), (Level::Warns, "NotServed"));
    assert!(message.contains("which 1 of its claims carry"), "{message}");

    // The pool that it overlaps with is served: what that pool meets counts, and names of others stand in its way.
    label(&mut survey.objects.pools[1].meta);
    let checks: Vec<_> = found(&survey).iter().map(|f| f.1).collect();
    assert_eq!(checks, ["NameCollision", "NotServed"]);

    // A served pool with a claim of another manager, whose address stays held.
    let mut survey = self::survey();
    label(&mut survey.objects.pools[0].meta);
    add_claim(&mut survey, "new", "prov", None);
    let text = "2 of its claims lack the label cluster.x-k8s.io/watch-filter=blue: the manager leaves them alone and keeps their addresses held";
    assert_eq!(found(&survey), [not_served("prov", text)]);
    let first = &rehearsal::all(&survey.objects, Some("blue"), now())[0];
    assert!(
        !first.writes.contains_key("new address objects"),
        "{:?}",
        first.writes
    );
    assert_eq!(first.snapshot.allocated, 1);

    // Paused claims name a pool that does not exist. The report counts those that the manager serves.
    for name in ["mine", "theirs"] {
        add_claim(&mut survey, name, "missing", None);
        let meta = &mut survey.objects.claims.last_mut().unwrap().meta;
        let paused = names::PAUSED_ANNOTATION.to_owned();
        meta.annotations.insert(paused, String::new());
        if name == "mine" {
            label(meta);
        }
    }
    let found = found(&survey);
    let told = |message: &str| found.iter().any(|f| f.3 == message);
    assert!(told("1 claims would wait: Paused"), "{found:?}");
}

#[test]
fn what_could_not_be_read_is_told_and_ends_with_2() {
    let mut survey = survey();
    survey.unread.push("Leases: forbidden".to_owned());
    survey
        .objects
        .strange
        .push(("IPClaim a/odd".to_owned(), "invalid type".to_owned()));
    only(&survey, Level::Blocks, "Unreadable");
    let report: Report = look(&survey, None, now());
    assert_eq!(report.exit_code(), 2);
    let text = report.text(Form::Table).unwrap();
    assert!(
        text.contains("Not read, so that more may stand in the way\n  Leases: forbidden\n"),
        "{text}"
    );
}
