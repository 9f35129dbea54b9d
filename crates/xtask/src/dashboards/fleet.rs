//! The dashboard of the fleet, in the order in which an operator asks: is a pool used up, which one is next and when, who waits
//! and why, how did it come, where are addresses left.

use serde_json::{Value, json};

use super::panel::{Page, Panel, SELECT, choice, variable};
use super::series::{left, left_or_zero, pools, used, used_at_the_end, used_up, values, waiting};

pub(crate) fn dashboard() -> Value {
    let mut page = Page::default();
    page.row("Now", None);
    now(&mut page);
    page.row("Which pools", None);
    which(&mut page);
    page.row("Who waits, and how it came", None);
    history(&mut page);
    page.row("What happens", None);
    happens(&mut page);
    let variables = vec![
        variable("namespace", "Namespace", &values("pool_namespace", "")),
        variable(
            "pool",
            "Pool",
            &values("pool", r#", pool_namespace=~"$namespace""#),
        ),
        choice("top", "Pools in lists", &["10", "25", "50"]),
    ];
    page.finish(
        "metal3-ipam-fleet",
        "Metal3 IPAM / Fleet",
        "All pools: which ones run out of addresses, when, and which claims wait.",
        variables,
    )
}

fn now(page: &mut Page) {
    let (capacity, available) = (pools("capacity_addresses"), pools("available_addresses"));
    // An IPv6 /64 beside them would make every sum its own.
    let countable = format!("({capacity} < 2 ^ 32)");
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
            "Next exhaustion",
            "Time until the next pool is used up, if each goes on as in the last six hours. Pools that are used up do not count.",
            "s",
        )
        .nothing("none in sight")
        .thresholds(&[])
        .now(&format!("min({})", left()), "time left"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Used",
            "Share of the addresses that the next claims cannot get: allocated, or kept back.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .max(1.0)
        .over_time(
            &format!("1 - sum({available} and {countable}) / (sum({countable}) > 0)"),
            "used",
        ),
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
        Panel::stat("Pools", "Pools that exist.", "short")
            .over_time(&format!("count({capacity})"), "pools"),
    );
}

/// The fullest pools, one row each.
fn which(page: &mut Page) {
    let gauge = json!({"type": "gauge", "mode": "gradient", "valueDisplayMode": "text"});
    let link = json!([{
        "title": "Show this pool", "targetBlank": false,
        "url": "/d/metal3-ipam-pools?var-namespace=${__data.fields.pool_namespace}&var-pool=${__data.fields.pool}&${job:queryparam}&${__url_time_range}",
    }]);
    let steps = json!({"mode": "absolute", "steps": [
        {"color": "green", "value": null}, {"color": "yellow", "value": 0.75}, {"color": "red", "value": 0.95},
    ]});
    page.add(
        24,
        12,
        Panel::table(
            "Worst pools first",
            "The pools with the largest share of addresses in use or kept back. Time left: if the pool goes on as in the last six hours; empty while it does not shrink. A click on a pool shows it alone.",
            "short",
        )
        .column(&format!("topk($top, {})", used()))
        .column(&left_or_zero())
        .column(&format!("sum by (pool_namespace, pool) ({})", waiting()))
        .column(&pools("available_addresses"))
        .column(&pools("allocated_addresses"))
        .column(&pools("capacity_addresses"))
        // Rows beyond the first column's top N have no share.
        .transform(
            "filterByValue",
            &json!({"type": "exclude", "match": "any", "filters": [{"fieldName": "Value #A", "config": {"id": "isNull", "options": {}}}]}),
        )
        .transform(
            "organize",
            &json!({
                "excludeByName": {"Time": true},
                "indexByName": {"pool_namespace": 0, "pool": 1, "Value #A": 2, "Value #B": 3, "Value #C": 4, "Value #D": 5, "Value #E": 6, "Value #F": 7},
                "renameByName": {
                    "pool_namespace": "Namespace", "pool": "Pool", "Value #A": "Used", "Value #B": "Time left",
                    "Value #C": "Waiting claims", "Value #D": "Available", "Value #E": "Allocated", "Value #F": "Capacity",
                },
            }),
        )
        .sorted_by("Used", true)
        .field(
            "Used",
            &[("unit", json!("percentunit")), ("decimals", json!(1)), ("max", json!(1)), ("custom.width", json!(200)), ("custom.cellOptions", gauge), ("thresholds", steps),
              ("color", json!({"mode": "thresholds"}))],
        )
        .field("Time left", &[("unit", json!("s")), ("mappings", used_up())])
        .field("Pool", &[("links", link)]),
    );
}

