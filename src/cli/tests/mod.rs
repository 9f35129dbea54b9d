//! Tests of this room that are too long to stand beside the code.

mod apply;
mod arguments;
mod board;
mod connect;
mod documents;
