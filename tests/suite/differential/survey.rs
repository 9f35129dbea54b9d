//! A new seed in every run: it finds what the fixed one cannot, at times when nobody has changed anything. So what it finds is
//! printed and counted, with what is needed to repeat it, and does not fail the run unless `DIFFERENTIAL_STRICT=1` asks for it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::time::timeout;

use super::run::{Servers, Stop};
use super::{compared, play, summary, tell};
use crate::control_plane::say;
use crate::tally;

/// Most requests of the new seed, and the time after which none of its episodes begins.
const REQUESTS: u64 = 600;
const TIME: Duration = Duration::from_secs(15);
/// Time in which its differences are shortened; they are printed as they are when it is over.
const SHORTENING: Duration = Duration::from_secs(20);

/// Plays a new seed on servers that the fixed one has been played on.
pub(super) async fn run(servers: &Servers) {
    let seed = u64::from(rand::random::<u32>());
    let begun = Instant::now();
    let until = Some(begun + TIME);
    // A generator that panics is a find too.
    let played = AssertUnwindSafe(play(servers, seed, REQUESTS, Stop::First, until));
    let told = match played.catch_unwind().await {
        Ok(outcomes) => {
            let compared = compared(&outcomes);
            tally::add("differential requests of a new seed", compared);
            say(&summary(seed, compared, &outcomes, begun.elapsed()));
            let shortened = tell(servers, seed, outcomes.clone(), Stop::First);
            match timeout(SHORTENING, shortened).await {
                Ok(told) => told,
                Err(_) => tell(servers, seed, outcomes, Stop::Parted).await,
            }
        }
        Err(_) => vec![format!("the new seed {seed} made the test itself panic")],
    };
    tally::add("differences that a new seed found", told.len() as u64);
    for difference in &told {
        say(&format!(
            "DIFFERENCE of a new seed (DIFFERENTIAL_SEED={seed} DIFFERENTIAL_REQUESTS={REQUESTS} repeats it):\n{difference}"
        ));
    }
    let is_strict = std::env::var_os("DIFFERENTIAL_STRICT").is_some_and(|strict| strict == "1");
    assert!(
        told.is_empty() || !is_strict,
        "seed {seed} found {} differences",
        told.len()
    );
}
