//! Numbers: ranges, which addresses of a pool are used, and which one is next.
//!
//! Knows nothing of Kubernetes, async code or clocks, and uses only the randomness that it is handed. May use `ipnet` and
//! `rand`'s traits; no other room.
//!
//! # The problem
//! Of a pool with anything from one address to all of IPv6: the lowest free address, a uniformly chosen free one, one
//! given address, and "nothing is free", each at a cost that no pattern of use can spoil (A6, A7, A9). Entries overlap,
//! thousands of addresses are excluded, and a prefix may reserve 2^32 of them.
//!
//! # The answer
//! ```text
//!   entries, in the order written        [ 0 -------------- ] [ 1 -- ]     may overlap
//!   cut.rs: disjoint segments, no holes  [ 0 --- ]x[ 0 ----]   [ 1 - ]     an address belongs to one entry at most
//!   pattern.rs: addresses <-> numbers    usable: 0 1 2 3 ...   reserved: 0 1 ...     both without gaps, per entry
//!   slots.rs: the used numbers           [full][full][ mixed ][ none ][ mixed ][ none ...
//!   roaring: 65,536 of them              a container: the used ones as a list, or bits
//! ```
//! Overlaps, exclusions and reserved addresses are gone once addresses are numbers. What is left is a `roaring` bitmap for each
//! 2^32 of them, almost always one, with one addition: chunks that are full are kept apart, as runs, so that the first chunk
//! with a free number is known.
//!
//! # Its cost
//! Segments s, chunks c that are neither full nor empty: take, release and look up a given address O(log s + log c); the
//! lowest free address the same and a walk over one container; "nothing is free" and the counts O(1); a random one the same as
//! a given one while an eighth is free, and beyond that O(c), a walk over the chunks' counts (256 at 16 M addresses), and one
//! over a container. At 16 M offsets p99 <= 5 us in every pattern, and <= 10 us where a container rests at 4,096 members, at
//! which its form changes. Memory goes with c: <= 0.16 byte an offset at worst.
//!
//! # What was tried
//! 16 M offsets, ns per operation, p50 / p99 of batches of 64; the last column times each operation by itself, 25 to 50 ns
//! for the clock included. On 2 cores of a machine under other load; ratios inside the table mean more than its values.
//!
//! | pattern | naive hash set | roaring, rank | roaring, hint | roaring, freed set | summary tree | own chunks | **chosen** | **singly** |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | fill | (seconds) | 4,563 / 8,216 | 206 / 357 | 25 / 77 | 10 / 12 | 8 / 20 | **496 / 686** | 511 / 631 |
//! | churn 99 % | (seconds) | 4,395 / 5,654 | 6,178 / 17,748 | 36 / 94 | 7 / 14 | 33 / 48 | **1,069 / 1,368** | 761 / 1,582 |
//! | all but the last | (seconds) | 6,448 / 7,151 | 77 / 87 | 23 / 38 | 6 / 8 | 25 / 27 | **1,098 / 1,343** | 1,462 / 1,783 |
//! | every second free | (seconds) | 7,727 / 11,324 | 162 / 191 | 43 / 172 | 10 / 12 | 12 / 37 | **127 / 651** | 60 / 70 |
//! | random 50 % | 331 / 686 | 124 / 195 | 105 / 391 | 419 / 780 | 15 / 26 | 64 / 87 | **97 / 149** | 100 / 470 |
//! | random 99 % | 11,677 / 27,681 | 4,005 / 11,280 | 3,886 / 7,378 | 185 / 772 | 295 / 725 | 261 / 322 | **723 / 1,304** | 350 / 3,135 |
//! | requested 99 % | 209 / 294 | 13 / 34 | 14 / 38 | 79 / 133 | 9 / 17 | 70 / 79 | **71 / 154** | 190 / 381 |
//! | refused, full | (seconds) | 97 / 125 | 104 / 145 | 1 / 1 | 0 / 0 | 1 / 2 | **1 / 2** | 30 / 41 |
//! | rebuild, shuffled | 100 / 160 | 12 / 123 | 12 / 122 | 21 / 151 | 2 / 7 | 33 / 73 | **58 / 167** | 91 / 371 |
//! | 4,096 free of 64 k | 233 / 651 | 15 / 40 | 18 / 38 | 1,973 / 4,058 | 6 / 16 | 31 / 78 | **60 / 115** | 70 / 371 |
//! | bytes per offset, worst | 18.0 | - | 0.14 | 0.28 | 0.14 | 0.16 | **0.15** | |
//! | bytes per offset, filled in order | 18.0 | - | 0.14 | 0.14 | 0.13 | 0.02 | **0.03** | |
//!
//! The chosen column is the whole [`Allocator`], addresses and entries included; the others are bare sets of offsets. Other
//! pools, chosen only, singly: a /24 110 / 170 (churn) and 140 / 270 (random); 100,000 used addresses of an IPv6 /64 in a row
//! 651 / 1,762, scattered at random, each in a bitmap of its own, 751 / 1,613; 10,000 entries 461 / 971 (churn).
//!
//! - **Own chunks**, in forms for few used, few free and bits with a summary of their full words, were what the allocator had
//!   before. They are faster by some hundred nanoseconds, and were 300 lines that nobody else keeps (`benches/allocator/chunks.rs`).
//! - **Summary tree** (a bit per offset, a bit per full word, and so on up) is the fastest by far, and its memory is that
//!   of the whole range from the start: no IPv6.
//! - **Roaring with a second set of freed offsets** is close in most patterns. But it holds two bitmaps, and in one of them a pool
//!   may rest at 4,096 members, where a container turns from list to bits and back.
//! - **Roaring with a hint, or with rank and binary search**, is at the mercy of where the free offsets lie.
//! - **Runs** for chunks that are full no longer, as `roaring` makes them of a range: 2 bytes an offset when every second is free,
//!   since it keeps them however many there are. So such a chunk begins as bits.
//!
//! ```text
//! cargo bench --bench allocator -- p99        the table
//! cargo bench --bench allocator -- memory     its last two lines
//! cargo bench --bench allocator               also criterion's comparison at 64 k, 1 M and 16 M
//! ```

mod allocator;
mod coverage;
mod cut;
mod pattern;
mod range;
mod slots;
#[cfg(test)]
mod tests;

pub use allocator::{Allocator, Counts, Entry, Location, Picked, Take};
pub use coverage::Coverage;
pub use range::{Family, Range, RangeError, resolve, resolve_stored};
