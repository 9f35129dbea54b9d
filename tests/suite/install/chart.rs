//! The files of the Helm chart against what they are made of: `files/` against `crds/`, `dashboards/` and `deploy/`, the README's
//! table against `values.yaml`, versions against the package's. `WRITE_CHART=1` (`make chart`) writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Folders of the tree, and their names in the chart's `files/`.
const COPIED: [(&str, &str); 12] = [
    ("crds", "crds"),
    ("dashboards", "dashboards"),
    ("deploy/cert-manager", "cert-manager"),
    ("deploy/claim-finalizers", "claim-finalizers"),
    ("deploy/guard", "guard"),
    ("deploy/monitoring", "monitoring"),
    ("deploy/rbac/cluster", "rbac/cluster"),
    ("deploy/rbac/common", "rbac/common"),
    ("deploy/rbac/diagnostics", "rbac/diagnostics"),
    ("deploy/rbac/namespaced", "rbac/namespaced"),
    (
        "deploy/rbac/webhook-self-signed",
        "rbac/webhook-self-signed",
    ),
    ("deploy/webhook", "webhook"),
];

/// Files of these folders that hold no objects of the chart: kustomize's, patches, and what the dashboards' alerts are made of.
const LEFT: [&str; 6] = [
    "deploy/cert-manager/authority.yaml",
    "deploy/cert-manager/webhook.yaml",
    "dashboards/alerts.yaml",
    "dashboards/alerts_test.yaml",
    "crds/Kustomization",
    "kustomization.yaml",
];

const MARKS: [&str; 2] = [
    "<!-- values: written by `make chart` -->\n",
    "<!-- values end -->\n",
];

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The chart's folder, and a path in it.
pub(super) fn chart(path: &str) -> PathBuf {
    tree("deploy/helm/metal3-ipam").join(path)
}

fn values() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(chart("values.yaml")).unwrap()).unwrap()
}

fn writes() -> bool {
    std::env::var_os("WRITE_CHART").is_some()
}

/// Names of the files of a folder, of folders below it too.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}

/// Files of `COPIED`, by their path in `files/`.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut sources = BTreeMap::new();
    for (from, to) in COPIED {
        for entry in fs::read_dir(tree(from)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !LEFT.iter().any(|left| path.ends_with(left)) {
                let name = Path::new(to).join(path.file_name().unwrap());
                sources.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    sources
}

#[test]
fn the_charts_copies_equal_what_they_are_copied_from() {
    let (folder, sources) = (chart("files"), sources());
    if writes() {
        for old in files_below(&folder) {
            fs::remove_file(old).unwrap();
        }
        for (name, text) in &sources {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let found = files_below(&folder);
    let wanted = sources.keys().map(|name| folder.join(name)).collect();
    assert_eq!(found, wanted, "run: make chart");
    for (name, text) in sources {
        assert!(
            fs::read_to_string(folder.join(&name)).unwrap() == text,
            "{}/{} is an old copy; run: make chart",
            folder.display(),
            name.display()
        );
    }
}

/// A value of the chart, as its README lists it.
struct Described {
    path: Vec<String>,
    what: String,
}

/// Values with the comment in the line before each. A key without a comment must be a map of further values.
fn described() -> Vec<Described> {
    let text = fs::read_to_string(chart("values.yaml")).unwrap();
    let (mut all, mut path, mut comment) = (Vec::new(), Vec::<String>::new(), None);
    // Deeper lines belong to the value that was described last.
    let mut inside = None;
    for line in text.lines().skip(1) {
        let body = line.trim_start();
        let depth = (line.len() - body.len()) / 2;
        if inside.is_some_and(|of| depth > of || body.starts_with('-')) {
            continue;
        }
        inside = None;
        if let Some(text) = body.strip_prefix("# ") {
            assert!(comment.is_none(), "two lines of comment: {text}");
            comment = Some(text.to_owned());
            continue;
        }
        path.truncate(depth);
        path.push(body.split(':').next().unwrap().to_owned());
        match comment.take() {
            Some(what) => {
                inside = Some(depth);
                let path = path.clone();
                all.push(Described { path, what });
            }
            None => assert!(body.ends_with(':'), "no line explains {}", path.join(".")),
        }
    }
    all
}

#[test]
fn the_table_of_values_is_that_of_values_yaml() {
    let values = values();
    let row = |Described { path, what }| {
        let default = values.pointer(&format!("/{}", path.join("/"))).unwrap();
        format!("| `{}` | `{default}` | {what} |\n", path.join("."))
    };
    let rows: String = described().into_iter().map(row).collect();
    let table = format!("| value | default | what |\n| --- | --- | --- |\n{rows}");
    let readme = fs::read_to_string(chart("README.md")).unwrap();
    let (before, rest) = readme.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let wanted = [before, MARKS[0], &table, MARKS[1], after].concat();
    if writes() {
        fs::write(chart("README.md"), wanted).unwrap();
        return;
    }
    assert!(
        readme == wanted,
        "deploy/helm/metal3-ipam/README.md lists other values; run: make chart"
    );
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
    let text = fs::read_to_string(chart("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert_strict(&schema, "");
    let mut known = BTreeSet::new();
    for Described { path, .. } in described() {
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
    let alerts = fs::read_to_string(tree("dashboards/alerts.yaml")).unwrap();
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
    let text = fs::read_to_string(chart("Chart.yaml")).unwrap();
    let about: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(about["apiVersion"], "v2");
    for version in ["version", "appVersion"] {
        assert_eq!(about[version], env!("CARGO_PKG_VERSION"), "{version}");
    }
}
