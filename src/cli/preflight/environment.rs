//! What stands around the pools: another manager, webhooks, definitions, versions, rights.

use jiff::Timestamp;
use serde_json::Value;

use super::super::objects::object_name;
use super::super::{flags, leases};
use super::read::Survey;
use super::{Finding, Level};
use crate::api::Kind;
use crate::api::{ClaimKind, names};
use crate::pool::KindState;

/// Of the manager, as `deploy/` names it.
pub(super) const SERVICE_ACCOUNT: &str = "metal3-ipam-system/ipam-manager";
/// Name of the Deployment, ours and upstream's.
const DEPLOYMENT: &str = "ipam-controller-manager";
/// clusterctl gives it to each object that it installs.
const CLUSTERCTL_LABEL: &str = "clusterctl.cluster.x-k8s.io";
/// The oldest minor version of Kubernetes 1 that takes the definitions.
pub(super) const OLDEST_MINOR: u32 = 31;

pub(super) fn findings(survey: &Survey, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(kubernetes(survey));
    findings.extend(definitions(survey));
    findings.extend(survey.deployments.iter().filter_map(upstream));
    let records = survey.providers.iter();
    findings.extend(records.filter_map(|record| recorded(survey, record)));
    findings.extend(survey.leases.iter().filter_map(|lease| held(lease, now)));
    findings.extend(webhooks(survey));
    findings.extend(lacking(survey));
    findings
}

/// Whether the server is new enough.
fn kubernetes(survey: &Survey) -> Option<Finding> {
    let version = &survey.version;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (
        parts.next()?.parse::<u32>().ok()?,
        parts.next()?.parse::<u32>().ok()?,
    );
    ((major, minor) < (1, OLDEST_MINOR)).then(|| {
        let text = format!("Kubernetes {version} does not take the definitions, whose rules ask whether a text is an IP address");
        let action = format!("upgrade to Kubernetes 1.{OLDEST_MINOR} or later");
        Finding::new(Level::Blocks, "KubernetesVersion", "the API server", text, action)
    })
}

fn definitions(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    if survey.objects.kinds[Kind::Pools] == KindState::Absent {
        let text = "there is no IPPool of ipam.metal3.io/v1alpha1";
        let action = "kubectl apply -k deploy/default installs it, or: metal3-ipam crds | kubectl apply -f -";
        findings.push(Finding::new(
            Level::Notes,
            "Definitions",
            "ippools.ipam.metal3.io",
            text,
            action,
        ));
    }
    for crd in &survey.definitions {
        let object = object_name("CustomResourceDefinition", crd);
        let service = &crd["spec"]["conversion"]["webhook"]["clientConfig"]["service"];
        let group = crd["spec"]["group"].as_str().unwrap_or_default();
        if crd["spec"]["conversion"]["strategy"] == "Webhook" && group == names::METAL3_GROUP {
            let service = address(service);
            let versions = crd["spec"]["versions"].as_array().map_or(0, Vec::len);
            let (level, effect, action) = if versions > 1 {
                (
                    Level::Blocks,
                    "which metal3-ipam does not have: what is stored in another version cannot be read",
                    "store every object in v1alpha1 and take the other versions out of the definition",
                )
            } else {
                (
                    Level::Notes,
                    "which nobody asks: there is one version",
                    "nothing, or take spec.conversion out of the definition",
                )
            };
            let text = format!("converts versions by the webhook at {service}, {effect}");
            findings.push(Finding::new(level, "Conversion", &object, text, action));
        }
        if group == names::CAPI_IPAM_GROUP {
            let versions = crd["spec"]["versions"].as_array();
            let served = versions
                .into_iter()
                .flatten()
                .filter(|v| v["served"] == true);
            let served: Vec<&str> = served.filter_map(|v| v["name"].as_str()).collect();
            let read = Kind::Claims(ClaimKind::Capi).versions();
            if !served.iter().any(|version| read.contains(version)) {
                let text = format!("serves {} only", served.join(", "));
                let read = read.join(" or ");
                let action = format!("upgrade Cluster API: the manager reads this kind as {read}");
                findings.push(Finding::new(
                    Level::Blocks,
                    "ClusterApiVersion",
                    &object,
                    text,
                    action,
                ));
            }
        }
    }
    findings
}

/// The container of upstream's manager in a Deployment.
fn container_of_upstream(deployment: &Value) -> Option<&Value> {
    let template = &deployment["spec"]["template"]["spec"];
    let containers = template["containers"].as_array()?;
    containers
        .iter()
        .find(|container| is_of_upstream(container))
}

pub(super) fn is_of_upstream(container: &Value) -> bool {
    let image = container["image"].as_str().unwrap_or_default();
    image.contains("ip-address-manager")
}

