//! The rules on objects, pure.
