//! Which layer refuses what on a real kube-apiserver: the definitions alone, with the policies of `deploy/guard`, with the
//! webhooks of `deploy/webhook`, and with these while the webhook is down. The table in `docs/admission.md` shows the answers;
//! `cargo xtask admission` writes it.

mod before;
mod rows;
mod table;

use std::net::{Ipv4Addr, SocketAddr};

use metal3_ipam::api::metal3::{IPClaim, IPPool};
use serde_json::Value;

use crate::control_plane::{free_port, is_there};
use crate::dry::{Write, attempt};
use crate::guard::Guard;
use crate::harness::{On, World, claim_json};
use crate::steps::range;
use crate::tally;
use crate::webhook::{At, Registered, Serving, deployed, until};

use rows::{Must, Row};

/// Answers of one row: what each state says, `None` where it lets the write through.
type Answers = Vec<Option<String>>;

/// What is in force, in the order of the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Definitions,
    Guard,
    Webhook,
    WebhookDown,
}

const STATES: [State; 4] = [
    State::Definitions,
    State::Guard,
    State::Webhook,
    State::WebhookDown,
];

/// Tries the write in a world. Returns what the server says against it.
async fn refused(world: &World, write: &Write) -> Option<String> {
    let tried = attempt(&world.client, &world.namespace, write).await;
    tried.err()
}

async fn attempt_all(world: &World, rows: &[Row]) -> Answers {
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        answers.push(refused(world, &row.write).await);
    }
    answers
}

/// Plays every row in one state.
async fn play(world: &World, rows: &[Row], state: State) -> Answers {
    let files = || -> Vec<Value> { deployed().into_values().collect() };
    match state {
        State::Definitions => attempt_all(world, rows).await,
        State::Guard => {
            let guard = Guard::apply(world).await;
            let mut nonsense = claim_json("probe", "none");
            nonsense["metadata"]["annotations"] = serde_json::json!({"ipAddress": "abc"});
            let probe = Write::Create(nonsense);
            let answers = attempt_all(world, rows).await;
            guard.remove().await;
            until("the policies to be gone", async || {
                refused(world, &probe).await.is_none()
            })
            .await;
            answers
        }
        State::Webhook => {
            let serving = Serving::start(world).await;
            let registered =
                Registered::apply(world, files(), (serving.addr, &serving.ca_pem), At::Work).await;
            let answers = attempt_all(world, rows).await;
            registered.remove_and_wait(world).await;
            answers
        }
        State::WebhookDown => {
            let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let ca = Serving::authority();
            let registered = Registered::apply(world, files(), (nobody, &ca), At::Rest).await;
            let answers = attempt_all(world, rows).await;
            registered.remove_and_wait(world).await;
            answers
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_6_each_bad_input_is_refused_by_the_layer_that_the_page_names() {
    if !is_there("section_6_each_bad_input_is_refused_by_the_layer_that_the_page_names").await {
        return;
    }
    let world = World::start(On::Real).await;
    world.pool("stored", range("10.88.0.1", "10.88.0.9")).await;
    world.claim("bound", "stored").await;
    assert_eq!(world.address_of("bound").await, "10.88.0.1");
    let rows = rows::rows();
    let mut columns = Vec::new();
    for state in STATES {
        columns.push(play(&world, &rows, state).await);
    }
    world.delete_and_wait::<IPClaim>("bound").await;
    world.delete_and_wait::<IPPool>("stored").await;

    let mut wrong = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let with_webhook = &columns[2][n];
        if with_webhook.is_some() != (row.must == Must::Refuse) {
            wrong.push(format!("{}: {with_webhook:?}", row.what));
        }
        // A layer more takes nothing away, and what the definitions refuse needs nobody.
        if columns[0][n].is_some() && columns.iter().any(|column| column[n].is_none()) {
            wrong.push(format!(
                "{}: refused by the definitions alone, and not with more layers",
                row.what
            ));
        }
        // The guard and the webhook refuse no good input.
        if row.must == Must::Accept && columns[..3].iter().any(|column| column[n].is_some()) {
            let said: Vec<_> = columns[..3].iter().map(|column| &column[n]).collect();
            wrong.push(format!("{}: {said:?}", row.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    table::compare("docs/admission.md", &rows, &columns, &world.namespace);
    let tried = rows.len() * STATES.len();
    tally::add("inputs tried under the layers of admission", tried as u64);
    tally::add("scenarios passed on a real kube-apiserver", 1);
    world.end().await;
}
