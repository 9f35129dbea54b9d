//! The dashboard of the controller: is it well, and what holds it up.

use serde_json::{Value, json};

use super::panel::{Page, Panel, SELECT};

/// The quantiles of a histogram that are shown.
const QUANTILES: [(&str, &str); 3] = [("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99")];

pub(super) fn rate(metric: &str) -> String {
    format!("rate({metric}{{{SELECT}}}[$__rate_interval])")
}

pub(super) fn quantiles(mut panel: Panel, histogram: &str) -> Panel {
    for (quantile, legend) in QUANTILES {
        let buckets = rate(&format!("{histogram}_bucket"));
        let expr = format!("histogram_quantile({quantile}, sum by (le) ({buckets}))");
        panel = panel.over_time(&expr, legend);
    }
    panel
}

pub(crate) fn dashboard() -> Value {
    let mut page = Page::default();
    page.row("State", None);
    state(&mut page);
    page.row("What users wait for", None);
    users(&mut page);
    page.row("Requests to the API server", None);
    requests(&mut page);
    page.row("Webhook", None);
    webhook(&mut page);
    page.row("Queues and watches", None);
    queues(&mut page);
    page.row("Process", None);
    process(&mut page);
    page.finish(
        "metal3-ipam-controller",
        "Metal3 IPAM / Controller",
        "How fast claims are bound, and what holds the controller up.",
        Vec::new(),
    )
}

