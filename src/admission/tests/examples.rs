//! What the project shows to newcomers passes its own rules.

use std::fs;
use std::path::Path;

use super::*;

#[test]
fn every_object_of_the_examples_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut judged = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let group = text("/apiVersion").unwrap().split('/').next().unwrap();
            let kind = text("/kind").unwrap();
            let verdict = judge(group, kind, None, &object, &NoFacts);
            assert!(
                verdict.is_allowed(),
                "{}: {}",
                path.display(),
                verdict.summary()
            );
            judged += usize::from(group == METAL3 || group == CAPI);
        }
    }
    assert!(
        judged > 10,
        "only {judged} objects with rules in {}",
        folder.display()
    );
}
