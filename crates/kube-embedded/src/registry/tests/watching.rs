//! Watches: order, selectors, bookmarks, history.

use super::*;

async fn take(watch: &mut WatchStream, count: usize) -> Vec<(&'static str, String)> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let event = tokio::time::timeout(PATIENCE, watch.next())
            .await
            .unwrap()
            .unwrap();
        let object = parse(&event.object);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        taken.push((event.kind.as_str(), name.to_owned()));
    }
    taken
}

fn since(version: &str) -> WatchOptions {
    WatchOptions {
        resource_version: Some(version.to_owned()),
        ..WatchOptions::default()
    }
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_or_where_it_is_told() {
    let bed = Bed::new().await;
    let all = bed.all("widgets");
    let a = bed.create("widgets", widget("a")).await.unwrap();
    bed.create("gadgets", gadget("other-kind")).await.unwrap();
    bed.create("widgets", widget("b")).await.unwrap();
    let mut whole = bed.registry.watch(&all, &WatchOptions::default()).unwrap();
    let mut later = bed
        .registry
        .watch(
            &all,
            &since(a["metadata"]["resourceVersion"].as_str().unwrap()),
        )
        .unwrap();
    bed.merge(&bed.one("widgets", "a"), json!({"spec": {"size": 24}}))
        .await
        .unwrap();
    bed.delete("widgets", "a").await.unwrap();
    let text = |list: &[(&'static str, &str)]| {
        list.iter()
            .map(|(k, n)| (*k, (*n).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        take(&mut whole, 4).await,
        text(&[
            ("ADDED", "a"),
            ("ADDED", "b"),
            ("MODIFIED", "a"),
            ("DELETED", "a")
        ])
    );
    assert_eq!(
        take(&mut later, 3).await,
        text(&[("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")])
    );
}

#[tokio::test]
async fn revisions_of_a_watch_rise_and_the_deleted_object_has_that_of_its_deletion() {
    let bed = Bed::new().await;
    let mut watch = bed
        .registry
        .watch(&bed.all("gadgets"), &WatchOptions::default())
        .unwrap();
    for n in 0..50 {
        bed.create("gadgets", gadget(&format!("c{n}")))
            .await
            .unwrap();
    }
    bed.delete("gadgets", "c7").await.unwrap();
    let mut last = 0;
    for _ in 0..51 {
        let event = watch.next().await.unwrap();
        let version: u64 = parse(&event.object)["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(version > last);
        last = version;
    }
    assert_eq!(last, bed.registry.revision());
}

#[tokio::test]
async fn what_stops_matching_is_deleted_and_what_begins_to_is_added() {
    let bed = Bed::new().await;
    let selectors = Selectors {
        labels: LabelSelector::parse("x=1").unwrap(),
        ..Selectors::default()
    };
    let options = WatchOptions {
        selectors,
        ..WatchOptions::default()
    };
    let mut watch = bed.registry.watch(&bed.all("gadgets"), &options).unwrap();
    bed.create("gadgets", gadget("a")).await.unwrap();
    let target = bed.one("gadgets", "a");
    let label = |value: Value| bed.merge(&target, json!({"metadata": {"labels": {"x": value}}}));
    label("1".into()).await.unwrap();
    bed.merge(&target, json!({"metadata": {"annotations": {"n": "1"}}}))
        .await
        .unwrap();
    let out = label("2".into()).await.unwrap();
    bed.merge(&target, json!({"metadata": {"annotations": {"n": "2"}}}))
        .await
        .unwrap();
    label("1".into()).await.unwrap();
    bed.delete("gadgets", "a").await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..5 {
        let event = watch.next().await.unwrap();
        let object = parse(&event.object);
        if kinds.len() == 2 {
            // As it was while it matched, with the version of the write that took it out.
            assert_eq!(object["metadata"]["labels"]["x"], "1");
            assert_eq!(
                object["metadata"]["resourceVersion"],
                out["metadata"]["resourceVersion"]
            );
        }
        kinds.push(event.kind.as_str());
    }
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]);
}

#[tokio::test]
async fn a_watch_of_one_object_hears_of_no_other() {
    let bed = Bed::new().await;
    let mut watch = bed
        .registry
        .watch(&bed.one("gadgets", "a"), &WatchOptions::default())
        .unwrap();
    for name in ["aa", "a", "a-b"] {
        bed.create("gadgets", gadget(name)).await.unwrap();
    }
    bed.delete("gadgets", "a").await.unwrap();
    let taken = take(&mut watch, 2).await;
    assert_eq!(
        taken,
        [("ADDED", "a".to_owned()), ("DELETED", "a".to_owned())]
    );
}

#[tokio::test]
async fn a_watch_from_before_the_history_is_told_so() {
    let bed = Bed::new().await;
    bed.create("gadgets", gadget("a")).await.unwrap();
    let bed = bed.reopened().await;
    let now = bed.registry.revision();
    let mut old = bed
        .registry
        .watch(&bed.all("gadgets"), &since(&(now - 1).to_string()))
        .unwrap();
    let event = old.next().await.unwrap();
    assert_eq!(event.kind, WatchEventKind::Error);
    let status = parse(&event.object);
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&410.into(), &"Expired".into())
    );
    assert_eq!(
        status["message"],
        format!("too old resource version: {} ({now})", now - 1)
    );
    assert!(old.next().await.is_none());
    let mut current = bed
        .registry
        .watch(&bed.all("gadgets"), &since(&now.to_string()))
        .unwrap();
    bed.create("gadgets", gadget("b")).await.unwrap();
    assert_eq!(take(&mut current, 1).await, [("ADDED", "b".to_owned())]);
    let ahead = bed
        .registry
        .watch(&bed.all("gadgets"), &since(&(now + 100).to_string()));
    assert_eq!(ahead.err().unwrap().code, 504);
}

#[tokio::test]
async fn a_watch_that_is_too_slow_ends_and_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path(), crate::testing::serves());
    options.limits.history_events = 10;
    let bed = Bed {
        registry: Registry::open(options).await.unwrap(),
        dir,
    };
    let mut watch = bed
        .registry
        .watch(&bed.all("gadgets"), &WatchOptions::default())
        .unwrap();
    let mut other = bed
        .registry
        .watch(&bed.all("widgets"), &WatchOptions::default())
        .unwrap();
    bed.create("widgets", widget("p")).await.unwrap();
    for n in 0..20 {
        bed.create("gadgets", gadget(&format!("c{n}")))
            .await
            .unwrap();
    }
    let event = watch.next().await;
    // Its first state was empty, and what came after it was forgotten before it looked.
    assert_eq!(event.unwrap().kind, WatchEventKind::Error);
    assert!(watch.next().await.is_none());
    // A busy kind does not push another's history out.
    assert_eq!(take(&mut other, 1).await, [("ADDED", "p".to_owned())]);
}

