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
    /// Whether it was being deleted where it was read. Created anew it would live, and nobody would delete it again.
    pub(super) is_deleting: bool,
}

/// File and line of a manifest, for messages.
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

/// Reads the one document of a text that this program has written, of any length.
///
/// # Errors
/// What is wrong in it, in one line.
pub(super) fn one<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let read = serde_saphyr::from_str_with_options(text, options());
    read.map_err(|error| anyhow::anyhow!("{}", one_line(&error)))
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
    let is_deleting = !matches!(metadata.get("deletionTimestamp"), None | Some(Value::Null));
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
        is_deleting,
    })
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}
