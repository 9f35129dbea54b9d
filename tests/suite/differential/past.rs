//! Scripts that random requests once told the servers apart by, shortened: they must not any more. Each was seen to fail on the
//! code before its fault was mended.
//!
//! A line is a step, numbered from 0: method (with `+` the form of a patch), path, body. `WATCH` opens a watch, makes the object
//! behind `|` in the collection behind it, and reads up to that.

use futures::future::join_all;
use metal3_ipam::standalone::{self, Server};

use super::run::{self, Servers};
use super::script::{Request, Step, What};
use crate::control_plane::{self, say};

const PAST: &[(&str, &str)] = &[
    (
        "who lets go of a deleted object shows watches what was stored",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","finalizers":["test.io/hold"]},"data":{"a":"1"}}
DELETE /api/v1/namespaces/{ns}/configmaps/a
PATCH+merge /api/v1/namespaces/{ns}/configmaps/a {"metadata":{"finalizers":null},"data":{"a":"2"}}
WATCH /api/v1/namespaces/{ns}/configmaps?watch=true&resourceVersion={rv 0.0} | /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"zz"}}
"#,
    ),
    (
        "every check of a schema is made, whatever the one before found",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p","allocationStrategy":[]}}
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p","prefix":1.5}}
"#,
    ),
    (
        "an empty propagationPolicy is none of those that there are",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
DELETE /api/v1/namespaces/{ns}/configmaps/a {"propagationPolicy":""}
DELETE /api/v1/namespaces/{ns}/configmaps/a?propagationPolicy=
DELETE /api/v1/namespaces/{ns}/configmaps/a {"propagationPolicy":"","orphanDependents":true}
"#,
    ),
    (
        "operations of JSON patches on what is not there",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"},"data":{"a":"1"}}
PATCH+json /api/v1/namespaces/{ns}/configmaps/a [{"op":"test","path":"/data/b","value":null},{"op":"add","path":"/data/c","value":"1"}]
PATCH+json /api/v1/namespaces/{ns}/configmaps/a [{"op":"copy","from":"/immutable","path":"/binaryData"}]
PATCH+json /api/v1/namespaces/{ns}/configmaps/a [{"op":"add","path":"/metadata/finalizers","value":["test.io/a"]},{"op":"replace","path":"/metadata/finalizers/-1","value":"test.io/b"}]
PATCH+json /api/v1/namespaces/{ns}/configmaps/a null
PATCH+json /api/v1/namespaces/{ns}/configmaps/a [{"op":"replace","path":"","value":[]}]
"#,
    ),
    (
        "strategic merge patches of lists of several types, and of numbers that do not fit",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","finalizers":["test.io/hold"]}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"metadata":{"finalizers":["test.io/other",-1]}}
POST /apis/coordination.k8s.io/v1/namespaces/{ns}/leases {"metadata":{"name":"a"},"spec":{"leaseDurationSeconds":5}}
PATCH+strategic /apis/coordination.k8s.io/v1/namespaces/{ns}/leases/a {"spec":{"leaseDurationSeconds":9999999999}}
"#,
    ),
    (
        "a status that says that it is of another kind",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p"}}
PUT /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"Nothing","metadata":{"name":"a","resourceVersion":"{rv 0.0}"},"status":{"capacity":1}}
"#,
    ),
    (
        "entries of managedFields of versions that are not served",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p"}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a {"metadata":{"labels":{"a":"b"}}}
PATCH+json /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a [{"op":"replace","path":"/metadata/managedFields/0/apiVersion","value":"v9"}]
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"},"data":{"a":"1"}}
PATCH+json /api/v1/namespaces/{ns}/configmaps/a [{"op":"replace","path":"/metadata/managedFields/0/apiVersion","value":"a/b/c"}]
"#,
    ),
    (
        "a name that is taken, beside the prefix of others",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","generateName":"b-"}}
"#,
    ),
    (
        "an owner that a patch names twice",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
PATCH+merge /api/v1/namespaces/{ns}/configmaps/a {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"{uid 0.0}"},{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"{uid 0.0}"}],"finalizers":["test.io/hold"]}}
"#,
    ),
    (
        "a full page, and nothing behind it that is meant",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","labels":{"app":"a"}}}
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"b"}}
GET /api/v1/namespaces/{ns}/configmaps?labelSelector=app&limit=1
GET /api/v1/namespaces/{ns}/configmaps?labelSelector=app&limit=1&continue={continue 2.0}
"#,
    ),
    (
        "a collection that is deleted page by page",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"b"}}
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"c"}}
DELETE /api/v1/namespaces/{ns}/configmaps?limit=1
GET /api/v1/namespaces/{ns}/configmaps
DELETE /api/v1/namespaces/{ns}/configmaps?limit=1&continue={continue 3.0}
GET /api/v1/namespaces/{ns}/configmaps
DELETE /api/v1/namespaces/{ns}/configmaps
GET /api/v1/namespaces/{ns}/configmaps
"#,
    ),
    (
        "a selfLink is shown by a dry run alone",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","selfLink":"/x"}}
PATCH+merge /api/v1/namespaces/{ns}/configmaps/a?dryRun=All {"metadata":{"selfLink":"/x"}}
PATCH+merge /api/v1/namespaces/{ns}/configmaps/a {"metadata":{"selfLink":"/x"}}
POST /api/v1/namespaces/{ns}/configmaps?dryRun=All {"metadata":{"name":"b","selfLink":"/x"}}
PATCH+apply /api/v1/namespaces/{ns}/configmaps/b?fieldManager=one&dryRun=All {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","selfLink":"/x"}}
PUT /apis/coordination.k8s.io/v1/namespaces/{ns}/leases/b?dryRun=All {"metadata":{"name":"b","selfLink":"/x"}}
PATCH+apply /api/v1/namespaces/{ns}/configmaps/b?fieldManager=one {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","selfLink":"/x"}}
"#,
    ),
    (
        "what is applied and is no configuration, or an odd one",
        r#"
PATCH+apply /api/v1/namespaces/{ns}/configmaps/a?fieldManager=one null
PATCH+apply /api/v1/namespaces/{ns}/configmaps/a?fieldManager=one a: [
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{},"spec":{}}
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/b?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"b","creationTimestamp":"yesterday"},"spec":{"namePrefix":"p"}}
"#,
    ),
    (
        "null in what is applied",
        r#"
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":null}
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p"}}
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status?fieldManager=one {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"status":null}
GET /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a
"#,
    ),
    (
        "a status of null in place of one",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPClaim","metadata":{"name":"a"},"spec":{"pool":{"name":"p"}}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a/status {"status":{}}
PATCH+apply /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a/status?fieldManager=one&force=1 {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPClaim","metadata":{"name":"a"},"status":null}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a/status {"status":{"errorMessage":"told"}}
PUT /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a/status {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPClaim","metadata":{"name":"a","resourceVersion":"{rv 3.0}"},"spec":{"pool":{"name":"p"}},"status":null}
GET /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a
"#,
    ),
    (
        "of an update of another kind the rules in CEL are looked at, too",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPClaim","metadata":{"name":"a"},"spec":{"pool":{"name":"p"}}}
PUT /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"Other","metadata":{"name":"a","resourceVersion":"{rv 0.0}"},"spec":{"pool":{"name":"q"}}}
PUT /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims/a/status {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"Other","metadata":{"name":"a","resourceVersion":"{rv 0.0}"},"spec":{"pool":{"name":"q"}},"status":{"errorMessage":1}}
"#,
    ),
    (
        "what is wrong with a status beside its type, and of a new object of another kind",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p"}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"status":{"capacity":1e30}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"status":{"capacity":1.5}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"status":{"capacity":9223372036854775808}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"status":{"capacity":9223372036854775807}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a/status {"status":{"capacity":18446744073709551615}}
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"Nothing","metadata":{"name":"e"},"spec":{"namePrefix":"p","pools":[{"start":"10.0.0.9","end":"10.0.0.1"}]}}
"#,
    ),
    (
        "a directive of a strategic merge patch that is none",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","labels":{"x":"1"}},"data":{"a":"1"}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a null
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":null,"b":"2"}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":["a","a"]}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":"other"}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":1}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"binaryData":{"$patch":null}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"$patch":true}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":"replace","b":"2"}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"data":{"$patch":"delete"},"metadata":{"labels":{"$patch":"delete"}}}
"#,
    ),
    (
        "the version that a body says it is of, where it is refused",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims?fieldValidation=Strict {"apiVersion":"2021-13","kind":"IPClaim","metadata":{"name":"c","unknown":1},"spec":{"pool":{"name":"b"}}}
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ipclaims?fieldValidation=Strict {"apiVersion":"a.io/v7","kind":"IPClaim","metadata":{"name":"c","unknown":1},"spec":{"pool":{"name":"b"}}}
"#,
    ),
    (
        "what was made on its way out goes with its last finalizer",
        r#"
PUT /api/v1/namespaces/{ns}/events/a {"apiVersion":"v1","kind":"Event","metadata":{"name":"a","deletionTimestamp":"2020-01-01T00:00:00Z","finalizers":["test.io/hold"]},"involvedObject":{"kind":"IPPool","name":"b","namespace":"{ns}"},"reason":"Made","type":"Normal"}
PATCH+merge /api/v1/namespaces/{ns}/events/a {"message":"held"}
PATCH+merge /api/v1/namespaces/{ns}/events/a {"metadata":{"finalizers":null}}
GET /api/v1/namespaces/{ns}/events/a
"#,
    ),
    (
        "what is applied to a built-in kind and is none of it",
        r#"
PATCH+apply /api/v1/namespaces/{ns}/secrets/a?fieldManager=one {"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"a":"no base64!"}}
"#,
    ),
    (
        "what is said of owners is said once the namespace is right",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","namespace":"elsewhere","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"12345678-0000-0000-0000-000000000000"},{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"12345678-0000-0000-0000-000000000000"}]}}
