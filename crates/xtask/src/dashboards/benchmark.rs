//! The dashboard of `metal3-ipam bench` while it runs: each side beside the bare writes, and what the controller does meanwhile.

use serde_json::Value;

use super::controller::{quantiles, rate};
use super::panel::{Page, Panel, SELECT};

pub(crate) fn dashboard() -> Value {
    let mut page = Page::default();
    page.row("Now", None);
    now(&mut page);
    page.row("Claims", None);
    claims(&mut page);
    page.row("The controller's requests", None);
    requests(&mut page);
    page.row("Process", None);
    process(&mut page);
    page.finish(
        "metal3-ipam-benchmark",
        "Metal3 IPAM / Benchmark",
        "metal3-ipam bench while it runs: how fast each side binds claims, beside the bare writes.",
        Vec::new(),
    )
}

fn now(page: &mut Page) {
    page.add(
        12,
        5,
        Panel::stat(
            "Rounds under way",
            "1 for the side whose round runs now, 0 for the others.",
            "none",
        )
        .over_time(
            &format!("max by (side) (metal3_ipam_bench_running{{{SELECT}}})"),
            "{{side}}",
        ),
    );
    page.add(
        12,
        5,
        Panel::stat(
            "Share of the ceiling",
            "Claims a second as a share of those of the bare writes, each in its last round.",
            "percentunit",
        )
        .over_time(
            &format!("max by (side) (metal3_ipam_bench_share_of_ceiling{{{SELECT}}})"),
            "{{side}}",
        ),
    );
}

fn claims(page: &mut Page) {
    page.add(
        12,
        8,
        Panel::lines(
            "Claims bound",
            "Claims bound a second; between its rounds a side binds none.",
            "ops",
        )
        .over_time(
            &format!(
                "sum by (side) ({})",
                rate("metal3_ipam_bench_claims_bound_total")
            ),
            "{{side}}",
        ),
    );
    page.add(
        12,
        8,
        Panel::lines(
            "Claims a second, round by round",
            "Claims bound a second, over the side's last round.",
            "ops",
        )
        .over_time(
            &format!("max by (side) (metal3_ipam_bench_claims_per_second{{{SELECT}}})"),
            "{{side}}",
        ),
    );
    for (quantile, name) in [("0.5", "p50"), ("0.99", "p99")] {
        let buckets = format!("metal3_ipam_bench_bind_seconds_bucket{{{SELECT}}}");
        page.add(
            12,
            8,
            Panel::lines(
                &format!("Time to bind a claim, {name}"),
                "Over all rounds of the side until now. From a claim's creation (with a backlog: from the side's first write).",
                "s",
            )
            .over_time(
                &format!("histogram_quantile({quantile}, sum by (side, le) ({buckets}))"),
                "{{side}}",
            ),
        );
    }
}

fn requests(page: &mut Page) {
    page.add(
        12,
        9,
        quantiles(
            Panel::lines(
                "Time of a write",
                "From sending a write of the controller to its answer.",
                "s",
            ),
            "metal3_ipam_api_write_seconds",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Writes by code",
            "The controller's writes answered a second, by HTTP status; none: no answer came.",
            "reqps",
        )
        .stacked()
        .over_time(
            &format!("sum by (code) ({})", rate("metal3_ipam_api_writes_total")),
            "{{code}}",
        ),
    );
    page.add(
        12,
        8,
        Panel::lines(
            "In flight",
            "The controller's requests that were sent and are not answered yet; --in-flight bounds them.",
            "short",
        )
        .over_time(
            &format!("metal3_ipam_writes_in_flight{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
    page.add(
        12,
        8,
        Panel::lines("Backlog", "Things that pools have yet to be told.", "short").over_time(
            &format!("metal3_ipam_mailbox_depth{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
}

fn process(page: &mut Page) {
    page.add(
        12,
        8,
        Panel::lines(
            "CPU",
            "Cores that the bench keeps busy, its embedded server included.",
            "none",
        )
        .over_time(&rate("process_cpu_seconds_total"), "{{instance}}"),
    );
    page.add(
        12,
        8,
        Panel::lines("Memory", "Memory of the bench that is in RAM.", "bytes").over_time(
            &format!("process_resident_memory_bytes{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
}
