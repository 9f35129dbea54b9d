//! The server from outside, over TLS, with certificates in a folder; what lives in the cluster is what the test says.

mod certificates;
mod connections;
mod harness;
mod memory;
mod verdicts;
