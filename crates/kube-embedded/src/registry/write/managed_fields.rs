//! Calls the crate `managed_fields` for each verb, and checks the entries of `metadata.managedFields`.

use serde_json::Value;

use crate::error::ApiError;
use crate::field::{FieldError, FieldErrorKind, truncated};
use crate::kinds::{Resource, Strategy};
use crate::registry::request::{Subresource, WriteOptions};
use crate::registry::rules;
use crate::registry::rules::metadata::{self, Object};
use managed_fields::{ANNOTATION, ApplyError, Conflict, KUBECTL, Managed, Update, Writer, go_json};

/// Longest name of a manager, in bytes.
pub(crate) const MANAGER: usize = 128;
/// Longest name of a subresource, in bytes.
const SUBRESOURCE: usize = 256;
const ENTRIES: &str = "managedFields";

/// Who makes a write, and when.
#[derive(Debug, Clone)]
pub(crate) struct By {
    manager: String,
    now: String,
}

impl By {
    pub(crate) fn new(options: &WriteOptions, now: String) -> Self {
        Self {
            manager: options.field_manager.clone().unwrap_or_default(),
            now,
        }
    }

    /// The controllers in this server, under the name that they have in a cluster.
    pub(crate) fn controllers(now: String) -> Self {
        Self {
            manager: "kube-controller-manager".to_owned(),
            now,
        }
    }

    fn writer<'a>(
        &'a self,
        resource: &Resource,
        version: &'a str,
        subresource: Option<Subresource>,
    ) -> Writer<'a> {
        Writer {
            manager: &self.manager,
            version,
            subresource: match subresource {
                None => "",
                Some(Subresource::Status) => "status",
            },
            now: &self.now,
            untouched: untouched(resource, subresource),
        }
    }
}

/// Top-level fields that a write through this path cannot change.
fn untouched(resource: &Resource, subresource: Option<Subresource>) -> &'static [&'static str] {
    match (resource.strategy, subresource) {
        (Strategy::Custom, Some(Subresource::Status)) => &["metadata", "spec"],
        (Strategy::Namespace, Some(Subresource::Status)) => &["spec"],
        (Strategy::Custom | Strategy::Namespace, None) if resource.status_subresource => {
            &["status"]
        }
        (
            Strategy::Custom
            | Strategy::Namespace
            | Strategy::Definition
            | Strategy::Event
            | Strategy::Lease
            | Strategy::Plain,
            Some(Subresource::Status) | None,
        ) => &[],
    }
}

/// Replaces the entries that the client sent in `new` by those after this write.
pub(crate) fn track(
    resource: &Resource,
    old: Option<&Object>,
    new: &mut Object,
    subresource: Option<Subresource>,
    by: &By,
) {
    let version = resource.api_version();
    let writer = by.writer(resource, &version, subresource);
    let sent = metadata::of(new).remove(ENTRIES);
    if !managed_fields::fits(&resource.layout, new) {
        // A later check refuses or ignores what does not fit. A real API server drops all entries then.
        return;
    }
    let live = old.and_then(|old| metadata::field(old, ENTRIES));
    let managed = Managed::settle(live, sent.as_ref(), subresource.is_some());
    // An object of another kind, or with an entry of a version that cannot be read, cannot be compared, so all entries are
    // dropped. For built-in kinds only an apiVersion with two slashes cannot be read; entries of other versions are dropped below.
    let is_unreadable = |found: &str| match resource.strategy {
        Strategy::Custom => found != version,
        Strategy::Namespace
        | Strategy::Definition
        | Strategy::Event
        | Strategy::Lease
        | Strategy::Plain => found.matches('/').count() > 1,
    };
    if metadata::kind(new) != resource.kind || managed.has_version(is_unreadable) {
        return;
    }
    let update = Update {
        layout: &resource.layout,
        live: old,
        new,
        writer: &writer,
    };
    put(new, managed_fields::update(&update, managed));
}

fn put(object: &mut Object, managed: Managed) {
    match managed.write() {
        Some(entries) => metadata::of(object).insert(ENTRIES.to_owned(), entries),
        None => metadata::of(object).remove(ENTRIES),
    };
}

/// Removes the entries, for an object that would be too big with them.
pub(crate) fn drop_entries(object: &mut Object) -> bool {
    metadata::of(object).remove(ENTRIES).is_some()
}

/// Moves the entries of `from` into `object`.
pub(crate) fn move_entries(from: &mut Object, object: &mut Object) {
    match metadata::of(from).remove(ENTRIES) {
        Some(entries) => metadata::of(object).insert(ENTRIES.to_owned(), entries),
        None => metadata::of(object).remove(ENTRIES),
    };
}

/// Restores the times of the entries when nothing else differs from the old object, so that the write changes nothing.
pub(crate) fn keep_times(old: &Object, new: &mut Object) {
    let entries = |object| metadata::field(object, ENTRIES).and_then(Value::as_array);
    let (Some(before), Some(after)) = (entries(old), entries(new)) else {
        return;
    };
    let same_but_for_time = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let rest = |map: &Object| map.keys().filter(|key| *key != "time").count();
            rest(a) == rest(b)
                && a.iter()
                    .all(|(key, value)| key == "time" || b.get(key) == Some(value))
        }
        (a, b) => a == b,
    };
    if before == after
        || before.len() != after.len()
        || !before.iter().zip(after).all(same_but_for_time)
    {
        return;
    }
    let mut with_old_times = new.clone();
    metadata::of(&mut with_old_times).insert(ENTRIES.to_owned(), before.clone().into());
    if !crate::registry::write::update::differs(old, &with_old_times) {
        *new = with_old_times;
    }
}

