//! The store by itself: what is refused, what is found, and what a `kill -9` leaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;

use super::*;

const CHILD: &str = "KUBE_EMBEDDED_TEST_STORE";

fn commits() -> Histogram {
    crate::metrics::commit_seconds(&crate::testing::product())
}

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir, 1, Limits::default(), commits()).unwrap())
}

pub(super) fn put(key: &str, expected: Option<u64>, id: u128) -> Change {
    let object =
        json!({"metadata": {"name": key, "id": id.to_string()}, "filler": "x".repeat(500)});
    Change {
        kind: 0,
        key: Arc::from(key),
        expected,
        action: Action::Put {
            id,
            deleting: false,
            draft: Draft::of(object.as_object().unwrap()),
        },
        container: false,
        within: None,
        linked: Vec::new(),
        unlinked: Vec::new(),
        index: (Vec::new(), Vec::new()),
        collect: false,
        prior: None,
    }
}

fn remove(key: &str, expected: u64, id: u128) -> Change {
    let object = json!({"metadata": {}});
    let draft = Draft::of(object.as_object().unwrap());
    Change {
        action: Action::Remove { id, draft },
        ..put(key, Some(expected), id)
    }
}

fn refused(answer: Result<Committed, CommitError>) -> Refused {
    match answer {
        Err(CommitError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_is_made_only_on_the_state_that_it_was_computed_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let made = store.commit(put("/a", None, 1)).await.unwrap();
    assert_eq!(made.revision, 1);
    assert_eq!(
        refused(store.commit(put("/a", None, 2)).await),
        Refused::Exists
    );
    assert_eq!(
        refused(store.commit(put("/a", Some(9), 1)).await),
        Refused::Changed
    );
    assert_eq!(
        refused(store.commit(put("/b", Some(1), 1)).await),
        Refused::Changed
    );
    let changed = store.commit(put("/a", Some(1), 1)).await.unwrap();
    assert_eq!(changed.revision, 2, "a refused write has no revision");
    assert_eq!(
        refused(store.commit(remove("/a", 1, 1)).await),
        Refused::Changed
    );
    store.commit(remove("/a", 2, 1)).await.unwrap();
    assert!(store.snapshot().unwrap().get("/a").unwrap().is_none());
    let within = |namespace: &str| Change {
        within: Some(Arc::from(namespace)),
        ..put("/c", None, 3)
    };
    assert_eq!(
        refused(store.commit(within("/ns")).await),
        Refused::NoNamespace
    );
    let mut going = put("/ns", None, 4);
    let Action::Put { deleting, .. } = &mut going.action else {
        unreachable!("it is a put");
    };
    *deleting = true;
    store.commit(going).await.unwrap();
    assert_eq!(
        refused(store.commit(within("/ns")).await),
        Refused::NamespaceDeleting
    );
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(put("/k/a", None, 1)).await.unwrap();
    store.commit(put("/k/b", None, 2)).await.unwrap();
    let before = store.snapshot().unwrap();
    store.commit(put("/k/a", Some(1), 1)).await.unwrap();
    store.commit(remove("/k/b", 2, 2)).await.unwrap();
    store.commit(put("/l/c", None, 3)).await.unwrap();
    assert_eq!(before.revision(), 2);
    assert_eq!(before.get("/k/a").unwrap().unwrap().revision, 1);
    assert_eq!(before.count("/k/", "/k/a").unwrap(), 1);
    let now = store.snapshot().unwrap();
    assert_eq!(now.revision(), 5);
    assert_eq!(now.get("/k/a").unwrap().unwrap().revision, 3);
    assert_eq!(now.count("/k/", "/k/a").unwrap(), 0);
    assert!(now.any("/l/").unwrap() && !now.any("/m/").unwrap());
}

#[tokio::test]
async fn the_collectors_work_is_written_with_what_makes_it_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let link = |key: &str, id: u128, owner: u128, owner_key: Option<&str>| Change {
        linked: vec![(owner, owner_key.map(str::to_owned))],
        ..put(key, None, id)
    };
    let work = || store.snapshot().unwrap().collect().unwrap();
    store.commit(put("/owner", None, 1)).await.unwrap();
    store
        .commit(link("/d1", 2, 1, Some("/owner")))
        .await
        .unwrap();
    store
        .commit(link("/d2", 3, 1, Some("/owner")))
        .await
        .unwrap();
    store.commit(link("/d3", 4, 99, None)).await.unwrap();
    assert!(
        work().is_empty(),
        "every owner is there, or of a kind that is not known"
    );
    store.commit(remove("/owner", 1, 1)).await.unwrap();
    assert_eq!(work(), [(1, String::new())]);
    let dependents = store.snapshot().unwrap().dependents(1, None, 9).unwrap();
    assert_eq!(dependents, ["/d1", "/d2"]);
    let unlink = |key: &str, revision, id| Change {
        unlinked: vec![1],
        ..remove(key, revision, id)
    };
    store.commit(unlink("/d1", 2, 2)).await.unwrap();
    assert_eq!(work().len(), 1);
    store.commit(unlink("/d2", 3, 3)).await.unwrap();
    assert!(work().is_empty());
    // The name is right, but the owner is meant by its UID.
    store.commit(put("/owner", None, 5)).await.unwrap();
    store
        .commit(link("/d4", 6, 1, Some("/owner")))
        .await
        .unwrap();
    assert_eq!(work(), [(1, String::new())]);
}

#[tokio::test]
async fn many_writers_share_commits_and_each_gets_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tail = store.follow(0, 0);
    let writes = (0..2000_u128).map(|n| {
        let store = Arc::clone(&store);
        async move {
            store
                .commit(put(&format!("/k/{n:04}"), None, n))
                .await
                .unwrap()
        }
    });
    let answers = futures::future::join_all(writes).await;
    let mut revisions: Vec<u64> = answers.iter().map(|answer| answer.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=2000).collect::<Vec<_>>());
    // Watches hear of every write once and in order.
    let mut heard = Vec::new();
    while let Next::Events(events) = tail.next() {
        heard.extend(events.iter().map(|event| event.revision));
    }
    assert_eq!(heard, revisions);
}

