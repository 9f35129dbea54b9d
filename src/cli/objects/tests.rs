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
        "ipclaims.ipam.metal3.io: you may not (403)",
        "ipaddresses.ipam.metal3.io: no message (500)",
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
    let objects = Objects::read_at(&mut reader, None, ip).await.unwrap();
    let found: Vec<&str> = objects.addresses.iter().map(|a| &*a.meta.name).collect();
    assert_eq!((found, names(&objects)), (vec!["y"], vec!["one"]));
    assert_eq!(reader.unread, [""; 0]);
    let asked = asked.lock().unwrap();
    let selects = |target: &&String| target.ends_with("&fieldSelector=spec.address%3D10.0.0.2");
    assert_eq!(asked.iter().filter(selects).count(), 1, "{asked:?}");
}

/// A server of IPPool p with these claims and address objects, as claim, name and address, that selects by these fields. A claim's
/// name begins with its owner's.
fn selecting(
    claims: &'static [&'static str],
    addresses: &'static [(&'static str, &'static str, &'static str)],
    fields: &'static [&'static str],
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let owned_claim = |name: &&str| {
        let (owner, _) = name.split_once('-').unwrap_or((name, ""));
        let mut claim = claim(name);
        claim["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Owner", "name": format!("{owner}-owner"), "uid": "u"}]);
        claim
    };
    let address = |(of, name, ip): &(&str, &str, &str)| {
        let spec = json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": of}});
        json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "spec": spec})
    };
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
    let pool = json!({"metadata": {"namespace": "a", "name": "p", "uid": "p"}, "spec": {"namePrefix": "p", "pools": range}});
    let lists: BTreeMap<&str, Vec<Value>> = BTreeMap::from([
        ("ippools", vec![pool]),
        ("ipclaims", claims.iter().map(owned_claim).collect()),
        ("ipaddresses", addresses.iter().map(address).collect()),
    ]);
    server(move |target, _| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (_, last) = path.rsplit_once('/').unwrap();
        let Some(all) = lists.get(last) else {
            let mut claims = lists["ipclaims"].iter();
            let its = claims.find(|claim| claim["metadata"]["name"] == last);
            let none = (404, json!({"kind": "Status", "code": 404}));
            return its.map_or(none, |claim| (200, claim.clone()));
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

/// Names of the claims and address objects that were read, in order.
fn read_names(objects: &Objects) -> (Vec<&str>, Vec<&str>) {
    let claims = objects.claims.iter().map(|c| &*c.meta.name);
    let addresses = objects.addresses.iter().map(|a| &*a.meta.name);
    let (mut claims, mut addresses): (Vec<_>, Vec<_>) = (claims.collect(), addresses.collect());
    claims.sort_unstable();
    addresses.sort_unstable();
    (claims, addresses)
}

/// Lists of address objects that were asked for as a whole.
fn whole_lists(asked: &Arc<Mutex<Vec<String>>>) -> usize {
    let asked = asked.lock().unwrap();
    let whole =
        |target: &&String| target.contains("/ipaddresses?") && !target.contains("fieldSelector");
    asked.iter().filter(whole).count()
}

const ALL_FIELDS: &[&str] = &[
    "metadata.name",
    "spec.address",
    "spec.claim.name",
    "spec.pool.name",
];
/// One has two objects, and the address of one of them is also another claim's.
const CLAIMS: &[&str] = &["one", "two", "other", "waits"];
const ADDRESSES: &[(&str, &str, &str)] = &[
    ("one", "p-1", "10.0.0.1"),
    ("one", "p-2", "10.0.0.2"),
    ("two", "twin", "10.0.0.2"),
    ("other", "p-3", "10.0.0.3"),
    ("gone", "p-4", "10.0.0.4"),
];
const OF_ONE: (&[&str], &[&str]) = (&["one", "two"], &["p-1", "p-2", "twin"]);

#[tokio::test]
async fn of_a_name_only_what_is_about_its_addresses_is_read() {
    let (client, asked) = selecting(CLAIMS, ADDRESSES, ALL_FIELDS);
    let nothing: &[&str] = &[];
    for (name, (claims, addresses)) in [
        ("one", OF_ONE),
        ("one-owner", OF_ONE),
        ("p-3", (&["other"][..], &["p-3"][..])),
        ("p-4", (nothing, &["p-4"][..])),
        ("gone", (nothing, &["p-4"][..])),
        ("machine", (nothing, nothing)),
    ] {
        let mut reader = Reader::new(&client);
        let objects = Objects::read_named(&mut reader, None, name).await.unwrap();
        let (found_claims, found) = read_names(&objects);
        assert_eq!((&*found_claims, &*found), (claims, addresses), "{name}");
        assert_eq!((reader.unread, objects.strange), (vec![], vec![]), "{name}");
    }
    // All of the pool decides about a claim that waits.
    for name in ["waits", "waits-owner"] {
        let mut reader = Reader::new(&client);
        let objects = Objects::read_named(&mut reader, None, name).await.unwrap();
        assert_eq!(objects.claims.len(), CLAIMS.len(), "{name}");
        assert_eq!(objects.addresses.len(), ADDRESSES.len(), "{name}");
    }
    assert_eq!(whole_lists(&asked), 0);
    let mut reader = Reader::new(&client);
    let no_name = Objects::read_named(&mut reader, None, "no name, at=all").await;
    assert!(no_name.is_none());

    // Upstream's definitions select by name alone: all are read, once.
    let (client, asked) = selecting(CLAIMS, ADDRESSES, &["metadata.name"]);
    let mut reader = Reader::new(&client);
    let objects = Objects::read_named(&mut reader, None, "one").await.unwrap();
    let (claims, addresses) = read_names(&objects);
    assert_eq!((&*claims, &*addresses), OF_ONE);
    assert_eq!(whole_lists(&asked), 1);
}

#[tokio::test]
async fn of_a_free_address_all_of_its_pool_is_read() {
    let (client, asked) = selecting(CLAIMS, ADDRESSES, ALL_FIELDS);
    let mut reader = Reader::new(&client);
    for (address, claims, addresses) in [("10.0.0.1", 1, 1), ("10.0.0.9", 4, 5)] {
        let address = address.parse().unwrap();
        let objects = Objects::read_at(&mut reader, None, address).await.unwrap();
        assert_eq!(objects.claims.len(), claims, "{address}");
        assert_eq!(objects.addresses.len(), addresses, "{address}");
    }
    assert_eq!(whole_lists(&asked), 0);
    // In no pool: an object of whatever pool may have it in another spelling.
    let elsewhere = "10.9.9.9".parse().unwrap();
    assert!(
        Objects::read_at(&mut reader, None, elsewhere)
            .await
            .is_none()
    );
    assert_eq!(reader.unread, [""; 0]);
}

/// A claim of the other pool may be about to get the address, or show it.
#[tokio::test]
async fn of_an_address_that_two_pools_cover_the_one_without_an_object_is_read_whole() {
    let pool = |namespace: &str| {
        let spec = json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]});
        json!({"metadata": {"namespace": namespace, "name": "p", "uid": namespace}, "spec": spec})
    };
    let (client, _) = server(move |target, _| {
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/ippools" => page(&[pool("a"), pool("b")], ""),
            "/ipaddresses" => {
                let spec =
                    json!({"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "one"}});
                page(
                    &[
                        json!({"metadata": {"namespace": "a", "name": "x", "uid": "x"}, "spec": spec}),
                    ],
                    "",
                )
            }
            "/namespaces/a/ipclaims/one" => (200, claim("one")),
            "/namespaces/b/ipclaims" => {
                let mut kept = claim("kept");
                kept["metadata"]["namespace"] = json!("b");
                page(&[kept], "")
            }
            _ => page(&[], ""),
        }
    });
    let mut reader = Reader::new(&client);
    let address = "10.0.0.1".parse().unwrap();
    let objects = Objects::read_at(&mut reader, None, address).await.unwrap();
    assert_eq!(names(&objects), ["kept", "one"]);
    assert_eq!(reader.unread, [""; 0]);
}

