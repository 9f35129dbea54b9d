//! What a pool is built with; fixed for its life.

use jiff::SignedDuration;

/// What to do with address objects of ours that no claim leads to (R6, `--leak-repair`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeakRepair {
    /// Release them once two looks agree and an uncached read confirms.
    #[default]
    Auto,
    /// Report them, and release only those that somebody has deleted.
    Report,
}

/// Settings of the state machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Requests that one pool may have unanswered, those among them that still wait for the writer. Later ones wait inside, decided
    /// on what is known when their turn comes. The controller sets it by what is on the way at once.
    pub in_flight: usize,
    /// How long a claim waits for what can heal before its error text is set (U2, `--exhausted-error-after`).
    pub exhausted_error_after: SignedDuration,
    /// R6.
    pub leak_repair: LeakRepair,
    /// Time between two looks for leaks; two looks must agree.
    pub audit_interval: SignedDuration,
    /// How long an address object that `clusterctl move` took away is not made again under its living claim (R4).
    pub move_patience: SignedDuration,
    /// Age below which an address object is never taken for a leak.
    pub leak_min_age: SignedDuration,
    /// Least time between two writes of the pool's status, and for which its counts wait after their first change.
    pub status_interval: SignedDuration,
    /// Seed of everything random here: the random strategy and the jitter of backoff.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            in_flight: 64,
            exhausted_error_after: SignedDuration::from_secs(10),
            leak_repair: LeakRepair::Auto,
            audit_interval: SignedDuration::from_mins(10),
            move_patience: SignedDuration::from_mins(10),
            leak_min_age: SignedDuration::from_hours(1),
            status_interval: SignedDuration::from_secs(1),
            seed: 0,
        }
    }
}
