//! The dashboard of single pools: a row for each pool that is chosen. It shows one namespace, since a pool's name may be there
//! in several.

use serde_json::{Value, json};

use super::panel::{Page, Panel, one_of, some_of, variable};
use super::series::{left_or_zero, pools, used, used_up, values, waiting};

pub(crate) fn dashboard() -> Value {
    let mut page = Page::default();
    page.row("Pool $namespace/$pool", Some("pool"));
    now(&mut page);
    history(&mut page);
    // Without "All": a fleet of 5,000 pools would be as many rows. The dashboard of the fleet shows all.
    let variables = vec![
        one_of(variable(
            "namespace",
            "Namespace",
            &values("pool_namespace", ""),
        )),
        some_of(variable(
            "pool",
            "Pool",
            &values("pool", r#", pool_namespace=~"$namespace""#),
        )),
    ];
    page.finish(
        "metal3-ipam-pools",
        "Metal3 IPAM / Pools",
        "The chosen pools of a namespace: how full each one is, how it came, and when it runs out of addresses.",
        variables,
    )
}

fn now(page: &mut Page) {
    page.add(
        4,
        4,
        Panel::stat(
            "Used",
            "Share of the pool's addresses that its next claims cannot get: allocated, or kept back.",
            "percentunit",
        )
        .thresholds(&[(0.75, "yellow"), (0.95, "red")])
        .max(1.0)
        .over_time(&used(), "used"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Time left",
            "Time until the pool is used up, if it goes on as in the last six hours.",
            "s",
        )
        .nothing("does not shrink")
        .field("time left", &[("mappings", used_up())])
        .now(&left_or_zero(), "time left"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Waiting claims",
            "Claims of the pool without an address, whatever they wait for.",
            "short",
        )
        .thresholds(&[(1.0, "yellow")])
        .over_time(&format!("sum({})", waiting()), "claims"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Available",
            "Addresses that the pool's next claims can get.",
            "short",
        )
        .over_time(&pools("available_addresses"), "available"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Capacity",
            "Addresses in the pool's ranges, excluded ones not counted.",
            "short",
        )
        .over_time(&pools("capacity_addresses"), "capacity"),
    );
    page.add(
        4,
        4,
        Panel::stat(
            "Out of range",
            "Addresses outside the pool's ranges that its address objects hold: a range was taken away under them.",
            "short",
        )
        .thresholds(&[(1.0, "yellow")])
        .over_time(&pools("out_of_range_addresses"), "out of range"),
    );
}

fn history(page: &mut Page) {
    let forecast = format!(
        "clamp_min(predict_linear(({})[6h:5m], 4 * 86400), 0)",
        pools("allocated_addresses")
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
        10,
        Panel::lines(
            "Addresses of $pool",
            "Allocated and kept back, stacked, under the capacity. Dashed: what would be allocated in four days, if it goes on as in the last six hours.",
            "short",
        )
        .legend_beside()
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
        10,
        Panel::lines(
            "Claims of $pool that wait",
            "Claims of this pool without an address, by reason.",
            "short",
        )
        .peaks()
        .stacked()
        .over_time(&format!("sum by (reason) ({})", waiting()), "{{reason}}"),
    );
}
