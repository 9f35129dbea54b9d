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
//! | pattern | naive hash set | roaring, rank | roaring, hint | roaring, freed set | summary tree | **chosen** | **singly** |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | fill | (seconds) | 7,532 / 75,020 | 253 / 499 | 38 / 105 | 15 / 15 | **24 / 45** | 57 / 77 |
//! | churn at 99 % | (seconds) | 7,632 / 136,350 | 4,498 / 140,167 | 106 / 173 | 13 / 23 | **56 / 119** | 92 / 206 |
//! | all used but the last | (seconds) | 11,405 / 200,177 | 122 / 165 | 43 / 81 | 11 / 12 | **104 / 205** | 134 / 210 |
//! | every second free | (seconds) | 14,791 / 147,725 | 270 / 537 | 130 / 365 | 8 / 22 | **40 / 96** | 69 / 183 |
//! | random, 50 % used | 365 / 635 | 231 / 474 | 235 / 490 | 1,109 / 65,138 | 23 / 43 | **151 / 342** | 188 / 823 |
//! | random, 99 % used | 15,671 / 202,993 | 7,131 / 196,400 | 7,103 / 195,698 | 299 / 555 | 425 / 1,447 | **584 / 2,277** | 275 / 2,038 |
//! | requested, 99 % used | 189 / 270 | 29 / 48 | 57 / 94 | 156 / 360 | 16 / 58 | **127 / 307** | 159 / 398 |
//! | refused, full | (seconds) | 182 / 252 | 182 / 333 | 2 / 3 | 1 / 1 | **2 / 4** | 24 / 26 |
//! | rebuild, shuffled | 97 / 205 | 22 / 193 | 22 / 193 | 38 / 224 | 5 / 13 | **71 / 145** | 125 / 358 |
//! | 4,096 of each 65,536 free | 308 / 493 | 34 / 63 | 65 / 100 | 4,146 / 130,799 | 6 / 17 | **88 / 167** | 93 / 372 |
//! | bytes per offset, worst | 18.0 | - | 0.14 | 0.28 | 0.14 | **0.16** | |
//! | bytes per offset, filled in order | 18.0 | - | 0.13 | 0.14 | 0.13 | **0.02** | |
//!
//! The chosen column is the whole [`Allocator`], addresses and entries included; the others are bare sets of offsets. Other
//! pools, chosen only, singly: a /24 54 / 132 (churn) and 69 / 178 (random); 100,000 used addresses of an IPv6 /64 82 / 173
//! in a row, 546 / 1,120 scattered at random, each in a chunk of its own; 10,000 entries 384 / 1,220 (churn).
//!
//! - **Summary tree** (a bit per offset, a bit per full word, and so on up) is the fastest by far, and its memory is that
//!   of the whole range from the start: no IPv6. Chunks keep its idea inside 65,536 offsets.
//! - **Roaring with a second set of freed offsets** is close in most patterns. But a container turns from list to bits and
//!   back at exactly 4,096 members, so a pool that rests there pays 8 us for each release and allocation; and it holds two
//!   bitmaps. That is why lists here become bits above 1,024 and become lists again below 512.
//! - **Roaring with a hint, or with rank and binary search**, is at the mercy of where the free offsets lie.
//!
//! ```text
//! cargo bench --bench allocator -- p99        the table
//! cargo bench --bench allocator -- memory     its last two lines
//! cargo bench --bench allocator               also criterion's comparison at 64 k, 1 M and 16 M
//! ```

mod allocator;
mod cut;
mod pattern;
mod range;
mod slots;
#[cfg(test)]
mod tests;

pub use allocator::{Allocator, Counts, Entry, Location, Picked, Take};
pub use range::{Family, Range, RangeError, resolve};
