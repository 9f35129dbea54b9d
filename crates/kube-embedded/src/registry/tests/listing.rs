//! Lists: pages of one snapshot, selectors, versions.

use super::*;

fn page(limit: usize, token: Option<String>) -> ListOptions {
    ListOptions {
        limit: Some(limit),
        continue_token: token,
        ..ListOptions::default()
    }
}

#[tokio::test]
async fn all_pages_are_of_one_revision() {
    let bed = Bed::new().await;
    for n in 0..10 {
        bed.create("gadgets", gadget(&format!("c{n}")))
            .await
            .unwrap();
    }
    let target = bed.all("gadgets");
    let first = bed.registry.list(&target, &page(4, None)).unwrap();
    assert_eq!((first.items.len(), first.remaining), (4, Some(6)));
    // What happens now is not in the later pages.
    bed.delete("gadgets", "c5").await.unwrap();
    bed.create("gadgets", gadget("c55")).await.unwrap();
    bed.merge(
        &bed.one("gadgets", "c9"),
        json!({"metadata": {"labels": {"new": "yes"}}}),
    )
    .await
    .unwrap();
    let second = bed
        .registry
        .list(&target, &page(4, first.continue_token))
        .unwrap();
    assert_eq!((second.items.len(), second.remaining), (4, Some(2)));
    let third = bed
        .registry
        .list(&target, &page(4, second.continue_token))
        .unwrap();
    assert_eq!(
        (third.items.len(), third.remaining, third.continue_token),
        (2, None, None)
    );
    assert!(first.revision == second.revision && second.revision == third.revision);
    let last = parse(third.items.last().unwrap());
    assert!(last["metadata"].get("labels").is_none());
    let names: Vec<String> = [first.items, second.items, third.items]
        .concat()
        .iter()
        .map(|i| name_of(i))
        .collect();
    assert_eq!(names, (0..10).map(|n| format!("c{n}")).collect::<Vec<_>>());
}

/// A list is a copy of its objects as long as its client reads.
#[tokio::test]
async fn long_lists_share_a_budget_until_they_are_read() {
    let bed = Bed::new().await;
    for n in 0..5 {
        let mut large = config(&format!("c{n}"));
        large["data"]["a"] = json!("x".repeat(500_000));
        bed.create("configmaps", large).await.unwrap();
    }
    let budget = ListBudget::new(3 << 20);
    let list = |limit: Option<usize>| {
        let options = ListOptions {
            limit,
            budget: Some(budget.clone()),
            ..ListOptions::default()
        };
        bed.registry.list(&bed.all("configmaps"), &options)
    };
    // 2.5 MB take two units of the three.
    let first = list(None).unwrap();
    assert_eq!(first.items.len(), 5);
    let second = list(None).unwrap_err();
    assert_eq!((second.code, second.reason), (429, "TooManyRequests"));
    assert!(second.message.contains("in pages"), "{}", second.message);
    // What a refused one had taken is given back; a short page takes nothing.
    assert_eq!(list(Some(2)).unwrap().items.len(), 2);
    // So do the first state of a watch until it was sent, and the answer to a deletion.
    let watched = || {
        let options = WatchOptions {
            budget: Some(budget.clone()),
            ..WatchOptions::default()
        };
        let watch = bed.registry.watch(&bed.all("configmaps"), &options);
        watch.unwrap()
    };
    let refused = watched().next().await.unwrap();
    assert_eq!(refused.kind, WatchEventKind::Error);
    assert_eq!(parse(&refused.object)["code"], 429);
    let which = ListOptions {
        budget: Some(budget.clone()),
        ..ListOptions::default()
    };
    let configs = bed.all("configmaps");
    let mut options = DeleteOptions {
        dry_run: true,
        ..DeleteOptions::default()
    };
    let deleted = bed.registry.delete_collection(&configs, &options, &which);
    assert!(deleted.await.unwrap().items.is_empty());
    drop(first);
    let mut watch = watched();
    assert_eq!(watch.next().await.unwrap().kind, WatchEventKind::Added);
    assert_eq!(list(None).unwrap_err().code, 429);
    for _ in 1..5 {
        watch.next().await.unwrap();
    }
    assert!(watch.next().now_or_never().is_none());
    assert_eq!(list(None).unwrap().items.len(), 5);
    options.dry_run = false;
    let deleted = bed.registry.delete_collection(&configs, &options, &which);
    let deleted = deleted.await.unwrap();
    assert_eq!(deleted.items.len(), 5);
    assert!(list(None).unwrap().items.is_empty());
}

#[tokio::test]
async fn a_collection_that_is_longer_than_the_budget_is_deleted() {
    let bed = Bed::new().await;
    for n in 0..30 {
        let mut large = config(&format!("c{n:02}"));
        large["data"]["a"] = json!("x".repeat(500_000));
        bed.create("configmaps", large).await.unwrap();
    }
    let budget = ListBudget::new(8 << 20);
    let which = ListOptions {
        budget: Some(budget.clone()),
        ..ListOptions::default()
    };
    let (configs, options) = (bed.all("configmaps"), DeleteOptions::default());
    let all = bed.registry.list(&configs, &which);
    assert_eq!(all.unwrap_err().code, 429);
    let first = bed.registry.list(&configs, &page(1, None)).unwrap();
    let last = ListOptions {
        continue_token: first.continue_token,
        ..which.clone()
    };
    for (which, left) in [(&last, vec!["c00"]), (&which, vec![])] {
        let deleted = bed
            .registry
            .delete_collection(&configs, &options, which)
            .await
            .unwrap();
        // What is too long for the budget is not in the answer.
        assert_eq!(deleted.items.len(), usize::from(left.is_empty()));
        assert!(deleted.continue_token.is_none());
        assert_eq!(bed.names(&configs, &ListOptions::default()), left);
    }
    // The room is free again.
    assert_eq!(bed.registry.list(&configs, &which).unwrap().items.len(), 0);
    let token = bed.registry.delete_collection(&configs, &options, &last);
    assert!(token.await.is_ok_and(|deleted| deleted.items.is_empty()));
}