/// Every answered write is there after `kill -9`, in the version that was answered or a later one; nothing is half there;
/// and the next run goes on with higher revisions. Several rounds on one folder, so that recovery itself is recovered from.
#[test]
fn kill_nine_loses_no_answered_write() {
    if let Ok(dir) = std::env::var(CHILD) {
        child(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::kill_nine_loses_no_answered_write",
                "--nocapture",
            ])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut count = 0;
        let mut keep = |line: &str| {
            let mut words = line.split(' ');
            if let (Some("answered"), Some(key), Some(revision), None) =
                (words.next(), words.next(), words.next(), words.next())
            {
                answered.insert(key.to_owned(), revision.parse().unwrap());
                count += 1;
            }
            count
        };
        // Another place in the burst each time.
        while keep(
            &lines
                .next()
                .expect("the child writes until it is killed")
                .unwrap(),
        ) < 200 + 77 * round
        {}
        child.kill().unwrap();
        // What was on its way through the pipe was answered too; only a last line may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for line in &rest[..rest.len().saturating_sub(1)] {
            keep(line);
        }
        child.wait().unwrap();

        let store = open(dir.path());
        let snapshot = store.snapshot().unwrap();
        for (key, revision) in &answered {
            let stored = snapshot
                .get(key)
                .unwrap()
                .unwrap_or_else(|| panic!("{key} was answered and is lost"));
            assert!(stored.revision >= *revision, "{key} fell back");
        }
        let mut revisions = std::collections::BTreeSet::new();
        snapshot
            .scan("/", None, |key, stored| {
                let object: serde_json::Value = serde_json::from_slice(&stored.object).unwrap();
                assert_eq!(
                    object["metadata"]["resourceVersion"],
                    stored.revision.to_string(),
                    "{key}"
                );
                assert_eq!(object["metadata"]["id"], stored.id.to_string(), "{key}");
                assert!(
                    revisions.insert(stored.revision) && stored.revision <= snapshot.revision()
                );
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
}

/// Writes until it is killed: new objects, each then changed once. Says which writes were answered.
fn child(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = open(dir);
        let begin = u128::from(store.revision()) << 32;
        let writers: Vec<_> = (0..32_u128)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for n in 0..1_000_000_u128 {
                        let id = begin + (writer << 24) + n;
                        let key = format!("/k/{id}");
                        let made = store.commit(put(&key, None, id)).await.unwrap();
                        say(&key, made.revision);
                        let changed = put(&key, Some(made.revision), id);
                        say(&key, store.commit(changed).await.unwrap().revision);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

fn say(key: &str, revision: u64) {
    // One write call a line: lines of several writers do not mix.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("answered {key} {revision}\n").as_bytes())
        .unwrap();
    out.flush().unwrap();
}

#[tokio::test]
async fn objects_are_found_by_any_of_their_texts_and_anew_after_a_change_of_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let texts = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let found = |store: &Store, prefix: &str| store.snapshot().unwrap().found_by(prefix).unwrap();
    let change = Change {
        index: (Vec::new(), texts(&["a1", "a2", "b"])),
        ..put("/one", None, 1)
    };
    let one = store.commit(change).await.unwrap();
    let change = Change {
        index: (texts(&["a1"]), texts(&["a3"])),
        ..put("/one", Some(one.revision), 1)
    };
    store.commit(change).await.unwrap();
    store.commit(put("/two", None, 2)).await.unwrap();
    let pair = |text: &str, key: &str| (text.to_owned(), key.to_owned());
    assert_eq!(found(&store, "a"), [pair("a2", "/one"), pair("a3", "/one")]);
    drop(store);

    let store = open(dir.path());
    let by_key = |key: &str, object: &[u8]| {
        assert!(object.starts_with(b"{"), "the object's own text");
        vec![format!("by{key}")]
    };
    // Version 0 is what a folder has that no rules have written yet.
    store.index_anew(0, by_key).unwrap();
    assert_eq!(found(&store, "by"), []);
    store.index_anew(1, by_key).unwrap();
    let both = [pair("by/one", "/one"), pair("by/two", "/two")];
    assert_eq!(found(&store, ""), both);
    drop(store);
    let store = open(dir.path());
    store.index_anew(1, |_, _| texts(&["never asked"])).unwrap();
    assert_eq!(found(&store, ""), both);
}