fn state(page: &mut Page) {
    let up = json!([{"type": "value", "options": {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}}]);
    page.add(
        6,
        4,
        Panel::stat(
            "Leader",
            "Whether one of the processes holds the lease and writes.",
            "none",
        )
        .plain()
        .field("leader", &[("mappings", up.clone())])
        .over_time(
            &format!("max(leader_election_master_status{{{SELECT}}})"),
            "leader",
        ),
    );
    page.add(
        6,
        4,
        Panel::stat(
            "Kinds listed",
            "Whether every watched kind is listed completely; before that nothing is handed out.",
            "none",
        )
        .plain()
        .field("listed", &[("mappings", up)])
        .over_time(
            &format!("min(metal3_ipam_cache_synced{{{SELECT}}})"),
            "listed",
        ),
    );
    page.add(
        6,
        4,
        Panel::stat(
            "Errors",
            "Steps a second after which something has to be tried again.",
            "ops",
        )
        .thresholds(&[(0.1, "yellow"), (1.0, "red")])
        .over_time(
            &format!("sum({})", rate("controller_runtime_reconcile_errors_total")),
            "errors",
        ),
    );
    page.add(
        6,
        4,
        Panel::stat(
            "Version",
            "Processes by the version that they run.",
            "short",
        )
        .plain()
        .named()
        .field(
            "version",
            &[("color", json!({"mode": "fixed", "fixedColor": "text"}))],
        )
        .over_time(
            &format!("count by (version, revision) (metal3_ipam_build_info{{{SELECT}}})"),
            "{{version}} {{revision}}",
        ),
    );
    page.add(
        24,
        6,
        Panel::lines(
            "Leadership",
            "Which process writes: 1 holds the lease, 0 stands by.",
            "none",
        )
        .legend_beside()
        .decimals(0)
        .max(1.0)
        .over_time(
            &format!("leader_election_master_status{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
}

fn users(page: &mut Page) {
    page.add(
        12,
        9,
        quantiles(
            Panel::lines(
                "Time to bind a claim",
                "From a claim's creation to its status with the address. Creation times are whole seconds.",
                "s",
            ),
            "metal3_ipam_claim_bind_seconds",
        ),
    );
    page.add(
        12,
        9,
        Panel::heatmap("Time to bind a claim, all of them", "How many claims were bound after which time.", "s").buckets(
            &format!("sum by (le) (increase(metal3_ipam_claim_bind_seconds_bucket{{{SELECT}}}[$__rate_interval]))"),
        ),
    );
    page.add(
        12,
        9,
        quantiles(
            Panel::lines(
                "Time to choose an address",
                "Of a step that chose an address, in memory.",
                "s",
            ),
            "metal3_ipam_allocation_decision_seconds",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Decisions on claims",
            "Addresses allocated, and claims told to wait, a second.",
            "ops",
        )
        .over_time(
            &format!(
                "sum by (result) ({})",
                rate("metal3_ipam_allocations_total")
            ),
            "{{result}}",
        ),
    );
}

fn requests(page: &mut Page) {
    page.add(
        24,
        9,
        Panel::lines(
            "Writes by verb",
            "Writes sent a second, by verb and resource.",
            "reqps",
        )
        .legend_of_names()
        .over_time(
            &format!(
                "sum by (verb, resource) ({})",
                rate("metal3_ipam_api_writes_total")
            ),
            "{{verb}} {{resource}}",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Writes by code",
            "Writes answered a second, by HTTP status; none: no answer came.",
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
        9,
        quantiles(
            Panel::lines(
                "Time of a write",
                "From sending a write to its answer.",
                "s",
            ),
            "metal3_ipam_api_write_seconds",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "In flight",
            "Requests of pools that were sent and are not answered yet; --in-flight bounds them.",
            "short",
        )
        .over_time(
            &format!("metal3_ipam_writes_in_flight{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "All requests",
            "Requests a second to the API server, watches and lists too.",
            "reqps",
        )
        .legend_beside()
        .over_time(
            &format!(
                "sum by (method, code) ({})",
                rate("rest_client_requests_total")
            ),
            "{{method}} {{code}}",
        ),
    );
}

fn webhook(page: &mut Page) {
    page.add(
        12,
        9,
        Panel::lines(
            "Reviews",
            "Requests to the webhook server a second, by path and HTTP status. A refusal is an answer with status 200.",
            "reqps",
        )
        .legend_of_names()
        .over_time(
            &format!(
                "sum by (webhook, code) ({}) > 0",
                rate("controller_runtime_webhook_requests_total")
            ),
            "{{webhook}} {{code}}",
        ),
    );
    page.add(
        12,
        9,
        quantiles(
            Panel::lines(
                "Time of a review",
                "From the head of a request to its answer. The API server waits for 3 s.",
                "s",
            ),
            "controller_runtime_webhook_latency_seconds",
        ),
    );
}

fn queues(page: &mut Page) {
    page.add(
        12,
        9,
        Panel::lines(
            "Backlog",
            "Things that pools have yet to be told, and pools with something to take in.",
            "short",
        )
        .legend_beside()
        .over_time(
            &format!("metal3_ipam_mailbox_depth{{{SELECT}}}"),
            "things {{instance}}",
        )
        .over_time(
            &format!("workqueue_depth{{{SELECT}}}"),
            "pools {{instance}}",
        ),
    );
    page.add(
        12,
        9,
        quantiles(
            Panel::lines(
                "Wait for a worker",
                "Time that a pool with work waited for its worker.",
                "s",
            ),
            "workqueue_queue_duration_seconds",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Pools at work",
            "Pools with a worker, by what it does.",
            "short",
        )
        .stacked()
        .over_time(
            &format!("max by (state) (metal3_ipam_worker_pools{{{SELECT}}})"),
            "{{state}}",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines("Tried again", "Requests a second that were refused or whose answer was lost, and that are tried again.", "ops")
            .over_time(&format!("sum({})", rate("workqueue_retries_total")), "retries"),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Events of watches",
            "What watches told a second, by kind.",
            "ops",
        )
        .legend_of_names()
        .over_time(
            &format!("sum by (kind) ({})", rate("metal3_ipam_watch_events_total")),
            "{{kind}}",
        ),
    );
    page.add(
        12,
        9,
        Panel::lines(
            "Watches begun again",
            "By reason. That each watch ends in an orderly way after 40 to 48 s is as it should be.",
            "ops",
        )
        .legend_beside()
        .over_time(
            &format!(
                "sum by (reason) ({})",
                rate("metal3_ipam_watch_restarts_total")
            ),
            "{{reason}}",
        ),
    );
}

fn process(page: &mut Page) {
    page.add(
        8,
        9,
        Panel::lines("CPU", "Cores that the process keeps busy.", "none")
            .over_time(&rate("process_cpu_seconds_total"), "{{instance}}"),
    );
    page.add(
        8,
        9,
        Panel::lines("Memory", "Memory of the process that is in RAM.", "bytes").over_time(
            &format!("process_resident_memory_bytes{{{SELECT}}}"),
            "{{instance}}",
        ),
    );
    page.add(
        8,
        9,
        Panel::lines(
            "File descriptors",
            "File descriptors that the process has open, and may have.",
            "short",
        )
        .legend_of_names()
        .over_time(
            &format!("process_open_fds{{{SELECT}}}"),
            "open {{instance}}",
        )
        .over_time(
            &format!("process_max_fds{{{SELECT}}}"),
            "at most {{instance}}",
        ),
    );
}
