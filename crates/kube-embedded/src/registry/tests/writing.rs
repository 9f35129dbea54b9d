//! Create, update, patch.

use super::*;
use crate::admission::{Object, Objects, Request, Verdict};
use crate::field::{FieldError, FieldErrorKind};
use crate::kinds::Resource;

#[tokio::test]
async fn an_object_gets_its_metadata_from_the_server() {
    let bed = Bed::new().await;
    let mut body = widget("a");
    body["metadata"]["uid"] = "mine".into();
    body["metadata"]["generation"] = 9.into();
    body["metadata"]["creationTimestamp"] = Value::Null;
    body["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    body["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
    body["status"] = json!({"capacity": 1});
    let made = bed.create("widgets", body).await.unwrap();
    let metadata = &made["metadata"];
    assert!(uuid::Uuid::try_parse(metadata["uid"].as_str().unwrap()).is_ok());
    assert_eq!(metadata["generation"], 1);
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(
        metadata["resourceVersion"],
        bed.registry.revision().to_string()
    );
    let created = metadata["creationTimestamp"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    assert_eq!(metadata["managedFields"][0]["manager"], "unknown");
    for absent in ["deletionTimestamp", "selfLink"] {
        assert!(metadata.get(absent).is_none(), "{absent}");
    }
    // The status has a path of its own, and the schema's default is stored.
    assert!(made.get("status").is_none());
    assert_eq!(made["spec"]["mode"], "sequential");
    assert_eq!(bed.get("widgets", "a").unwrap(), made);
}

#[tokio::test]
async fn generations_count_changes_of_the_spec() {
    let bed = Bed::new().await;
    bed.create("widgets", widget("a")).await.unwrap();
    let target = bed.one("widgets", "a");
    let generation = |object: &Value| object["metadata"]["generation"].as_u64().unwrap();
    let labelled = bed
        .merge(&target, json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
    assert_eq!(generation(&labelled), 1);
    let status = bed
        .merge(
            &target.clone().status(),
            json!({"status": {"capacity": 5}, "spec": {"size": 9}, "metadata": {"labels": {"a": "c"}}}),
        )
        .await
        .unwrap();
    // Status and the rest are apart, both ways.
    assert_eq!(generation(&status), 1);
    assert_eq!(status["status"]["capacity"], 5);
    assert!(status["spec"].get("size").is_none());
    assert_eq!(status["metadata"]["labels"]["a"], "b");
    let spec = bed
        .merge(
            &target,
            json!({"spec": {"size": 24}, "status": {"capacity": 6}}),
        )
        .await
        .unwrap();
    assert_eq!(generation(&spec), 2);
    assert_eq!(spec["status"]["capacity"], 5);
    let before = bed.registry.revision();
    let again = bed
        .merge(&target, json!({"spec": {"size": 24}}))
        .await
        .unwrap();
    assert_eq!(again, spec, "a write that changes nothing is none");
    assert_eq!(bed.registry.revision(), before);
}

#[tokio::test]
async fn refusals_have_the_real_servers_codes_and_texts() {
    let bed = Bed::new().await;
    let made = bed.create("widgets", widget("a")).await.unwrap();
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let elsewhere = Target::all(&bed.kind("widgets"), Some("nowhere"));
    let with = |mut object: Value, field: &str, value: Value| {
        object["metadata"][field] = value;
        object
    };
    let mut kind = widget("b");
    kind["kind"] = "Gadget".into();
    let cases = [
        (bed.create("widgets", widget("a")).await, 409, "AlreadyExists", r#"widgets.example.com "a" already exists"#.to_owned()),
        (bed.create("widgets", widget("A")).await, 422, "Invalid", r#"Widget.example.com "A" is invalid: metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain"#.to_owned()),
        (bed.create("widgets", json!({"spec": {"model": "p"}})).await, 422, "Invalid", "metadata.name: Required value: name or generateName is required".to_owned()),
        (bed.create_at(&elsewhere, widget("a")).await, 404, "NotFound", r#"namespaces "nowhere" not found"#.to_owned()),
        (bed.create_at(&elsewhere, json!({"metadata": {"name": "-"}})).await, 404, "NotFound", r#"namespaces "nowhere" not found"#.to_owned()),
        (bed.create("widgets", with(widget("b"), "namespace", "other".into())).await, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request".to_owned()),
        (bed.create("widgets", with(widget("b"), "labels", json!({"a": 1}))).await, 400, "BadRequest", "expected a string at metadata.labels.a, got the number 1".to_owned()),
        (bed.create("widgets", with(widget("b"), "resourceVersion", "1".into())).await, 500, "", "resourceVersion should not be set on objects to be created".to_owned()),
        (bed.create("widgets", kind).await, 422, "Invalid", "kind: Invalid value: \"Gadget\": must be Widget".to_owned()),
        (bed.create("widgets", json!({"metadata": {"name": "b"}, "spec": {}})).await, 422, "Invalid", r#"Widget.example.com "b" is invalid: [spec.model: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]"#.to_owned()),
        (bed.create("customresourcedefinitions", json!({"metadata": {"name": "b"}})).await, 405, "MethodNotAllowed", "create is not supported on resources of kind \"customresourcedefinitions.apiextensions.k8s.io\"".to_owned()),
        (bed.update("widgets", widget("a")).await, 422, "Invalid", r#"widgets.example.com "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#.to_owned()),
        (bed.update("widgets", with(widget("a"), "resourceVersion", "1".into())).await, 409, "Conflict", r#"Operation cannot be fulfilled on widgets.example.com "a": the object has been modified; please apply your changes to the latest version and try again"#.to_owned()),
        (bed.update("widgets", with(widget("b"), "resourceVersion", "1".into())).await, 404, "NotFound", r#"widgets.example.com "b" not found"#.to_owned()),
        (bed.update("widgets", with(with(widget("a"), "resourceVersion", version.into()), "uid", "x".into())).await, 409, "Conflict", format!("Precondition failed: UID in precondition: x, UID in object meta: {uid}")),
        (bed.merge(&bed.one("widgets", "a"), json!({"metadata": {"resourceVersion": "1"}})).await, 409, "Conflict", "the object has been modified".to_owned()),
        (bed.merge(&bed.one("widgets", "a"), json!({"metadata": {"name": "b"}})).await, 400, "BadRequest", "does not match the name on the URL".to_owned()),
        (bed.merge(&bed.one("widgets", "a"), json!({"spec": {"model": "other"}})).await, 422, "Invalid", "spec.model".to_owned()),
        (bed.merge(&bed.one("widgets", "zzz"), json!({})).await, 404, "NotFound", r#"widgets.example.com "zzz" not found"#.to_owned()),
    ];
    for (number, (result, code, reason, text)) in cases.into_iter().enumerate() {
        let error = result.unwrap_err();
        assert_eq!(
            (error.code, error.reason),
            (code, reason),
            "case {number}: {error}"
        );
        assert!(
            error.message.contains(&text),
            "case {number}: {}\n{text}",
            error.message
        );
    }
    assert_eq!(
        bed.get("widgets", "a").unwrap(),
        made,
        "nothing of all that was stored"
    );
}

#[tokio::test]
async fn unknown_fields_are_warned_of_refused_or_ignored() {
    let bed = Bed::new().await;
    let target = Target::all(&bed.kind("widgets"), Some("default"));
    let mut object = widget("a");
    object["spec"]["foo"] = 1.into();
    object["metadata"]["bar"] = 1.into();
    let body = bed.body("widgets", &object);
    let create = async |field_validation| {
        let options = WriteOptions {
            dry_run: true,
            field_validation,
            ..WriteOptions::default()
        };
        bed.registry.create(&target, body.clone(), &options).await
    };
    assert_eq!(
        create(FieldValidation::Warn).await.unwrap().warnings,
        [
            r#"unknown field "metadata.bar""#,
            r#"unknown field "spec.foo""#
        ]
    );
    assert!(
        create(FieldValidation::Ignore)
            .await
            .unwrap()
            .warnings
            .is_empty()
    );
    let error = create(FieldValidation::Strict).await.unwrap_err();
    assert_eq!(error.code, 400);
    assert!(
        error.message.ends_with(
            r#"strict decoding error: unknown field "metadata.bar", unknown field "spec.foo""#
        ),
        "{error}"
    );
    let strict = WriteOptions {
        field_validation: FieldValidation::Strict,
        ..WriteOptions::default()
    };
    bed.create("widgets", widget("a")).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"foo": 1}}));
    let error = bed
        .registry
        .patch(&bed.one("widgets", "a"), patch, &strict)
        .await
        .unwrap_err();
    assert_eq!(error.code, 422);
    assert!(
        error
            .message
            .contains(r#"strict decoding error: unknown field "spec.foo""#)
    );
}

#[tokio::test]
async fn a_dry_run_answers_and_stores_nothing() {
    let bed = Bed::new().await;
    let dry = WriteOptions {
        dry_run: true,
        ..WriteOptions::default()
    };
    let before = bed.registry.revision();
    let target = Target::all(&bed.kind("widgets"), Some("default"));
    let body = bed.body("widgets", &widget("a"));
    let written = bed
        .registry
        .create(&target, body.clone(), &dry)
        .await
        .unwrap();
    assert_eq!(name_of(&written.object), "a");
    assert_eq!(bed.get("widgets", "a").unwrap_err().code, 404);
    assert_eq!(bed.registry.revision(), before);
    bed.create("widgets", widget("a")).await.unwrap();
    let error = bed.registry.create(&target, body, &dry).await.unwrap_err();
    assert_eq!(error.reason, "AlreadyExists");
    let one = bed.one("widgets", "a");
    let patch = Patch::Merge(json!({"spec": {"size": 20}}));
    let written = bed.registry.patch(&one, patch, &dry).await.unwrap();
    assert_eq!(parse(&written.object)["spec"]["size"], 20);
    let options = DeleteOptions {
        dry_run: true,
        ..DeleteOptions::default()
    };
    bed.registry.delete(&one, &options).await.unwrap();
    assert!(
        bed.get("widgets", "a").unwrap()["spec"]
            .get("size")
            .is_none()
    );
}

#[tokio::test]
async fn names_are_generated() {
    let bed = Bed::new().await;
    let object =
        json!({"metadata": {"generateName": "gadget-"}, "spec": {"widget": {"name": "p"}}});
    for _ in 0..3 {
        let made = bed.create("gadgets", object.clone()).await.unwrap();
        let name = made["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("gadget-") && name.len() == 12, "{name}");
    }
    assert_eq!(
        bed.names(&bed.all("gadgets"), &ListOptions::default())
            .len(),
        3
    );
}

#[tokio::test]
async fn json_patches_test_change_and_are_bounded() {
    let bed = Bed::new().await;
    bed.create("widgets", widget("a")).await.unwrap();
    let target = bed.one("widgets", "a");
    let patch = async |operations: Value| {
        let patch = Patch::Json(serde_json::from_value(operations).unwrap());
        bed.registry
            .patch(&target, patch, &WriteOptions::default())
            .await
    };
    let written = patch(json!([
        {"op": "test", "path": "/spec/model", "value": "p"},
        {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
        {"op": "replace", "path": "/spec/parts/0/end", "value": "10.0.0.50"},
    ]))
    .await
    .unwrap();
    let object = parse(&written.object);
    assert_eq!(object["spec"]["parts"][0]["end"], "10.0.0.50");
    assert_eq!(object["metadata"]["labels"]["a"], "b");
    for refused in [
        json!([{"op": "test", "path": "/spec/model", "value": "q"}]),
        json!([{"op": "remove", "path": "/spec/none"}]),
        json!([{"op": "add", "path": "/a".repeat(200), "value": 1}]),
    ] {
        let error = patch(refused).await.unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"));
    }
    // Thirty doublings of the object would be more than any memory.
    let doublings: Vec<Value> = (0..60)
        .map(|n| json!({"op": "copy", "from": "/spec", "path": format!("/spec/x{n}")}))
        .collect();
    assert_eq!(patch(doublings.into()).await.unwrap_err().code, 422);
    let many = vec![json!({"op": "test", "path": "/kind", "value": "Widget"}); 10_001];
    assert_eq!(patch(many.into()).await.unwrap_err().code, 413);
    assert_eq!(bed.get("widgets", "a").unwrap(), object);
}

#[tokio::test]
async fn nothing_is_stored_that_could_not_be_read_again() {
    let bed = Bed::new().await;
    bed.create("boxes", json!({"metadata": {"name": "a"}, "spec": {}}))
        .await
        .unwrap();
    let target = bed.one("boxes", "a");
    let deep = (0..90).fold(json!(1), |inner, _| json!({ "a": inner }));
    bed.merge(&target, json!({"spec": {"x": deep}}))
        .await
        .unwrap();
    let onto = format!("/spec/x{}", "/a".repeat(80));
    let patch = Patch::Json(
        serde_json::from_value(json!([{"op": "copy", "from": "/spec/x", "path": onto}])).unwrap(),
    );
    let options = WriteOptions::default();
    let error = bed
        .registry
        .patch(&target, patch, &options)
        .await
        .unwrap_err();
    assert_eq!(error.code, 422, "{error}");
    bed.get("boxes", "a").unwrap();
    let odd = json!({"metadata": {"name": "s"}, "data": "x", "stringData": {"a": "b"}});
    assert_eq!(bed.create("secrets", odd).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn an_object_too_big_to_store_is_refused() {
    let bed = Bed::new().await;
    let mut object = widget("a");
    let owner = "x".repeat(MAX_OBJECT_BYTES);
    object["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": owner, "uid": "u"}]);
    let error = bed.create("widgets", object).await.unwrap_err();
    assert_eq!((error.code, error.reason), (413, "RequestEntityTooLarge"));
    let mut object = widget("b");
    object["metadata"]["annotations"] = json!({"note": "x".repeat(200 << 10)});
    bed.create("widgets", object).await.unwrap();
}

#[tokio::test]
async fn many_writes_make_no_object_bigger_than_one_may_and_the_biggest_one_can_be_deleted() {
    let bed = Bed::new().await;
    let target = bed.one("widgets", "a");
    let sized = |size: usize| {
        let name = "x".repeat(size);
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": "u"});
        json!({"metadata": {"name": "a", "finalizers": ["x.io/hold"], "ownerReferences": [owner]}})
    };
    let empty = sized(1);
    bed.create("widgets", with_spec(empty)).await.unwrap();
    let mut size = MAX_OBJECT_BYTES - 2048;
    while bed.merge(&target, sized(size)).await.is_ok() {
        size += 100;
        assert!(size < MAX_OBJECT_BYTES, "it grows with each write");
    }
    let Deleted::Marked(_) = bed.delete("widgets", "a").await.unwrap() else {
        panic!("it has a finalizer");
    };
    // The room for the marks is used once.
    let mut refused = 0;
    for more in (0..4096).step_by(100) {
        refused += usize::from(bed.merge(&target, sized(size + more)).await.is_err());
    }
    assert!(refused > 20, "it grows while it is being deleted");
    bed.delete_so("widgets", "a", Propagation::Foreground).await;
    let letting_go = json!({"metadata": {"finalizers": null}});
    bed.merge(&target, letting_go).await.unwrap();
    bed.until_gone("widgets", "a").await;
}

fn with_spec(mut object: Value) -> Value {
    object["spec"] = widget("")["spec"].clone();
    object
}

#[tokio::test]
async fn patches_without_a_version_all_land() {
    let bed = Bed::new().await;
    bed.create("widgets", widget("a")).await.unwrap();
    let target = bed.one("widgets", "a");
    let patches = (0..50).map(|n| {
        let patch = json!({"metadata": {"annotations": {format!("n{n}"): "x"}}});
        bed.merge(&target, patch)
    });
    for result in futures::future::join_all(patches).await {
        result.unwrap();
    }
    let object = bed.get("widgets", "a").unwrap();
    assert_eq!(
        object["metadata"]["annotations"].as_object().unwrap().len(),
        50
    );
}

#[tokio::test]
async fn of_updates_with_one_version_one_lands() {
    let bed = Bed::new().await;
    let made = bed.create("widgets", widget("a")).await.unwrap();
    let updates = (0..20).map(|n| {
        let mut object = made.clone();
        object["spec"]["size"] = n.into();
        bed.update("widgets", object)
    });
    let results = futures::future::join_all(updates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.reason, "Conflict");
    }
}

#[tokio::test]
async fn what_was_invalid_before_may_stay_so() {
    let bed = Bed::new().await;
    bed.create("widgets", widget("a")).await.unwrap();
    // As if stored under an older schema: written past the checks.
    let key = bed.one("widgets", "a").key("a");
    bed.registry
        .change(&key, |object| {
            object["spec"]["size"] = "wide".into();
        })
        .await
        .unwrap();
    let target = bed.one("widgets", "a");
    bed.merge(&target, json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
    let error = bed
        .merge(&target, json!({"spec": {"release": "nonsense"}}))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("spec.release") && !error.message.contains("spec.size"),
        "{error}"
    );
}

/// One address is one object's in its widget; widgets are not to shrink below three ranges; gadgets are looked at.
struct Rules;

impl Admission for Rules {
    fn review(&self, request: &Request<'_>, objects: &Objects<'_>) -> Verdict {
        let group = &*request.resource.group;
        let spec = Value::Object(request.new.clone())["spec"].take();
        let named = |(_, object): &(String, Object)| metadata::text(object, "name").to_owned();
        let mut verdict = Verdict::default();
        let mut refuse = |detail: String| {
            verdict.errors.push(FieldError {
                field: "spec".to_owned(),
                kind: FieldErrorKind::Forbidden,
                value: None,
                detail,
            });
        };
        match &*request.resource.kind {
            "Gear" => {
                let held = objects.indexed(spec["address"].as_str().unwrap_or_default());
                let held: Vec<String> = held.iter().map(named).collect();
                if !held.is_empty() {
                    refuse(format!("held by {held:?}"));
                }
                let near: Vec<String> = objects
                    .indexed_under("10.0.0.9")
                    .iter()
                    .map(named)
                    .collect();
                verdict.warnings.push(format!("near {near:?}"));
            }
            "Widget" if request.old.is_some() => {
                let widgets = objects.list(group, "Widget", "default");
                let own = objects.get(group, "Widget", "default", &widgets[0].0);
                let before = own.and_then(|own| own.get("spec").cloned());
                refuse(format!(
                    "{} widgets, this was {}",
                    widgets.len(),
                    before.unwrap_or_default()
                ));
            }
            _ => {}
        }
        verdict
    }

    fn index(&self, resource: &Resource, object: &Object) -> Vec<String> {
        let address = object.get("spec").and_then(|spec| spec["address"].as_str());
        match address {
            Some(addresses) if resource.kind == "Gear" => {
                addresses.split(',').map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    fn index_version(&self) -> u64 {
        1
    }
}

#[tokio::test]
async fn rules_are_asked_on_every_write_of_a_custom_resource_and_see_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let serves = Serves {
        admission: Some(Arc::new(Rules)),
        ..crate::testing::serves()
    };
    let registry = Registry::open(Options::new(dir.path(), serves)).await;
    let bed = Bed {
        registry: registry.unwrap(),
        dir,
    };
    bed.create("widgets", widget("widget")).await.unwrap();
    let change = json!({"spec": {"size": 24}});
    let error = bed
        .merge(&bed.one("widgets", "widget"), change)
        .await
        .unwrap_err();
    assert_eq!(error.code, 422);
    assert!(
        error
            .message
            .contains("spec: Forbidden: 1 widgets, this was {"),
        "{error}"
    );
    assert!(!error.message.contains("\"size\""), "{error}");

    let target = Target::all(&bed.kind("gears"), Some("default"));
    let create = async |name: &str, at: &str| {
        let address = json!({"metadata": {"name": name}, "spec": {"address": at, "widget": {"name": "widget"}, "gadget": {"name": "c"}}});
        let body = bed.body("gears", &address);
        let options = WriteOptions::default();
        let written = bed.registry.create(&target, body, &options).await;
        written
            .map(|written| written.warnings)
            .map_err(|e| e.message)
    };
    assert_eq!(create("p-1", "10.0.0.90").await.unwrap(), ["near []"]);
    // What is found by a longer text is not found by a shorter one.
    assert_eq!(
        create("p-2", "10.0.0.9").await.unwrap(),
        [r#"near ["p-1"]"#]
    );
    let refused = create("p-3", "10.0.0.90").await.unwrap_err();
    assert!(refused.contains(r#"held by ["p-1"]"#), "{refused}");
    bed.delete("gears", "p-1").await.unwrap();
    assert_eq!(
        create("p-3", "10.0.0.90").await.unwrap(),
        [r#"near ["p-2"]"#]
    );
}

#[tokio::test]
async fn built_in_kinds_have_their_ways() {
    let bed = Bed::new().await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}});
    let made = bed.create("secrets", secret).await.unwrap();
    assert_eq!(
        (&made["data"]["k"], &made["type"]),
        (&"dg==".into(), &"Opaque".into())
    );
    let bad = json!({"metadata": {"name": "c"}, "data": {"k": 1}});
    assert_eq!(bed.create("configmaps", bad).await.unwrap_err().code, 400);
    // A lease is made by PUT, and needs its version to be taken over.
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    let made = bed.update("leases", lease.clone()).await.unwrap();
    assert_eq!(made["spec"]["holderIdentity"], "a");
    assert!(made["metadata"].get("generation").is_none());
    assert_eq!(bed.update("leases", lease).await.unwrap_err().code, 422);
    let event = |namespace: &str| json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": namespace}, "reason": "R"});
    assert_eq!(
        bed.create("events", event("other")).await.unwrap_err().code,
        422
    );
    bed.create("events", event("default")).await.unwrap();
    let namespace = bed.get("namespaces", "default").unwrap();
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "default"
    );
    let crd = bed
        .get("customresourcedefinitions", "widgets.example.com")
        .unwrap();
    assert_eq!(crd["status"]["conditions"][1]["type"], "Established");
}

#[tokio::test]
async fn strategic_patches_merge_lists_of_metadata_by_key() {
    let bed = Bed::new().await;
    let made = bed
        .create("configmaps", with_finalizer(config("a"), "x.io/a"))
        .await
        .unwrap();
    let target = bed.one("configmaps", "a");
    let patch = Patch::Strategic(json!({
        "metadata": {"finalizers": ["x.io/b"], "$setElementOrder/finalizers": ["x.io/a", "x.io/b"]},
        "data": {"a": null, "c": "d"},
    }));
    let written = bed
        .registry
        .patch(&target, patch, &WriteOptions::default())
        .await
        .unwrap();
    let object = parse(&written.object);
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["x.io/a", "x.io/b"])
    );
    assert_eq!(object["data"], json!({"c": "d"}));
    assert_eq!(object["metadata"]["uid"], made["metadata"]["uid"]);
    let patch =
        Patch::Strategic(json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}}));
    let written = bed
        .registry
        .patch(&target, patch, &WriteOptions::default())
        .await
        .unwrap();
    assert_eq!(
        parse(&written.object)["metadata"]["finalizers"],
        json!(["x.io/b"])
    );
    bed.create("widgets", widget("p")).await.unwrap();
    let error = bed
        .registry
        .patch(
            &bed.one("widgets", "p"),
            Patch::Strategic(json!({})),
            &WriteOptions::default(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, 415);
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_revisions_go_on() {
    let bed = Bed::new().await;
    let made = bed.create("widgets", widget("a")).await.unwrap();
    let before = bed.registry.revision();
    let uid = bed.get("namespaces", "default").unwrap()["metadata"]["uid"].clone();
    // A start at another time than the first.
    let bed = bed
        .reopened_at(|| "2099-01-01T00:00:00Z".parse().unwrap())
        .await;
    assert_eq!(
        bed.registry.revision(),
        before,
        "a start writes nothing that is there"
    );
    assert_eq!(bed.get("widgets", "a").unwrap(), made);
    assert_eq!(
        bed.get("namespaces", "default").unwrap()["metadata"]["uid"],
        uid
    );
    bed.create("widgets", widget("b")).await.unwrap();
    assert_eq!(bed.registry.revision(), before + 1);
}

#[tokio::test]
async fn one_folder_has_one_server() {
    let bed = Bed::new().await;
    let second = Registry::open(Options::new(bed.dir.path(), crate::testing::serves())).await;
    let error = second.err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("in use by another process"));
}
