//! An answer, as it is compared: symbols for what a server makes up by itself, and no times.

use serde_json::{Map, Value};

use super::symbols::Symbols;

/// What a server said to one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    /// HTTP status; 0 when there was no answer.
    pub(super) code: u16,
    pub(super) content_type: String,
    /// Texts of `Warning` headers, in order.
    pub(super) warnings: Vec<String>,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Json(Value),
    /// What is not JSON.
    Text(String),
    /// Events of a watch: their type and object.
    Events(Vec<(String, Value)>),
    /// Everything there is, by kind, name and object.
    State(Vec<Value>),
}

impl Answer {
    /// Of everything there is: whether no server has anything left to do to it.
    pub(super) fn is_at_rest(&self) -> bool {
        match &self.body {
            Body::State(state) => state.iter().all(Value::is_object),
            Body::Json(_) | Body::Text(_) | Body::Events(_) => false,
        }
    }

    /// The body, when it is one JSON object.
    pub(super) fn object(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(object) => Some(object),
            Body::Text(_) | Body::Events(_) | Body::State(_) => None,
        }
    }

    pub(super) fn object_mut(&mut self) -> Option<&mut Value> {
        match &mut self.body {
            Body::Json(object) => Some(object),
            Body::Text(_) | Body::Events(_) | Body::State(_) => None,
        }
    }

    /// `Status.reason`; empty where there is none.
    pub(super) fn reason(&self) -> &str {
        self.object()
            .and_then(|o| o["reason"].as_str())
            .unwrap_or_default()
    }

    /// `Status.message`; empty where there is none.
    pub(super) fn message(&self) -> &str {
        self.object()
            .filter(|o| o["kind"] == "Status")
            .and_then(|o| o["message"].as_str())
            .unwrap_or_default()
    }
}

/// Reads one JSON document of a server.
pub(super) fn canonical(symbols: &mut Symbols, mut document: Value) -> Value {
    if is_table(&document) {
        table(symbols, &mut document);
    } else if is_list(&document) {
        list_metadata(symbols, &mut document);
        for item in elements(&mut document, "/items") {
            object(symbols, item);
        }
    } else {
        object(symbols, &mut document);
    }
    document
}

fn part<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    document.pointer_mut(pointer)
}

fn elements<'a>(
    document: &'a mut Value,
    pointer: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    let list = part(document, pointer).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn is_list(document: &Value) -> bool {
    document["items"].is_array()
        || document["kind"]
            .as_str()
            .is_some_and(|k| k.ends_with("List"))
            && document["metadata"]["name"].is_null()
}

fn is_table(document: &Value) -> bool {
    document["kind"] == "Table"
}

fn list_metadata(symbols: &mut Symbols, list: &mut Value) {
    let Some(metadata) = part(list, "/metadata").and_then(Value::as_object_mut) else {
        return;
    };
    for (field, what) in [("resourceVersion", "list"), ("continue", "continue")] {
        if let Some(Value::String(found)) = metadata.get_mut(field)
            && !found.is_empty()
        {
            *found = symbols.fresh(what, found);
        }
    }
}

fn table(symbols: &mut Symbols, table: &mut Value) {
    list_metadata(symbols, table);
    let dates: Vec<usize> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, column)| {
            column["type"] == "date" || column["name"] == "Age" || column["name"] == "Last Seen"
        })
        .map(|(n, _)| n)
        .collect();
    let table_is_bare = !table["columnDefinitions"].is_array();
    for row in elements(table, "/rows") {
        if let Some(object) = part(row, "/object") {
            self::object(symbols, object);
        }
        for (n, cell) in elements(row, "/cells").enumerate() {
            // Only the first event of a watch says which columns are times.
            let may_be = table_is_bare || dates.contains(&n);
            if may_be && is_short_age(cell) {
                *cell = "{age}".into();
            } else {
                texts(symbols, cell);
            }
        }
    }
}