/// clusterctl's record of a provider that it has installed, unless it has installed this manager.
fn recorded(survey: &Survey, record: &Value) -> Option<Finding> {
    let namespace = &record["metadata"]["namespace"];
    let is_ours = |deployment: &Value| {
        let meta = &deployment["metadata"];
        let by_clusterctl = meta["labels"].get(CLUSTERCTL_LABEL).is_some();
        by_clusterctl
            && meta["namespace"] == *namespace
            && meta["name"] == DEPLOYMENT
            && container_of_upstream(deployment).is_none()
    };
    if survey.deployments.iter().any(is_ours) {
        return None;
    }
    let version = record["version"].as_str().unwrap_or_default();
    let text = format!(
        "says that clusterctl has installed {version}: clusterctl upgrade apply would install a later version over metal3-ipam, and both would hand out addresses"
    );
    let action =
        "delete this object once metal3-ipam is installed by other means (docs/migration.md)";
    let object = object_name("Provider", record);
    Some(Finding::new(
        Level::Warns,
        "ClusterctlOwns",
        object,
        text,
        action,
    ))
}

/// Upstream's manager, where it still runs.
fn upstream(deployment: &Value) -> Option<Finding> {
    let container = container_of_upstream(deployment)?;
    // Absent means one.
    if deployment["spec"]["replicas"] == 0 {
        return None;
    }
    let object = object_name("Deployment", deployment);
    let image = container["image"].as_str().unwrap_or_default();
    let flags = ["command", "args"].map(|field| container[field].as_array());
    let flags = flags.into_iter().flatten().flatten();
    Some(if elects(flags.filter_map(Value::as_str)) {
        let text = format!("runs {image} with leader election");
        let action = "replace it in place (docs/migration.md): the managers take turns by one Lease, in one namespace";
        Finding::new(Level::Warns, "UpstreamRuns", object, text, action)
    } else {
        let text = format!(
            "runs {image} without leader election: both managers would hand out addresses at one time"
        );
        let action = "scale it to 0 replicas first: kubectl scale --replicas=0";
        Finding::new(Level::Blocks, "UpstreamRuns", object, text, action)
    })
}

/// Whether a manager with these flags, of either name that upstream's releases have for it, elects a leader. As in Go, the last
/// one counts, with one dash or two. One that Go does not understand ends that manager, which then does nothing.
fn elects<'a>(flags: impl DoubleEndedIterator<Item = &'a str>) -> bool {
    let mut values = flags.rev().filter_map(|flag| {
        let flag = flag.strip_prefix("--")?;
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        ["leader-elect", "enable-leader-election"]
            .contains(&name)
            .then_some(value)
    });
    values
        .next()
        .is_some_and(|value| flags::boolean(value) == Ok(true))
}

/// The Lease of either manager, where it is held now.
fn held(lease: &Value, now: Timestamp) -> Option<Finding> {
    let holder = leases::holder(lease, now)?;
    let text = format!("is held by {holder}");
    let action = "a manager in this namespace waits until the holder ends; one in another namespace does not start, unless \
                  --namespace or --watch-filter narrows what it serves";
    Some(Finding::new(
        Level::Notes,
        "LeaseHeld",
        object_name("Lease", lease),
        text,
        action,
    ))
}

/// Webhooks for our kinds that lead to a Service that is not there; none where Services could not be read.
fn webhooks(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(services) = &survey.services else {
        return findings;
    };
    for configuration in &survey.webhooks {
        let kind = configuration["kind"].as_str().unwrap_or_default();
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            let rules = webhook["rules"].as_array();
            let groups = rules
                .into_iter()
                .flatten()
                .filter_map(|rule| rule["apiGroups"].as_array());
            let ours = groups.flatten().any(|group| group == names::METAL3_GROUP);
            let service = &webhook["clientConfig"]["service"];
            let address = address(service);
            if !ours || service.is_null() || services.contains(&address) {
                continue;
            }
            let name = webhook["name"].as_str().unwrap_or_default();
            let fails = webhook["failurePolicy"] != "Ignore";
            let (level, effect) = if fails {
                (
                    Level::Blocks,
                    "every write that it is asked about is refused",
                )
            } else {
                (Level::Warns, "it checks nothing")
            };
            let text = format!(
                "webhook {name} leads to the Service {address}, which does not exist: {effect}"
            );
            let action = "delete the configuration; if it is the manager's, apply again what you installed (docs/install.md#to-apply-it-again)";
            findings.push(Finding::new(
                level,
                "WebhookWithoutService",
                object_name(kind, configuration),
                text,
                action,
            ));
        }
    }
    findings
}

/// `namespace/name` of a Service reference.
fn address(service: &Value) -> String {
    let part = |field: &str| service[field].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}

/// What the manager may not do.
fn lacking(survey: &Survey) -> Vec<Finding> {
    let (name, lacking) = &survey.account;
    let lacking = lacking.as_deref().unwrap_or_default();
    let finding = |level| {
        let of_level = lacking.iter().filter(|(of, _)| *of == level);
        let rights: Vec<&str> = of_level.map(|(_, right)| right.as_str()).collect();
        let effect = match level {
            Level::Blocks => "",
            Level::Warns | Level::Notes => ": every scrape of its metrics is refused",
        };
        let text = format!("may not: {}{effect}", rights.join(", "));
        let action = "install the manager, or apply again what you installed (docs/install.md#to-apply-it-again): its roles give these rights, but for a Lease and a namespace that you named by flags, which need a Role of yours";
        let object = format!("ServiceAccount {name}");
        (!rights.is_empty()).then(|| Finding::new(level, "MissingRights", object, text, action))
    };
    [Level::Blocks, Level::Warns]
        .into_iter()
        .filter_map(finding)
        .collect()
}