/// A client that lists in pages under load watches from the revision of its list when it has read the last one.
#[tokio::test]
async fn the_events_after_a_long_list_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path(), crate::testing::serves());
    options.limits.history_events = 10;
    options.limits.held_bytes = 200_000;
    let bed = Bed {
        registry: Registry::open(options).await.unwrap(),
        dir,
    };
    let create = async |names: std::ops::Range<u32>| {
        for n in names {
            let made = bed.create("gadgets", gadget(&format!("c{n:04}"))).await;
            made.unwrap();
        }
    };
    create(0..6).await;
    let page = |token: Option<String>| ListOptions {
        limit: Some(4),
        continue_token: token,
        ..ListOptions::default()
    };
    let first = bed.registry.list(&bed.all("gadgets"), &page(None)).unwrap();
    let since_list = since(&first.revision.to_string());
    create(6..50).await;
    let second = bed
        .registry
        .list(&bed.all("gadgets"), &page(first.continue_token));
    assert_eq!(second.unwrap().items.len(), 2);
    create(50..60).await;
    let watch = bed.registry.watch(&bed.all("gadgets"), &since_list);
    let names = take(&mut watch.unwrap(), 54).await;
    assert_eq!(names[0].1, "c0006");
    // Not without a bound.
    create(60..1_000).await;
    let mut watch = bed
        .registry
        .watch(&bed.all("gadgets"), &since_list)
        .unwrap();
    assert_eq!(watch.next().await.unwrap().kind, WatchEventKind::Error);
}

#[tokio::test]
async fn a_first_state_of_many_pages_is_whole() {
    let bed = Bed::new().await;
    let made = (0..700).map(|n| bed.create("gadgets", gadget(&format!("c{n}"))));
    for result in futures::future::join_all(made).await {
        result.unwrap();
    }
    let mut watch = bed
        .registry
        .watch(&bed.all("gadgets"), &WatchOptions::default())
        .unwrap();
    bed.create("gadgets", gadget("last")).await.unwrap();
    let taken = take(&mut watch, 701).await;
    let names: std::collections::BTreeSet<_> = taken.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 701);
    assert_eq!(taken[700], ("ADDED", "last".to_owned()));
}

