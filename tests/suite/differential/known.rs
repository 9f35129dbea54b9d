//! The differences that are known and accepted, each with its reason. `docs/standalone.md` tells them to people; a test holds the
//! two together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::answer::{Answer, Body};
use super::model;
use super::script::{Request, Step};

/// Levels of a body that are more than are read in every notation.
const DEEP: usize = 60;

/// A difference that is let through.
pub(super) struct Known {
    /// As in `docs/standalone.md`.
    pub(super) name: &'static str,
    level: Level,
}

/// How two answers are made equal where they differ in this way.
enum Level {
    /// Both sides' texts are read in this way; what the real server says is left as it is where that is all that differs.
    Text(fn(&str) -> String),
    /// Both answers are changed.
    Both(fn(&Request, &mut Answer, &mut Answer)),
}

/// All of them.
pub(super) const KNOWN: &[Known] = &[
    Known {
        name: "unknown-path",
        level: Level::Both(unknown_path),
    },
    Known {
        name: "deep-bodies",
        level: Level::Both(deep_bodies),
    },
    Known {
        name: "decoder-text",
        level: Level::Both(decoder_text),
    },
    Known {
        name: "registered-kinds",
        level: Level::Text(registered_kinds),
    },
    Known {
        name: "patched-object-echo",
        level: Level::Text(patched_object),
    },
    Known {
        name: "echoed-objects",
        level: Level::Text(echoed_objects),
    },
    Known {
        name: "empty-continue",
        level: Level::Both(empty_continue),
    },
    Known {
        name: "columns",
        level: Level::Both(columns),
    },
    Known {
        name: "cluster-definition",
        level: Level::Both(cluster_definition),
    },
    Known {
        name: "exact-lists",
        level: Level::Both(exact_lists),
    },
    Known {
        name: "doubled-keys",
        level: Level::Both(doubled_keys),
    },
    Known {
        name: "router-text",
        level: Level::Both(router_text),
    },
    Known {
        name: "rule-order",
        level: Level::Both(rule_order),
    },
    Known {
        name: "other-kind",
        level: Level::Both(other_kind),
    },
    Known {
        name: "undeclared-fields",
        level: Level::Both(undeclared_fields),
    },
];

/// The two answers without the differences that are known, and which of these were met.
pub(super) fn level(
    step: &Step,
    embedded: &Answer,
    real: &Answer,
) -> (Answer, Answer, Vec<&'static str>) {
    let (mut left, mut right) = (embedded.clone(), real.clone());
    let mut met = Vec::new();
    let state = Request::default();
    let request = step.request().unwrap_or(&state);
    for known in KNOWN {
        if left == right {
            break;
        }
        let before = (left.clone(), right.clone());
        match known.level {
            Level::Text(read) => {
                for answer in [&mut left, &mut right] {
                    read_texts(answer, read);
                }
            }
            Level::Both(level) => level(request, &mut left, &mut right),
        }
        let differed = before.0 != before.1;
        if differed && (left != before.0 || right != before.1) {
            met.push(known.name);
        }
    }
    (left, right, met)
}

/// Reads every text for people in a `Status`.
fn read_texts(answer: &mut Answer, read: fn(&str) -> String) {
    for text in answer.object_mut().map(texts).into_iter().flatten() {
        *text = read(text);
    }
}

