//! What belongs to whom in each sort of value.

use super::*;

#[test]
fn what_changed_is_told_as_finely_as_the_schema_allows() {
    let layout = layout();
    let item = |name: &str, value: &str| json!({"name": name, "value": value});
    // Before, after; removed, modified, added.
    let table = [
        (
            json!({"text": "a"}),
            json!({"text": "a"}),
            json!(null),
            json!(null),
            json!(null),
        ),
        (
            json!({"text": "a"}),
            json!({"text": "b"}),
            json!(null),
            json!({"f:text": {}}),
            json!(null),
        ),
        (
            json!({"number": 1}),
            json!({"number": 1.0}),
            json!(null),
            json!(null),
            json!(null),
        ),
        (
            json!({"text": "a"}),
            json!({"flag": false}),
            json!({"f:text": {}}),
            json!(null),
            json!({"f:flag": {}}),
        ),
        (
            json!({}),
            json!({"map": {"a": "1"}}),
            json!(null),
            json!(null),
            json!({"f:map": {".": {}, "f:a": {}}}),
        ),
        (
            json!({"map": {"a": "1"}}),
            json!({"map": {"b": "1"}}),
            json!({"f:map": {"f:a": {}}}),
            json!(null),
            json!({"f:map": {"f:b": {}}}),
        ),
        (
            json!({"map": {}}),
            json!({"map": null}),
            json!(null),
            json!({"f:map": {}}),
            json!(null),
        ),
        (
            json!({}),
            json!({"map": {}}),
            json!(null),
            json!(null),
            json!({"f:map": {}}),
        ),
        (
            json!({"set": ["a", "b"]}),
            json!({"set": ["b", "c"]}),
            json!({"f:set": {"v:\"a\"": {}}}),
            json!(null),
            json!({"f:set": {"v:\"c\"": {}}}),
        ),
        (
            json!({"set": ["a", "b"]}),
            json!({"set": ["b", "a"]}),
            json!(null),
            json!(null),
            json!(null),
        ),
        (
            json!({"byName": [item("a", "1")]}),
            json!({"byName": [item("a", "2"), item("b", "1")]}),
            json!(null),
            json!({"f:byName": {"k:{\"name\":\"a\",\"port\":80}": {"f:value": {}}}}),
            json!({"f:byName": {"k:{\"name\":\"b\",\"port\":80}": {".": {}, "f:name": {}, "f:value": {}}}}),
        ),
        (
            json!({"whole": [item("a", "1")]}),
            json!({"whole": [item("a", "2")]}),
            json!(null),
            json!({"f:whole": {}}),
            json!(null),
        ),
        (
            json!({"reference": item("a", "1")}),
            json!({"reference": item("a", "2")}),
            json!(null),
            json!({"f:reference": {}}),
            json!(null),
        ),
        (
            json!({"free": {"a": {"b": [1]}}}),
            json!({"free": {"a": {"b": [2], "c": 1}}}),
            json!(null),
            json!({"f:free": {"f:a": {"f:b": {}}}}),
            json!({"f:free": {"f:a": {"f:c": {}}}}),
        ),
        (
            json!({"free": {"a": {"b": 1}}}),
            json!({"free": {"a": "x"}}),
            json!({"f:free": {"f:a": {"f:b": {}}}}),
            json!({"f:free": {"f:a": {}}}),
            json!(null),
        ),
        // Items that stand twice are one value together.
        (
            json!({"set": ["a"]}),
            json!({"set": ["a", "a"]}),
            json!({"f:set": {"v:\"a\"": {}}}),
            json!(null),
            json!({"f:set": {"v:\"a\"": {}}}),
        ),
    ];
    for (before, after, removed, modified, added) in table {
        let what = format!("{before} -> {after}");
        let delta = delta(&layout, before, after);
        assert_eq!(spec_of(&delta.removed), removed, "removed: {what}");
        assert_eq!(spec_of(&delta.modified), modified, "modified: {what}");
        if !what.contains(r#"["a","a"]"#) {
            assert_eq!(spec_of(&delta.added), added, "added: {what}");
        }
    }
}

#[test]
fn what_is_applied_is_owned_leaf_by_leaf() {
    let layout = layout();
    let table = [
        (
            json!({"text": "a", "number": null}),
            json!({"f:text": {}, "f:number": {}}),
        ),
        (
            json!({"map": {"a": "1"}, "set": []}),
            json!({"f:map": {"f:a": {}}}),
        ),
        (json!({"map": {}}), json!({"f:map": {}})),
        (
            json!({"whole": [], "reference": {"name": "a"}}),
            json!({"f:whole": {}, "f:reference": {}}),
        ),
        (
            json!({"byName": [{"name": "a"}]}),
            json!({"f:byName": {"k:{\"name\":\"a\",\"port\":80}": {".": {}, "f:name": {}}}}),
        ),
        (
            json!({"free": {"a": {"b": 1}}}),
            json!({"f:free": {"f:a": {".": {}, "f:b": {}}}}),
        ),
    ];
    for (spec, want) in table {
        let set = paths_of(&layout.root, &object(spec.clone()));
        assert_eq!(spec_of(&set), want, "{spec}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let layout = layout();
    let table = [
        (
            json!({"text": "a", "free": {"x": [1, {}]}, "map": null}),
            None,
        ),
        (
            json!({"txt": "a"}),
            Some(".spec.txt: field not declared in schema"),
        ),
        (
            json!({"text": 1}),
            Some(".spec.text: expected a string, got the number 1"),
        ),
        (
            json!({"number": "1"}),
            Some(".spec.number: expected a number, got a string"),
        ),
        (
            json!({"flag": "x"}),
            Some(".spec.flag: expected a boolean, got a string"),
        ),
        (
            json!({"map": [1, "a"]}),
            Some(".spec.map: expected an object, got a list"),
        ),
        (
            json!({"whole": {"a": true}}),
            Some(".spec.whole: expected a list, got an object"),
        ),
        (
            json!({"whole": [{"port": "x"}]}),
            Some(".spec.whole[0].port: expected a number, got a string"),
        ),
        (
            json!({"set": ["a", "a"]}),
            Some(".spec.set: duplicate entries for key [=\"a\"]"),
        ),
        (
            json!({"set": [null]}),
            Some(
                ".spec.set: element 0: associative list without keys has an element that's an explicit null",
            ),
        ),
        (
            json!({"byName": [{"name": "a"}, {"name": "a", "port": 80}]}),
            Some(".spec.byName: duplicate entries for key [name=\"a\",port=80]"),
        ),
        (
            json!({"text": 1, "txt": 1}),
            Some(
                "errors:\n  .spec.text: expected a string, got the number 1\n  .spec.txt: field not declared in schema",
            ),
        ),
    ];
    for (spec, want) in table {
        let found = check::check(&layout.root, &object(spec.clone()));
        assert_eq!(found.as_deref(), want, "{spec}");
    }
    let many = Value::Object((0..100).map(|n| (format!("x{n}"), Value::Null)).collect());
    let found = check::check(&layout.root, &object(many)).unwrap();
    assert!(found.len() < 4096, "{found}");
}
