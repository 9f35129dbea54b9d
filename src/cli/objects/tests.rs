//! Lists from a server that is made up: pages, objects that cannot be understood, and refusals.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

const METAL3: &str = "/apis/ipam.metal3.io/v1alpha1";

/// A client of a server that has the kinds of Metal3, answers lists so, and notes their targets.
fn server(
    answer: impl Fn(&str, usize) -> (u16, Value) + Clone + Send + 'static,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let target = request.uri().to_string();
        let (status, body) = match request.uri().path() {
            "/apis" => {
                let versions = json!([{"version": "v1alpha1"}]);
                let group = json!({"name": "ipam.metal3.io", "versions": versions});
                (200, json!({"groups": [group]}))
            }
            METAL3 => {
                let names = ["ippools", "ipclaims", "ipaddresses"];
                (
                    200,
                    json!({"resources": names.map(|name| json!({"name": name}))}),
                )
            }
            _ => {
                let mut asked = noted.lock().unwrap();
                let target = target.trim_start_matches(METAL3).to_owned();
                let plural = target.split('?').next().unwrap_or_default();
                let before = asked.iter().filter(|t: &&String| t.starts_with(plural));
                let before = before.count();
                asked.push(target.clone());
                answer(&target, before)
            }
        };
        let answer = Response::builder().status(status);
        let answer = answer.body(Body::from(body.to_string().into_bytes()));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    (Client::new(service, "default"), asked)
}

fn claim(name: &str) -> Value {
    json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "spec": {"pool": {"name": "p"}}})
}

fn page(items: &[Value], next: &str) -> (u16, Value) {
    let metadata = json!({"resourceVersion": "7", "continue": next});
    (200, json!({"metadata": metadata, "items": items}))
}

fn refused(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"kind": "Status", "message": message}))
}

async fn read(client: &Client) -> (Objects, Vec<String>) {
    let mut reader = Reader::new(client);
    let objects = Objects::read(&mut reader, None).await;
    (objects, reader.unread)
}

fn names(objects: &Objects) -> Vec<&str> {
    objects.claims.iter().map(|c| &*c.meta.name).collect()
}

#[tokio::test]
async fn an_object_that_cannot_be_understood_is_named_and_all_others_are_kept() {
    let (client, asked) = server(|target, before| match before {
        _ if !target.starts_with("/ipclaims") => page(&[], ""),
        0 => {
            let mut broken = claim("broken");
            broken["metadata"]["finalizers"] = json!("no list");
            page(&[claim("one"), broken, claim("two")], "more=&")
        }
        _ => page(&[json!("no object"), claim("three")], ""),
    });
    let (objects, unread) = read(&client).await;
    assert_eq!(names(&objects), ["one", "two", "three"]);
    assert_eq!(unread, [""; 0]);
    let [(broken, why), (nameless, _)] = &*objects.strange else {
        panic!("{:?}", objects.strange);
    };
    assert_eq!(broken, "IPClaim a/broken");
    assert!(why.contains("metadata cannot be read"), "{why}");
    assert_eq!(nameless, "IPClaim ?");
    let kinds = &objects.kinds;
    assert_eq!(kinds[Kind::Claims(ClaimKind::Metal3)], KindState::Listed);
    assert_eq!(kinds[Kind::Claims(ClaimKind::Capi)], KindState::Absent);
    let asked = asked.lock().unwrap();
    let second = format!("/ipclaims?limit={}&continue=more%3D%26", reader::PAGE);
    assert!(asked.contains(&second), "{asked:?}");
}

#[tokio::test]
async fn a_list_that_grew_too_old_is_read_anew_and_nothing_is_in_it_twice() {
    let (client, _) = server(|target, before| match before {
        _ if !target.starts_with("/ipclaims") => page(&[], ""),
        0 => page(&[claim("one"), json!(7)], "more"),
        1 => refused(410, "too old"),
        2 => page(&[claim("one")], "more"),
        _ => page(&[claim("two")], ""),
    });
    let (objects, unread) = read(&client).await;
    assert_eq!(names(&objects), ["one", "two"]);
    assert_eq!((objects.strange.len(), unread.len()), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_remembered_and_what_does_not_exist_is_not() {
    let (client, _) = server(|target, before| match target {
        target if target.starts_with("/ippools") => refused(404, "no such thing"),
        target if target.starts_with("/ipclaims") => refused(403, "you may not"),
        _ if before == 0 => page(&[], "more"),
        _ => (500, json!({})),
    });
    let (objects, unread) = read(&client).await;
    let expected = [
        "ipclaims.ipam.metal3.io: you may not",
        "ipaddresses.ipam.metal3.io: the server answered 500",
    ];
    assert_eq!(unread, expected);
    assert_eq!(objects.kinds, Kinds::all(KindState::Absent));
}

#[tokio::test]
async fn all_address_objects_are_read_where_the_server_cannot_select_them() {
    let address = |name: &str, ip: &str| {
        let spec = json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": "one"}});
        json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "spec": spec})
    };
    let (client, asked) = server(move |target, _| match target.split_once('?') {
        Some((_, query)) if query.contains("fieldSelector") => refused(400, "no such field"),
        Some(("/ipaddresses", _)) => {
            page(&[address("x", "10.0.0.1"), address("y", "10.0.0.2")], "")
        }
        Some(_) => page(&[], ""),
        None => (200, claim("one")),
    });
    let mut reader = Reader::new(&client);
    let ip = "10.0.0.2".parse().unwrap();
    let objects = Objects::read_at(&mut reader, None, ip).await;
    let found: Vec<&str> = objects.addresses.iter().map(|a| &*a.meta.name).collect();
    assert_eq!((found, names(&objects)), (vec!["y"], vec!["one"]));
    assert_eq!(reader.unread, [""; 0]);
    let asked = asked.lock().unwrap();
    let selects = |target: &&String| target.ends_with("&fieldSelector=spec.address%3D10.0.0.2");
    assert_eq!(asked.iter().filter(selects).count(), 1, "{asked:?}");
}