#[tokio::test]
async fn bookmarks_come_every_minute_and_at_the_end_and_closing_ends_watches() {
    let bed = Bed::new().await;
    let options = |bookmarks| WatchOptions {
        bookmarks,
        timeout: Some(Duration::from_secs(100)),
        ..WatchOptions::default()
    };
    let all = bed.all("widgets");
    let mut watch = bed.registry.watch(&all, &options(true)).unwrap();
    let mut silent = bed.registry.watch(&all, &options(false)).unwrap();
    let mut endless = bed.registry.watch(&all, &WatchOptions::default()).unwrap();
    // Another kind's write moves the revision on.
    bed.create("gadgets", gadget("a")).await.unwrap();
    tokio::time::pause();
    for _ in 0..2 {
        let event = watch.next().await.unwrap();
        assert_eq!(event.kind, WatchEventKind::Bookmark);
        let object = parse(&event.object);
        assert_eq!(
            object["metadata"]["resourceVersion"],
            bed.registry.revision().to_string()
        );
        assert_eq!(
            (&object["kind"], &object["apiVersion"]),
            (&"Widget".into(), &"example.com/v1alpha1".into())
        );
    }
    assert!(watch.next().await.is_none());
    assert!(silent.next().await.is_none());
    tokio::time::resume();
    bed.registry.close().await;
    assert!(endless.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_busy_watch_has_its_bookmarks_and_its_end() {
    let options = Options {
        place: Place::Memory,
        ..Options::new(Path::new(""), crate::testing::serves())
    };
    let registry = Registry::open(options).await.unwrap();
    let all = registry.resources().all();
    let configs = all.iter().find(|r| r.plural == "configmaps").unwrap();
    let target = Target::all(configs, Some("default"));
    let options = WatchOptions {
        bookmarks: true,
        timeout: Some(Duration::from_mins(3)),
        ..WatchOptions::default()
    };
    let mut watch = registry.watch(&target, &options).unwrap();
    let mut kinds = Vec::new();
    'watch: for n in 0..1_000 {
        // There is always something to say.
        for half in ["a", "b"] {
            let mut body = config(&format!("m{n}{half}"));
            body["apiVersion"] = "v1".into();
            body["kind"] = "ConfigMap".into();
            let options = WriteOptions::default();
            registry.create(&target, body, &options).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 {
            let Some(event) = watch.next().await else {
                break 'watch;
            };
            kinds.push(event.kind);
        }
    }
    assert!(kinds.len() < 400, "the watch goes on after its end");
    let bookmarks = kinds
        .iter()
        .filter(|kind| **kind == WatchEventKind::Bookmark);
    assert_eq!(bookmarks.count(), 3, "one a minute, and the last word");
    registry.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_among_events_says_where_the_next_one_goes_on() {
    const WRITES: usize = 300;
    let options = Options {
        place: Place::Memory,
        ..Options::new(Path::new(""), crate::testing::serves())
    };
    let registry = Registry::open(options).await.unwrap();
    let all = registry.resources().all();
    let configs = all.iter().find(|r| r.plural == "configmaps").unwrap();
    let target = Target::all(configs, Some("default"));
    let options = |version: &str, seconds| WatchOptions {
        bookmarks: true,
        timeout: Some(Duration::from_secs(seconds)),
        ..since(version)
    };
    let begin = registry.revision().to_string();
    let mut watch = registry.watch(&target, &options(&begin, 5)).unwrap();
    let without = WatchOptions {
        bookmarks: false,
        ..options(&begin, 5)
    };
    let mut silent = registry.watch(&target, &without).unwrap();
    for n in 0..WRITES {
        let mut body = config(&format!("m{n:03}"));
        body["apiVersion"] = "v1".into();
        body["kind"] = "ConfigMap".into();
        let options = WriteOptions::default();
        registry.create(&target, body, &options).await.unwrap();
    }
    let read = |event: &WatchEvent| parse(&event.object)["metadata"].clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = watch.next().await.unwrap();
        seen.push(read(&event)["name"].clone());
        silent.next().await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(silent.next().await.is_none(), "its time is over");
    let last = watch.next().await.unwrap();
    assert_eq!(last.kind, WatchEventKind::Bookmark);
    assert!(watch.next().await.is_none());
    let reached = read(&last)["resourceVersion"].as_str().unwrap().to_owned();

    // None is lost, and none comes twice.
    let mut next = registry.watch(&target, &options(&reached, 60)).unwrap();
    while seen.len() < WRITES {
        let event = next.next().await.unwrap();
        assert_eq!(event.kind, WatchEventKind::Added);
        seen.push(read(&event)["name"].clone());
    }
    let all: Vec<Value> = (0..WRITES).map(|n| format!("m{n:03}").into()).collect();
    assert_eq!(seen, all);

    // The first state is all or nothing: an end within it leaves nothing to go on from.
    let options = WatchOptions {
        resource_version: None,
        ..options(&reached, 5)
    };
    let mut first = registry.watch(&target, &options).unwrap();
    first.next().await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(first.next().await.is_none());
    registry.close().await;
}

#[tokio::test]
async fn a_watch_that_nobody_reads_holds_no_snapshot() {
    let bed = Bed::new().await;
    for n in 0..600 {
        bed.create("configmaps", config(&format!("m{n:03}")))
            .await
            .unwrap();
    }
    let mut watch = bed
        .registry
        .watch(&bed.all("configmaps"), &WatchOptions::default())
        .unwrap();
    // The first event is taken, then the client stops reading.
    let first = watch.next().await.unwrap();
    assert_eq!(first.kind, WatchEventKind::Added);
    assert_eq!(bed.registry.inner.store.snapshots(), 0);
    let rest = watch.take(599).collect::<Vec<_>>().await;
    assert_eq!(name_of(&rest.last().unwrap().object), "m599");
}