/// `5s`, `2m3s`: what was made in this run.
fn is_short_age(cell: &Value) -> bool {
    cell.as_str().is_some_and(|text| {
        text.ends_with('s')
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b's' || b == b'm')
    })
}

/// One object, or a `Status`.
fn object(symbols: &mut Symbols, object: &mut Value) {
    if let Some(metadata) = part(object, "/metadata").and_then(Value::as_object_mut) {
        self::metadata(symbols, metadata);
    }
    for condition in elements(object, "/status/conditions") {
        if let Some(Value::String(time)) = condition.get_mut("lastTransitionTime")
            && is_now(time)
        {
            "{time}".clone_into(time);
        }
    }
    if object["kind"] == "Status" {
        list_metadata(symbols, object);
        in_no_order(object);
    }
    texts(symbols, object);
}

/// What a real server finds walking through maps of Go comes in another order each time: conflicts, and what of an applied
/// configuration does not fit.
fn in_no_order(status: &mut Value) {
    let causes = part(status, "/details/causes").and_then(Value::as_array_mut);
    if let Some(causes) = causes
        && causes
            .iter()
            .all(|cause| cause["reason"] == "FieldManagerConflict")
    {
        causes.sort_by_cached_key(ToString::to_string);
    }
    if let Some(Value::String(message)) = status.get_mut("message")
        && let Some((before, list)) = message.split_once(": errors:\n")
    {
        let mut lines: Vec<&str> = list.split('\n').collect();
        lines.sort_unstable();
        *message = format!("{before}: errors:\n{}", lines.join("\n"));
    }
}

fn metadata(symbols: &mut Symbols, metadata: &mut Map<String, Value>) {
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if let Some(Value::String(found)) = metadata.get_mut(field)
            && is_now(found)
        {
            "{time}".clone_into(found);
        }
    }
    if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
        for entry in entries.iter_mut() {
            if let Some(Value::String(time)) = entry.get_mut("time")
                && is_now(time)
            {
                "{time}".clone_into(time);
            }
        }
        // They go by time, and a second may begin between the same two writes to one server and not between those to the other.
        let order = ["operation", "time", "manager", "apiVersion", "subresource"];
        entries.sort_by_cached_key(|entry| {
            order.map(|field| entry[field].as_str().unwrap_or_default().to_owned())
        });
    }
    if let Some(base) = metadata.get("generateName").and_then(Value::as_str)
        && let Some(name) = metadata.get("name").and_then(Value::as_str)
        && let Some(suffix) = name.strip_prefix(&base[..base.len().min(BASE)])
        && suffix.len() == 5
    {
        let symbol = symbols.name("name", name);
        metadata.insert("name".to_owned(), symbol.into());
    }
    if let Some(Value::String(found)) = metadata.get_mut("resourceVersion")
        && !found.is_empty()
    {
        *found = symbols.name("rv", found);
    }
}

/// Bytes of `generateName` that go into a name.
const BASE: usize = 58;

/// Times of this run; those that a test sends lie in other years.
fn is_now(time: &str) -> bool {
    let year: u32 = time.get(..4).and_then(|y| y.parse().ok()).unwrap_or(0);
    year > SENT_YEAR
}

/// The year of all times that are sent.
pub(super) const SENT_YEAR: u32 = 2021;

