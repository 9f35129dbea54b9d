//! What must hold of any objects, whoever writes them.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::super::element::Element;
use super::super::set::Node;
use super::*;

fn letter() -> impl Strategy<Value = String> {
    "[a-d]"
}

fn spec() -> impl Strategy<Value = Value> {
    let item = (letter(), option::of(letter())).prop_map(|(name, value)| (name, value));
    (
        option::of(letter()),
        option::of(0..3_i64),
        option::of(btree_set(letter(), 0..4)),
        option::of(btree_map(letter(), letter(), 0..4)),
        option::of(vec(letter(), 0..3)),
        option::of(btree_map(letter(), option::of(letter()), 0..4)),
        option::of(item),
        any::<usize>(),
    )
        .prop_map(|(text, number, set, map, whole, by_name, free, turn)| {
            let mut spec = Object::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.insert(name.to_owned(), value);
                }
            };
            let turned = |mut list: Vec<Value>| {
                let len = list.len().max(1);
                list.rotate_left(turn % len);
                Value::Array(list)
            };
            put("text", text.map(Value::from));
            put("number", number.map(Value::from));
            put(
                "set",
                set.map(|set| turned(set.into_iter().map(Value::from).collect())),
            );
            put("map", map.map(|map| json!(map)));
            put(
                "whole",
                whole.map(|names| {
                    names
                        .into_iter()
                        .map(|name| json!({ "name": name }))
                        .collect()
                }),
            );
            let named = |(name, value): (String, Option<String>)| match value {
                Some(value) => json!({"name": name, "value": value}),
                None => json!({ "name": name }),
            };
            put(
                "byName",
                by_name.map(|items| turned(items.into_iter().map(named).collect())),
            );
            put(
                "free",
                free.map(|(name, value)| json!({ name: {"x": value} })),
            );
            Value::Object(spec)
        })
}

fn set() -> impl Strategy<Value = Set> {
    let element = prop_oneof![
        letter().prop_map(Element::Field),
        "[ -~]{0,4}".prop_map(Element::Field),
        any::<i64>().prop_map(|n| Element::Value(n.into())),
        "\\PC{0,3}".prop_map(|text| Element::Value(text.into())),
        (letter(), any::<bool>()).prop_map(|(name, flag)| Element::key(vec![
            ("b".to_owned(), flag.into()),
            ("a".to_owned(), name.into()),
        ])),
        (0..9_i64).prop_map(Element::Index),
    ];
    vec(vec(element, 1..4), 0..12).prop_map(|paths| {
        let mut set = Set::default();
        for path in paths {
            let mut node = Node::leaf();
            for element in path.into_iter().rev() {
                let mut above = Set::default();
                above.put(element, node);
                node = Node {
                    own: false,
                    below: above,
                };
            }
            set = set.union(&node.below);
        }
        set
    })
}

/// The object without parts in which nothing is: an apply may leave such behind, and makes null of some.
fn filled_parts(object: &Object) -> Object {
    fn of(value: &Value) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::Array(list) => {
                let list: Vec<Value> = list.iter().filter_map(of).collect();
                (!list.is_empty()).then_some(list.into())
            }
            Value::Object(map) => {
                let map = filled_parts(map);
                (!map.is_empty()).then_some(map.into())
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        }
    }
    let parts = object.iter();
    parts
        .filter_map(|(name, value)| Some((name.clone(), of(value)?)))
        .collect()
}

/// Everything that someone owns.
fn all_owned(managed: &Managed) -> Set {
    managed
        .entries
        .iter()
        .fold(Set::default(), |all, entry| all.union(&entry.set()))
}

/// Paths of the parts that a configuration names and puts nothing into. An apply may leave them to their owner without leaving
/// them in the object, as a real server does.
fn hollow(layout: &Layout, config: &Object) -> Set {
    let filled = paths_of(&layout.root, &filled_parts(config));
    paths_of(&layout.root, config).difference(&filled)
}

