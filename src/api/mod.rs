//! Wire types of every kind.
