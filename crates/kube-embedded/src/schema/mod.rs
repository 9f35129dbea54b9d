//! Structural schemas of custom resources: what a field may hold, which fields there are, what absent ones mean.
//!
//! A pure room: JSON in, JSON or findings out. It reads what a CRD carries (`openAPIV3Schema`) into a tree of [`Node`]s, in
//! which four walks go down beside an object:
//!
//! ```text
//!   compile.rs   CRD's JSON -> Node
//!   prune.rs     object, Node -> object without unknown fields, and their paths     (fieldValidation, warnings)
//!   defaults.rs  object, Node -> object with what absent fields mean
//!   validate.rs  object, Node -> findings with a real API server's texts and paths     (found.rs: the texts)
//!   cel.rs       old and new object, Node -> findings of the rules in CEL
//! ```
//!
//! `apiVersion`, `kind` and `metadata` are not the schema's; the walks pass them by.

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

/// Why a schema is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct SchemaError {
    /// Where in the schema.
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

/// What one value may be.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a schema is a record of independent switches"
)]
#[derive(Debug, Default)]
struct Node {
    kind: Option<Kind>,
    nullable: bool,
    int_or_string: bool,
    /// Unknown fields stay.
    preserve: bool,
    /// A whole object with metadata of its own.
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
    /// Rules in CEL about this value.
    rules: Vec<cel::Rule>,
    /// Whether this node or one below it has rules.
    has_rules: bool,
    /// Whether one of these compares a value with what it was.
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

/// What may stand in an object beside its properties.
#[derive(Debug, Default)]
enum Additional {
    /// Nothing.
    #[default]
    None,
    /// Anything.
    Any,
    /// Values like this.
    Of(Box<Node>),
}

/// What tells the items of a list apart.
#[derive(Debug, Default)]
enum List {
    /// Their place.
    #[default]
    Atomic,
    /// Themselves.
    Set,
    /// These fields.
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

/// What `null` says of a field that is not nullable and has no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// That it is not there.
    Absent,
    /// Nothing good.
    Wrong,
}

/// Formats that are looked at; a real API server ignores those that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    DateTime,
    Int32,
    Int64,
}

// === impl Schema ===

impl Schema {
    /// Reads the schema of a CRD version (`openAPIV3Schema`).
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

    /// Takes unknown fields away and names them, as `unknown field "spec.x"`.
    pub fn prune(&self, object: &mut Map<String, Value>, unknown: &mut Vec<String>) {
        prune::root(&self.root, object, unknown);
    }

    /// As [`Self::prune`] for a version that is not there: nothing in the object is known.
    pub fn prune_all(object: &mut Map<String, Value>, unknown: &mut Vec<String>) {
        prune::root(&Node::default(), object, unknown);
    }

    /// Puts in defaults, and takes `null` away where a field is not nullable: it means absent.
    pub fn fill_defaults(&self, object: &mut Map<String, Value>) {
        defaults::root(&self.root, object, Nulls::Absent);
    }

    /// Puts in defaults, for `null` too where a field is not nullable; without a default it stays, for validation to find.
    pub(super) fn fill_defaults_of_applied(&self, object: &mut Map<String, Value>) {
        defaults::root(&self.root, object, Nulls::Wrong);
    }

    /// Everything that is wrong with one part of an object, as if that part were all there is.
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

    /// Everything that is wrong by the rules in CEL, up to a bound. Of an update, what is wrong with a part that stands is let
    /// through.
    pub fn check_rules(
        &self,
        object: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Vec<FieldError> {
        cel::check(&self.root, object, old)
    }

    /// Everything that is wrong, up to a bound.
    pub fn validate(&self, object: &Map<String, Value>) -> Vec<FieldError> {
        validate::root(&self.root, object)
    }
}

/// Fields of every object that are not the schema's.
fn is_type_or_metadata(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// The path of a field of what lies at `path`.
fn child(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests;
