//! The schema and the versions of the chart, against its values and the package.

use std::collections::BTreeSet;

use super::*;

fn chart(path: &str) -> String {
    read(crate::root(), &format!("{CHART}/{path}")).unwrap()
}

/// Each object of the schema that names its properties allows no other.
fn assert_strict(schema: &Value, place: &str) {
    let Some(fields) = schema.as_object() else {
        return;
    };
    if fields.contains_key("properties") {
        assert_eq!(fields["additionalProperties"], false, "{place}");
    }
    for (name, below) in fields {
        assert_strict(below, &format!("{place}/{name}"));
    }
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let schema: Value = serde_json::from_str(&chart("values.schema.json")).unwrap();
    assert_strict(&schema, "");
    let mut known = BTreeSet::new();
    for Described { path, .. } in described(&chart("values.yaml")).unwrap() {
        let place = format!("/properties/{}", path.join("/properties/"));
        assert!(schema.pointer(&place).is_some(), "no {place}");
        known.insert(path);
    }
    // Every path of the schema is one of these, or above or below one.
    let mut open = vec![(Vec::<String>::new(), &schema)];
    while let Some((path, below)) = open.pop() {
        for (name, below) in below["properties"].as_object().into_iter().flatten() {
            let path = [path.clone(), vec![name.clone()]].concat();
            // What a chart above this one hands to all.
            let foreign = path == ["global"];
            let related = |value: &Vec<String>| value.starts_with(&path) || path.starts_with(value);
            assert!(
                foreign || known.iter().any(related),
                "values.yaml has no {}",
                path.join(".")
            );
            open.push((path, below));
        }
    }
    let alerts = read(crate::root(), "dashboards/alerts.yaml").unwrap();
    let alerts: Value = serde_saphyr::from_str(&alerts).unwrap();
    let groups = alerts["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap());
    let names: BTreeSet<_> = rules.map(|rule| rule["alert"].as_str().unwrap()).collect();
    let disabled = "/properties/monitoring/properties/alerts/properties/disabled/items/enum";
    let allowed = schema.pointer(disabled).unwrap().as_array().unwrap();
    let allowed: BTreeSet<_> = allowed.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(allowed, names, "alerts that can be disabled");
}

#[test]
fn the_charts_versions_are_the_packages() {
    let about: Value = serde_saphyr::from_str(&chart("Chart.yaml")).unwrap();
    assert_eq!(about["apiVersion"], "v2");
    let package = crate::packed::version(crate::root()).unwrap();
    for version in ["version", "appVersion"] {
        assert_eq!(about[version], *package, "{version}");
    }
}

#[test]
fn a_value_without_a_comment_is_an_error_that_names_it() {
    let values =
        "# Values.\n# The image.\nimage: x\nwebhook:\n  # How it is served.\n  mode: none\n";
    let table = table(values).unwrap();
    assert!(
        table.ends_with("| `webhook.mode` | `\"none\"` | How it is served. |\n"),
        "{table}"
    );
    let error = described("# Values.\nimage: x\n").err().unwrap();
    assert_eq!(
        error.to_string(),
        "image has no comment in the line before it"
    );
}
