//! The rules on objects, pure: the object as it was, as it would be, and what else lives in the namespace go in, a verdict
//! comes out (spec, section 6). The embedded API server asks on every write, the webhook server on every write of a real
//! one, and the controller asks again about everything that it reads.
//!
//! May use `alloc` (what an entry means as a range) and `api`. Knows no server, no controller, no clock: what is alive is
//! handed in as [`Live`], and is asked for only by the rules that need it.
//!
//! ```text
//!   Review { old, new } ──> spec item by item, each with its path and "changed by this write?"     item.rs
//!                              │
//!            ┌─────────────────┼──────────────────┐
//!         pool.rs           claim.rs          address.rs        one file per kind
//!  bounds, entry, ranges.rs   │                  │             text.rs: addresses as text
//!     impact.rs ── Live::holders, overlaps         ├── Live::holders_of, claim_pool_ref
//!            v                 v                  v
//!         Findings: errors about what changed, warnings ──> Verdict (bounded)                      verdict.rs
//! ```
//!
//! An update is judged only on what it changes, so that a stored object which breaks a newer rule can still be labelled,
//! finalized, patched elsewhere and deleted: a list element that stood in the old list, a map entry and a field with the
//! old value pass every rule about themselves. A rule about two things applies when one of them changed. An update that
//! leaves the spec (and a claim's `ipAddress`) as it is passes always; so does one of a deleting object that leaves the
//! spec.
//!
//! Which rule holds for which field:
//!
//! | rule | entry `start` `end` | entry `subnet` | `gateway` (entry, pool, address) | `dnsServers[]` | `preAllocations` | `excludedAddresses[]` | IPAddress `address` | annotation `ipAddress` |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | standard spelling: no zone, no embedded IPv4, no leading zero, masks too | x | x | x | x | x | x | x | x |
//! | no wildcard (`0.0.0.0`, `::`) | x | | x | x | x | | x | x |
//! | no multicast, no 255.255.255.255 | whole range | whole range | x | x | x | | x | x |
//! | no whole family (`/0`) | | x | | | | x | | |
//! | one family with | each other | start, end | the entry's range, the address; inherited ones too | | | its own other end | | |
//! | inside the ranges, not excluded | | | | | x | | | |
//!
//! `prefix` of an entry, a pool or an address is 0 (inherit, A7) to the width of its family, an inherited one too. A key of
//! `preAllocations` is a name that a claim can have, and no address has two of them.
//!
//! The wildcard and multicast may be excluded: that takes nothing away. An IPAddress may lie outside the ranges: someone
//! else holds it (A5).

mod address;
mod bounds;
mod claim;
mod entry;
mod impact;
mod item;
mod judge;
mod live;
mod path;
mod pool;
mod ranges;
mod review;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

pub use judge::review;
pub use live::{Holder, Live, NoFacts};
pub use pool::{covered, covered_by, pool_problems};
pub use review::Review;
pub use verdict::{Cause, MAX_FINDINGS, MAX_WARNING, Verdict, Violation};
