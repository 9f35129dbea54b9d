//! The chart as Helm renders and installs it. Helm is built from its Go module.
//!
//! ```text
//!   folders.rs    with its defaults the objects of `deploy/default`, with other values those of the other folders
//!   values.rs     each value reaches its object
//!   refused.rs    wrong values, and what Helm says of them
//!   installed.rs  on a real control plane: in the place of another manager, an upgrade and an end
//! ```

mod folders;
mod installed;
mod refused;
mod values;

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::chart;
use super::cluster::NAMESPACE;
use super::rendered::Rendered;
use crate::control_plane::{helm, say};
use crate::tally;

const RELEASE: &str = "metal3-ipam";

/// Helm, with folders for what it keeps.
struct Helm {
    program: PathBuf,
    dir: TempDir,
    kubeconfig: Option<PathBuf>,
}

/// What somebody installs.
struct Case {
    what: &'static str,
    release: &'static str,
    namespace: &'static str,
    set: &'static [&'static str],
}

const DEFAULTS: Case = Case {
    what: "defaults",
    release: RELEASE,
    namespace: NAMESPACE,
    set: &[],
};
const NAMESPACED: Case = Case {
    what: "one namespace",
    set: &["namespaces={metal3-ipam-system}", "webhook.mode=none"],
    ..DEFAULTS
};
const OBSERVED: Case = Case {
    what: "cert-manager, monitoring and dashboards",
    set: &[
        "webhook.mode=certManager",
        "monitoring.enabled=true",
        "dashboards.enabled=true",
    ],
    ..DEFAULTS
};
const GUARDED: Case = Case {
    what: "no webhook, the guard, the finalizers of claims and flow control",
    set: &[
        "webhook.mode=none",
        "guard.enabled=true",
        "claimFinalizers.enabled=true",
        "flowControl.enabled=true",
    ],
    ..DEFAULTS
};
const ELSEWHERE: Case = Case {
    what: "another namespace and name",
    release: "ipam",
    namespace: "elsewhere",
    set: &[
        "guard.enabled=true",
        "flowControl.enabled=true",
        "monitoring.enabled=true",
    ],
};
/// Values that the others leave at their defaults.
const CHANGED: Case = Case {
    what: "other values",
    set: &[
        "image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "image.pullSecrets={registry}",
        "replicas=3",
        "namespaces={team-a}",
        "watchFilter=blue",
        "crds.install=false",
        "webhook.mode=none",
        "guard.enabled=true",
        "guard.users={oidc:jane}",
        "guard.groups={admins,it's}",
        "claimFinalizers.enabled=true",
        "monitoring.enabled=true",
        "monitoring.labels.release=prometheus",
        "monitoring.alerts.disabled={AddressLeak,ClaimsWaiting}",
        "monitoring.alerts.runbookUrl=https://wiki.example.com/ipam/",
        "monitoring.alerts.poolNearlyFull.warningPercent=95",
        "monitoring.alerts.poolNearlyFull.warningAddresses=100",
        "monitoring.alerts.poolNearlyFull.criticalPercent=99",
        "monitoring.alerts.poolNearlyFull.criticalAddresses=1500",
        "dashboards.enabled=true",
        "dashboards.label=board",
        "resources.limits.cpu=1",
        "nodeSelector.disk=ssd",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=zone",
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists",
        "priorityClassName=high",
        "extraArgs={--in-flight=8}",
        "podDisruptionBudget.maxUnavailable=50%",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    ],
    ..DEFAULTS
};
/// A port is a key in the list of the container's: applied over the defaults by somebody else, both would stay.
const ANOTHER_PORT: Case = Case {
    what: "another port of the metrics",
    set: &[
        "metricsPort=9090",
        "extraArgs={--diagnostics-address=127.0.0.1:9090}",
    ],
    ..DEFAULTS
};
const CASES: [&Case; 6] = [
    &DEFAULTS,
    &NAMESPACED,
    &OBSERVED,
    &GUARDED,
    &ELSEWHERE,
    &CHANGED,
];

impl Helm {
    /// Says so where there is none.
    async fn new(test: &str) -> Option<Self> {
        let Some(program) = helm().await else {
            say(&format!("SKIPPED: no Go to build Helm with: {test}"));
            tally::add("tests of the Helm chart SKIPPED: no Go", 1);
            return None;
        };
        Some(Self {
            program,
            dir: tempfile::tempdir().unwrap(),
            kubeconfig: None,
        })
    }

    /// Standard output, or standard error where it fails.
    fn tries(&self, args: &[&str]) -> Result<String, String> {
        let folder = self.dir.path();
        let none = folder.join("none");
        let ended = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(&none))
            .env("HELM_CACHE_HOME", folder.join("cache"))
            .env("HELM_CONFIG_HOME", folder.join("config"))
            .env("HELM_DATA_HOME", folder.join("data"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .unwrap();
        if ended.status.success() {
            Ok(String::from_utf8(ended.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&ended.stderr).into_owned())
        }
    }

    /// Runs it on the chart; it must succeed.
    fn run(&self, command: &[&str], case: &Case, more: &[&str]) -> String {
        let folder = chart("");
        let mut args = command.to_vec();
        args.extend([folder.to_str().unwrap(), "--namespace", case.namespace]);
        args.extend(case.set.iter().flat_map(|value| ["--set", value]));
        args.extend(more);
        let said = self.tries(&args);
        said.unwrap_or_else(|e| panic!("{}: helm {args:?}: {e}", case.what))
    }

    fn render(&self, case: &Case) -> Rendered {
        tally::add("renderings of the Helm chart", 1);
        let text = self.run(&["template", case.release], case, &[]);
        let mut rendered = Rendered::read(&text);
        rendered.0.retain(|object| !object.is_null());
        rendered
    }
}

fn args(rendered: &Rendered) -> Vec<&str> {
    let container = &rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap().iter();
    args.map(|arg| arg.as_str().unwrap()).collect()
}