"#,
    ),
    (
        "an item that stands twice is deleted twice",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
POST /api/v1/namespaces/{ns}/events {"metadata":{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"{uid 0.0}"},{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"{uid 0.0}","controller":true}]},"involvedObject":{"namespace":"{ns}"}}
PATCH+strategic /api/v1/namespaces/{ns}/events/a {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"{uid 0.0}"}]}}
"#,
    ),
    (
        "what is missing is told after what is wrong, and null in a map is nothing",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"prefix":"x"}}
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p","preAllocations":{"b":null}}}
"#,
    ),
    (
        "an order that the items of a patch are not in, and a version that is none",
        r#"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a","finalizers":["test.io/hold"]}}
PATCH+strategic /api/v1/namespaces/{ns}/configmaps/a {"metadata":{"$setElementOrder/finalizers":["test.io/hold"],"finalizers":["test.io/other"]}}
PATCH+apply /api/v1/namespaces/{ns}/configmaps/b?fieldManager=one {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","resourceVersion":"abc"}}
"#,
    ),
    (
        "a configuration is applied to an object whose status has a value of a wrong type",
        r#"
POST /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddressclaims {"apiVersion":"ipam.cluster.x-k8s.io/v1beta2","kind":"IPAddressClaim","metadata":{"name":"a"},"spec":{"clusterName":"c","poolRef":{"apiGroup":"ipam.metal3.io","kind":"IPPool","name":"a"}}}
PATCH+merge /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddressclaims/a/status {"status":{"conditions":[{"lastTransitionTime":["a","a"],"message":"","reason":"Because","status":"False","type":"Paused"}]}}
PATCH+apply /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddressclaims/a?fieldManager=two {"apiVersion":"ipam.cluster.x-k8s.io/v1beta2","kind":"IPAddressClaim","metadata":{"name":"a","labels":{"a":"b"}}}
"#,
    ),
    (
        "a merge patch that is a list",
        r#"
POST /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools {"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","metadata":{"name":"a"},"spec":{"namePrefix":"p"}}
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldValidation=Ignore ["a","a"]
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldValidation=Warn ["a","a"]
PATCH+merge /apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/ippools/a?fieldValidation=Ignore "a"
POST /api/v1/namespaces/{ns}/configmaps {"metadata":{"name":"a"}}
PATCH+merge /api/v1/namespaces/{ns}/configmaps/a?fieldValidation=Ignore ["a","a"]
"#,
    ),
    (
        "what Cluster API's own kinds are held to",
        r#"
POST /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddresses {"apiVersion":"ipam.cluster.x-k8s.io/v1beta2","kind":"IPAddress","metadata":{"name":"a"},"spec":{"address":"10.0.0.7","prefix":24,"gateway":null,"claimRef":{"name":"a"},"poolRef":{"apiGroup":"ipam.metal3.io","kind":"IPPool","name":"a"}}}
POST /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddressclaims {"apiVersion":"ipam.cluster.x-k8s.io/v1beta2","kind":"IPAddressClaim","metadata":{"name":"a"},"spec":{"poolRef":{"apiGroup":"ipam.metal3.io","kind":"IPPool","name":"a"}}}
PATCH+merge /apis/ipam.cluster.x-k8s.io/v1beta2/namespaces/{ns}/ipaddressclaims/a/status {"status":{"conditions":[{"type":"a:b","status":"text","reason":"R","message":"","lastTransitionTime":"2021-02-03T04:05:06Z"}]}}
"#,
    ),
    (
        "conditions of a Cluster are owned one by one",
        r#"
POST /apis/cluster.x-k8s.io/v1beta2/namespaces/{ns}/clusters {"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"Cluster","metadata":{"name":"a"},"spec":{"paused":true}}
PATCH+merge /apis/cluster.x-k8s.io/v1beta2/namespaces/{ns}/clusters/a/status {"status":{"conditions":[{"type":"Ready","status":"True","reason":"R","message":"","lastTransitionTime":"2021-02-03T04:05:06Z"}]}}
"#,
    ),
];

/// Reads one script.
fn steps(script: &'static str) -> Vec<Step> {
    let lines = script.trim().lines().enumerate();
    let steps = lines.map(|(id, line)| Step {
        id: u32::try_from(id).unwrap(),
        what: what(line),
    });
    steps.collect()
}

fn what(line: &'static str) -> What {
    let (method, rest) = line.split_once(' ').unwrap();
    if method == "WATCH" {
        let (open, marker) = rest.split_once(" | ").unwrap();
        let marker = request("POST", marker);
        let object: serde_json::Value = serde_json::from_str(&marker.body).unwrap();
        return What::Watch {
            open: request("GET", open),
            until: object["metadata"]["name"].as_str().unwrap().to_owned(),
            marker,
        };
    }
    What::Request(request(method, rest))
}

fn request(method: &'static str, rest: &'static str) -> Request {
    let (method, form) = method.split_once('+').unwrap_or((method, ""));
    // Symbols have blanks in them: a body begins behind the first blank that is in none.
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ' ' && depth == 0
    });
    let (path, body) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut request = Request::new(method, path);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap();
        request = request.with(key, value);
    }
    match (form, body) {
        ("", "") => request,
        ("", body) => request.json(body),
        ("json", body) => request.typed("application/json-patch+json", body),
        ("merge", body) => request.typed("application/merge-patch+json", body),
        ("strategic", body) => request.typed("application/strategic-merge-patch+json", body),
        ("apply", body) => request.typed("application/apply-patch+yaml", body),
        (other, _) => panic!("no form of a patch: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_once_told_the_servers_apart_does_not_any_more() {
    let Some(plane) = control_plane::started().await else {
        say(
            "SKIPPED: the scripts of past differences, for there is no real kube-apiserver to compare with",
        );
        crate::tally::add("differential tests SKIPPED: no Go", 1);
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_owned();
    let server = Server::open(standalone::options_without_rules(data_dir))
        .await
        .unwrap();
    let servers = Servers {
        embedded: server.client(),
        real: metal3_ipam::controller::client(plane.shared.config.clone()).unwrap(),
    };
    let played = PAST.iter().enumerate().map(|(n, (name, script))| {
        let servers = &servers;
        async move {
            let found = run::play(servers, &format!("past-{n}"), &steps(script)).await;
            found.map(|divergence| format!("{name}: {}", super::report::told(0, 0, &divergence)))
        }
    });
    let told: Vec<String> = join_all(played).await.into_iter().flatten().collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    let count: usize = PAST.iter().map(|(_, script)| steps(script).len()).sum();
    crate::tally::add("differential requests compared", count as u64);
    drop(servers);
    server.close().await;
}
