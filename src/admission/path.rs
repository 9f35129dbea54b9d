//! Where a field stands in an object. A few words, written out only for what is reported: a big pool has many fields and
//! few mistakes.

use std::fmt;

use super::verdict::shown;

/// Such as `spec.pools[0].dnsServers[1]`, `spec.preAllocations[claim]` or `metadata.annotations[ipAddress]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    root: &'static str,
    field: &'static str,
    at: At<'a>,
    child: Option<&'static str>,
    place: Option<usize>,
}

/// The part of a field that a path names.
#[derive(Debug, Clone, Copy)]
enum At<'a> {
    Whole,
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// `root.field`.
    pub(super) fn of(root: &'static str, field: &'static str) -> Self {
        Self {
            root,
            field,
            at: At::Whole,
            child: None,
            place: None,
        }
    }

    /// The entry of a map.
    pub(super) fn key(self, key: &'a str) -> Self {
        Self {
            at: At::Key(key),
            ..self
        }
    }

    /// A field inside.
    pub(super) fn child(self, name: &'static str) -> Self {
        Self {
            child: Some(name),
            ..self
        }
    }

    /// An element of the list.
    pub(super) fn index(self, index: usize) -> Self {
        match self.child {
            None => Self {
                at: At::Index(index),
                ..self
            },
            Some(_) => Self {
                place: Some(index),
                ..self
            },
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.root, self.field)?;
        match self.at {
            At::Whole => {}
            At::Index(index) => write!(f, "[{index}]")?,
            At::Key(key) => write!(f, "[{}]", shown(key))?,
        }
        if let Some(child) = self.child {
            write!(f, ".{child}")?;
        }
        match self.place {
            None => Ok(()),
            Some(place) => write!(f, "[{place}]"),
        }
    }
}