/// In a pool that is inconsistent another object may have the address too, in a spelling that no selector finds.
#[tokio::test]
async fn of_an_address_in_an_inconsistent_pool_all_of_the_pool_is_read() {
    for (consistent, found) in [("True", &["p-1"][..]), ("False", &["p-1", "twin"])] {
        let (client, _) = server(move |target, _| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let range = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
            let condition = json!({"type": "Consistent", "status": consistent, "reason": "R", "message": "",
                "lastTransitionTime": "2026-11-01T12:00:00Z"});
            let pool = json!({"metadata": {"namespace": "a", "name": "p", "uid": "p"}, "spec": {"namePrefix": "p", "pools": range},
                "status": {"conditions": [condition]}});
            let address = |of: &str, name: &str, ip: &str| {
                let spec = json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": of}});
                json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "spec": spec})
            };
            let (one, twin) = (
                address("one", "p-1", "10.0.0.1"),
                address("two", "twin", "::ffff:10.0.0.1"),
            );
            match path.rsplit_once('/').unwrap().1 {
                "ippools" => page(&[pool], ""),
                "ipclaims" => page(&[claim("one"), claim("two")], ""),
                "one" => (200, claim("one")),
                "ipaddresses" if query.contains("spec.address%3D10.0.0.1") => page(&[one], ""),
                "ipaddresses" if query.contains("spec.address") => page(&[], ""),
                "ipaddresses" => page(&[one, twin], ""),
                _ => page(&[], ""),
            }
        });
        let mut reader = Reader::new(&client);
        let address = "10.0.0.1".parse().unwrap();
        let objects = Objects::read_at(&mut reader, None, address).await.unwrap();
        assert_eq!(read_names(&objects).1, found, "{consistent}");
        assert_eq!(reader.unread, [""; 0]);
    }
}

