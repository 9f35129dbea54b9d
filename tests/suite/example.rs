//! The scenario that CONTRIBUTING.md shows; `tests/docs.rs` compares the two.

use serde_json::json;

use crate::harness::{On, scenarios_with_upstream};
use crate::table::{claim, deleted, later, play, pool};

scenarios_with_upstream! {
    a9_a11_a_requested_address_is_given_to_its_claim_when_it_is_free,
}

async fn a9_a11_a_requested_address_is_given_to_its_claim_when_it_is_free(on: On) {
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}]});
    let steps = vec![
        pool("p", spec),
        claim("a").asking_for("10.0.0.2").gets("10.0.0.2"),
        claim("b").gets("10.0.0.1"),
        claim("c")
            .asking_for("10.0.0.2")
            .waits_for("RequestedAddressUnavailable"),
        deleted("a"),
        later("c").gets("10.0.0.2"),
    ];
    play(on, steps).await;
}
