//! The dashboard of the pools: which one runs out, when, and who waits.

use serde_json::{Value, json};

use super::panel::{Page, Panel, choice, variable};

/// What every expression here is narrowed by.
const SELECT: &str =
    r#"job=~"$job", instance=~"$instance", pool_namespace=~"$namespace", pool=~"$pool""#;

/// A metric of the pools, each counted once: a standby shows the same pools as the leader.
fn pools(metric: &str) -> String {
    format!("max by (pool_namespace, pool) (metal3_ipam_pool_{metric}{{{SELECT}}})")
}

/// Claims that wait, by pool and reason.
fn waiting() -> String {
    format!("max by (pool_namespace, pool, reason) (metal3_ipam_pool_waiting_claims{{{SELECT}}})")
}

/// Share of each pool that is not available; pools without addresses have none.
fn used() -> String {
    pools("utilization_ratio")
}

/// Seconds until each pool is used up, if it goes on as in the last six hours; no value for those that do not shrink.
fn left() -> String {
    let available = pools("available_addresses");
    let slope = format!(
        "max by (pool_namespace, pool) (deriv(metal3_ipam_pool_available_addresses{{{SELECT}}}[6h]))"
    );
    format!("{available} / -({slope} < 0)")
}

pub(crate) fn dashboard() -> Value {
    let mut page = Page::default();
    page.row("All pools", None);
    fleet(&mut page);
    page.row("Which pools", None);
    which(&mut page);
    page.row("What happens", None);
    happens(&mut page);
    page.row("Pool $pool", Some("pool"));
    detail(&mut page);
    let labels = |label: &str, narrowed: &str| {
        format!(
            r#"label_values(metal3_ipam_pool_info{{job=~"$job", instance=~"$instance"{narrowed}}}, {label})"#
        )
    };
    let variables = vec![
        variable("namespace", "Namespace", &labels("pool_namespace", "")),
        variable(
            "pool",
            "Pool",
            &labels("pool", r#", pool_namespace=~"$namespace""#),
        ),
        choice("top", "Pools in lists", &["10", "25", "50"]),
    ];
    page.finish(
        "metal3-ipam-pools",
        "Metal3 IPAM / Pools",
        "Which pools run out of addresses, when, and which claims wait.",
        variables,
    )
}

fn fleet(page: &mut Page) {
    let (capacity, available) = (pools("capacity_addresses"), pools("available_addresses"));
    // An IPv6 /64 beside them would make every sum its own.
    let countable = format!("({capacity} < 2 ^ 32)");
    page.add(
        4,
        4,
        Panel::stat("Pools", "Pools that exist.", "short")
            .over_time(&format!("count({capacity})"), "pools"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Addresses",
            "Addresses in the ranges of all pools with fewer than 2^32 addresses: beside an IPv6 /64 nothing else would be seen.",
            "short",
        )
        .over_time(&format!("sum({countable})"), "addresses"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Allocated",
            "Share of these addresses that the next claims cannot get: allocated, or kept back.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .max(1.0)
        .over_time(
            &format!("1 - sum({available} and {countable}) / (sum({countable}) > 0)"),
            "allocated",
        ),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Waiting claims",
            "Claims without an address, whatever they wait for.",
            "short",
        )
        .thresholds(&[(1.0, "yellow")])
        .over_time(&format!("sum({})", waiting()), "claims"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Exhausted pools",
            "Pools with addresses of which none is left.",
            "short",
        )
        .thresholds(&[(1.0, "red")])
        .over_time(
            &format!("count(({available} == 0) and ({capacity} > 0)) or 0 * count({capacity})"),
            "pools",
        ),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Soonest exhaustion",
            "Time until the first pool is used up, if each goes on as in the last six hours. Nothing while none shrinks.",
            "s",
        )
        .nothing("none in sight")
        .thresholds(&[])
        .now(&format!("min({})", left()), "time left"),
    );
}

