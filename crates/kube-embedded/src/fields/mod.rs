//! Who owns which field of an object: `metadata.managedFields`, and server-side apply, as a real API server has them.
//!
//! A pure room: objects and names in, objects and entries out. It knows neither the store nor requests; the registry asks
//! it at one place for each verb (`registry/ownership.rs`). Fields are told apart by what a kind's schema says of its lists
//! and maps, and every walk goes down an object beside its [`Shape`]:
//!
//! ```text
//!   element.rs   one step of a path: a field, an item by its keys, an item by its value
//!   set.rs       a set of paths, as a tree                       text.rs   the same as FieldsV1
//!   shape.rs     a CRD's schema -> Shape                         builtin.rs   the shapes of built-in kinds
//!
//!   compare.rs   live, new     -> what was removed, modified, added
//!   mention.rs   value         -> the paths that it has
//!   check.rs     value         -> what does not fit its shape
//!   merge.rs     live, applied -> both in one                    remove.rs   value, set -> value without these items
//!
//!   managed.rs   the entries of managedFields, read and written
//!     update.rs  live, new, entries            -> entries        create, update, patch
//!     apply.rs   live, applied, entries, force -> object, entries, or the conflicts
//!       annotated.rs   what kubectl's annotation of the last apply lets pass
//! ```

mod annotated;
mod apply;
mod builtin;
mod check;
mod compare;
mod element;
mod managed;
mod mention;
mod merge;
mod remove;
mod set;
mod shape;
mod text;
mod update;

pub(crate) use annotated::{ANNOTATION, KUBECTL};
pub(crate) use apply::{ApplyError, Conflict, apply};
pub(crate) use check::{fits, go_value};
pub(crate) use element::json as go_json;
pub(crate) use managed::{Managed, Writer};
pub(crate) use shape::Layout;
pub(crate) use update::{Update, update};

/// An object, whole.
type Object = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
