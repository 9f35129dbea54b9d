//! What one operation of the allocator costs, beside other structures that could do its work.
//!
//! ```text
//! cargo bench --bench allocator                     criterion's comparison, then both tables
//! cargo bench --bench allocator -- p99              the table of percentiles only: 7 min of an idle core
//! cargo bench --bench allocator -- memory           bytes per offset only (Linux)
//! cargo bench --bench allocator -- 'churn 99 %/1M'  criterion, filtered
//! ```
//! Every measured batch is 64 operations; which ones is decided before the clock starts (`patterns.rs`). Reading the
//! clock costs 25 to 50 ns, under one per operation. Run as a test (`cargo test --benches`) it does each 64 k case once.

#![allow(
    clippy::unwrap_used,
    reason = "a bench fails by panicking, in its helpers too"
)]

#[path = "allocator/chosen.rs"]
mod chosen;
#[path = "allocator/chunks.rs"]
mod chunks;
#[path = "allocator/memory.rs"]
mod memory;
#[path = "allocator/patterns.rs"]
mod patterns;
#[path = "allocator/percentiles.rs"]
mod percentiles;
#[path = "allocator/roarings.rs"]
mod roarings;
#[path = "allocator/sets.rs"]
mod sets;
#[path = "allocator/subject.rs"]
mod subject;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};

use patterns::{BATCH, Case, Pattern, Space};
use subject::Subject;

const SIZES: [(&str, u64); 3] = [("64k", 1 << 16), ("1M", 1 << 20), ("16M", 1 << 24)];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // What cargo passes in `cargo bench` and not in `cargo test`; criterion goes by it too.
    let measuring = args.iter().any(|arg| arg == "--bench");
    let words: Vec<&str> = args
        .iter()
        .filter(|arg| !arg.starts_with('-'))
        .map(String::as_str)
        .collect();
    match words.as_slice() {
        ["memory", structure, state] => return memory::child(structure, state),
        ["memory"] => return memory::table(),
        ["p99"] => return percentiles::table(),
        _ => {}
    }
    let sizes = if measuring { &SIZES[..] } else { &SIZES[..1] };
    let mut criterion = Criterion::default().configure_from_args();
    for pattern in Pattern::ALL {
        for (label, size) in sizes {
            compare(&mut criterion, pattern, label, Space::Dense(*size));
        }
        if measuring {
            for (label, space) in Space::OTHERS {
                compare(&mut criterion, pattern, label, space);
            }
        }
    }
    criterion.final_summary();
    if measuring && words.is_empty() {
        memory::table();
        percentiles::table();
    }
}

/// One group: every structure on one pattern at one size. Times are per batch, throughput is in operations.
fn compare(criterion: &mut Criterion, pattern: Pattern, label: &str, space: Space) {
    if !pattern.fits(space) {
        return;
    }
    let mut group = criterion.benchmark_group(format!("{}/{label}", pattern.name()));
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .throughput(Throughput::Elements(BATCH as u64));
    measure::<chosen::Chosen>(&mut group, pattern, space);
    if let Space::Dense(_) = space {
        measure::<chunks::Slots>(&mut group, pattern, space);
        measure::<sets::SummaryTree>(&mut group, pattern, space);
        measure::<roarings::Freed>(&mut group, pattern, space);
        measure::<roarings::Hint>(&mut group, pattern, space);
        measure::<roarings::Rank>(&mut group, pattern, space);
        measure::<sets::Naive>(&mut group, pattern, space);
    }
    group.finish();
}

fn measure<S: Subject>(group: &mut BenchmarkGroup<'_, WallTime>, pattern: Pattern, space: Space) {
    if S::hopeless(pattern, space) {
        println!(
            "skipped, a batch would take seconds: {}, {}, {space:?}",
            S::NAME,
            pattern.name()
        );
        return;
    }
    // Prepared on first use: criterion's filter may leave this one out.
    let mut case: Option<Case<S>> = None;
    group.bench_function(BenchmarkId::from_parameter(S::NAME), |bencher| {
        let case = case.get_or_insert_with(|| Case::prepare(pattern, space));
        bencher.iter_custom(|batches| (0..batches).map(|_| case.batch()).sum());
    });
}