#[tokio::test]
async fn a_page_after_a_restart_is_expired_and_tells_how_to_go_on() {
    let bed = Bed::new().await;
    for n in 0..4 {
        bed.create("gadgets", gadget(&format!("c{n}")))
            .await
            .unwrap();
    }
    let first = bed
        .registry
        .list(&bed.all("gadgets"), &page(2, None))
        .unwrap();
    bed.create("gadgets", gadget("c9")).await.unwrap();
    let bed = bed.reopened().await;
    let target = bed.all("gadgets");
    let error = bed
        .registry
        .list(&target, &page(2, first.continue_token))
        .unwrap_err();
    assert_eq!((error.code, error.reason), (410, "Expired"));
    let token = error.to_value()["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = bed.registry.list(&target, &page(9, Some(token))).unwrap();
    let names: Vec<String> = rest.items.iter().map(|i| name_of(i)).collect();
    assert_eq!(names, ["c2", "c3", "c9"]);
}

#[tokio::test]
async fn selectors_and_namespaces_choose() {
    let bed = Bed::new().await;
    bed.create("namespaces", json!({"metadata": {"name": "other"}}))
        .await
        .unwrap();
    let other = Target::all(&bed.kind("gadgets"), Some("other"));
    for name in ["a", "b"] {
        let mut object = gadget(name);
        object["metadata"]["labels"] = json!({"x": name});
        bed.create("gadgets", object.clone()).await.unwrap();
        bed.create_at(&other, object).await.unwrap();
    }
    let all = bed.all("gadgets");
    let kind = bed.kind("gadgets");
    let names = |target: &Target, labels: &str, fields: &str| {
        let selectors = Selectors {
            labels: LabelSelector::parse(labels).unwrap(),
            fields: FieldSelector::parse(fields, &kind).unwrap(),
        };
        bed.names(
            target,
            &ListOptions {
                selectors,
                ..ListOptions::default()
            },
        )
    };
    assert_eq!(names(&all, "", ""), ["a", "b", "a", "b"]);
    assert_eq!(names(&other, "", ""), ["a", "b"]);
    assert_eq!(names(&all, "x=a", ""), ["a", "a"]);
    assert_eq!(names(&all, "x", "metadata.name=b"), ["b", "b"]);
    assert_eq!(names(&other, "", "metadata.name=b"), ["b"]);
    assert_eq!(
        names(&all, "", "metadata.name=b,metadata.namespace=other"),
        ["b"]
    );
    assert!(names(&other, "", "metadata.name=b,metadata.namespace=default").is_empty());
    assert!(names(&other, "x=a", "metadata.name=b").is_empty());
}

#[tokio::test]
async fn versions_of_lists_are_honoured() {
    let bed = Bed::new().await;
    let target = bed.all("gadgets");
    let now = bed.registry.revision();
    let list = |version: &str, version_match| {
        bed.registry.list(
            &target,
            &ListOptions {
                resource_version: Some(version.to_owned()),
                version_match,
                ..ListOptions::default()
            },
        )
    };
    let far = (now + 9).to_string();
    assert_eq!(list("0", None).unwrap().revision, now);
    assert_eq!(
        list(&now.to_string(), Some(VersionMatch::Exact))
            .unwrap()
            .revision,
        now
    );
    assert_eq!(
        list("1", Some(VersionMatch::NotOlderThan))
            .unwrap()
            .revision,
        now
    );
    assert_eq!(list("1", Some(VersionMatch::Exact)).unwrap_err().code, 410);
    let error = list(&far, None).unwrap_err();
    assert_eq!((error.code, error.reason), (504, "Timeout"));
    assert_eq!(list("x", None).unwrap_err().code, 400);
    assert_eq!(list("", Some(VersionMatch::Exact)).unwrap_err().code, 400);
    for token in ["x", "!!", "e30"] {
        let error = bed
            .registry
            .list(&target, &page(1, Some(token.to_owned())))
            .unwrap_err();
        assert_eq!(error.code, 400, "{token}");
    }
}

#[tokio::test]
async fn a_readers_pages_do_not_end_another_readers_list() {
    let bed = Bed::new().await;
    for n in 0..50 {
        bed.create("configmaps", config(&format!("m{n:02}")))
            .await
            .unwrap();
    }
    let page = |token: Option<Arc<str>>| {
        let options = ListOptions {
            limit: Some(1),
            continue_token: token.map(|token| token.to_string()),
            ..ListOptions::default()
        };
        bed.registry.list(&bed.all("configmaps"), &options)
    };
    let first = page(None).unwrap();
    bed.create("configmaps", config("later")).await.unwrap();
    let mut other = page(None).unwrap();
    for _ in 0..40 {
        other = page(other.continue_token.map(|token| Arc::from(&*token))).unwrap();
    }
    let second = page(first.continue_token.map(|token| Arc::from(&*token))).unwrap();
    assert_eq!(name_of(&second.items[0]), "m01");
}
