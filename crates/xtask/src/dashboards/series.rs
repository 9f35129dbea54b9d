//! Expressions that the dashboards of the pools share. Each counts a pool once, also
//! while one manager leads and the series of the one before it are not over yet.

use serde_json::{Value, json};

use super::panel::SELECT as CONTROLLER;

/// What every expression of pools is narrowed by.
pub(super) const SELECT: &str =
    r#"job=~"$job", instance=~"$instance", pool_namespace=~"$namespace", pool=~"$pool""#;

/// A metric of each pool.
pub(super) fn pools(metric: &str) -> String {
    format!("max by (pool_namespace, pool) (metal3_ipam_pool_{metric}{{{SELECT}}})")
}

/// Claims that wait, by pool and reason.
pub(super) fn waiting() -> String {
    format!("max by (pool_namespace, pool, reason) (metal3_ipam_pool_waiting_claims{{{SELECT}}})")
}

/// Share of each pool that its next claims cannot get; pools without addresses have none.
pub(super) fn used() -> String {
    pools("utilization_ratio")
}

/// As [`used`], at the end of the time that is shown, whatever the point in time.
pub(super) fn used_at_the_end() -> String {
    format!(
        "max by (pool_namespace, pool) (metal3_ipam_pool_utilization_ratio{{{SELECT}}} @ end())"
    )
}

/// Seconds until each pool is used up, if it goes on as in the last six hours; no value for pools that are used up or do not
/// shrink.
pub(super) fn left() -> String {
    let available = pools("available_addresses");
    // Over the pools, not over each replica's series: the flat line of one that ended would hide the slope.
    format!("({available} > 0) / -(deriv(({available})[6h:5m]) < 0)")
}

/// As [`left`], and 0 for pools that are used up.
pub(super) fn left_or_zero() -> String {
    let (available, capacity) = (pools("available_addresses"), pools("capacity_addresses"));
    format!("({}) or ({available} == 0 and {capacity} > 0)", left())
}

/// The values of a label of the pools, for a variable; `narrowed` are further matchers.
pub(super) fn values(label: &str, narrowed: &str) -> String {
    format!("label_values(metal3_ipam_pool_info{{{CONTROLLER}{narrowed}}}, {label})")
}

/// What is shown instead of a time left of 0.
pub(super) fn used_up() -> Value {
    json!([{"type": "value", "options": {"0": {"text": "used up", "color": "red"}}}])
}
