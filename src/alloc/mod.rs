//! Numbers: ranges, which addresses of a pool are used, and which one is next.
//!
//! Knows nothing of Kubernetes, async code or clocks, and uses only the randomness that it is handed. May use `ipnet` and
//! `rand`'s traits; no other room.
//!
//! ```text
//!   entries, in the order written        [ 0 -------------- ] [ 1 -- ]     may overlap
//!   cut.rs: disjoint segments, no holes  [ 0 --- ]x[ 0 ----]   [ 1 - ]     an address belongs to one entry at most
//!   pattern.rs: addresses <-> numbers    usable: 0 1 2 3 ...   reserved: 0 1 ...     both without gaps, per entry
//!   slots.rs: the used numbers           [full][full][ mixed ][ none ][ mixed ][ none ...
//!   chunk.rs: 65,536 of them             list of the used | bits | list of the free
//! ```

mod allocator;
mod chunk;
mod cut;
mod pattern;
mod range;
mod slots;
#[cfg(test)]
mod tests;

pub use allocator::{Allocator, Counts, Entry, Location, Picked, Take};
pub use range::{Family, Range, RangeError, resolve};
