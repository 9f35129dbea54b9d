//! Files that people hand in: good, odd, broken, hostile and large.

use std::fmt::Write;

use serde_json::json;

use crate::cli::documents::{load, parse};

fn names(text: &str) -> Vec<String> {
    let manifests = parse("f.yaml", text).unwrap();
    manifests.iter().map(ToString::to_string).collect()
}

fn error(text: &str) -> String {
    parse("f.yaml", text).unwrap_err().to_string()
}

#[test]
fn documents_lists_and_json_become_manifests_in_order() {
    let yaml = "# head\n---\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n# nothing\n---\nnull\n---\n\
                apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: B\n  metadata: {name: b, namespace: n}\n\
                - apiVersion: g/v1\n  kind: CList\n  items: [{apiVersion: g/v1, kind: C, metadata: {name: c}}]\n";
    assert_eq!(
        names(yaml),
        [
            "f.yaml, document 1 (line 4): A a",
            "f.yaml, document 2 (line 12), item 1: B n/b",
            "f.yaml, document 2 (line 12), item 2, item 1: C c",
        ]
    );
    let json = r#" {"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}
                   {"apiVersion":"v1","kind":"B","metadata":{"name":"b"}} "#;
    assert_eq!(
        names(json),
        ["f.yaml, document 1: A a", "f.yaml, document 2: B b"]
    );
    assert_eq!(
        names("{apiVersion: v1, kind: A, metadata: {name: a}}"),
        ["f.yaml, document 1 (line 1): A a"]
    );
    assert_eq!(
        names("apiVersion: v1\nkind: A\nmetadata: {name: no, namespace: y}"),
        ["f.yaml, document 1 (line 1): A y/no"]
    );
    for empty in ["", "\n", "---\n", "# only this\n", "---\n---\n...\n"] {
        assert_eq!(names(empty), [""; 0], "{empty:?}");
    }
}

#[test]
fn status_and_the_servers_own_fields_are_left_out() {
    let yaml = "apiVersion: v1\nkind: A\nmetadata: {name: a, uid: u, resourceVersion: '5', creationTimestamp: null, \
                managedFields: [], labels: {l: v}}\nspec: {x: 1}\nstatus: {y: 2}\n";
    let manifest = parse("f", yaml).unwrap().remove(0);
    assert!(manifest.had_status && !manifest.is_deleting);
    assert_eq!(
        manifest.object,
        json!({ "apiVersion": "v1", "kind": "A", "metadata": { "name": "a", "labels": { "l": "v" } }, "spec": { "x": 1 } })
    );
}

#[test]
fn an_object_that_was_being_deleted_is_marked() {
    let object = |deleted: &str| {
        let text = format!(
            "apiVersion: v1\nkind: A\nmetadata: {{name: a, deletionTimestamp: {deleted}}}\n"
        );
        parse("f", &text).unwrap().remove(0).is_deleting
    };
    assert!(object("'2026-11-30T00:00:00Z'"));
    assert!(!object("null"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let good = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n";
    let cases = [
        (
            "just words",
            "f.yaml, document 2 (line 5): expected an object with apiVersion, kind and metadata",
        ),
        (
            "- 1",
            "f.yaml, document 2 (line 5): expected an object with apiVersion, kind and metadata",
        ),
        (
            "kind: A",
            "f.yaml, document 2 (line 5): apiVersion is missing or no text",
        ),
        (
            "apiVersion: 1\nkind: A",
            "f.yaml, document 2 (line 5): apiVersion is missing or no text",
        ),
        (
            "apiVersion: v1",
            "f.yaml, document 2 (line 5): kind is missing or no text",
        ),
        (
            "apiVersion: v1\nkind: A",
            "f.yaml, document 2 (line 5): A: metadata is missing or no object",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {}",
            "f.yaml, document 2 (line 5): A: metadata.name is missing or no text",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {generateName: a-}",
            "f.yaml, document 2 (line 5): A: generateName cannot be applied, each time would make another object; give it a name",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: [x]}",
            "f.yaml, document 2 (line 5): A a: metadata.namespace is no text",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [5]",
            "f.yaml, document 2 (line 5), item 1: expected an object with apiVersion, kind and metadata",
        ),
    ];
    for (bad, want) in cases {
        assert_eq!(error(&format!("{good}{bad}\n")), want, "{bad}");
    }
    for garbage in [
        "a: [",
        "\t\tx: y\n  z",
        "a: 1\na: 2",
        "\"",
        "{\"a\": ",
        "&a [*a, *b]",
        "\u{0}",
    ] {
        let message = error(&format!("{good}{garbage}"));
        assert!(
            message.starts_with("f.yaml, document 2: this is no YAML: "),
            "{garbage:?}: {message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn bombs_and_depth_end_in_an_error() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let parts = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{parts}]").unwrap();
    }
    assert!(error(&bomb).contains("this is no YAML"));
    assert!(error(&format!("a: {}", "[".repeat(100_000))).contains("this is no YAML"));
    assert!(error(&"{\"a\":".repeat(100_000)).contains("this is no YAML"));
}

#[test]
fn the_examples_are_manifests() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let manifests = load(path.to_str().unwrap()).unwrap();
        assert!(!manifests.is_empty(), "{}", path.display());
        files += 1;
    }
    assert!(files >= 5);
}

#[test]
fn a_file_of_a_fleet_is_read() {
    let mut yaml = String::new();
    for n in 0..20_000 {
        write!(yaml, "---\napiVersion: ipam.metal3.io/v1alpha1\nkind: IPClaim\nmetadata:\n  name: c{n}\nspec:\n  pool:\n    name: p\n")
            .unwrap();
    }
    let manifests = parse("f", &yaml).unwrap();
    assert_eq!(manifests.len(), 20_000);
    assert_eq!(manifests[19_999].name, "c19999");
}
