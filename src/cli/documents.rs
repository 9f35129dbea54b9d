//! Manifests as people write them: files of YAML documents or JSON values, lists among them. Reading a file is all or
//! nothing, so that a mistake in its last document is found before the first is written.

use std::fmt;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

/// Largest file, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// What a server fills in by itself; a manifest taken from a server may carry it.
const SERVERS_OWN: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// One object to apply.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    /// Where it was read.
    pub(super) place: Place,
    /// Its `apiVersion`.
    pub(super) api_version: String,
    /// Its kind.
    pub(super) kind: String,
    /// Its namespace, where it names one.
    pub(super) namespace: Option<String>,
    /// Its name.
    pub(super) name: String,
    /// The object without its status and without what servers fill in.
    pub(super) object: Value,
    /// Whether it came with a status, which is left out.
    pub(super) had_status: bool,
}

/// Where a manifest stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    file: String,
    /// From 1; empty documents do not count.
    document: usize,
    /// First line of the document, in YAML.
    line: Option<u64>,
    /// Positions in lists, from 1, outermost first.
    items: Vec<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        self.items
            .iter()
            .try_for_each(|item| write!(f, ", item {item}"))
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.place, self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// Reads a file, or standard input for `-`.
pub(super) fn load(file: &str) -> anyhow::Result<Vec<Manifest>> {
    use std::io::Read;
    let mut text = String::new();
    let source: Box<dyn Read> = if file == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("cannot open {file}"))?)
    };
    source
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {file}"))?;
    ensure!(
        text.len() as u64 <= MAX_FILE,
        "{file} is larger than {} MiB; split it",
        MAX_FILE >> 20
    );
    parse(if file == "-" { "standard input" } else { file }, &text)
}

/// Reads the manifests of `text`; `file` is for messages.
pub(super) fn parse(file: &str, text: &str) -> anyhow::Result<Vec<Manifest>> {
    let place = |document, line| Place {
        file: file.to_owned(),
        document,
        line,
        items: Vec::new(),
    };
    let mut manifests = Vec::new();
    // JSON values one after the other are no YAML; text that opens like JSON and is none may still be YAML's flow style.
    if text.trim_start().starts_with('{')
        && let Ok(values) = serde_json::Deserializer::from_str(text)
            .into_iter::<Value>()
            .collect::<Result<Vec<_>, _>>()
    {
        for (index, value) in values.into_iter().enumerate() {
            flatten(place(index + 1, None), value, &mut manifests)?;
        }
        return Ok(manifests);
    }
    let mut bytes = text.as_bytes();
    let documents =
        serde_saphyr::read_with_options::<_, serde_saphyr::Spanned<Value>>(&mut bytes, options());
    for (index, document) in documents.enumerate() {
        let document = document.map_err(|error| {
            let message = one_line(&error);
            anyhow::anyhow!("{file}, document {}: this is no YAML: {message}", index + 1)
        })?;
        let line = Some(document.referenced.line()).filter(|line| *line > 0);
        flatten(place(index + 1, line), document.value, &mut manifests)?;
    }
    Ok(manifests)
}

/// Bounds for trusted files of whole fleets; the library's own are for configuration files.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // A manifest has no use for anchors that repeat each other; a bomb is made of them.
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        // `name: no` is a name (YAML 1.2), not a boolean.
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 50_000_000,
            max_documents: 1_000_000,
            max_total_scalar_bytes: 256 << 20,
        },
    }
}

/// The error without the excerpt of the file that the library would draw, its lines joined.
fn one_line(error: &serde_saphyr::Error) -> String {
    let options = serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
    let text = error.render_with_options(options);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(400).collect()
}

/// Adds the object, or the items of a list.
fn flatten(place: Place, value: Value, out: &mut Vec<Manifest>) -> anyhow::Result<()> {
    let Value::Object(mut object) = value else {
        bail!("{place}: expected an object with apiVersion, kind and metadata");
    };
    if text(&object, "kind").is_some_and(|kind| kind.ends_with("List"))
        && let Some(Value::Array(items)) = object.remove("items")
    {
        for (index, item) in items.into_iter().enumerate() {
            let mut place = place.clone();
            place.items.push(index + 1);
            flatten(place, item, out)?;
        }
        return Ok(());
    }
    out.push(manifest(place, object)?);
    Ok(())
}

fn manifest(place: Place, mut object: Map<String, Value>) -> anyhow::Result<Manifest> {
    let required = |field| match text(&object, field) {
        Some(text) => Ok(text.to_owned()),
        None => Err(anyhow::anyhow!("{place}: {field} is missing or no text")),
    };
    let kind = required("kind")?;
    let api_version = required("apiVersion")?;
    let had_status = object.remove("status").is_some();
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
        bail!("{place}: {kind}: metadata is missing or no object");
    };
    for field in SERVERS_OWN {
        metadata.remove(field);
    }
    let Some(name) = text(metadata, "name").map(str::to_owned) else {
        if metadata.contains_key("generateName") {
            bail!(
                "{place}: {kind}: generateName cannot be applied, each time would make another object; give it a name"
            );
        }
        bail!("{place}: {kind}: metadata.name is missing or no text");
    };
    let namespace = match metadata.get("namespace") {
        None | Some(Value::Null) => None,
        Some(Value::String(namespace)) if !namespace.is_empty() => Some(namespace.clone()),
        Some(_) => bail!("{place}: {kind} {name}: metadata.namespace is no text"),
    };
    Ok(Manifest {
        place,
        api_version,
        kind,
        namespace,
        name,
        object: Value::Object(object),
        had_status,
    })
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::json;

    use super::*;

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
        assert!(manifest.had_status);
        assert_eq!(
            manifest.object,
            json!({ "apiVersion": "v1", "kind": "A", "metadata": { "name": "a", "labels": { "l": "v" } }, "spec": { "x": 1 } })
        );
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
}