/// The text up to one of these, with a mark for the rest.
fn cut_after(text: &str, marks: &[&str]) -> String {
    let end = marks
        .iter()
        .filter_map(|mark| Some(text.find(mark)? + mark.len()))
        .min();
    match end {
        Some(end) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where the embedded server's sentence about something that it cannot read begins.
const OUR_SENTENCES: &[&str] = &[
    "expected a ",
    "expected an ",
    "json parse error: ",
    "yaml: ",
    "error decoding patch: ",
    "continue key is not valid: ",
];
/// Where a text of Go's parsers begins in a real server's message.
const GO_TEXTS: &[&str] = &[
    "json: cannot unmarshal ",
    "json parse error: ",
    "error unmarshaling JSON: ",
    "yaml: ",
    "error decoding patch: ",
    "continue key is not valid: ",
    "Invalid JSON Patch",
    "invalid character ",
    "unexpected end of JSON input",
    "cannot restore ",
    "cannot convert int64 to ",
    "cannot convert float64 to ",
    "unrecognized type: ",
    "error decoding from json: ",
    "illegal base64 data",
    "parsing time ",
    "strconv.Parse",
    "expected string, got &value.valueUnstructured{",
    "expected numeric (int or float), got ",
    "expected boolean, got &{",
    "expected any scalar, got &{",
    "expected list, got &{",
    "expected map, got &{",
    "expected a []interface {}, but received a ",
    "The order in patch list:",
    "list element types are not identical: ",
    "unknown patch type: ",
    "no elements in any of the given slices",
];

/// How the two servers say that they cannot read something. Code, reason and what stands before the sentence must be equal, in
/// the message and in each cause, and both must be such sentences.
fn decoder_text(_: &Request, embedded: &mut Answer, real: &mut Answer) {
    if embedded.code == real.code
        && let (Some(embedded), Some(real)) = (embedded.object_mut(), real.object_mut())
    {
        level_decoder_texts(embedded, real);
    }
}

/// The same for two bodies, of which both must be a `Status`.
pub(crate) fn level_decoder_texts(embedded: &mut Value, real: &mut Value) {
    if embedded["code"] != real["code"] || embedded["reason"] != real["reason"] {
        return;
    }
    for (ours, theirs) in texts(embedded).into_iter().zip(texts(real)) {
        // What does not fit in an applied configuration is one finding a line.
        let lines = |text: &str, marks: &[&str]| {
            let lines: Vec<String> = text.split('\n').map(|line| cut(line, marks)).collect();
            lines.join("\n")
        };
        let read = |text: &str, marks: &[&str]| {
            if text.contains("typed patch object (") || text.contains(" to smd typed: ") {
                lines(text, marks)
            } else {
                cut(text, marks)
            }
        };
        let (left, right) = (read(ours, OUR_SENTENCES), read(theirs, GO_TEXTS));
        if left != *ours && right != *theirs {
            (*ours, *theirs) = (left, right);
        }
    }
}

/// The text up to the first of these marks.
fn cut(text: &str, marks: &[&str]) -> String {
    match marks.iter().filter_map(|mark| text.find(mark)).min() {
        Some(at) => format!("{}(what a parser says)", &text[..at]),
        None => text.to_owned(),
    }
}

/// The texts of a `Status`: its message, and those of its causes.
fn texts(status: &mut Value) -> Vec<&mut String> {
    let mut texts = Vec::new();
    let status = Some(status).filter(|status| status["kind"] == "Status");
    for (name, value) in status.and_then(Value::as_object_mut).into_iter().flatten() {
        match name.as_str() {
            "message" => texts.extend(as_text(value)),
            "details" => {
                let causes = value.get_mut("causes").and_then(Value::as_array_mut);
                let messages = causes.into_iter().flatten();
                texts.extend(
                    messages.filter_map(|cause| cause.get_mut("message").and_then(as_text)),
                );
            }
            _ => {}
        }
    }
    texts
}

fn as_text(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// Which kinds a scheme has registered.
fn registered_kinds(text: &str) -> String {
    // What is sent as another kind is read as that one there, which may fail at its values first.
    if let Some((kind, rest)) = text.split_once(" in version ")
        && let Some((version, rest)) = rest.split_once(" cannot be handled as a ")
        && let Some((as_kind, _)) = rest.split_once(": ")
        && kind != as_kind
    {
        return format!("{kind} in version {version} cannot be handled as a {as_kind}: ...");
    }
    cut_after(text, &["no kind ", "converting "]).replace(": converting ...", ": no kind ...")
}

/// The patched object within the error about it.
fn patched_object(text: &str) -> String {
    let marks = ["Invalid value: \"{", "Invalid value: \"map["];
    let start = marks
        .iter()
        .find_map(|mark| Some(text.find(mark)? + "Invalid value: \"{".len()));
    let Some(start) = start else {
        return text.to_owned();
    };
    let end = ["}\": ", "]\": ", "...\": "]
        .iter()
        .filter_map(|mark| Some(text[start..].rfind(mark)? + start))
        .max();
    match end {
        Some(end) => {
            let rest = text[end..].split_once("\": ").map_or("", |(_, rest)| rest);
            format!("{}{{the object}}\": {rest}", &text[..start - 1])
        }
        None => text.to_owned(),
    }
}

/// An object that is shown as a wrong value: in which order its fields stand, and how much of it.
fn echoed_objects(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("Invalid value: ") {
        let value = at + "Invalid value: ".len();
        out.push_str(&rest[..value]);
        rest = &rest[value..];
        if rest.starts_with(['{', '[']) {
            // Cut or whole, what is said of it comes after the last colon and blank before the next finding.
            let end = rest
                .find("}: ")
                .or_else(|| rest.find("]: "))
                .map(|end| end + 1);
            let end = end.or_else(|| rest.find("...: ").map(|end| end + 3));
            out.push_str("{an object}");
            rest = &rest[end.unwrap_or(0)..];
        }
    }
    out.push_str(rest);
    out
}

/// A path that leads to no resource: text there, a Status here. A Status there is compared as it is.
fn unknown_path(_: &Request, embedded: &mut Answer, real: &mut Answer) {
    let nothing_here = "the server could not find the requested resource";
    let is_text = real.object_mut().is_none();
    if embedded.code == 404 && real.code == 404 && is_text && embedded.message() == nothing_here {
        *embedded = real.clone();
    }
}

/// That rules of Cluster API's definition were not looked at: the definition here has none.
fn cluster_definition(request: &Request, _: &mut Answer, real: &mut Answer) {
    const UNCHECKED: &str = "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
    if !request.path.contains("/clusters") || real.code != 422 {
        return;
    }
    let Some(status) = real.object_mut() else {
        return;
    };
    let causes = status.pointer_mut("/details/causes");
    let Some(causes) = causes.and_then(Value::as_array_mut) else {
        return;
    };
    let before = causes.len();
    causes.retain(|cause| cause["field"] != "<nil>" || cause["message"] != UNCHECKED);
    let is_alone = causes.windows(2).all(|pair| pair[0] == pair[1]);
    if causes.len() == before {
        return;
    }
    if let Some(Value::String(message)) = status.get_mut("message") {
        *message = message.replace(&format!(", <nil>: {UNCHECKED}"), "");
        if is_alone {
            // What is wrong alone stands in no brackets.
            *message = message.replacen(" is invalid: [", " is invalid: ", 1);
            message.pop();
        }
    }
}

/// Lists at exactly an earlier revision.
fn exact_lists(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    let how = request.said("resourceVersionMatch").unwrap_or_default();
    let is_page = how.is_empty() && request.said("limit").is_some();
    let is_exact = how == "Exact" || is_page;
    if is_exact && embedded.code == 410 && real.code == 200 {
        *embedded = real.clone();
    }
}

/// Which key stands twice in what is applied: told by its line there, by its path here.
fn doubled_keys(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    if request.content_type != Some("application/apply-patch+yaml") {
        return;
    }
    for (left, right) in embedded.warnings.iter_mut().zip(&mut real.warnings) {
        if let Some((before, path)) = left.split_once("duplicate field \\\"")
            && let Some((other, rest)) = right.split_once("line ")
            && let Some((_, key)) = rest.split_once(": key \\\"")
        {
            let key = key.replace(" already set in map", "");
            // A key may have dots in it, so the path is asked whether it ends with the key.
            if before == other && (path == key || path.ends_with(&format!(".{key}"))) {
                left.clone_from(right);
            }
        }
    }
    for answer in [embedded, real] {
        read_texts(answer, |text| {
            cut_after(text, &["error strict decoding YAML: "])
        });
    }
}

/// The router of a real server refuses some media types before what knows the resource, in its own words.
fn router_text(_: &Request, embedded: &mut Answer, real: &mut Answer) {
    let is_of_media_types = [406, 415].contains(&embedded.code);
    if is_of_media_types && embedded.code == real.code && embedded.reason() == real.reason() {
        *embedded = real.clone();
    }
}

/// Rules of a definition that fail at once: a real server walks through a map of Go, and tells them in another order each time.
fn rule_order(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    let is_custom = model::place(&request.path).is_some_and(|at| {
        model::kind(at).group.ends_with(".x-k8s.io") || model::kind(at).group == "ipam.metal3.io"
    });
    if !is_custom || embedded.code != 422 || real.code != 422 {
        return;
    }
    if let (Some(left), Some(right)) = (causes_in_order(embedded), causes_in_order(real))
        && left == right
    {
        *embedded = real.clone();
    }
}

/// What an answer has before its causes, and these sorted; nothing where its message lists other causes than its details do.
fn causes_in_order(answer: &Answer) -> Option<(String, Vec<String>)> {
    let causes = answer.object()?.pointer("/details/causes")?.as_array()?;
    let mut texts: Vec<String> = Vec::new();
    for cause in causes {
        let text = format!(
            "{}: {}",
            cause["field"].as_str()?,
            cause["message"].as_str()?
        );
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let list = format!("[{}]", texts.join(", "));
    let before = answer.message().strip_suffix(&list)?.to_owned();
    let mut sorted: Vec<String> = causes.iter().map(ToString::to_string).collect();
    sorted.sort_unstable();
    Some((before, sorted))
}

/// Of an update that says it is of another kind a real server leaves out the schema, and its rules fail on values of other types.
fn other_kind(_: &Request, embedded: &mut Answer, real: &mut Answer) {
    let is_of_kind = |answer: &Answer| {
        let cause = answer
            .object()
            .and_then(|status| status.pointer("/details/causes/0/field"));
        answer.code == 422 && cause.is_some_and(|field| field == "kind")
    };
    if is_of_kind(embedded) && is_of_kind(real) && real.message().contains(" evaluating rule: ") {
        *embedded = real.clone();
    }
}

/// What of an applied configuration does not fit: a real server leaves a map at the first field that no schema declares, with
/// what it found so far in an order of Go's; here all is told.
fn undeclared_fields(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    let is_apply = request.content_type == Some("application/apply-patch+yaml");
    if !is_apply || embedded.code != real.code {
        return;
    }
    if let (Some(all), Some(some)) = (misfits(embedded), misfits(real))
        && all.0 == some.0
        && some.1.is_subset(&all.1)
        && some.1.iter().any(|line| line.ends_with(UNDECLARED))
    {
        *embedded = real.clone();
    }
}

const UNDECLARED: &str = ": field not declared in schema";

/// The text before what does not fit, and what does not.
fn misfits(answer: &Answer) -> Option<(&str, BTreeSet<&str>)> {
    let (before, found) = answer.message().split_once("): ")?;
    let lines = found.strip_prefix("errors:\n").unwrap_or(found);
    Some((before, lines.split('\n').map(str::trim).collect()))
}

/// Bodies that are nested deeper than anything served here.
fn deep_bodies(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    let depth = request.body.matches("{\"a\":").count();
    let is_told = ["recursion limit", "nested deeper", "Depth"]
        .iter()
        .any(|word| embedded.message().contains(word));
    if depth > DEEP && is_told && embedded.code == 400 && (400..500).contains(&real.code) {
        *embedded = real.clone();
    }
}

fn empty_continue(_: &Request, embedded: &mut Answer, real: &mut Answer) {
    for answer in [embedded, real] {
        if let Some(metadata) = answer
            .object_mut()
            .and_then(|o| o.pointer_mut("/metadata"))
            .and_then(Value::as_object_mut)
            && metadata.get("continue").is_some_and(|token| token == "")
        {
            metadata.remove("continue");
        }
    }
}

/// Columns that this server has not, or has by itself: built-in kinds', and those of Cluster API's kinds.
fn columns(request: &Request, embedded: &mut Answer, real: &mut Answer) {
    let is_ours =
        model::place(&request.path).is_some_and(|at| model::kind(at).group == "ipam.metal3.io");
    let has_bookmarks = request.said("allowWatchBookmarks").is_some();
    for answer in [embedded, real] {
        match &mut answer.body {
            Body::Json(object) if !is_ours => bare_table(object),
            Body::Events(events) => events.iter_mut().for_each(|(_, object)| {
                if !is_ours {
                    bare_table(object);
                }
                if has_bookmarks && let Some(columns) = object.get_mut("columnDefinitions") {
                    // The first event says what the columns are, and bookmarks, which are not compared, are events too.
                    *columns = Value::Null;
                }
            }),
            Body::Json(_) | Body::Text(_) | Body::State(_) => {}
        }
    }
}

/// A table with its names and objects alone.
fn bare_table(table: &mut Value) {
    if table["kind"] != "Table" {
        return;
    }
    if let Some(table) = table.as_object_mut()
        && table.contains_key("columnDefinitions")
    {
        table.insert("columnDefinitions".to_owned(), "{columns}".into());
    }
    let rows = table.get_mut("rows").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten() {
        if let Some(cells) = row.get_mut("cells").and_then(Value::as_array_mut) {
            cells.truncate(1);
        }
    }
}
