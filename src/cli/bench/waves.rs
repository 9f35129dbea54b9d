//! Load for others to see: claims come and go in waves, so that pools run dry and recover. The controller that serves the API server binds
//! them; nothing is measured here.

use std::f64::consts::TAU;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::load::{Load, Release};
use super::observer::{Observer, Step};
use super::site::Site;
use crate::cli::progress::Progress;

/// Time between two looks at how many claims there should be.
const LOOKS: Duration = Duration::from_millis(500);
/// Claims at the lowest and at the highest point of a wave, as a share of the addresses: the highest is more than there are.
const LOWEST: f64 = 0.1;
const HIGHEST: f64 = 1.15;

/// One pool's claims, by number: `first..next` are there.
#[derive(Debug, Clone, Copy, Default)]
struct Crowd {
    first: u32,
    next: u32,
}

/// Goes on for so long, or until it is stopped, and removes everything then. Returns what to print, and how many addresses were
/// given twice.
pub(super) async fn run(
    site: &Site,
    bench: &Bench,
    duration: Duration,
    shutdown: &CancellationToken,
) -> anyhow::Result<(String, usize)> {
    let each = bench.claims.div_ceil(bench.pools);
    let load = Load::prepare(site, bench, (bench.pools, each)).await?;
    let namespace = load.namespace.clone();
    flow(site, bench, duration, shutdown, load, each)
        .await
        .with_context(|| format!("namespace {namespace} may be left behind; delete it"))
}

async fn flow(
    site: &Site,
    bench: &Bench,
    duration: Duration,
    shutdown: &CancellationToken,
    load: Load,
    each: u32,
) -> anyhow::Result<(String, usize)> {
    tell!(
        "{} pools of {each} addresses in namespace {} for {duration:?}, a wave takes {:?}; Ctrl-C ends it",
        bench.pools,
        load.namespace,
        bench.wave
    );
    let mut observer = Observer::start(&site.client, &load.namespace);
    let mut progress = Progress::new("bound");
    let mut crowds = vec![Crowd::default(); bench.pools as usize];
    let mut writes = FuturesUnordered::new();
    let mut ticks = interval(LOOKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begun, mut bound) = (Instant::now(), 0_u64);
    while begun.elapsed() < duration {
        tokio::select! {
            () = shutdown.cancelled() => break,
            step = observer.next() => bound += u64::from(matches!(step?, Step::Bound(_))),
            Some(written) = writes.next() => {
                let written: anyhow::Result<()> = written;
                written?;
            }
            _ = ticks.tick(), if writes.len() < usize::from(bench.creators) => {
                let (there, with_address) = observer.counts();
                progress.show(with_address, there - with_address);
                for (number, crowd) in crowds.iter_mut().enumerate() {
                    let phase = begun.elapsed().as_secs_f64() / bench.wave.as_secs_f64()
                        + number as f64 / f64::from(bench.pools);
                    let wanted = wanted(phase, each);
                    while crowd.next - crowd.first < wanted && writes.len() < usize::from(bench.creators) {
                        writes.push(write(&load, bench, number, crowd.next, true));
                        crowd.next += 1;
                    }
                    while crowd.next - crowd.first > wanted && writes.len() < usize::from(bench.creators) {
                        writes.push(write(&load, bench, number, crowd.first, false));
                        crowd.first += 1;
                    }
                }
            }
        }
    }
    while let Some(written) = writes.next().await {
        written?;
    }
    drop(writes);
    progress.clear();
    let duplicates = observer.duplicates();
    load.remove(Release::ByOthers).await?;
    let created: u64 = crowds.iter().map(|c| u64::from(c.next)).sum();
    let text = format!(
        "{created} claims came and went in {:.0} s, {bound} of them were bound; duplicates: {duplicates}\n",
        begun.elapsed().as_secs_f64()
    );
    Ok((text, duplicates))
}

/// Claims that a pool of so many addresses should have: a wave that begins at its lowest point.
fn wanted(phase: f64, addresses: u32) -> u32 {
    let height = f64::midpoint(1.0, -(phase * TAU).cos());
    let share = LOWEST + (HIGHEST - LOWEST) * height;
    #[expect(
        clippy::cast_sign_loss,
        reason = "a share of addresses is not negative"
    )]
    let wanted = (share * f64::from(addresses)).round() as u32;
    wanted
}

async fn write(
    load: &Load,
    bench: &Bench,
    pool: usize,
    n: u32,
    create: bool,
) -> anyhow::Result<()> {
    let (kind, name) = (bench.kind.of(n), format!("claim-{pool}-{n:07}"));
    if create {
        let pool = &load.pools[pool].target.key.name;
        load.create_named(kind, &name, pool).await
    } else {
        load.delete_named(kind, &name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_goes_from_nearly_empty_to_more_than_full_and_back() {
        assert_eq!(wanted(0.0, 1000), 100);
        assert_eq!(wanted(0.5, 1000), 1150);
        assert_eq!(wanted(1.0, 1000), 100);
        assert_eq!(wanted(0.25, 1000), 625);
        assert_eq!(wanted(7.5, 10), 12);
    }
}
