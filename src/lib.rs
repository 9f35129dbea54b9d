//! metal3-ipam: IP address management for bare-metal Kubernetes fleets.
//!
//! The map of the house. Each room is a folder whose `mod.rs` says what it is for. Arrows point one way: a room uses
//! only rooms above it, and a test (`tests/house.rs`) holds this table to the `use` lines.
//!
//! | room | what lives there | may use |
//! | --- | --- | --- |
//! | [`alloc`] | numbers: ranges, roaring bitmaps of used addresses, first free and random free | - |
//! | [`api`] | wire types of every kind, names, labels, conditions; the CRDs | - |
//! | [`pool`] | one pool as a state machine: `step(input, now) -> effects` | `alloc`, `api` |
//! | [`admission`] | the rules on objects, pure: old, new and live holders in, verdict out | `alloc`, `api` |
//! | [`observe`] | logs, metrics, health and diagnostics servers | `api`, `pool` |
//! | [`webhook`] | the admission webhook server: AdmissionReviews in, the rules' verdicts out | `api`, `admission`, `observe` |
//! | [`controller`] | the async shell: watches, router, pool workers, writer, lease, audit | all above |
//! | [`standalone`] | the embedded API server (`crates/kube-embedded`) with our definitions and rules | `api`, `admission` (and `alloc` through it) |
//! | [`cli`] | the subcommands that people type, one file each | everything |
//!
//! Three crates lie under the rooms and know none of them: `listen`, how every server here accepts connections and which one goes
//! when places run out; `kube_embedded`, an API server for any definitions; and under it `managed_fields`, who owns which field.
//!
//! What it does, rule by rule, stands in `docs/spec.md` (ids like A1, R3 in comments and tests refer to it); why it is
//! built so, in `docs/design.md`.

pub mod admission;
pub mod alloc;
pub mod api;
pub mod cli;
pub mod controller;
pub mod observe;
pub mod pool;
pub mod standalone;
pub mod webhook;
