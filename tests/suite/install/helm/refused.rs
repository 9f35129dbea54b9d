//! Wrong values.

use super::super::chart;
use super::{CASES, Helm, RELEASE};
use crate::tally;

/// Values, and what Helm says of them.
const WRONG: [(&[&str], &str); 30] = [
    (
        &["replicas=two"],
        "at '/replicas': got string, want integer",
    ),
    (&["replicas=-1"], "at '/replicas': minimum: got -1, want 0"),
    (
        &["webhok.mode=none"],
        "additional properties 'webhok' not allowed",
    ),
    (
        &["webhook.mode=self"],
        "at '/webhook/mode': value must be one of 'selfSigned', 'certManager', 'none'",
    ),
    (&["image.tag=1"], "at '/image/tag': got number, want string"),
    (
        &["image.digest=sha256:1"],
        "at '/image/digest': 'sha256:1' does not match pattern",
    ),
    (
        &["image.pullPolicy=Sometimes"],
        "at '/image/pullPolicy': value must be one of",
    ),
    (
        &["namespaces={A_b}"],
        "at '/namespaces/0': 'A_b' does not match pattern",
    ),
    (
        &["namespaces=team-a"],
        "at '/namespaces': got string, want array",
    ),
    (
        &["watchFilter=a b"],
        "at '/watchFilter': 'a b' does not match pattern",
    ),
    (
        &["monitoring.alerts.disabled={Nope}"],
        "at '/monitoring/alerts/disabled/0': value must be one of 'PoolExhausted'",
    ),
    (
        &["monitoring.alerts.runbookUrl=wiki/ipam"],
        "at '/monitoring/alerts/runbookUrl': 'wiki/ipam' does not match pattern",
    ),
    (
        &["monitoring.alerts.poolNearlyFull.warningPercent=101"],
        "warningPercent': maximum: got 101, want 100",
    ),
    (
        &["extraArgs={namespace=a}"],
        "at '/extraArgs/0': 'namespace=a' does not match pattern",
    ),
    (
        &["podDisruptionBudget.maxUnavailable=all"],
        "maxUnavailable': 'all' does not match pattern",
    ),
    (
        &["resources.limit.cpu=1"],
        "at '/resources': additional properties 'limit' not allowed",
    ),
    (
        &["guard.enabled=perhaps"],
        "at '/guard/enabled': got string, want boolean",
    ),
    (
        &["networkPolicy.metricsFrom[0].pods=1"],
        "at '/networkPolicy/metricsFrom/0': additional properties 'pods' not allowed",
    ),
    (
        &["namespaces={a,b}", "webhook.mode=none"],
        "namespaces: a manager serves one namespace or all; install one release for each namespace",
    ),
    (&["namespaces={a}"], "set webhook.mode=none"),
    (
        &[
            "namespaces={a}",
            "webhook.mode=none",
            "monitoring.enabled=true",
        ],
        "let Prometheus in with networkPolicy.metricsFrom",
    ),
    (
        &["metricsPort=0"],
        "at '/metricsPort': minimum: got 0, want 1",
    ),
    (
        &["extraArgs={--diagnostics-address=:9090}"],
        "extraArgs: --diagnostics-address=:9090: the container's port and the NetworkPolicy are of port 8443; set metricsPort",
    ),
    (
        &[
            "extraArgs={--diagnostics-address=:8443}",
            "metricsPort=9090",
        ],
        "are of port 9090; set metricsPort",
    ),
    (
        &["extraArgs={--health-addr=:9090}"],
        "extraArgs: --health-addr belongs to other objects of the chart too",
    ),
    (&["extraArgs={--webhook-port=0}"], "set webhook.mode"),
    (&["extraArgs={--namespace=a}"], "set namespaces"),
    (
        &["extraArgs={--leader-elect-lease-name=other}"],
        "the role names the lease controller-leader-election-ipam-capm3",
    ),
    (
        &["extraArgs={--leader-elect-namespace=other}"],
        "the role is of the release's namespace",
    ),
    (&["extraArgs={--watch-filter=a}"], "set watchFilter"),
];

#[tokio::test]
async fn the_chart_is_linted_and_refuses_wrong_values() {
    let Some(helm) = Helm::new("the_chart_is_linted_and_refuses_wrong_values").await else {
        return;
    };
    for case in CASES {
        let said = helm.run(&["lint", "--strict"], case, &[]);
        assert!(!said.contains("WARNING"), "{}: {said}", case.what);
    }
    let folder = chart("");
    let render = ["template", RELEASE, folder.to_str().unwrap()];
    for (set, want) in WRONG {
        let mut args = render.to_vec();
        args.extend(set.iter().flat_map(|value| ["--set", value]));
        let said = helm.tries(&args).expect_err(&format!("{set:?} is wrong"));
        assert!(said.contains(want), "{set:?}: {said}");
    }
    let old = [
        &render[..],
        &[
            "--kube-version=1.35.0",
            "--set=claimFinalizers.enabled=true",
        ],
    ]
    .concat();
    let said = helm.tries(&old).unwrap_err();
    assert!(said.contains("needs Kubernetes 1.36 or later"), "{said}");
    tally::add(
        "renderings of the Helm chart",
        CASES.len() as u64 + WRONG.len() as u64 + 1,
    );
}
