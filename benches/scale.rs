//! Whether it stays flat as it grows: on an embedded server, durable, with the controller in the same process.
//!
//! ```text
//! cargo bench --bench scale -- flat            claims/s into a pool that has 60,000 claims, beside one that has none
//! cargo bench --bench scale -- pools 10000     claims/s into so many pools, beside one
//! cargo bench --bench scale -- shapes          claims/s into a /8, a pool of 10,000 entries and an IPv6 /64, beside a plain pool
//! cargo bench --bench scale -- fleet 100000    so many pools with a claim each: memory per pool, then a start on all of them
//! cargo bench --bench scale -- fair            50 pools with one claim each, behind one with 10,000
//! cargo bench --bench scale -- memory 100000   memory per claim 60 s after rest, then a start on all of it
//! cargo bench --bench scale -- manager 100000  memory of the manager as a process of its own: in a burst, at rest, from a start
//! ```
//! Rates are compared in alternation within a run; what counts is their ratio. Run as a test (`cargo test --benches`) each is
//! done once, small.

#![allow(
    clippy::unwrap_used,
    reason = "a bench fails by panicking, in its helpers too"
)]

#[path = "scale/bed.rs"]
mod bed;
#[path = "scale/manager.rs"]
mod manager;

use std::time::{Duration, Instant};

use bed::Bed;
use serde_json::json;

// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Claims of one batch whose rate is taken.
const BATCH: u32 = 1000;
/// Pairs of batches.
const PAIRS: u32 = 7;
/// How long the process rests before its memory counts.
const REST: Duration = Duration::from_mins(1);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let measuring = args.iter().any(|arg| arg == "--bench");
    let words: Vec<&str> = args
        .iter()
        .filter(|arg| !arg.starts_with('-'))
        .map(String::as_str)
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match words.as_slice() {
            ["flat"] => flat(60_000, BATCH, PAIRS).await,
            ["pools", many] => {
                let many = many.parse().unwrap();
                pools(many, BATCH.max(many), PAIRS).await;
            }
            ["shapes"] => shapes(10_000, BATCH, PAIRS).await,
            ["fleet", pools] => fleet(pools.parse().unwrap(), REST).await,
            ["fair"] => fair(10_000, 50).await,
            ["memory", claims] => memory(claims.parse().unwrap(), REST).await,
            ["manager", claims] => manager::memory(claims.parse().unwrap(), REST).await,
            [] if measuring => {
                flat(60_000, BATCH, PAIRS).await;
                pools(1000, BATCH, PAIRS).await;
                shapes(10_000, BATCH, PAIRS).await;
                fleet(1000, REST).await;
                fair(10_000, 50).await;
                memory(100_000, REST).await;
                manager::memory(100_000, REST).await;
            }
            [] => {
                flat(100, 50, 1).await;
                pools(5, 50, 1).await;
                shapes(20, 50, 1).await;
                fleet(20, Duration::ZERO).await;
                fair(200, 5).await;
                memory(100, Duration::ZERO).await;
                manager::memory(100, Duration::ZERO).await;
            }
            other => panic!("no {other:?}; see the head of benches/scale.rs"),
        }
    });
}

/// Claims/s into a pool of many claims, beside pools of none.
async fn flat(full: u32, batch: u32, pairs: u32) {
    let bed = Bed::new().await;
    let running = bed.run();
    bed.pool("full", full + batch * pairs).await;
    bed.claims("full", "old", full).await;
    bed.until_bound(&running, full).await;
    let mut ratios = Vec::new();
    let mut bound = full;
    for pair in 0..pairs {
        let fresh = format!("fresh-{pair}");
        bed.pool(&fresh, batch).await;
        let mut rates = [0.0; 2];
        // Whoever comes second finds a fuller store: they take turns.
        let mut order = [("full", 0), (fresh.as_str(), 1)];
        if pair % 2 == 1 {
            order.reverse();
        }
        for (pool, place) in order {
            rates[place] = bed
                .rate(&running, &[pool], &format!("new-{pair}"), batch, &mut bound)
                .await;
        }
        println!(
            "  {:.0} claims/s into a pool of {full}, {:.0} into one of none",
            rates[0], rates[1]
        );
        ratios.push(rates[0] / rates[1]);
    }
    println!(
        "flat: claims/s into a pool of {full} claims, as a share of those into one of none: {}",
        spread(&mut ratios)
    );
    bed.end(running).await;
}

/// Claims/s into many pools, beside one.
async fn pools(many: u32, batch: u32, pairs: u32) {
    let bed = Bed::new().await;
    let running = bed.run();
    let names: Vec<String> = (0..many).map(|n| format!("many-{n}")).collect();
    bed.pools(&names, batch.div_ceil(many) * pairs + 1).await;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    bed.pool("one", batch * pairs).await;
    let mut ratios = Vec::new();
    let mut bound = 0;
    for pair in 0..pairs {
        let mut rates = [0.0; 2];
        let mut order = [(all.as_slice(), 0), (&["one"], 1)];
        if pair % 2 == 1 {
            order.reverse();
        }
        for (pools, place) in order {
            let name = format!("claim-{pair}-{place}");
            rates[place] = bed.rate(&running, pools, &name, batch, &mut bound).await;
        }
        println!(
            "  {:.0} claims/s into {many} pools, {:.0} into one",
            rates[0], rates[1]
        );
        ratios.push(rates[0] / rates[1]);
    }
    println!(
        "pools: claims/s into {many} pools, as a share of those into one: {}",
        spread(&mut ratios)
    );
    bed.end(running).await;
}

