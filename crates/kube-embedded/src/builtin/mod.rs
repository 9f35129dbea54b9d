//! The built-in kinds, each described once: its names, columns and selectable fields, and for each field its number in protobuf,
//! its type, how its list merges, and a description. All that the server knows of a built-in kind is derived from these tables:
//!
//! ```text
//!   namespace.rs  config_map.rs  secret.rs  event.rs  lease.rs  definition.rs  meta.rs  review.rs    the tables
//!     -> kinds.rs            names, columns, field selectors
//!     -> decode.rs           JSON -> the object as it is stored, unknown fields; times.rs: how a time is written
//!     -> schema.rs           the OpenAPI schema, and from it the layout that decides who owns which field
//!     -> http/protobuf.rs    the messages of bodies in protobuf
//!     -> strategic_merge.rs  which lists merge item by item
//! ```
//!
//! A pure room: it knows nothing of requests.

mod config_map;
mod decode;
mod definition;
mod event;
mod lease;
mod meta;
mod namespace;
mod review;
mod schema;
mod secret;
mod times;

pub(crate) use decode::{Source, decode, is_empty};
pub(crate) use meta::{API_VERSION, DELETE_OPTIONS, KIND, METADATA, OBJECT_META, TYPE_META};
pub(crate) use review::{ACCESS_REVIEW, RULES_REVIEW, SELF_REVIEW};
pub(crate) use schema::{custom_layout, layout, of_field, schema};
pub(crate) use times::seconds as time;

use crate::kinds::Strategy;

/// Every built-in kind that is served as a resource.
pub(crate) const KINDS: [&Kind; 6] = [
    &namespace::NAMESPACE,
    &event::EVENT,
    &config_map::CONFIG_MAP,
    &secret::SECRET,
    &lease::LEASE,
    &definition::DEFINITION,
];

/// A built-in kind, in version `v1`.
pub(crate) struct Kind {
    /// API group; empty for core.
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) status_subresource: bool,
    pub(crate) strategy: Strategy,
    /// Fields that a field selector may name, beside the name and the namespace.
    pub(crate) selectable: &'static [&'static str],
    /// Columns of a table after NAME: name, type, JSON path.
    pub(crate) columns: &'static [(&'static str, &'static str, &'static str)],
    /// Its fields. `None`: its objects are kept as they come.
    pub(crate) object: Option<&'static Struct>,
}

/// A type with fields.
#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) description: &'static str,
    /// Whether all of it has one owner (`x-kubernetes-map-type`).
    pub(crate) owned: Owned,
    pub(crate) fields: &'static [Field],
}

/// Whether the fields of an object are owned one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owned {
    Granular,
    Atomic,
}

/// A field of a type: one row of a table.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its number in protobuf; 0 for a field that is not read from protobuf.
    pub(crate) number: u64,
    /// Its name in JSON.
    pub(crate) name: &'static str,
    pub(crate) empty: Empty,
    pub(crate) form: Form,
    pub(crate) description: &'static str,
}

/// The type of a value.
#[derive(Debug)]
pub(crate) enum Form {
    Text,
    Bool,
    Int32,
    Int64,
    /// RFC 3339, kept in seconds.
    Time,
    /// RFC 3339, kept in microseconds.
    MicroTime,
    /// In JSON base64.
    Bytes,
    Map(&'static Form),
    List(Merge, &'static Form),
    Struct(&'static Struct),
    /// Kept as it is.
    Any,
}

/// How a list merges, in an apply and in a strategic merge patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// It is replaced whole.
    Atomic,
    /// As a set of its items.
    Set,
    /// Item by item, told apart by this field.
    By(&'static str),
}

/// What is stored of a field that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// Nothing, also when the client sent `""`, `0`, `false`, `{}` or `[]`.
    Omitted,
    /// What the client sent, unless that is null.
    Pointer,
    /// The empty value, also when the client sent nothing.
    Written,
    /// As `Written`, and clients are told to send it.
    Required,
}

impl Empty {
    /// Whether every object has the field.
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Self::Written | Self::Required)
    }
}

/// Rows of a table, one field a line: number in protobuf, name, what is stored when it is empty, type, description. `object`
/// before the rows adds the three fields that every object has.
macro_rules! fields {
    (object $($rows:tt)*) => {
        fields!(@ [
            $crate::builtin::meta::API_VERSION, $crate::builtin::meta::KIND, $crate::builtin::meta::METADATA,
        ] $($rows)*)
    };
    (@ [$($common:tt)*] $($number:literal $name:literal $empty:ident $form:expr, $description:literal;)*) => {
        &[$($common)* $($crate::builtin::Field {
            number: $number,
            name: $name,
            empty: $crate::builtin::Empty::$empty,
            form: $form,
            description: $description,
        }),*]
    };
    ($($rows:tt)*) => { fields!(@ [] $($rows)*) };
}
use fields;

/// The last column of most tables.
const AGE: (&str, &str, &str) = ("Age", "date", ".metadata.creationTimestamp");

const TEXT: Form = Form::Text;
const BOOL: Form = Form::Bool;
const INT32: Form = Form::Int32;
const INT64: Form = Form::Int64;
const TIME: Form = Form::Time;
const MICRO_TIME: Form = Form::MicroTime;
const TEXT_MAP: Form = Form::Map(&TEXT);
const BYTES_MAP: Form = Form::Map(&Form::Bytes);
const TEXT_LIST: Form = Form::List(Merge::Atomic, &TEXT);

impl Struct {
    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The type of a built-in kind's objects. `None` for other kinds, and for one whose objects are kept as they come.
pub(crate) fn object_of(group: &str, kind: &str) -> Option<&'static Struct> {
    let is_it = |known: &&Kind| known.group == group && known.kind == kind;
    KINDS.into_iter().find(is_it)?.object
}

#[cfg(test)]
mod tests;
