//! Structural schemas of custom resources: the fields, the values that they may have, and their defaults.
//!
//! A pure room: JSON in, JSON or errors out. It compiles the `openAPIV3Schema` of a definition into a tree of [`Node`]s. Four
//! walks go down an object beside its node:
//!
//! ```text
//!   compile.rs   CRD's JSON -> Node
//!   prune.rs     object, Node -> object without unknown fields, and their paths     (fieldValidation, warnings)
//!   defaults.rs  object, Node -> object with defaults
//!   validate.rs  object, Node -> findings with a real API server's texts and paths     (found.rs: the texts)
//!   cel.rs       old and new object, Node -> findings of the rules in CEL
//! ```
//!
//! The walks leave out `apiVersion`, `kind` and `metadata`, which are not in the schema.

mod cel;
mod compile;
mod defaults;
mod found;
mod prune;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::field::FieldError;

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct SchemaError {
    /// Path in the schema.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

/// A structural schema, ready for use.
#[derive(Debug)]
pub struct Schema {
    raw: Value,
    root: Node,
}

/// The schema of one value.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a schema is a record of independent switches"
)]
#[derive(Debug, Default)]
struct Node {
    kind: Option<Kind>,
    nullable: bool,
    int_or_string: bool,
    /// Whether unknown fields are kept.
    preserve: bool,
    /// Whether the value is an object with metadata (`x-kubernetes-embedded-resource`).
    embedded: bool,
    properties: BTreeMap<String, Node>,
    additional: Additional,
    items: Option<Box<Node>>,
    default: Option<Value>,
    required: Vec<String>,
    list: List,
    limits: Limits,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
    /// Rules in CEL on this value.
    rules: Vec<cel::Rule>,
    /// Whether this node or one below it has rules.
    has_rules: bool,
    /// Whether one of these compares a value with its old value.
    has_transitions: bool,
}

/// JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// The fields that an object may have beside its properties.
#[derive(Debug, Default)]
enum Additional {
    /// None.
    #[default]
    None,
    /// Any.
    Any,
    /// Fields with this schema.
    Of(Box<Node>),
}

/// What identifies the items of a list.
#[derive(Debug, Default)]
enum List {
    /// Their index.
    #[default]
    Atomic,
    /// Their values.
    Set,
    /// The values of these fields.
    Map(Vec<String>),
}

/// Bounds on a value.
#[derive(Debug, Default)]
struct Limits {
    one_of: Vec<Value>,
    minimum: Option<f64>,
    exclusive_minimum: bool,
    maximum: Option<f64>,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<Regex>,
    format: Option<Format>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
}

/// The meaning of `null` in a field that is not nullable and has no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// The field is absent.
    Absent,
    /// The value is wrong.
    Wrong,
}

/// Formats that are checked. As on a real API server, others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    DateTime,
    Int32,
    Int64,
}

// === impl Schema ===

impl Schema {
    /// Compiles the schema of a version (`openAPIV3Schema`).
    ///
    /// # Errors
    /// The first part that is not structural.
    pub fn compile(raw: &Value) -> Result<Self, SchemaError> {
        let root = compile::node(raw, "openAPIV3Schema")?;
        if !root.rules.is_empty() {
            return Err(SchemaError {
                path: "openAPIV3Schema.x-kubernetes-validations".to_owned(),
                why: "rules about the whole object are not carried out here".to_owned(),
            });
        }
        Ok(Self {
            raw: raw.clone(),
            root,
        })
    }

    /// The schema as it was given, for OpenAPI documents.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// Removes unknown fields and adds their texts: `unknown field "spec.x"`.
    pub fn prune(&self, object: &mut Map<String, Value>, unknown: &mut Vec<String>) {
        prune::root(&self.root, object, unknown);
    }

    /// As [`Self::prune`] for a version that is not served: every field is unknown.
    pub fn prune_all(object: &mut Map<String, Value>, unknown: &mut Vec<String>) {
        prune::root(&Node::default(), object, unknown);
    }

    /// Fills in defaults, and removes `null` from a field that is not nullable, where it means absent.
    pub fn fill_defaults(&self, object: &mut Map<String, Value>) {
        defaults::root(&self.root, object, Nulls::Absent);
    }

    /// Fills in defaults, also for `null` in a field that is not nullable. Without a default the `null` stays and is a violation.
    pub(super) fn fill_defaults_of_applied(&self, object: &mut Map<String, Value>) {
        defaults::root(&self.root, object, Nulls::Wrong);
    }

    /// The violations by one top-level field of an object, with paths as if it were the whole object.
    pub fn validate_part(&self, name: &str, value: &Value) -> Vec<FieldError> {
        match self.root.properties.get(name) {
            Some(node) => validate::part(node, name, value),
            None => Vec::new(),
        }
    }

    /// Whether there are rules in CEL.
    pub(super) fn has_rules(&self) -> bool {
        self.root.has_rules
    }

    /// The violations of the rules in CEL, up to a bound. In an update, those by unchanged parts are left out.
    pub fn check_rules(
        &self,
        object: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Vec<FieldError> {
        cel::check(&self.root, object, old)
    }

    /// The violations, up to a bound.
    pub fn validate(&self, object: &Map<String, Value>) -> Vec<FieldError> {
        validate::root(&self.root, object)
    }
}

/// Whether this is a field of every object, which is not in the schema.
fn is_type_or_metadata(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// The path of a field of the value at `path`.
fn child(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests;
