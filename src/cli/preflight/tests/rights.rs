//! The rights that preflight asks for, by the flags of the manager's Deployments.

use serde_json::{Value, json};

use super::super::{Level, rights};
use super::{only, survey};

#[test]
fn rights_are_asked_for_that_the_flags_of_the_deployment_need() {
    let deployment = |args: Value, image: &str| {
        let namespace = json!({"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}});
        let container =
            json!({"name": "manager", "image": image, "args": args, "env": [namespace]});
        let pod =
            json!({"serviceAccountName": "ipam-manager", "containers": [{"args": []}, container]});
        json!({"metadata": {"namespace": "own", "name": "ipam-controller-manager"}, "spec": {"template": {"spec": pod}}})
    };
    let asked = |deployments: &[Value], account: &str| {
        let (managers, untold) = rights::managers(deployments, ("own", account));
        let rights = rights::rights("own", None, &managers).unwrap();
        if let Some(why) = untold.into_iter().next() {
            return Err(why);
        }
        Ok(rights)
    };
    let of = |args: Value| asked(&[deployment(args, "metal3-ipam")], "ipam-manager").unwrap();
    let texts = |rights: &[rights::Right], of: &[&str]| {
        let of_them = rights.iter().filter(|right| of.contains(&&*right.resource));
        let text = |right: &rights::Right| {
            let namespace = right.namespace.as_deref().unwrap_or("-");
            format!(
                "{namespace}: {} {} {}",
                right.verb, right.resource, right.name
            )
        };
        of_them.map(text).collect::<Vec<_>>()
    };
    let reviews = |rights: &[rights::Right]| {
        let reviews = rights
            .iter()
            .filter(|right| right.resource.contains("review"));
        reviews.map(|right| right.level).collect::<Vec<_>>()
    };
    let plain = of(json!([]));
    assert_eq!(reviews(&plain), [Level::Warns; 2], "diagnostics are on");
    let own_lease = |name: &str| {
        let verbs = ["get", "watch", "update"].map(|verb| format!("own: {verb} leases {name}"));
        [vec!["own: create leases ".to_owned()], verbs.to_vec()].concat()
    };
    let name = "controller-leader-election-ipam-capm3";
    let of_all = [format!("-: list leases {name}")].into_iter();
    let expected: Vec<_> = of_all.chain(own_lease(name)).collect();
    assert_eq!(texts(&plain, &["leases"]), expected);
    // A second manager serves the objects of one label and has its own lease.
    let part = json!(["--leader-elect-lease-name=blue", "--watch-filter=blue"]);
    assert_eq!(texts(&of(part.clone()), &["leases"]), own_lease("blue"));
    let both = [
        deployment(json!([]), "metal3-ipam"),
        deployment(part, "metal3-ipam"),
    ];
    let both = asked(&both, "ipam-manager").unwrap();
    let all: Vec<_> = expected
        .into_iter()
        .chain(own_lease("blue").split_off(1))
        .collect();
    assert_eq!(texts(&both, &["leases"]), all);
    // A manager of one namespace without leases.
    let one = of(json!([
        "--namespace=$(POD_NAMESPACE)",
        "--leader-elect=false",
        "--insecure-diagnostics=true"
    ]));
    assert_eq!(texts(&one, &["leases"]), Vec::<String>::new());
    assert_eq!(reviews(&one), []);
    assert!(
        one.iter()
            .all(|right| right.namespace.as_deref() == Some("own")),
        "{one:?}"
    );

    let of_webhook = [
        "secrets",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    ];
    let signed = [
        "--webhook-self-signed=true",
        "--webhook-validating=x",
        "--diagnostics-address=0",
    ];
    let rights = of(json!(signed));
    assert_eq!(
        texts(&rights, &of_webhook),
        [
            "own: create secrets ",
            "own: get secrets webhook-own-certificate",
            "own: update secrets webhook-own-certificate",
            "-: get validatingwebhookconfigurations x",
            "-: patch validatingwebhookconfigurations x",
            "-: get mutatingwebhookconfigurations mutating-webhook-configuration",
            "-: patch mutatingwebhookconfigurations mutating-webhook-configuration",
        ]
    );
    assert!(rights.iter().all(|right| right.level == Level::Blocks));
    let none = json!([signed[0], "--webhook-port=0"]);
    assert_eq!(texts(&of(none), &of_webhook), Vec::<String>::new());
    // Those of another account and upstream's manager say nothing; flags that are none of ours are an error.
    let other = |image: &str, account: &str| {
        let rights = asked(&[deployment(json!(signed), image)], account).unwrap();
        texts(&rights, &of_webhook)
    };
    assert_eq!(other("metal3-ipam", "another"), Vec::<String>::new());
    assert_eq!(
        other("quay.io/metal3-io/ip-address-manager:v1.12", "ipam-manager"),
        Vec::<String>::new()
    );
    let strange = asked(
        &[deployment(json!(["--strange"]), "metal3-ipam")],
        "ipam-manager",
    );
    let why = strange.unwrap_err();
    let deployed = "the flags of the Deployment own/ipam-controller-manager: ";
    let why = why.strip_prefix(deployed).unwrap();
    assert!(why.starts_with("error: unexpected argument"), "{why}");
    // As the image's own command line has it, and as the kubelet reads it.
    let one = json!([
        "manager",
        "--namespace=$(POD_NAMESPACE)",
        "--watch-filter=$$(A)"
    ]);
    let one = of(one);
    let reviews = |right: &rights::Right| right.resource.contains("review");
    assert!(
        one.iter()
            .all(|right| right.namespace.is_some() || reviews(right)),
        "{one:?}"
    );
    let mut elsewhere = deployment(json!(["--namespace=$(PLACE)"]), "metal3-ipam");
    let variable =
        json!({"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}});
    elsewhere["spec"]["template"]["spec"]["containers"][1]["env"] = json!([variable]);
    let why = asked(&[elsewhere], "ipam-manager").unwrap_err();
    assert!(
        why.ends_with("names the variable PLACE, whose value is not in the Deployment"),
        "{why}"
    );
    // A sidecar of upstream's, and a tool of somebody else.
    let mut upstream = deployment(json!(signed), "quay.io/metal3-io/ip-address-manager");
    let containers = upstream["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap();
    containers.push(json!({"name": "kube-rbac-proxy", "image": "proxy", "args": ["--strange"]}));
    let mut tool = deployment(json!([]), "tool");
    tool["spec"]["template"]["spec"]["containers"] = json!([{"name": "tool", "image": "tool"}]);
    assert_eq!(
        texts(
            &asked(&[upstream, tool], "ipam-manager").unwrap(),
            &of_webhook
        ),
        Vec::<String>::new()
    );

    let mut survey = survey();
    survey.account.1 = Some(vec![(Level::Warns, "create tokenreviews".to_owned())]);
    only(&survey, Level::Warns, "MissingRights");
}
