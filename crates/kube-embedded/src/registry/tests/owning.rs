//! Who owns which field, and server-side apply. What the rules are is tested in `fields`; here, that each verb keeps them.

use super::*;

const API: &str = "example.com/v1alpha1";

fn by(manager: &str) -> WriteOptions {
    WriteOptions {
        field_manager: Some(manager.to_owned()),
        ..WriteOptions::default()
    }
}

impl Bed {
    async fn patch_by(&self, target: &Target, manager: &str, patch: Value) -> Value {
        let written = self
            .registry
            .patch(target, Patch::Merge(patch), &by(manager))
            .await;
        parse(&written.unwrap().object)
    }

    async fn apply(
        &self,
        target: &Target,
        manager: &str,
        config: Value,
        force: bool,
    ) -> Result<Written, ApiError> {
        let body = self.body(&target.resource.qualified(), &config);
        let patch = Patch::Apply { body, force };
        self.registry.patch(target, patch, &by(manager)).await
    }
}

/// `manager operation[/subresource]` and FieldsV1 of each entry.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array();
    let entry = |entry: &Value| {
        assert_eq!(entry["apiVersion"], API);
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let path = match text("subresource").as_str() {
            "" => String::new(),
            part => format!("/{part}"),
        };
        (
            format!("{} {}{path}", text("manager"), text("operation")),
            entry["fieldsV1"].clone(),
        )
    };
    entries.into_iter().flatten().map(entry).collect()
}

fn owned(list: &[(&str, Value)]) -> Vec<(String, Value)> {
    list.iter()
        .map(|(who, what)| ((*who).to_owned(), what.clone()))
        .collect()
}

#[tokio::test]
async fn every_verb_tells_whose_fields_are() {
    let bed = Bed::new().await;
    let target = bed.one("widgets", "a");
    let made = bed
        .registry
        .create(
            &bed.all("widgets"),
            bed.body("widgets", &widget("a")),
            &by("maker"),
        )
        .await;
    // In a namespace of the path.
    assert_eq!(made.unwrap_err().code, 400);
    let made = bed.create("widgets", widget("a")).await.unwrap();
    let whole = json!({"f:spec": {".": {}, "f:mode": {}, "f:model": {}, "f:parts": {}}});
    assert_eq!(
        owners(&made),
        owned(&[("unknown Update", whole.clone())]),
        "a default is the maker's too"
    );
    let spec = json!({"spec": {"release": "10.0.0.1"}});
    bed.patch_by(&target, "one", spec).await;
    let status = json!({"status": {"capacity": 1}, "spec": {"size": 1}});
    let now = bed.patch_by(&target.clone().status(), "one", status).await;
    let mut found = owners(&now);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let release = json!({"f:spec": {"f:release": {}}});
    let capacity = json!({"f:status": {".": {}, "f:capacity": {}}});
    assert_eq!(
        found,
        owned(&[
            ("one Update", release),
            ("one Update/status", capacity.clone()),
            ("unknown Update", whole),
        ])
    );
    // What nobody changes is nobody's, and the whole write is none.
    let revision = bed.registry.revision();
    let same = json!({"spec": {"release": "10.0.0.1"}});
    assert_eq!(bed.patch_by(&target, "idle", same).await, now);
    assert_eq!(bed.registry.revision(), revision);
    // Replaced: what is not there any more is nobody's.
    let mut next = widget("a");
    next["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
    let body = bed.body("widgets", &next);
    let written = bed.registry.update(&target, body, &by("two")).await;
    let mut found = owners(&parse(&written.unwrap().object));
    found.retain(|(who, _)| who != "unknown Update");
    assert_eq!(found, owned(&[("one Update/status", capacity)]));
}

#[tokio::test]
async fn an_apply_makes_changes_and_takes_away() {
    let bed = Bed::new().await;
    let target = bed.one("widgets", "a");
    let config = |spec: Value| {
        let mut widget = widget("a");
        json_patch::merge(&mut widget["spec"], &spec);
        widget
    };
    let with_release = config(json!({"release": "10.0.0.1"}));
    let made = bed
        .apply(&target, "one", with_release.clone(), false)
        .await
        .unwrap();
    assert!(made.created);
    let revision = bed.registry.revision();
    let again = bed
        .apply(&target, "one", with_release, false)
        .await
        .unwrap();
    assert!(!again.created);
    assert_eq!(again.object, made.object);
    assert_eq!(bed.registry.revision(), revision);

    let other = json!({"metadata": {"name": "a"}, "spec": {"release": "10.0.0.2"}});
    let refused = bed
        .apply(&target, "two", other.clone(), false)
        .await
        .unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    assert_eq!(
        refused.message,
        r#"Apply failed with 1 conflict: conflict with "one": .spec.release"#
    );
    let causes = &refused.details.unwrap().causes;
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].message, r#"conflict with "one""#);
    assert_eq!(causes[0].field, ".spec.release");
    bed.apply(&target, "two", other, true).await.unwrap();

    // The first one no longer says anything of it: it is the second one's alone, and goes with it.
    let written = bed.apply(&target, "one", config(json!({})), false).await;
    let object = parse(&written.unwrap().object);
    assert_eq!(object["spec"]["release"], "10.0.0.2");
    let nothing = json!({"metadata": {"name": "a"}});
    let written = bed.apply(&target, "two", nothing, false).await;
    let object = parse(&written.unwrap().object);
    assert!(object["spec"].get("release").is_none());
    let fields = json!({"f:spec": {"f:model": {}, "f:parts": {}}});
    assert_eq!(owners(&object), owned(&[("one Apply", fields)]));
}