/// The object after an apply, with its entries. Without an old object the configuration is applied to an empty one.
pub(crate) fn apply(
    resource: &Resource,
    old: Option<&Object>,
    config: &Object,
    subresource: Option<Subresource>,
    force: bool,
    by: &By,
) -> Result<Object, ApiError> {
    let version = resource.api_version();
    check_config(resource, &version, config)?;
    let writer = by.writer(resource, &version, subresource);
    let nothing = Object::from_iter([
        ("apiVersion".to_owned(), version.as_str().into()),
        ("kind".to_owned(), resource.kind.as_str().into()),
    ]);
    let live = old.unwrap_or(&nothing);
    let applied = managed_fields::apply(&resource.layout, live, config, &writer, force);
    let applied = applied.map_err(|error| match error {
        ApplyError::Misfit(why) => ApiError::unreasoned(format!(
            "failed to create typed patch object ({}): {}",
            what_of(config),
            truncated(&why, 4096)
        )),
        ApplyError::Stored(why) => ApiError::unreasoned(format!(
            "failed to create manager for existing fields: failed to convert new object ({}) to smd typed: {}",
            what_of(live),
            truncated(&why, 4096)
        )),
        ApplyError::Unreadable => ApiError::unreasoned("failed to decode managed fields".to_owned()),
        ApplyError::Conflicts(conflicts) => conflict(&conflicts),
    })?;
    let mut object = applied.object.unwrap_or_else(|| live.clone());
    put(&mut object, applied.managed);
    if by.manager == KUBECTL {
        renew_annotation(&mut object, config);
    }
    Ok(object)
}

/// Checks a configuration without the object that it is applied to.
fn check_config(resource: &Resource, version: &str, config: &Object) -> Result<(), ApiError> {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    if text("apiVersion") != Some(version) || text("kind") != Some(&resource.kind) {
        return Err(ApiError::bad_request(format!(
            "invalid object type: {}",
            truncated(&kind_of(config), 512)
        )));
    }
    let entries = config
        .get("metadata")
        .and_then(|metadata| metadata.get(ENTRIES));
    if entries.is_some_and(Value::is_array) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// Adds the name of the object to the error of an outcome that cannot be read as the kind.
pub(crate) fn not_converted(error: ApiError, config: &Object) -> ApiError {
    let mut error = error;
    if error.code == 500 {
        let what = what_of(config);
        let before = format!("failed to convert new object ({what}) to proper version: ");
        error.message.insert_str(0, &before);
    }
    error
}

/// Namespace, name, version and kind of a configuration, for errors.
fn what_of(config: &Object) -> String {
    format!(
        "{}/{}; {}",
        metadata::text(config, "namespace"),
        metadata::text(config, "name"),
        kind_of(config)
    )
}

/// `group/version, Kind=kind`, as Go prints it.
fn kind_of(object: &Object) -> String {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={}", text("kind"))
}

fn conflict(conflicts: &[Conflict]) -> ApiError {
    let causes = conflicts.iter().map(|conflict| {
        (
            conflict.field(),
            format!("conflict with {}", conflict.with()),
        )
    });
    ApiError::apply_conflict(Conflict::message(conflicts), causes)
}

/// Updates kubectl's annotation of the last applied configuration, so that client-side apply can go on from it.
fn renew_annotation(object: &mut Object, config: &Object) {
    let annotation = metadata::field(object, "annotations").and_then(|all| all.get(ANNOTATION));
    if annotation.is_none_or(|text| text == "") {
        return;
    }
    let mut applied = config.clone();
    if let Some(Value::Object(annotations)) = metadata::of(&mut applied).get_mut("annotations") {
        annotations.remove(ANNOTATION);
    }
    // As Go writes JSON: with a line feed at the end, and `<`, `>` and `&` escaped.
    let text = format!("{}\n", go_json(&Value::Object(applied)));
    if let Some(Value::Object(annotations)) = metadata::of(object).get_mut("annotations") {
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
    if rules::annotations_are_too_big(object)
        && let Some(Value::Object(annotations)) = metadata::of(object).get_mut("annotations")
    {
        annotations.remove(ANNOTATION);
    }
}

/// Checks the entries of an object.
pub(crate) fn check(object: &Object) -> Vec<FieldError> {
    let entries = metadata::field(object, ENTRIES).and_then(Value::as_array);
    let mut errors = Vec::new();
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let path = |name: &str| format!("metadata.{ENTRIES}[{index}].{name}");
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        errors.extend(check_manager(&path("manager"), text("manager")));
        if text("subresource").len() > SUBRESOURCE {
            errors.push(too_long(&path("subresource"), SUBRESOURCE));
        }
    }
    errors
}

/// Checks the name of a manager.
pub(crate) fn check_manager(path: &str, manager: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if manager.len() > MANAGER {
        errors.push(too_long(path, MANAGER));
    }
    for (at, odd) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
        let code = u32::from(odd);
        let shown = if odd.is_control() || odd.is_whitespace() {
            String::new()
        } else {
            format!(" '{odd}'")
        };
        errors.push(FieldError::invalid(
            path,
            &manager.into(),
            format!("invalid character U+{code:04X}{shown} (at position {at})"),
        ));
    }
    errors
}

/// Whether a character can be in a manager's name: no control character, and no white space but U+0020.
pub(crate) fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

fn too_long(path: &str, limit: usize) -> FieldError {
    FieldError::bare(
        path,
        FieldErrorKind::TooLong,
        format!("may not be more than {limit} bytes"),
    )
}