/// Whether each path is one of the object's, or of something above a part of it, or hollow.
fn lies_in(
    layout: &Layout,
    owned: &Set,
    object: &Object,
    hollow: &Set,
) -> Result<(), TestCaseError> {
    let nothing = Object::new();
    // Everything that would be owned by who made the object whole: this has the paths of containers too.
    let all = compare(&layout.root, &nothing, object)
        .added
        .union(&paths_of(&layout.root, object));
    let stray = owned.difference(&all).difference(hollow);
    prop_assert!(stray.is_empty(), "{} of {object:?}", text::write(&stray));
    Ok(())
}

proptest! {
    #[test]
    fn sets_are_written_and_read_alike(set in set()) {
        let written = text::write(&set);
        prop_assert_eq!(text::read(&written), Some(set));
    }

    #[test]
    fn sets_follow_the_laws(a in set(), b in set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&a).is_empty());
        for path in a.paths() {
            prop_assert!(a.has(&path));
            prop_assert_eq!(a.difference(&b).has(&path), !b.has(&path));
        }
    }

    #[test]
    fn what_changed_one_way_is_what_changes_back(a in spec(), b in spec()) {
        let layout = layout();
        let there = delta(&layout, a.clone(), b.clone());
        let back = delta(&layout, b, a);
        prop_assert_eq!(there.added, back.removed);
        prop_assert_eq!(there.removed, back.added);
        prop_assert_eq!(there.modified, back.modified);
    }

    #[test]
    fn to_apply_twice_is_to_apply_once(before in spec(), config in spec()) {
        let layout = layout();
        let config = object(config);
        let (live, managed) = applied(&layout, &Object::new(), &object(before), "other");
        let live = with_entries(live, &managed);
        let (once, managed) = applied(&layout, &live, &config, "one");
        let live = with_entries(once, &managed);
        let again = apply(&layout, &live, &config, &writer("one"), false).unwrap();
        prop_assert!(again.object.is_none(), "{:?}", again.object);
        prop_assert_eq!(again.managed.write(), managed.write());
    }

    #[test]
    fn to_apply_nothing_gives_back_what_was_there(before in spec(), config in spec()) {
        let layout = layout();
        let (live, managed) = applied(&layout, &Object::new(), &object(before), "other");
        // Without force nothing of the other's is changed, so all of it is left in the end.
        let stored = with_entries(live.clone(), &managed);
        if let Ok(done) = apply(&layout, &stored, &object(config), &writer("one"), false) {
            let now = with_entries(done.object.unwrap_or(stored), &done.managed);
            let mut nothing = live.clone();
            nothing.remove("spec");
            let (back, managed) = applied(&layout, &now, &nothing, "one");
            let left = compare(&layout.root, &filled_parts(&live), &filled_parts(&back));
            prop_assert!(left.changed().is_empty() && left.removed.is_empty(), "{left:?}");
            prop_assert_eq!(written(&managed, "one"), Value::Null);
        }
    }

    #[test]
    fn what_is_owned_is_there(writes in vec((spec(), 0..3_usize, any::<bool>()), 1..6)) {
        let layout = layout();
        let names = ["one", "two", "three"];
        let mut live = Object::new();
        let mut managed = Managed::default();
        let mut emptied = Set::default();
        for (spec, who, is_apply) in writes {
            let new = object(spec);
            if is_apply {
                emptied = emptied.union(&hollow(&layout, &new));
                let stored = if live.is_empty() { live } else { with_entries(live, &managed) };
                (live, managed) = applied(&layout, &stored, &new, names[who]);
            } else {
                let before = (!live.is_empty()).then_some(&live);
                let write = Update { layout: &layout, live: before, new: &new, writer: &writer(names[who]) };
                managed = update(&write, managed);
                live = new;
            }
            lies_in(&layout, &all_owned(&managed), &live, &emptied)?;
            // Whoever wrote last owns all that it wrote, or nothing changed.
            let entries = managed.clone().write();
            prop_assert_eq!(entries.as_ref().and_then(|e| Managed::read(e).ok()).and_then(Managed::write), entries);
        }
    }
}