fn which(page: &mut Page) {
    let gauge = json!({"type": "gauge", "mode": "gradient", "valueDisplayMode": "text"});
    let link = json!([{
        "title": "Show this pool", "targetBlank": false,
        "url": "/d/metal3-ipam-pools?var-namespace=${__data.fields.pool_namespace}&var-pool=${__data.fields.pool}&${job:queryparam}&${__url_time_range}",
    }]);
    let steps = json!({"mode": "absolute", "steps": [
        {"color": "red", "value": null}, {"color": "yellow", "value": 0.05}, {"color": "green", "value": 0.25},
    ]});
    let (available, capacity) = (pools("available_addresses"), pools("capacity_addresses"));
    page.add(
        24,
        10,
        Panel::table(
            "Pools by free share",
            "The pools with the smallest free share first. Time left: if the pool goes on as in the last six hours; empty while it does not shrink. A click on a pool shows it below.",
            "short",
        )
        .column(&format!("bottomk($top, {available} / ({capacity} > 0))"))
        .column(&available)
        .column(&capacity)
        .column(&pools("allocated_addresses"))
        .column(&left())
        .column(&format!("sum by (pool_namespace, pool) ({})", waiting()))
        // Rows beyond the first column's top N have no free share.
        .transform(
            "filterByValue",
            &json!({"type": "exclude", "match": "any", "filters": [{"fieldName": "Value #A", "config": {"id": "isNull", "options": {}}}]}),
        )
        .transform(
            "organize",
            &json!({
                "excludeByName": {"Time": true},
                "indexByName": {"pool_namespace": 0, "pool": 1, "Value #A": 2, "Value #E": 3, "Value #B": 4, "Value #D": 5, "Value #C": 6, "Value #F": 7},
                "renameByName": {
                    "Value #A": "Free", "Value #B": "Available", "Value #C": "Capacity", "Value #D": "Allocated",
                    "Value #E": "Time left", "Value #F": "Waiting claims",
                },
            }),
        )
        .sorted_by("Free", false)
        .field(
            "Free",
            &[("unit", json!("percentunit")), ("max", json!(1)), ("custom.cellOptions", gauge), ("thresholds", steps),
              ("color", json!({"mode": "thresholds"}))],
        )
        .field("Time left", &[("unit", json!("s"))])
        .field("pool", &[("links", link)]),
    );
    page.add(
        12,
        9,
        Panel::bars(
            "Fullest pools",
            "The pools with the largest share of addresses in use or kept back.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .max(1.0)
        .now(
            &format!("topk($top, {})", used()),
            "{{pool_namespace}}/{{pool}}",
        ),
    );
    page.add(
        12,
        9,
        Panel::bars(
            "Least used pools",
            "The pools with the smallest share of addresses in use or kept back: where addresses could be taken from.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .max(1.0)
        .now(&format!("bottomk($top, {})", used()), "{{pool_namespace}}/{{pool}}"),
    );
}

fn happens(page: &mut Page) {
    let select = super::panel::SELECT;
    page.add(
        12,
        8,
        Panel::lines(
            "Allocations and releases",
            "Addresses allocated (above) and released (below) a second, over all pools, by kind of claim.",
            "ops",
        )
        .min(None)
        .over_time(
            &format!(r#"sum by (claim_kind) (rate(metal3_ipam_allocations_total{{{select}, result="allocated"}}[$__rate_interval]))"#),
            "allocated {{claim_kind}}",
        )
        .over_time(
            &format!("-sum by (claim_kind) (rate(metal3_ipam_releases_total{{{select}}}[$__rate_interval]))"),
            "released {{claim_kind}}",
        ),
    );
    page.add(
        12,
        8,
        Panel::lines(
            "Waiting claims by reason",
            "Claims without an address, by the reason in their condition.",
            "short",
        )
        .stacked()
        .over_time(&format!("sum by (reason) ({})", waiting()), "{{reason}}"),
    );
    page.add(
        12,
        8,
        Panel::lines("Pools by state", "Warning from 75 % used, critical from 95 %; not ready: the condition Ready does not hold.", "short")
            .stacked()
            .over_time(&format!("max by (state) (metal3_ipam_pools{{{select}}})"), "{{state}}"),
    );
    page.add(
        12,
        8,
        Panel::lines(
            "Consistency problems",
            "Contradictions among stored objects, by kind: two objects hold one address, an object leads to no claim.",
            "short",
        )
        .over_time(&format!("max by (kind) (metal3_ipam_consistency_problems{{{select}}})"), "{{kind}}"),
    );
}

fn detail(page: &mut Page) {
    let forecast = format!(
        "clamp_min(max by (pool_namespace, pool) (predict_linear(metal3_ipam_pool_allocated_addresses{{{SELECT}}}[6h], 4 * 86400)), 0)"
    );
    let line = |color: &str| {
        vec![
            ("custom.fillOpacity", json!(0)),
            ("custom.stacking", json!({"mode": "none", "group": "B"})),
            ("color", json!({"mode": "fixed", "fixedColor": color})),
        ]
    };
    let mut dashed = line("orange");
    dashed.push(("custom.lineStyle", json!({"fill": "dash", "dash": [8, 8]})));
    page.add(
        16,
        9,
        Panel::lines(
            "Addresses of $pool",
            "Allocated and kept back, stacked, under the capacity. Dashed: what would be allocated in four days, if it goes on as in the last six hours.",
            "short",
        )
        .stacked()
        .over_time(&pools("allocated_addresses"), "allocated")
        .over_time(&pools("reserved_addresses"), "kept back")
        .over_time(&pools("capacity_addresses"), "capacity")
        .over_time(&forecast, "in 4 days")
        .field("capacity", &line("red"))
        .field("in 4 days", &dashed),
    );
    page.add(
        8,
        9,
        Panel::lines(
            "Claims of $pool that wait",
            "Claims of this pool without an address, by reason.",
            "short",
        )
        .stacked()
        .over_time(&format!("sum by (reason) ({})", waiting()), "{{reason}}"),
    );
}