#[tokio::test]
async fn an_apply_meets_what_any_write_meets() {
    let bed = Bed::new().await;
    let target = bed.one("widgets", "a");
    let status = json!({"metadata": {"name": "a"}, "status": {"capacity": 1}});
    let missing = bed
        .apply(&target.clone().status(), "one", status.clone(), false)
        .await;
    assert_eq!(missing.unwrap_err().code, 404);
    bed.apply(&target, "one", widget("a"), false).await.unwrap();
    let written = bed.apply(&target.status(), "one", status, false).await;
    let object = parse(&written.unwrap().object);
    assert_eq!(object["status"]["capacity"], 1);
    assert_eq!(owners(&object).len(), 2);

    let target = bed.one("widgets", "b");
    let table = [
        (json!({"metadata": {"uid": "x"}}), 409),
        (json!({"metadata": {"managedFields": []}}), 400),
        (json!({"metadata": {"name": "c"}}), 400),
        (json!({"metadata": {"namespace": "c"}}), 400),
        (json!({"kind": "Gadget"}), 400),
        (json!({"spec": {"gatway": "10.0.0.1"}}), 500),
        (json!({"spec": {"release": "new"}}), 422),
    ];
    for (change, code) in table {
        let mut config = widget("b");
        json_patch::merge(&mut config, &change);
        let refused = bed.apply(&target, "one", config, false).await.unwrap_err();
        assert_eq!(refused.code, code, "{change}: {}", refused.message);
    }
    // Two at once make one object, which both own.
    let (one, two) = tokio::join!(
        bed.apply(&target, "one", widget("b"), false),
        bed.apply(&target, "two", widget("b"), false)
    );
    assert_ne!(one.unwrap().created, two.unwrap().created);
    assert_eq!(owners(&bed.get("widgets", "b").unwrap()).len(), 2);
}

#[tokio::test]
async fn an_object_that_is_too_big_with_entries_is_kept_without() {
    let bed = Bed::new().await;
    let target = bed.one("configmaps", "a");
    let data: serde_json::Map<String, Value> = (0..50_000)
        .map(|number| (format!("key-{number:05}"), "".into()))
        .collect();
    let big = json!({"metadata": {"name": "a"}, "data": data});
    let made = bed.create("configmaps", big.clone()).await.unwrap();
    assert!(made["metadata"].get("managedFields").is_none());
    // Whoever applies wants to own something.
    let mut other = big;
    other["metadata"]["name"] = "b".into();
    let refused = bed
        .apply(&bed.one("configmaps", "b"), "one", other, false)
        .await;
    assert_eq!(refused.unwrap_err().code, 413);
    let removed = bed
        .patch_by(&target, "one", json!({"data": {"key-00000": null}}))
        .await;
    assert!(removed["metadata"].get("managedFields").is_none());
}
