#![doc = include_str!("../README.md")]
//!
//! # The house
//!
//! Every walk goes down an object beside its shape:
//!
//! ```text
//!   element.rs   one element of a path: a field, an item by its keys, an item by its value
//!   set.rs       a set of paths, as a tree                       text.rs   the same as FieldsV1
//!   shape.rs     a kind's OpenAPI schema -> Shape
//!
//!   compare.rs   live, new     -> what was removed, modified, added
//!   paths.rs     value         -> its paths
//!   check.rs     value         -> what does not fit its shape
//!   merge.rs     live, applied -> the merged object              remove.rs   value, set -> value without these paths
//!
//!   managed.rs   the entries of managedFields, read and written
//!     update.rs  live, new, entries            -> entries        create, update, patch
//!     apply.rs   live, applied, entries, force -> object, entries, or the conflicts
//!       annotated.rs   the conflicts that kubectl's annotation of the last apply prevents
//! ```

mod annotated;
mod apply;
mod check;
mod compare;
mod element;
mod managed;
mod merge;
mod paths;
mod remove;
mod set;
mod shape;
mod text;
mod update;

pub use annotated::{ANNOTATION, KUBECTL};
pub use apply::{Applied, ApplyError, Conflict, apply};
pub use check::fits;
pub use element::json as go_json;
pub use managed::{Managed, Writer};
pub use shape::Layout;
pub use update::{Update, update};

/// An object, whole.
pub type Object = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