fn history(page: &mut Page) {
    let color = |name: &str| [("color", json!({"mode": "fixed", "fixedColor": name}))];
    page.add(
        12,
        9,
        Panel::lines(
            "Waiting claims by reason",
            "Claims without an address, by the reason in their condition.",
            "short",
        )
        .legend_beside()
        .peaks()
        .stacked()
        .over_time(&format!("sum by (reason) ({})", waiting()), "{{reason}}"),
    );
    page.add(
        12,
        9,
        Panel::lines("Pools by state", "Warning from 75 % used, critical from 95 %; not ready: the condition Ready does not hold.", "short")
            .legend_beside()
        .stacked()
            .over_time(&format!("sum by (state) (metal3_ipam_pools{{{SELECT}}})"), "{{state}}")
            .field("ok", &color("green"))
            .field("warning", &color("yellow"))
            .field("critical", &color("orange"))
            .field("exhausted", &color("red"))
            .field("not_ready", &color("purple")),
    );
    // topk of the values themselves chooses anew at every point in time: a row for each pool that was ever among the fullest.
    page.add(
        24,
        12,
        Panel::history(
            "Use of each pool over time",
            "Share of each pool's addresses in use or kept back, of the pools that are the fullest at the end: one row a pool.",
            "percentunit",
        )
        .thresholds_from(
            "dark-green",
            &[
                (0.25, "semi-dark-green"),
                (0.5, "green"),
                (0.75, "yellow"),
                (0.95, "red"),
                (1.0, "dark-red"),
            ],
        )
        .max(1.0)
        .over_time(
            &format!("{} and topk($top, {})", used(), used_at_the_end()),
            "{{pool_namespace}}/{{pool}}",
        ),
    );
}

fn happens(page: &mut Page) {
    page.add(
        12,
        8,
        Panel::lines(
            "Allocations and releases",
            "Addresses allocated (above) and released (below) a second, over all pools, by kind of claim.",
            "ops",
        )
        .legend_of_names()
        .min(None)
        .over_time(
            &format!(r#"sum by (claim_kind) (rate(metal3_ipam_allocations_total{{{SELECT}, result="allocated"}}[$__rate_interval]))"#),
            "allocated {{claim_kind}}",
        )
        .over_time(
            &format!("-sum by (claim_kind) (rate(metal3_ipam_releases_total{{{SELECT}}}[$__rate_interval]))"),
            "released {{claim_kind}}",
        ),
    );
    page.add(
        12,
        8,
        Panel::lines(
            "Consistency problems",
            "Contradictions among stored objects, by kind: two objects hold one address, an object leads to no claim.",
            "short",
        )
        .legend_beside()
        .over_time(
            &format!("sum by (kind) (metal3_ipam_consistency_problems{{{SELECT}}})"),
            "{{kind}}",
        ),
    );
    page.add(
        24,
        9,
        Panel::bars(
            "Least used pools",
            "The pools with the smallest share of addresses in use or kept back: where addresses could be taken from.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .decimals(1)
        .max(1.0)
        .now(&format!("bottomk($top, {})", used()), "{{pool_namespace}}/{{pool}}"),
    );
}
