//! Owners and dependents.

use super::*;

#[tokio::test]
async fn dependents_go_after_their_owner() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    let b = bed
        .create("configmaps", owned(config("b"), &[owner(&a)]))
        .await
        .unwrap();
    bed.create("gadgets", owned(gadget("c"), &[owner(&b)]))
        .await
        .unwrap();
    bed.delete("configmaps", "a").await.unwrap();
    bed.until_gone("configmaps", "b").await;
    bed.until_gone("gadgets", "c").await;
}

#[tokio::test]
async fn a_dependent_stays_while_an_owner_is_left() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    let b = bed.create("configmaps", config("b")).await.unwrap();
    // Of what has an owner of a kind that is not served here, nothing can be told: it stays as it is.
    let machine =
        json!({"apiVersion": "example.org/v1beta2", "kind": "Machine", "name": "m", "uid": "x"});
    bed.create("gadgets", owned(gadget("c"), &[owner(&a), owner(&b)]))
        .await
        .unwrap();
    bed.create("gadgets", owned(gadget("d"), &[owner(&a), machine.clone()]))
        .await
        .unwrap();
    bed.delete("configmaps", "a").await.unwrap();
    let left = |want: Value| {
        move |object: Option<&Value>| {
            object.unwrap()["metadata"]["ownerReferences"] == json!([want])
        }
    };
    bed.until(&bed.one("gadgets", "c"), left(owner(&b))).await;
    bed.delete("configmaps", "b").await.unwrap();
    bed.until_gone("gadgets", "c").await;
    let kept = bed.get("gadgets", "d").unwrap();
    assert_eq!(
        kept["metadata"]["ownerReferences"],
        json!([owner(&a), machine])
    );
}

/// All versions of a kind are one resource, of which this server has one.
#[tokio::test]
async fn an_owner_may_be_named_by_another_version_of_its_kind() {
    let bed = Bed::new().await;
    let a = bed.create("gadgets", gadget("a")).await.unwrap();
    let mut older = owner(&a);
    let version = older["apiVersion"].as_str().unwrap();
    older["apiVersion"] = json!(version.replace("/v1", "/v1beta7"));
    assert_ne!(older, owner(&a));
    older["blockOwnerDeletion"] = true.into();
    bed.create("configmaps", owned(config("b"), &[older]))
        .await
        .unwrap();
    bed.delete_so("gadgets", "a", Propagation::Foreground).await;
    bed.until_gone("configmaps", "b").await;
    bed.until_gone("gadgets", "a").await;
}

#[tokio::test]
async fn something_new_with_an_owner_that_is_gone_goes() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    bed.delete("configmaps", "a").await.unwrap();
    // The name is taken again, but the owner is meant by its UID.
    bed.create("configmaps", config("a")).await.unwrap();
    bed.create("gadgets", owned(gadget("c"), &[owner(&a)]))
        .await
        .unwrap();
    bed.until_gone("gadgets", "c").await;
    bed.create("gadgets", gadget("d")).await.unwrap();
    bed.merge(
        &bed.one("gadgets", "d"),
        json!({"metadata": {"ownerReferences": [owner(&a)]}}),
    )
    .await
    .unwrap();
    bed.until_gone("gadgets", "d").await;
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    let mut blocking = owner(&a);
    blocking["blockOwnerDeletion"] = true.into();
    let held = with_finalizer(owned(gadget("held"), &[blocking.clone()]), "x.io/hold");
    bed.create("gadgets", held).await.unwrap();
    bed.create("gadgets", owned(gadget("free"), &[blocking]))
        .await
        .unwrap();
    let loose = with_finalizer(owned(gadget("loose"), &[owner(&a)]), "x.io/hold");
    bed.create("gadgets", loose).await.unwrap();
    let deleted = bed
        .delete_so("configmaps", "a", Propagation::Foreground)
        .await;
    assert!(matches!(deleted, Deleted::Marked(_)));
    bed.until_gone("gadgets", "free").await;
    let deleting =
        |object: Option<&Value>| object.unwrap()["metadata"]["deletionTimestamp"].is_string();
    bed.until(&bed.one("gadgets", "held"), deleting).await;
    let a = bed.get("configmaps", "a").unwrap();
    assert_eq!(a["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    // A restart in the middle forgets nothing.
    let bed = bed.reopened().await;
    bed.merge(
        &bed.one("gadgets", "held"),
        json!({"metadata": {"finalizers": null}}),
    )
    .await
    .unwrap();
    // The one that does not block is not waited for.
    bed.until_gone("configmaps", "a").await;
    bed.until(&bed.one("gadgets", "loose"), deleting).await;
}

#[tokio::test]
async fn orphans_stay_without_their_owner() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    bed.create("gadgets", owned(gadget("c"), &[owner(&a)]))
        .await
        .unwrap();
    bed.delete_so("configmaps", "a", Propagation::Orphan).await;
    bed.until_gone("configmaps", "a").await;
    let orphan = bed.get("gadgets", "c").unwrap();
    assert!(orphan["metadata"].get("ownerReferences").is_none());
    assert!(orphan["metadata"].get("deletionTimestamp").is_none());
}

