//! Compares the scenarios with the reference: every rule of sections 2 to 5 of `docs/spec.md` has a scenario that is named by its
//! id and runs on both servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Ids of the rules that the reference states: the bold words that items of its sections 2 to 5 begin with.
fn rules(spec: &str) -> BTreeSet<String> {
    let mut section = 0;
    let mut rules = BTreeSet::new();
    for line in spec.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading
                .split('.')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
        }
        let id = line
            .strip_prefix("- **")
            .and_then(|rest| rest.split_once("**"));
        if let Some((id, _)) = id.filter(|_| (2..=5).contains(&section)) {
            assert!(is_id(id), "{id:?} is no rule's id");
            assert!(rules.insert(id.to_owned()), "{id} is stated twice");
        }
    }
    rules
}

fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| "ARPU".contains(c)) && chars.as_str().parse::<u8>().is_ok()
}

/// Names in the `scenarios!` blocks of a source file: those run on both servers.
fn scenarios(source: &str) -> Vec<String> {
    let blocks = source
        .split("scenarios! {")
        .flat_map(|part| part.split("scenarios_with_upstream! {"))
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    let lines = blocks.flat_map(|block| block.lines());
    let names = lines.map(|line| line.split("=>").next().unwrap_or(line));
    let names = names.map(|line| line.trim().trim_end_matches(','));
    names
        .filter(|name| !name.is_empty() && !name.starts_with("//") && !name.contains('$'))
        .map(str::to_owned)
        .collect()
}

/// Ids that a scenario's name begins with.
fn ids(name: &str) -> Vec<String> {
    let words = name.split('_').map(str::to_uppercase);
    words.take_while(|word| is_id(word)).collect()
}

fn in_tree(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The scenarios of a folder and its folders, by name.
fn collect(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            into.extend(scenarios(&source));
        }
    }
}

#[test]
fn every_rule_has_a_scenario_on_both_servers() {
    let rules = rules(&fs::read_to_string(in_tree("docs/spec.md")).unwrap());
    let mut names = BTreeSet::new();
    collect(&in_tree("tests/suite"), &mut names);
    let mut of_rule: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in &names {
        for id in ids(name) {
            assert!(rules.contains(&id), "{name}: there is no rule {id}");
            of_rule.entry(id).or_default().push(name);
        }
    }
    assert!(rules.len() > 30, "the reference was read: {rules:?}");
    let missing: Vec<&String> = rules
        .iter()
        .filter(|id| !of_rule.contains_key(*id))
        .collect();
    assert!(
        missing.is_empty(),
        "rules without a scenario on both servers: {missing:?}"
    );
    println!(
        "{} scenarios on both servers, for {} of {} rules",
        names.len(),
        of_rule.len(),
        rules.len()
    );
}

#[test]
fn the_readers_see_what_they_are_for() {
    let spec = "## 1. The API\n- **X1** no\n## 2. Allocation\n- **A1** No two.\n- **A15** An address.\n## 6. Bad input\n- **R9** no\n";
    assert_eq!(
        rules(spec),
        BTreeSet::from(["A1".to_owned(), "A15".to_owned()])
    );
    let source = "scenarios! {\n    a1_a15_two_rules,\n    // a word\n    section_6_none,\n}\nfn x() {}\nscenarios! { a2_more }\nscenarios_with_upstream! {\n    a3_on_three => \"needs, a field\",\n}";
    assert_eq!(
        scenarios(source),
        [
            "a1_a15_two_rules",
            "section_6_none",
            "a2_more",
            "a3_on_three"
        ]
    );
    assert_eq!(ids("a1_a15_two_rules_a2"), ["A1", "A15"]);
    assert!(ids("section_6_none").is_empty());
}
