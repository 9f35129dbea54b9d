//! Tests of this room that are too long to stand beside the code.

mod apply;
mod arguments;
mod board;
mod connect;
mod documents;

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Leftovers, in_runtime};

/// A resolver that does not answer blocks a thread.
#[test]
fn a_thread_that_is_blocked_does_not_delay_the_end() {
    let (release, blocked) = mpsc::channel::<()>();
    let begun = Instant::now();
    let run = async {
        let (begins, begun) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            begins.send(()).unwrap();
            blocked.recv_timeout(Duration::from_mins(1))
        });
        begun.await?;
        Ok(ExitCode::SUCCESS)
    };
    in_runtime(run, Leftovers::Cut).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(release);
}
