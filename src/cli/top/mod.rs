//! Pools as they change: `metal3-ipam top` on a screen, `metal3-ipam pools -w` line by line. They only read.
//!
//! ```text
//!   watch.rs   one task per kind: list, watch, and again after a failure
//!      v       Change
//!   store.rs   every object by its pool; the pools that changed are fed anew, at most once a second (objects/fed.rs)
//!      |       rate.rs: claims that became bound per second
//!      v       live.rs holds both and the time of the next rebuild
//!   View -----------> screen.rs   what is shown of it, and what each key does
//!   lines that             v
//!   changed            draw.rs    cells of the terminal         run.rs: keys, changes and time, one after the other
//!      v
//!   print.rs   pools -w
//! ```
//! No rule is written here a second time: a pool's line is that of `metal3-ipam pools`, an open pool's text that of
//! `metal3-ipam pool NAME` (`ask/`). A failure of the API server ends neither; it is shown, with the age of what is shown.

mod draw;
mod live;
mod print;
mod rate;
mod run;
mod screen;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use self::print::print_pools;
pub(super) use self::run::Top;