/// Symbols in every text below a value.
fn texts(symbols: &mut Symbols, value: &mut Value) {
    match value {
        Value::String(text) => *text = self::text(symbols, text),
        Value::Array(list) => list.iter_mut().for_each(|item| texts(symbols, item)),
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                let read = text(symbols, &key);
                if let Some(mut value) = map.remove(&key) {
                    texts(symbols, &mut value);
                    map.insert(read, value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text with symbols for the namespace, UIDs, generated names and, where a text speaks of them, resourceVersions.
pub(super) fn text(symbols: &mut Symbols, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    generated_names(symbols, text);
    // Where a server keeps its objects is an option of its own.
    let text = ["/shared", "/registry"]
        .iter()
        .fold(symbols.read(text), |text, prefix| {
            text.replace(&format!("Key: {prefix}/"), "Key: /")
        });
    let mut rest = text.as_str();
    while let Some(at) = rest.find('-').filter(|_| rest.len() >= UUID) {
        let start = at.saturating_sub(8);
        let uid = rest.get(start..start + UUID);
        if let Some(uid) = uid.filter(|uid| is_uuid(uid)) {
            out.push_str(&rest[..start]);
            if uid.starts_with(SENT_UID) {
                // In the form of a symbol, so that its digits are no resourceVersion.
                out.extend(["{", uid, "}"]);
            } else {
                out.push_str(&symbols.name("uid", uid));
            }
            rest = &rest[start + UUID..];
        } else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    versions(symbols, &out)
}

/// Generated names that stand only in a text: `gen-7-bcdfg` and `Bad_bcdfg`, from a base that is given once.
fn generated_names(symbols: &mut Symbols, text: &str) {
    const SUFFIX: usize = 5;
    // The last one is cut to that.
    let long = "x".repeat(BASE);
    for word in ["gen-", "Bad_", &long] {
        for (at, _) in text.match_indices(word) {
            let rest = &text[at..];
            let number = rest[word.len()..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            let base = match word {
                "gen-" if number > 0 && rest.as_bytes().get(word.len() + number) == Some(&b'-') => {
                    word.len() + number + 1
                }
                "gen-" => continue,
                _ => word.len(),
            };
            let name = rest.get(..base + SUFFIX).unwrap_or_default();
            let suffix = name.get(base..).unwrap_or_default();
            // What is sent may be longer than what a name is cut to.
            let is_name = !["", "xxxxx"].contains(&suffix)
                && suffix
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if is_name {
                symbols.name("name", name);
            }
        }
    }
}

const UUID: usize = 36;
/// How UIDs begin that are sent and that no object has. They are no server's own, and one server may echo more of them in errors.
const SENT_UID: &str = "12345678-";

fn is_uuid(text: &str) -> bool {
    text.len() == UUID
        && text.bytes().enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// A Warning header. Its code stays as it is: a resourceVersion may be the same number.
pub(super) fn warning(symbols: &mut Symbols, header: &str) -> String {
    match header.split_once(' ') {
        Some((code, words)) => format!("{code} {}", text(symbols, words)),
        None => text(symbols, header),
    }
}

#[test]
fn the_code_of_a_warning_is_no_resource_version() {
    let mut symbols = Symbols::new("differential-5-5");
    symbols.name("rv", "299");
    let header = "299 - \"unknown field \\\"metadata.ResourceVersion\\\"\"";
    assert_eq!(warning(&mut symbols, header), header);
}

/// Numbers in a text about resourceVersions: known ones by their symbol, others as `{a version}`.
fn versions(symbols: &Symbols, text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let speaks = ["resource version", "resourceversion"]
        .iter()
        .any(|word| lower.contains(word));
    // A JSON document or a field's path has digits of its own.
    if !speaks || text.starts_with('{') {
        return text.to_owned();
    }
    // The newest version of all, which other episodes move along.
    if lower.contains("too large resource version")
        && let Some((before, _)) = text.split_once(", current: ")
    {
        return format!("{}, current: {{a version}}", versions(symbols, before));
    }
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    let mut in_symbol = false;
    let mut before = ' ';
    for c in text.chars().chain(['\0']) {
        let last = std::mem::replace(&mut before, c);
        let starts = !digits.is_empty() || !last.is_ascii_alphanumeric();
        if c.is_ascii_digit() && !in_symbol && starts {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            match symbols.known("rv", &digits) {
                Some(symbol) => out.push_str(symbol),
                None if digits.len() > 1 => out.push_str("{a version}"),
                None => out.push_str(&digits),
            }
            digits.clear();
        }
        in_symbol = match c {
            '{' => true,
            '}' => false,
            _ => in_symbol,
        };
        if c != '\0' {
            out.push(c);
        }
    }
    out
}