#[tokio::test]
async fn many_dependents_and_those_that_a_stop_left_behind_go() {
    let bed = Bed::new().await;
    let a = bed.create("configmaps", config("a")).await.unwrap();
    let made =
        (0..1500).map(|n| bed.create("gadgets", owned(gadget(&format!("c{n}")), &[owner(&a)])));
    for result in futures::future::join_all(made).await {
        result.unwrap();
    }
    // The collector is stopped first: the work waits in the store.
    bed.registry.close().await;
    bed.delete("configmaps", "a").await.unwrap();
    assert_eq!(
        bed.names(&bed.all("gadgets"), &ListOptions::default())
            .len(),
        1500
    );
    let bed = bed.reopened().await;
    let mut watch = bed
        .registry
        .watch(&bed.all("gadgets"), &WatchOptions::default())
        .unwrap();
    let gone = async {
        let mut gone = 0;
        while gone < 1500 {
            gone += usize::from(watch.next().await.unwrap().kind == WatchEventKind::Deleted);
        }
    };
    let left = bed
        .names(&bed.all("gadgets"), &ListOptions::default())
        .len();
    if left == 1500 {
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
    } else {
        for n in 0..1500 {
            bed.until_gone("gadgets", &format!("c{n}")).await;
        }
    }
    assert!(
        bed.names(&bed.all("gadgets"), &ListOptions::default())
            .is_empty()
    );
}

#[tokio::test]
async fn an_object_that_may_not_go_keeps_no_other_from_going() {
    let bed = Bed::new().await;
    let gone = |n: u32| json!({"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": format!("00000000-0000-0000-0000-{n:012}")});
    // Its deletion is refused each time. The work list is in order of owners: this one comes first.
    bed.merge(
        &bed.one("namespaces", "default"),
        json!({"metadata": {"ownerReferences": [gone(1)]}}),
    )
    .await
    .unwrap();
    bed.create("configmaps", owned(config("x"), &[gone(2)]))
        .await
        .unwrap();
    bed.until_gone("configmaps", "x").await;
    assert!(bed.get("namespaces", "default").is_ok());
}

#[tokio::test]
async fn a_background_task_that_panics_is_a_failure_of_the_server() {
    let bed = Bed::new().await;
    let failure = bed.registry.failure();
    assert!(bed.registry.check().is_ok());
    bed.registry
        .supervise("the test's task", async { panic!("no way") });
    let why = tokio::time::timeout(PATIENCE, failure.happened())
        .await
        .unwrap();
    assert_eq!(why, "the test's task panicked: no way");
    assert!(bed.registry.check().is_err());
}