/// Claims/s into pools of unusual shapes, beside a pool of one range that is as large as needed.
async fn shapes(entries: u32, batch: u32, pairs: u32) {
    let bed = Bed::new().await;
    let running = bed.run();
    let singles = |n: u32| {
        // Every other address, so that no two entries touch.
        let address = std::net::Ipv4Addr::from_bits((11 << 24) + 2 * n);
        json!({"start": address, "end": address})
    };
    let shapes = [
        ("12.0.0.0/8", vec![json!({"subnet": "12.0.0.0/8"})]),
        ("fd00::/64", vec![json!({"subnet": "fd00::/64"})]),
        ("many entries", (0..entries).map(singles).collect()),
    ];
    let mut bound = 0;
    for (number, (shape, ranges)) in shapes.into_iter().enumerate() {
        let (unusual, plain) = (format!("unusual-{number}"), format!("plain-{number}"));
        bed.pool_of(&unusual, &ranges).await;
        bed.pool(&plain, batch * pairs).await;
        let mut ratios = Vec::new();
        for pair in 0..pairs {
            let mut rates = [0.0; 2];
            let mut order = [(&unusual, 0), (&plain, 1)];
            if pair % 2 == 1 {
                order.reverse();
            }
            // A pool of few entries is full after so many claims.
            let batch = batch.min(entries / pairs);
            for (pool, place) in order {
                let name = format!("claim-{pair}");
                rates[place] = bed.rate(&running, &[pool], &name, batch, &mut bound).await;
            }
            ratios.push(rates[0] / rates[1]);
        }
        println!(
            "shapes: claims/s into {shape} ({} entries), as a share of those into one range: {}",
            ranges.len(),
            spread(&mut ratios)
        );
    }
    bed.end(running).await;
}

/// Memory per pool with one claim at rest, and a start on all of them.
async fn fleet(pools: u32, rest: Duration) {
    let bed = Bed::new().await;
    let empty = bed::resident();
    let running = bed.run();
    let names: Vec<String> = (0..pools).map(|n| format!("pool-{n}")).collect();
    let begun = Instant::now();
    // With room for one more, which is asked for after the start.
    bed.pools(&names, 2).await;
    let created = begun.elapsed().as_secs_f64();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bound = 0;
    let rate = bed.rate(&running, &all, "claim", pools, &mut bound).await;
    tokio::time::sleep(rest).await;
    let full = bed::resident();
    println!(
        "fleet: {pools} pools were created at {:.0} pools/s, one claim each bound at {rate:.0} claims/s; {rest:?} later {:.0} bytes of \
         resident memory a pool with its claim ({:.1} MiB)",
        f64::from(pools) / created,
        full.saturating_sub(empty) as f64 / f64::from(pools),
        full as f64 / f64::from(1 << 20),
    );
    start_anew(bed, running, &format!("{pools} pools")).await;
}

/// How long single claims of many pools wait behind a pool with a long queue.
async fn fair(queue: u32, others: u32) {
    let bed = Bed::new().await;
    bed.pool("long", queue).await;
    bed.claims("long", "queued", queue).await;
    let names: Vec<String> = (0..others).map(|n| format!("other-{n}")).collect();
    for name in &names {
        bed.pool(name, 1).await;
    }
    let running = bed.run();
    // Only when the queue is on its way do the others come.
    bed.until_bound(&running, queue / 20).await;
    let begun = Instant::now();
    let creating = names.iter().map(|name| bed.claims(name, name, 1));
    futures::future::join_all(creating).await;
    for name in &names {
        bed.until_pool_has(&running, name, 1).await;
    }
    let took = begun.elapsed();
    let done = bed.bound(&running) - others;
    println!(
        "fair: {others} claims of {others} pools were created and bound in {:.0} ms, while {done} of {queue} in one pool had been",
        took.as_secs_f64() * 1e3
    );
    bed.until_bound(&running, queue + others).await;
    bed.end(running).await;
}

/// Memory per claim with its address at rest, and a start on all of them.
async fn memory(claims: u32, rest: Duration) {
    const POOLS: u32 = 10;
    let bed = Bed::new().await;
    let empty = bed::resident();
    let running = bed.run();
    for n in 0..POOLS {
        // With room for one more, which is asked for after the start.
        bed.pool(&format!("pool-{n}"), claims.div_ceil(POOLS) + 1)
            .await;
    }
    let names: Vec<String> = (0..POOLS).map(|n| format!("pool-{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bound = 0;
    let rate = bed.rate(&running, &all, "claim", claims, &mut bound).await;
    tokio::time::sleep(rest).await;
    let full = bed::resident();
    println!(
        "memory: {claims} claims with their addresses at {rate:.0} claims/s; {rest:?} later {:.0} bytes of resident memory a claim \
         ({:.1} MiB, {:.1} MiB before the first)",
        full.saturating_sub(empty) as f64 / f64::from(claims),
        full as f64 / f64::from(1 << 20),
        empty as f64 / f64::from(1 << 20),
    );
    start_anew(bed, running, &format!("{claims} address objects")).await;
}

/// How long it takes from a start on all that is there until a new claim is bound.
async fn start_anew(bed: Bed, running: bed::Running, what: &str) {
    let bed = bed.restart(running).await;
    let begun = Instant::now();
    let running = bed.run();
    bed.claims("pool-0", "first", 1).await;
    bed.until_bound(&running, 1).await;
    println!(
        "start: on {what}, the first new claim was bound after {:.2} s; {:.1} MiB of resident memory",
        begun.elapsed().as_secs_f64(),
        bed::resident() as f64 / f64::from(1 << 20),
    );
    bed.end(running).await;
}

/// Median, least and most.
fn spread(figures: &mut [f64]) -> String {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    format!("{:.2} ({least:.2}-{most:.2})", figures[figures.len() / 2])
}
