//! Waits until the real garbage collector has heard of every kind: it looks for new ones now and then, and before that nothing
//! that is deleted takes its dependents along.

use kube::Client;
use serde_json::{Value, json};

use super::generate::Generator;
use super::kinds::{KINDS, Kind};
use super::script::{Request, Step, What};
use super::side::Side;

/// How often rest is waited for, each time as long as any step may take.
const TRIES: usize = 6;

/// Makes an owner of every kind with a dependent, and a dependent of every kind with an owner; deletes the owners, and waits.
pub(super) async fn up(client: Client, namespace: &str) {
    let mut side = Side::new(client, namespace);
    side.prepare().await;
    let mut generator = Generator::new(0, 0);
    let mut owners = Vec::new();
    let mut step = 0;
    let map = &KINDS[6];
    for kind in KINDS.iter().filter(|kind| kind.kind != "Event") {
        let name = format!("owner-{}-{}", kind.plural, kind.group.len());
        for (owner, dependent) in [(kind, map), (map, kind)] {
            if owner.plural == dependent.plural && !owners.is_empty() && owner.plural == map.plural
            {
                // One of each is enough.
                continue;
            }
            let name = format!("{name}-{}-of-{}", dependent.plural, owner.plural);
            let mut body = generator.plain(owner);
            body["metadata"] = json!({ "name": name });
            let made = post(&mut side, &mut step, owner, &body).await;
            let mut body = generator.plain(dependent);
            body["metadata"] = json!({
                "name": format!("{name}-dependent"),
                "ownerReferences": [{
                    "apiVersion": owner.api_version(), "kind": owner.kind, "name": name, "uid": made["metadata"]["uid"],
                }],
            });
            post(&mut side, &mut step, dependent, &body).await;
            owners.push(owner.object(&name));
        }
    }
    for path in owners {
        send(&mut side, &mut step, Request::new("DELETE", path)).await;
    }
    let everything = What::Settle {
        kinds: (0..KINDS.len()).collect(),
    };
    for _ in 0..TRIES {
        step += 1;
        let wait = Step {
            id: step,
            what: everything.clone(),
        };
        if side.run(&wait).await.is_at_rest() {
            return;
        }
    }
    panic!("the garbage collector takes no dependents of some kind");
}

async fn post(side: &mut Side, step: &mut u32, kind: &Kind, body: &Value) -> Value {
    let request = Request::new("POST", kind.collection()).json(body.to_string());
    send(side, step, request).await
}

async fn send(side: &mut Side, step: &mut u32, request: Request) -> Value {
    *step += 1;
    let sent = Step {
        id: *step,
        what: What::Request(request),
    };
    let answer = side.run(&sent).await;
    assert!(answer.code < 300, "{sent}\n{answer:?}");
    answer.object().cloned().unwrap_or_default()
}
