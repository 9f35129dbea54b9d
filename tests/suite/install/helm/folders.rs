//! The chart renders what the folders of `deploy/` have.

use std::path::Path;

use serde_json::{Value, json};

use super::super::cluster::NAMESPACE;
use super::super::rendered::{Rendered, has_kubectl};
use super::{Case, DEFAULTS, ELSEWHERE, GUARDED, Helm, NAMESPACED, OBSERVED, args};

/// 128.0 becomes 128: kubectl writes numbers so, and they are equal.
fn shorten_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let short = number.as_f64().unwrap().to_string();
            *value = serde_json::from_str(&short).unwrap();
        }
        Value::Array(list) => list.iter_mut().for_each(shorten_numbers),
        Value::Object(fields) => fields.values_mut().for_each(shorten_numbers),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Objects in the order of their names, without the Namespace, which Helm makes, and what keeps the definitions.
fn comparable(rendered: Rendered) -> Vec<Value> {
    let mut objects = rendered.0;
    objects.retain(|object| object["kind"] != "Namespace");
    for object in &mut objects {
        shorten_numbers(object);
        if object["kind"] == "CustomResourceDefinition" {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
        }
    }
    let name = |object: &Value| {
        let of = |path| object.pointer(path).map(Value::to_string);
        [of("/kind"), of("/metadata/name")]
    };
    objects.sort_by_key(name);
    objects
}

fn assert_equal(chart: Rendered, folders: &[&str]) {
    let wanted = folders.iter().flat_map(|folder| Rendered::of(folder).0);
    let wanted = Rendered(wanted.collect());
    let (found, wanted) = (comparable(chart), comparable(wanted));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "not as in {folders:?}");
    }
    assert_eq!(found.len(), wanted.len(), "objects of {folders:?}");
}

#[tokio::test]
async fn the_chart_renders_the_objects_of_the_folders_of_deploy() {
    let name = "the_chart_renders_the_objects_of_the_folders_of_deploy";
    let Some(helm) = Helm::new(name).await else {
        return;
    };
    if !has_kubectl(name) {
        return;
    }
    let rendered = helm.render(&DEFAULTS);
    let definitions = rendered.of_kind("CustomResourceDefinition");
    assert_eq!(definitions.len(), 3);
    for definition in definitions {
        let want = json!({"helm.sh/resource-policy": "keep"});
        assert_eq!(definition["metadata"]["annotations"], want);
    }
    assert_equal(rendered, &["default"]);

    let mut observed = helm.render(&OBSERVED);
    let is_board = |object: &Value| object["kind"] == "ConfigMap";
    let boards: Vec<Value> = observed.0.iter().filter(|o| is_board(o)).cloned().collect();
    observed.0.retain(|object| !is_board(object));
    assert_equal(observed, &["cert-manager", "monitoring"]);
    for name in ["controller", "fleet", "pools"] {
        let called = format!("metal3-ipam-dashboard-{name}");
        let mut boards = boards.iter();
        let board = boards.find(|b| b["metadata"]["name"] == called).unwrap();
        assert_eq!(board["metadata"]["labels"]["grafana_dashboard"], "1");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dashboards/{name}.json"));
        let file = std::fs::read_to_string(file).unwrap();
        let want = json!({format!("metal3-ipam-{name}.json"): file});
        assert!(board["data"] == want, "{called} holds another text");
    }
    assert_eq!(boards.len(), 3);

    // The chart names the namespace, which the kustomization takes from the pod.
    let mut namespaced = helm.render(&NAMESPACED);
    let deployment = namespaced.0.iter_mut().find(|o| o["kind"] == "Deployment");
    let container = &mut deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][4], format!("--namespace={NAMESPACE}"));
    container["args"][4] = json!("--namespace=$(POD_NAMESPACE)");
    container["env"] = json!([{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]);
    assert_equal(namespaced, &["namespaced"]);

    let mut guarded = helm.render(&GUARDED);
    assert!(args(&guarded).contains(&"--webhook-port=0"));
    guarded.0.retain(|object| {
        let kind = object["kind"].as_str().unwrap();
        ["AdmissionPolicy", "Webhook", "FlowSchema", "PriorityLevel"]
            .iter()
            .any(|part| kind.contains(part))
    });
    assert_equal(guarded, &["guard", "claim-finalizers", "flow-control"]);
}

#[tokio::test]
async fn in_another_namespace_every_text_of_the_chart_names_that_one() {
    let name = "in_another_namespace_every_text_of_the_chart_names_that_one";
    let Some(helm) = Helm::new(name).await else {
        return;
    };
    let here = Case {
        what: "the same in the default namespace",
        namespace: NAMESPACE,
        ..ELSEWHERE
    };
    let (elsewhere, here) = (helm.render(&ELSEWHERE), helm.render(&here));
    let text = json!(elsewhere.0).to_string();
    assert!(!text.contains(NAMESPACE), "{text}");
    assert_eq!(
        text,
        json!(here.0).to_string().replace(NAMESPACE, "elsewhere")
    );
    let user = "system:serviceaccount:elsewhere:ipam-manager";
    let exempt = json!({"name": "not-by-the-manager", "expression": format!("request.userInfo.username != \"{user}\"")});
    let webhooks = &elsewhere.one("ValidatingWebhookConfiguration")["webhooks"];
    assert_eq!(webhooks[0]["matchConditions"][0], exempt);
    let policies = elsewhere.of_kind("ValidatingAdmissionPolicy");
    assert_eq!(policies.len(), 4);
    let names = |policy: &&&Value| policy.to_string().contains(&format!("\\\"{user}\\\""));
    assert_eq!(policies.iter().filter(names).count(), 3);
}
