//! Verbs and flags of kubectl beside those of writing, following and removing: pages and selectors, pruned sets, folders,
//! cascades and events.

use super::{CLAIM, Lab, POOL, Running, field, has, words};

/// Verbs and flags beside those of `write`, `follow` and `remove`.
pub(super) fn other_verbs(lab: &Lab) {
    lab.ok_with(&["apply", "-f", "-"], &format!("{POOL}---{CLAIM}"));

    // Replaced in place, and anew: the second is another object.
    let uid = field(lab, ".metadata.uid");
    let changed = POOL.replace("192.168.0.30", "192.168.0.31");
    has(
        &lab.ok_with(&["replace", "-f", "-"], &changed),
        &["pool1 replaced"],
    );
    assert_eq!(field(lab, ".metadata.uid"), uid);
    has(
        &lab.ok_with(&["replace", "--force", "-f", "-"], &changed),
        &["pool1", "replaced"],
    );
    assert_ne!(field(lab, ".metadata.uid"), uid);

    // Pages and selectors.
    for number in 1..=5 {
        lab.ok(&format!(
            "create configmap page{number} -n lab --from-literal=a={number}"
        ));
    }
    let pages = lab.ok("get cm -n lab --chunk-size=2 -o name");
    assert_eq!(pages.lines().count(), 5, "{pages}");
    let one = lab.ok("get cm -n lab --field-selector=metadata.name=page3 -o name");
    assert_eq!(one, "configmap/page3");
    let others = lab.ok("get cm -n lab --field-selector=metadata.name!=page3 -o name");
    assert_eq!(others.lines().count(), 4, "{others}");
    has(
        &lab.fails("get cm -n lab --field-selector=data=x"),
        &["is not a known field selector"],
    );
    let sorted = lab.ok("get cm -n lab --sort-by=.metadata.name -o custom-columns=N:.metadata.name,A:.data.a --no-headers");
    assert_eq!(sorted.lines().next().unwrap(), "page1   1");
    has(
        &lab.ok("get cm -n lab --show-labels -L site"),
        &["LABELS", "SITE"],
    );
    has(
        &lab.ok("get cm page1 -n lab -o yaml --show-kind"),
        &["kind: ConfigMap"],
    );
    let raw = lab.ok("get --raw /apis/ipam.metal3.io/v1alpha1/namespaces/lab/ippools/pool1");
    has(&raw, &["\"namePrefix\":\"test1-prov\""]);

    has(
        &lab.ok("get cluster-api -n lab -o name"),
        &[
            "ipclaim.ipam.metal3.io/claim1",
            "ippool.ipam.metal3.io/pool1",
        ],
    );

    // Made by applying a set, and what left the set is pruned.
    prune(lab);
    cascade(lab);
    events(lab);
    has(
        &lab.ok("delete cm --all -n lab --wait=true"),
        &["configmap \"page1\" deleted"],
    );
    has(
        &lab.ok("delete ipclaim,ippool --all -n lab --now"),
        &["claim1", "pool1"],
    );
    has(&lab.ok("explain ippool --recursive"), &["preAllocations"]);
    has(
        &lab.ok("explain configmap.data"),
        &["FIELD: data <map[string]string>"],
    );
    has(
        &lab.ok(
            "api-resources --namespaced=true --verbs=list,watch --api-group=ipam.metal3.io -o name",
        ),
        &["ipaddresses.ipam.metal3.io", "ippools.ipam.metal3.io"],
    );
    has(&lab.ok("auth can-i --list"), &["*.*"]);
}

fn set(names: &[&str]) -> String {
    let map = |name: &&str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: lab, labels: {{set: one}}}}\n---\n"
        )
    };
    names.iter().map(map).collect()
}

fn prune(lab: &Lab) {
    let apply = words(
        "apply -f - -n lab --prune -l set=one --prune-allowlist=core/v1/ConfigMap --prune-allowlist=ipam.metal3.io/v1alpha1/IPPool",
    );
    lab.ok_with(&apply, &set(&["kept", "dropped"]));
    has(
        &lab.ok_with(&apply, &set(&["kept"])),
        &["configmap/kept unchanged", "configmap/dropped pruned"],
    );
    let left = lab.ok("get cm -n lab -l set=one -o name");
    assert_eq!(left, "configmap/kept");
    // A folder with a kustomization.
    let folder = lab.dir.path().join("site");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("map.yaml"), set(&["kept"])).unwrap();
    std::fs::write(
        folder.join("kustomization.yaml"),
        "resources: [map.yaml]\nnamePrefix: site-\nlabels: [{pairs: {site: north}}]\n",
    )
    .unwrap();
    let folder = folder.to_str().unwrap();
    for args in [
        ["apply", "-k", folder].as_slice(),
        &["apply", "--server-side", "--force-conflicts", "-k", folder],
        &["diff", "-k", folder],
    ] {
        lab.ok_with(args, "");
    }
    has(
        &lab.ok("get cm -n lab -l site=north -o name"),
        &["configmap/site-kept"],
    );
    lab.ok_with(&["delete", "-k", folder], "");
    lab.ok("delete cm kept -n lab");
}

/// What becomes of what an object owns.
fn cascade(lab: &Lab) {
    let owned = |lab: &Lab, owner: &str, name: &str| {
        let args = [
            "get",
            "cm",
            owner,
            "-n",
            "lab",
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        let uid = lab.ok_with(&args, "");
        let map = format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{name}", "namespace": "lab",
            "ownerReferences": [{{"apiVersion": "v1", "kind": "ConfigMap", "name": "{owner}", "uid": "{uid}"}}]}}}}"#
        );
        lab.ok_with(&["create", "-f", "-"], &map);
    };
    for (cascade, stays) in [
        ("background", false),
        ("foreground", false),
        ("orphan", true),
    ] {
        lab.ok("create cm owner -n lab");
        owned(lab, "owner", "owned");
        lab.ok(&format!("delete cm owner -n lab --cascade={cascade}"));
        if stays {
            has(&lab.ok("get cm owned -n lab -o yaml"), &["name: owned"]);
            lab.ok("delete cm owned -n lab");
        } else {
            has(
                &lab.ok_with(
                    &words("wait --for=delete cm/owned -n lab --timeout=50s"),
                    "",
                ),
                &[],
            );
        }
    }
}

/// `kubectl events`, and its watch.
fn events(lab: &Lab) {
    // `describe` finds them by the object's UID.
    let uid = field(lab, ".metadata.uid");
    let event = |name: &str, reason: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Event","metadata":{{"name":"{name}","namespace":"lab"}},"type":"Warning","reason":"{reason}",
            "message":"no free address","involvedObject":{{"apiVersion":"ipam.metal3.io/v1alpha1","kind":"IPPool","name":"pool1","namespace":"lab","uid":"{uid}"}},
            "firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:00:00Z","count":1}}"#
        )
    };
    lab.ok_with(&["create", "-f", "-"], &event("v1", "PoolExhausted"));
    let listed = lab.ok("events -n lab --for=ippool/pool1 --types=Warning");
    has(
        &listed,
        &["PoolExhausted", "IPPool/pool1", "no free address"],
    );
    has(
        &lab.ok("describe ippool pool1 -n lab"),
        &["PoolExhausted", "no free address"],
    );
    let watching = Running::following(lab, "events -n lab --watch");
    watching.line(&["PoolExhausted"]);
    lab.ok_with(&["create", "-f", "-"], &event("v2", "PoolRecovered"));
    watching.line(&["PoolRecovered"]);
}
