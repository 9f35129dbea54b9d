//! What an apply makes of lists: their order, and what goes.

use super::*;

fn merged(live: Value, config: Value) -> Value {
    let layout = layout();
    let merged = merge::merge(&layout.root, &object(live), &object(config));
    merged["spec"].clone()
}

#[test]
fn the_applied_order_holds_and_what_is_live_alone_stays_in_its_place() {
    let table = [
        ("ab", "", "ab"),
        ("ab", "ab", "ab"),
        ("ab", "ba", "ba"),
        ("abc", "cb", "acb"),
        ("abc", "x", "abcx"),
        ("abc", "xb", "axbc"),
        ("abcd", "dxa", "bcdxa"),
        ("abcd", "dc", "abdc"),
        ("", "ba", "ba"),
        ("aab", "bc", "aabc"),
    ];
    let letters = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
    for (live, config, want) in table {
        let found = merged(
            json!({"set": letters(live)}),
            json!({"set": letters(config)}),
        );
        let found: String = found["set"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| letter.as_str().unwrap())
            .collect();
        assert_eq!(found, want, "{live} + {config}");
    }
}

#[test]
fn values_are_put_together_as_the_schema_says() {
    let item = |name: &str, value: &str| json!({"name": name, "value": value});
    let table = [
        (
            json!({"text": "a", "number": 1}),
            json!({"text": "b"}),
            json!({"text": "b", "number": 1}),
        ),
        (
            json!({"map": {"a": "1", "b": "1"}}),
            json!({"map": {"b": "2"}}),
            json!({"map": {"a": "1", "b": "2"}}),
        ),
        (
            json!({"whole": [1, 2]}),
            json!({"whole": [3]}),
            json!({"whole": [3]}),
        ),
        (
            json!({"reference": item("a", "1")}),
            json!({"reference": {"name": "b"}}),
            json!({"reference": {"name": "b"}}),
        ),
        (
            json!({"byName": [item("a", "1"), item("b", "1")]}),
            json!({"byName": [{"name": "b", "port": 80, "value": "2"}, item("c", "1")]}),
            json!({"byName": [item("a", "1"), {"name": "b", "port": 80, "value": "2"}, item("c", "1")]}),
        ),
        (
            json!({"free": {"a": {"b": 1}}}),
            json!({"free": {"a": {"c": [1]}}}),
            json!({"free": {"a": {"b": 1, "c": [1]}}}),
        ),
        (
            json!({"free": {"a": {"b": 1}}}),
            json!({"free": {"a": 1}}),
            json!({"free": {"a": 1}}),
        ),
        (
            json!({"map": {}}),
            json!({"map": null}),
            json!({"map": null}),
        ),
    ];
    for (live, config, want) in table {
        let what = format!("{live} + {config}");
        assert_eq!(merged(live, config), want, "{what}");
    }
}

#[test]
fn what_is_no_longer_applied_goes_unless_someone_else_has_it() {
    let layout = layout();
    let everything = json!({
        "text": "a", "number": 1, "set": ["a", "b"], "map": {"a": "1", "b": "1"}, "whole": [{"name": "a"}],
        "byName": [{"name": "a", "value": "1"}, {"name": "b"}], "free": {"x": {"y": 1}},
    });
    let (live, managed) = applied(&layout, &Object::new(), &object(everything), "one");
    let live = with_entries(live, &managed);
    let some = json!({"set": ["b"], "map": {"b": "1"}, "byName": [{"name": "a"}]});
    let (live, managed) = applied(&layout, &live, &object(some.clone()), "two");
    let live = with_entries(live, &managed);
    let (live, managed) = applied(&layout, &live, &object(json!({"text": "a"})), "one");
    assert_eq!(
        live["spec"],
        json!({"text": "a", "set": ["b"], "map": {"b": "1"}, "byName": [{"name": "a"}]})
    );
    assert_eq!(written(&managed, "one"), json!({"f:text": {}}));
    let live = with_entries(live, &managed);
    let (live, managed) = applied(&layout, &live, &object(json!({})), "two");
    assert_eq!(live["spec"], json!({"text": "a"}));
    // The spec itself was said, with nothing in it.
    assert_eq!(written(&managed, "two"), json!({}));
}

#[test]
fn a_write_by_hand_keeps_what_an_apply_lets_go() {
    let layout = layout();
    let config = object(json!({"text": "a", "map": {"a": "1"}}));
    let (live, managed) = applied(&layout, &Object::new(), &config, "one");
    let changed = object(json!({"text": "b", "map": {"a": "1", "b": "1"}}));
    let managed = update(
        &Update {
            layout: &layout,
            live: Some(&live),
            new: &changed,
            writer: &writer("hand"),
        },
        managed,
    );
    assert_eq!(written(&managed, "one"), json!({"f:map": {"f:a": {}}}));
    assert_eq!(
        written(&managed, "hand"),
        json!({"f:text": {}, "f:map": {"f:b": {}}})
    );
    let live = with_entries(changed, &managed);
    let refused = apply(&layout, &live, &config, &writer("one"), false).unwrap_err();
    let ApplyError::Conflicts(conflicts) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        Conflict::message(&conflicts),
        r#"Apply failed with 1 conflict: conflict with "hand" using example.com/v1: .spec.text"#
    );
    let (live, _) = applied(&layout, &live, &object(json!({})), "one");
    assert_eq!(live["spec"], json!({"text": "b", "map": {"b": "1"}}));
}

#[test]
fn conflicts_are_told_by_manager() {
    let layout = layout();
    let set = json!({"set": ["a"], "text": "a", "number": 1});
    let (live, managed) = applied(&layout, &Object::new(), &object(set), "b");
    let live = with_entries(live, &managed);
    let (live, managed) = applied(&layout, &live, &object(json!({"text": "a"})), "a");
    let live = with_entries(live, &managed);
    let config = object(json!({"text": "b", "number": 2}));
    let refused = apply(&layout, &live, &config, &writer("c"), false).unwrap_err();
    let ApplyError::Conflicts(conflicts) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        Conflict::message(&conflicts),
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.text\nconflicts with \"b\":\n- .spec.number\n- .spec.text"
    );
}
