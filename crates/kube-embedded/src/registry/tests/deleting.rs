//! Finalizers, preconditions, collections.

use super::*;

#[tokio::test]
async fn what_has_finalizers_is_marked_and_goes_with_the_last_of_them() {
    let bed = Bed::new().await;
    bed.create("gadgets", with_finalizer(gadget("a"), "x.io/hold"))
        .await
        .unwrap();
    let Deleted::Marked(marked) = bed.delete("gadgets", "a").await.unwrap() else {
        panic!("it has a finalizer");
    };
    let marked = parse(&marked);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(marked["metadata"]["generation"], 2);
    let before = bed.registry.revision();
    let Deleted::Marked(again) = bed.delete("gadgets", "a").await.unwrap() else {
        panic!("it is still held");
    };
    assert_eq!(parse(&again), marked, "a second deletion changes nothing");
    assert_eq!(bed.registry.revision(), before);

    let target = bed.one("gadgets", "a");
    let error = bed
        .merge(
            &target,
            json!({"metadata": {"finalizers": ["x.io/hold", "x.io/more"]}}),
        )
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        r#"Gadget.example.com "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.io/more"}"#
    );
    bed.merge(
        &target,
        json!({"metadata": {"labels": {"still": "writable"}}}),
    )
    .await
    .unwrap();
    let last = bed
        .merge(&target, json!({"metadata": {"finalizers": null}}))
        .await
        .unwrap();
    assert!(last["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(bed.get("gadgets", "a").unwrap_err().code, 404);
    let recreated = bed.create("gadgets", gadget("a")).await.unwrap();
    assert_ne!(recreated["metadata"]["uid"], marked["metadata"]["uid"]);
}

#[tokio::test]
async fn preconditions_name_the_incarnation_and_the_version() {
    let bed = Bed::new().await;
    let made = bed.create("gadgets", gadget("a")).await.unwrap();
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let delete = async |uid: &str, version: &str| {
        let options = DeleteOptions {
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..DeleteOptions::default()
        };
        bed.registry
            .delete(&bed.one("gadgets", "a"), &options)
            .await
    };
    let error = delete("x", version).await.unwrap_err();
    assert_eq!(error.reason, "Conflict");
    assert!(
        error.message.contains(&format!(
            "the UID in the precondition (x) does not match the UID in record ({uid})"
        )),
        "{error}"
    );
    let error = delete(uid, "1").await.unwrap_err();
    assert!(error.message.contains(&format!("the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({version})")), "{error}");
    let gone = delete(uid, version).await.unwrap();
    let status = parse(&gone.answer(&bed.kind("gadgets")));
    assert_eq!(status["status"], "Success");
    assert_eq!(
        status["details"],
        json!({"name": "a", "group": "example.com", "kind": "gadgets", "uid": uid})
    );
    assert_eq!(delete(uid, version).await.unwrap_err().code, 404);
}

#[tokio::test]
async fn a_collection_goes_as_selected() {
    let bed = Bed::new().await;
    for name in ["a", "b", "c"] {
        let mut object = gadget(name);
        object["metadata"]["labels"] = json!({"keep": (name == "b").to_string()});
        bed.create("gadgets", object).await.unwrap();
    }
    let selectors = Selectors {
        labels: LabelSelector::parse("keep!=true").unwrap(),
        ..Selectors::default()
    };
    let which = ListOptions {
        selectors,
        ..ListOptions::default()
    };
    let deleted = bed
        .registry
        .delete_collection(&bed.all("gadgets"), &DeleteOptions::default(), &which)
        .await
        .unwrap();
    assert_eq!(deleted.items.len(), 2);
    assert_eq!(
        bed.names(&bed.all("gadgets"), &ListOptions::default()),
        ["b"]
    );
}

#[tokio::test]
async fn a_namespace_goes_after_everything_in_it() {
    let bed = Bed::new().await;
    bed.create("namespaces", json!({"metadata": {"name": "ns"}}))
        .await
        .unwrap();
    let gadgets = bed.kind("gadgets");
    let inside = Target::all(&gadgets, Some("ns"));
    for n in 0..20 {
        bed.create_at(&inside, gadget(&format!("c{n}")))
            .await
            .unwrap();
    }
    bed.create_at(&inside, with_finalizer(gadget("held"), "x.io/hold"))
        .await
        .unwrap();
    let configs = Target::all(&bed.kind("configmaps"), Some("ns"));
    bed.create_at(&configs, config("x")).await.unwrap();

    let Deleted::Marked(namespace) = bed.delete("namespaces", "ns").await.unwrap() else {
        panic!("it is not empty");
    };
    assert_eq!(parse(&namespace)["status"]["phase"], "Terminating");
    let error = bed.create_at(&inside, gadget("new")).await.unwrap_err();
    assert_eq!((error.code, error.reason), (403, "Forbidden"));
    assert!(
        error.message.ends_with(
            "unable to create new content in namespace ns because it is being terminated"
        ),
        "{error}"
    );
    let held = Target::one(&gadgets, Some("ns"), "held");
    bed.until(&Target::one(&gadgets, Some("ns"), "c19"), |object| {
        object.is_none()
    })
    .await;
    bed.until(&held, |object| {
        object.is_some_and(|o| o["metadata"]["deletionTimestamp"].is_string())
    })
    .await;
    assert!(bed.get("namespaces", "ns").is_ok());

    // What is left over is found again after a restart.
    let bed = bed.reopened().await;
    bed.merge(&held, json!({"metadata": {"finalizers": null}}))
        .await
        .unwrap();
    bed.until_gone("namespaces", "ns").await;
    assert!(bed.names(&inside, &ListOptions::default()).is_empty());
    let error = bed.create_at(&inside, gadget("new")).await.unwrap_err();
    assert_eq!(error.message, r#"namespaces "ns" not found"#);
    assert_eq!(
        bed.delete("namespaces", "default").await.unwrap_err().code,
        403
    );
}

/// A real API server, too, keeps the deletionTimestamp of an object that a PUT or an apply creates.
#[tokio::test]
async fn a_namespace_goes_with_what_was_created_as_being_deleted() {
    let bed = Bed::new().await;
    bed.create("namespaces", json!({"metadata": {"name": "ns"}}))
        .await
        .unwrap();
    let marked =
        json!({"name": "e", "namespace": "ns", "deletionTimestamp": "2020-01-01T00:00:00Z"});
    let event = json!({"metadata": marked, "involvedObject": {"namespace": "ns"}});
    let event = bed.body("events", &event);
    let target = Target::one(&bed.kind("events"), Some("ns"), "e");
    let options = WriteOptions::default();
    let made = bed.registry.update(&target, event, &options).await.unwrap();
    assert!(parse(&made.object)["metadata"]["deletionTimestamp"].is_string());
    bed.delete("namespaces", "ns").await.unwrap();
    bed.until_gone("namespaces", "ns").await;
}

/// Carries a request as far as its write is made, then drops it without its answer, as when the client's connection breaks.
async fn abandoned<T>(bed: &Bed, request: impl Future<Output = T>) {
    let before = bed.registry.revision();
    let mut request = Box::pin(request);
    let _ = futures::poll!(request.as_mut());
    while bed.registry.revision() == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_namespace_goes_though_the_client_of_its_deletion_went_away() {
    let bed = Bed::new().await;
    for name in ["empty", "full"] {
        bed.create("namespaces", json!({"metadata": {"name": name}}))
            .await
            .unwrap();
    }
    let configs = bed.kind("configmaps");
    bed.create_at(&Target::all(&configs, Some("full")), config("x"))
        .await
        .unwrap();
    for name in ["empty", "full"] {
        let (target, options) = (bed.one("namespaces", name), DeleteOptions::default());
        abandoned(&bed, bed.registry.delete(&target, &options)).await;
        bed.until_gone("namespaces", name).await;
    }
}

#[tokio::test]
async fn a_namespace_goes_though_the_client_of_the_last_deletion_in_it_went_away() {
    let bed = Bed::new().await;
    bed.create("namespaces", json!({"metadata": {"name": "ns"}}))
        .await
        .unwrap();
    let gadgets = bed.kind("gadgets");
    let target = Target::one(&gadgets, Some("ns"), "last");
    bed.create_at(
        &Target::all(&gadgets, Some("ns")),
        with_finalizer(gadget("last"), "x.io/hold"),
    )
    .await
    .unwrap();
    bed.delete("namespaces", "ns").await.unwrap();
    bed.until(&target, |object| {
        object.is_some_and(|o| o["metadata"]["deletionTimestamp"].is_string())
    })
    .await;
    // The namespace controller ends its pass and waits.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let options = WriteOptions::default();
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    abandoned(&bed, bed.registry.patch(&target, patch, &options)).await;
    bed.until_gone("namespaces", "ns").await;
}

#[tokio::test]
async fn events_are_forgotten_when_nobody_writes_them_any_more() {
    let bed = Bed::new().await;
    // When it happened is the client's to say, and says nothing of how long it is kept.
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "lastTimestamp": "2021-01-01T00:00:00Z"});
    bed.create("events", event).await.unwrap();
    let ago = |minutes: i64| {
        let span = jiff::SignedDuration::from_mins(minutes);
        Timestamp::now().checked_sub(span).unwrap()
    };
    let names = || bed.names(&bed.all("events"), &ListOptions::default());
    bed.registry.delete_old_events(ago(1)).await.unwrap();
    assert_eq!(names(), ["e"]);
    bed.registry.delete_old_events(ago(-1)).await.unwrap();
    assert!(names().is_empty());
}

#[tokio::test]
async fn who_lets_go_of_a_deleted_object_shows_watches_what_was_stored() {
    let bed = Bed::new().await;
    let map =
        json!({"metadata": {"name": "m", "finalizers": ["test.io/hold"]}, "data": {"a": "1"}});
    bed.create("configmaps", map).await.unwrap();
    let mut watch = bed
        .registry
        .watch(&bed.all("configmaps"), &WatchOptions::default())
        .unwrap();
    bed.delete("configmaps", "m").await.unwrap();
    let letting_go = json!({"metadata": {"finalizers": null}, "data": {"a": "2"}});
    let answer = bed.merge(&bed.one("configmaps", "m"), letting_go).await;
    assert_eq!(answer.unwrap()["data"]["a"], "2");
    let last = async {
        loop {
            let event = watch.next().await.unwrap();
            if event.kind == WatchEventKind::Deleted {
                return parse(&event.object);
            }
        }
    };
    let last = tokio::time::timeout(PATIENCE, last).await.unwrap();
    assert_eq!(last["data"]["a"], "1");
    assert_eq!(last["metadata"]["finalizers"], json!(["test.io/hold"]));
}
