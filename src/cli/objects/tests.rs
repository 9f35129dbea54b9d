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

/// A server of IPPool p with these claims and address objects, as claim, name and address, that selects by these fields.
fn selecting(
    claims: &'static [&'static str],
    addresses: &'static [(&'static str, &'static str, &'static str)],
    fields: &'static [&'static str],
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let address = |(of, name, ip): &(&str, &str, &str)| {
        let spec = json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": of}});
        json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "spec": spec})
    };
    let claims: Vec<Value> = claims.iter().map(|name| claim(name)).collect();
    let addresses: Vec<Value> = addresses.iter().map(address).collect();
    server(move |target, _| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some((_, plural)) = path
            .rsplit_once('/')
            .filter(|(before, _)| before.is_empty())
        else {
            let (_, name) = path.rsplit_once('/').unwrap();
            let its = claims
                .iter()
                .find(|claim| claim["metadata"]["name"] == name);
            let none = (404, json!({"kind": "Status", "code": 404}));
            return its.map_or(none, |claim| (200, claim.clone()));
        };
        let all = match plural {
            "ipclaims" => &claims[..],
            "ipaddresses" => &addresses[..],
            _ => &[],
        };
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let Some((_, selector)) = pairs.find(|(key, _)| key == "fieldSelector") else {
            return page(all, "");
        };
        let (field, value) = selector.split_once('=').unwrap();
        if !fields.contains(&field) {
            return refused(400, "no such field");
        }
        let at = format!("/{}", field.replace('.', "/"));
        let selected = |object: &&Value| object.pointer(&at).is_some_and(|found| *found == value);
        let selected: Vec<Value> = all.iter().filter(selected).cloned().collect();
        page(&selected, "")
    })
}

/// What is read of a name: claims, and address objects.
async fn read_named(client: &Client, name: &str) -> Option<(Vec<String>, Vec<String>)> {
    let mut reader = Reader::new(client);
    let objects = Objects::read_named(&mut reader, None, name).await?;
    assert_eq!((reader.unread, objects.strange), (vec![], vec![]));
    let claims = objects.claims.iter().map(|c| c.meta.name.to_string());
    let addresses = objects.addresses.iter().map(|a| a.meta.name.to_string());
    let (mut claims, mut addresses): (Vec<_>, Vec<_>) = (claims.collect(), addresses.collect());
    claims.sort();
    addresses.sort();
    Some((claims, addresses))
}

#[tokio::test]
async fn of_a_name_only_what_is_about_its_addresses_is_read() {
    const FIELDS: &[&str] = &["metadata.name", "spec.address", "spec.claim.name"];
    // One has two objects, and the address of one of them is also another claim's.
    let claims = &["one", "two", "other", "waits"];
    let addresses = &[
        ("one", "p-1", "10.0.0.1"),
        ("one", "p-2", "10.0.0.2"),
        ("two", "twin", "10.0.0.2"),
        ("other", "p-3", "10.0.0.3"),
        ("gone", "p-4", "10.0.0.4"),
    ];
    let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    let (client, asked) = selecting(claims, addresses, FIELDS);
    let found = read_named(&client, "one").await.unwrap();
    assert_eq!(
        found,
        (owned(&["one", "two"]), owned(&["p-1", "p-2", "twin"]))
    );
    let found = read_named(&client, "p-3").await.unwrap();
    assert_eq!(found, (owned(&["other"]), owned(&["p-3"])));
    let found = read_named(&client, "p-4").await.unwrap();
    assert_eq!(found, (vec![], owned(&["p-4"])));
    let lists = |asked: &Arc<Mutex<Vec<String>>>| {
        let asked = asked.lock().unwrap();
        let whole = asked.iter().filter(|target| {
            target.starts_with("/ipaddresses?") && !target.contains("fieldSelector")
        });
        whole.count()
    };
    assert_eq!(lists(&asked), 0);
    // What the others decide, and what may be an owner's name.
    for name in ["waits", "machine", "no name, at=all"] {
        assert_eq!(read_named(&client, name).await, None, "{name}");
    }

    // Upstream's definitions select by name alone: all are read, once.
    let (client, asked) = selecting(claims, addresses, &["metadata.name"]);
    let found = read_named(&client, "one").await.unwrap();
    assert_eq!(
        found,
        (owned(&["one", "two"]), owned(&["p-1", "p-2", "twin"]))
    );
    assert_eq!(lists(&asked), 1);
}
