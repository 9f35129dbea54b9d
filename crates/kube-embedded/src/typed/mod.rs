//! The types that Kubernetes' own code has for what is not a custom resource: which fields there are, which form they have, and
//! what is written when they are empty. A body is read as such a type: a value of a wrong type is an error that names the field,
//! an unknown field is left out and named.
//!
//! ```text
//!   tables.rs   ObjectMeta, ConfigMap, Secret, Event, Lease, Namespace, DeleteOptions
//!   decode.rs   JSON, type -> JSON as it is stored, unknown fields      times.rs   what a time may look like
//! ```
//!
//! A pure room: it knows nothing of requests.

mod decode;
mod tables;
mod times;

pub(crate) use decode::{Source, decode};
pub(crate) use tables::{DELETE_OPTIONS, OBJECT_META, of_kind};
pub(crate) use times::seconds as time;

/// A type with fields.
#[derive(Debug)]
pub(crate) struct Struct {
    fields: &'static [Field],
}

/// A field of a type.
#[derive(Debug)]
struct Field {
    name: &'static str,
    form: Form,
    empty: Empty,
}

/// What a value may be.
#[derive(Debug)]
enum Form {
    Text,
    Bool,
    Int32,
    Int64,
    /// RFC 3339, kept in seconds.
    Time,
    /// RFC 3339, kept in microseconds.
    MicroTime,
    /// Base64.
    Bytes,
    Map(&'static Form),
    List(&'static Form),
    Struct(&'static Struct),
    /// Kept as it is.
    Any,
}

/// What is written of a field that has nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// Nothing, also when the client said `""`, `0`, `false`, `{}` or `[]`.
    Omitted,
    /// Nothing when the client said nothing, else what it said.
    Pointer,
    /// The empty value.
    Written,
}

#[cfg(test)]
mod tests;