/// A12: the object of another pool may have the name that a claim would get next.
#[tokio::test]
async fn of_a_claim_that_waits_the_objects_that_have_its_names_are_read() {
    let (client, asked) = server(|target, _| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pool = |name: &str| {
            let range = json!([{"start": "10.0.0.1", "end": "10.0.0.1"}]);
            json!({"metadata": {"namespace": "a", "name": name, "uid": name, "finalizers": ["ippool.ipam.metal3.io"]},
                "spec": {"namePrefix": "p", "pools": range}})
        };
        let mut waits = claim("waits");
        waits["metadata"]["finalizers"] = json!(["ipclaim.ipam.metal3.io"]);
        let spec = json!({"address": "10.0.0.1", "pool": {"name": "q"}, "claim": {"name": "one"}});
        let taken =
            json!({"metadata": {"namespace": "a", "name": "p-10-0-0-1", "uid": "t"}, "spec": spec});
        match path.rsplit_once('/').unwrap().1 {
            "ippools" => page(&[pool("p"), pool("q")], ""),
            "ipclaims" => page(&[waits], ""),
            "p%2D10%2D0%2D0%2D1" => (200, taken),
            "ipaddresses" if query.contains("fieldSelector") => page(&[], ""),
            "ipaddresses" => page(&[taken], ""),
            _ => page(&[], ""),
        }
    });
    let mut reader = Reader::new(&client);
    let objects = Objects::read_named(&mut reader, None, "waits").await;
    let objects = objects.unwrap();
    let namesakes: Vec<&str> = objects.namesakes.iter().map(|a| &*a.meta.name).collect();
    assert_eq!(namesakes, ["p-10-0-0-1"]);
    assert!(objects.addresses.is_empty());
    assert_eq!(whole_lists(&asked), 0);
    assert_eq!(reader.unread, [""; 0]);
}
