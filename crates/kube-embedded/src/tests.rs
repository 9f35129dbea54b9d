//! The server as a whole, from both doors, over restarts.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
    WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource, ResourceExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Clock, InMemory, InMemoryOptions, Listening, Options, Server, ServerError};
use crate::testing::{Gadget, Widget, WidgetSpec};

/// Longest time that anything here may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(elapsed) => panic!("{what}: {elapsed}"),
    }
}

async fn open(dir: &Path) -> Server {
    let data_dir = dir.to_owned();
    Server::open(Options {
        data_dir,
        serves: crate::testing::serves(),
    })
    .await
    .unwrap()
}

async fn listen(server: &Server) -> Listening {
    server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// A client as everyone outside has one: from the kubeconfig.
async fn outside(server: &Server, addr: SocketAddr) -> Client {
    let path = server.write_kubeconfig(addr).unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn widget(name: &str) -> Widget {
    let spec = WidgetSpec {
        model: "p".to_owned(),
        ..WidgetSpec::default()
    };
    Widget::new(name, spec)
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer of the server: {other}"),
    }
}

/// The next event of a watch, by its word and the object's name; `None` at its end.
async fn event<K: ResourceExt>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin),
) -> Option<(&'static str, String)> {
    match soon("an event", events.next()).await?.unwrap() {
        WatchEvent::Added(object) => Some(("added", object.name_any())),
        WatchEvent::Modified(object) => Some(("modified", object.name_any())),
        WatchEvent::Deleted(object) => Some(("deleted", object.name_any())),
        WatchEvent::Bookmark(_) => Some(("bookmark", String::new())),
        WatchEvent::Error(status) => panic!("{status:?}"),
    }
}

/// What every client of these kinds does; over TLS and in process the same.
async fn every_verb(client: Client) {
    let widgets: Api<Widget> = Api::default_namespaced(client.clone());
    let before = widgets.list(&ListParams::default()).await.unwrap();
    assert_eq!(before.items.len(), 0);
    let since = before.metadata.resource_version.unwrap();
    let watching = widgets
        .watch(&WatchParams::default(), &since)
        .await
        .unwrap();
    let mut events = watching.boxed();

    let made = widgets
        .create(&PostParams::default(), &widget("a"))
        .await
        .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(event(&mut events).await.unwrap(), ("added", "a".to_owned()));
    let again = widgets
        .create(&PostParams::default(), &widget("a"))
        .await
        .unwrap_err();
    assert_eq!(code(&again), 409);

    let merge = json!({"spec": {"size": 24}});
    let params = PatchParams::default();
    let patched = widgets
        .patch("a", &params, &Patch::Merge(merge))
        .await
        .unwrap();
    assert_eq!(patched.spec.size, Some(24));
    let json: json_patch::Patch =
        serde_json::from_value(json!([{"op": "test", "path": "/spec/size", "value": 24},
        {"op": "replace", "path": "/spec/size", "value": 25}]))
        .unwrap();
    let patched = widgets
        .patch("a", &params, &Patch::Json::<()>(json))
        .await
        .unwrap();
    assert_eq!(
        (patched.spec.size, patched.metadata.generation),
        (Some(25), Some(3))
    );
    let stale = widgets
        .replace("a", &PostParams::default(), &made)
        .await
        .unwrap_err();
    assert_eq!(code(&stale), 409);
    let status = json!({"status": {"capacity": 9}});
    let patched = widgets
        .patch_status("a", &params, &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(patched.status.unwrap().capacity, Some(9));
    for _ in 0..3 {
        assert_eq!(
            event(&mut events).await.unwrap(),
            ("modified", "a".to_owned())
        );
    }

    let metadata = widgets.get_metadata("a").await.unwrap();
    assert_eq!(metadata.metadata.uid, made.metadata.uid);
    let labelled = ListParams::default().labels("a=b");
    assert_eq!(
        widgets.list_metadata(&labelled).await.unwrap().items.len(),
        0
    );
    assert!(widgets.get_opt("none").await.unwrap().is_none());

    let wrong = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some("other".to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    assert_eq!(code(&widgets.delete("a", &wrong).await.unwrap_err()), 409);
    let gone = widgets
        .delete("a", &DeleteParams::background())
        .await
        .unwrap();
    assert!(gone.right().unwrap().is_success());
    assert_eq!(
        event(&mut events).await.unwrap(),
        ("deleted", "a".to_owned())
    );

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace {
        metadata: kube::api::ObjectMeta {
            generate_name: Some("n-".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &made.name_any());
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let map: ConfigMap = serde_json::from_value(map).unwrap();
    assert_eq!(
        maps.create(&PostParams::default(), &map)
            .await
            .unwrap()
            .data,
        map.data
    );
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let group = client
        .list_api_group_resources("example.com/v1alpha1")
        .await
        .unwrap();
    assert!(group.resources.iter().any(|r| r.kind == Gadget::kind(&())));
}

#[tokio::test]
async fn a_client_in_process_and_one_outside_see_the_same_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    every_verb(server.client()).await;
    let listening = listen(&server).await;
    every_verb(outside(&server, listening.addr).await).await;
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn a_restart_keeps_objects_and_credentials_and_ends_watches() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let second = Server::open(Options {
        data_dir: dir.path().to_owned(),
        serves: crate::testing::serves(),
    })
    .await;
    assert!(
        matches!(second, Err(ServerError::Open(_))),
        "one server a folder"
    );

    let listening = listen(&server).await;
    let client = outside(&server, listening.addr).await;
    let widgets: Api<Widget> = Api::default_namespaced(client);
    let made = widgets
        .create(&PostParams::default(), &widget("kept"))
        .await
        .unwrap();
    let inside: Api<Widget> = Api::default_namespaced(server.client());
    let mut watches = [
        widgets
            .watch(&WatchParams::default(), "0")
            .await
            .unwrap()
            .boxed(),
        inside
            .watch(&WatchParams::default(), "0")
            .await
            .unwrap()
            .boxed(),
    ];
    for watch in &mut watches {
        assert_eq!(event(watch).await.unwrap(), ("added", "kept".to_owned()));
    }
    let kubeconfig = std::fs::read_to_string(dir.path().join("kubeconfig")).unwrap();
    soon("stopping", listening.stop()).await;
    assert_eq!(event(&mut watches[0]).await, None, "a clean end, no error");
    soon("closing", server.close()).await;
    assert_eq!(event(&mut watches[1]).await, None);
    drop((watches, widgets, inside));

    let server = reopen(dir.path()).await;
    let listening = listen(&server).await;
    let client = outside(&server, listening.addr).await;
    let again = std::fs::read_to_string(dir.path().join("kubeconfig")).unwrap();
    let without_port = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("\"server\""))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(without_port(&kubeconfig), without_port(&again));
    let widgets: Api<Widget> = Api::default_namespaced(client);
    assert_eq!(widgets.get("kept").await.unwrap(), made);
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn the_data_folder_is_its_owners_alone_also_where_it_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open_to_all = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    open_to_all(&data, 0o755);
    // The program itself may lie there.
    let program = data.join("program");
    std::fs::write(&program, "").unwrap();
    open_to_all(&program, 0o755);
    for round in ["made", "opened again"] {
        let server = reopen(&data).await;
        server
            .write_kubeconfig("127.0.0.1:1".parse().unwrap())
            .unwrap();
        assert_eq!(mode(&data), 0o700, "{round}");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            if path == program {
                assert_eq!(mode(&path), 0o755, "{round}: what is not the server's");
                continue;
            }
            assert_eq!(mode(&path), 0o600, "{round}: {}", path.display());
            names.push(path.file_name().unwrap().to_owned());
            open_to_all(&path, 0o644);
        }
        assert!(
            names.contains(&"store.redb".into()) && names.len() == 5,
            "{names:?}"
        );
        open_to_all(&data, 0o777);
        server.close().await;
    }
}

#[tokio::test]
async fn in_a_folder_that_all_users_share_other_files_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(dir.path(), 0o1777);
    let anybodys = dir.path().join("script.sh");
    std::fs::write(&anybodys, "true").unwrap();
    set_mode(&anybodys, 0o755);
    let server = reopen(dir.path()).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&anybodys), 0o755);
    assert_eq!(mode(&dir.path().join("store.redb")), 0o600);
    server.close().await;
}

/// Opens the folder as soon as the last client of the server before has let go of it.
async fn reopen(dir: &Path) -> Server {
    soon("the folder to be free", async {
        loop {
            match Server::open(Options {
                data_dir: dir.to_owned(),
                serves: crate::testing::serves(),
            })
            .await
            {
                Ok(server) => return server,
                Err(ServerError::Open(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await
}

/// A TLS connection that speaks HTTP by hand.
async fn connect(dir: &Path, addr: SocketAddr) -> TlsStream<TcpStream> {
    connect_as(dir, addr, "localhost").await.unwrap()
}

/// As [`connect`], by a client that knows the server by this name or address.
async fn connect_as(
    dir: &Path,
    addr: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_with(dir, addr, name, &[]).await
}

/// The same, for these protocols.
async fn connect_with(
    dir: &Path,
    addr: SocketAddr,
    name: &str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let pem = std::fs::read(dir.join("ca.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

/// Sends this and reads until the server has no more to say.
async fn say(dir: &Path, addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(dir, addr).await;
    // The server may have answered and closed before it read all.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn strangers_and_broken_clients_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let addr = listening.addr;
    let ask = async |request: &str| say(dir.path(), addr, request.as_bytes()).await;

    let health = ask("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(
        health.starts_with("HTTP/1.1 200") && health.ends_with("ok"),
        "{health}"
    );
    let nobody = ask("GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(
        nobody.starts_with("HTTP/1.1 401") && nobody.contains("\"Unauthorized\""),
        "{nobody}"
    );
    assert!(ask("garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let long = ask(&long).await;
    assert!(
        long.is_empty() || long.starts_with("HTTP/1.1 431"),
        "{long}"
    );
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let big = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n"
    );
    let big = ask(&big).await;
    assert!(
        big.starts_with("HTTP/1.1 413"),
        "said before the body is sent: {big}"
    );

    // Some say nothing, some stop in the middle of a request or of a body, one talks without TLS.
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut half = connect(dir.path(), addr).await;
    half.write_all(b"GET /healthz HT").await.unwrap();
    let mut waiting = connect(dir.path(), addr).await;
    let head = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 5\r\n\r\n{{"
    );
    waiting.write_all(head.as_bytes()).await.unwrap();
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut nothing = Vec::new();
    // An alert at most, and the end.
    let _ = soon(
        "the end of a plain connection",
        plain.read_to_end(&mut nothing),
    )
    .await;
    assert!(!nothing.starts_with(b"HTTP"));
    let client = outside(&server, addr).await;
    let namespaces: Api<Namespace> = Api::all(client);
    assert!(
        namespaces
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len()
            >= 4
    );

    soon("stopping beside clients that never end", listening.stop()).await;
    assert!(
        TcpStream::connect(addr).await.is_err(),
        "nobody listens there any more"
    );
    drop((silent, half, waiting));
    server.close().await;
}

/// What the server counts, as it is scraped.
struct Scrape(prometheus::Registry);

impl Scrape {
    fn of(server: &Server) -> Self {
        let registry = prometheus::Registry::new();
        server.register(&registry).unwrap();
        Self(registry)
    }

    fn text(&self) -> String {
        let encoder = prometheus::TextEncoder::new();
        encoder.encode_to_string(&self.0.gather()).unwrap()
    }

    /// Waits until a line is there.
    async fn until(&self, line: &str) {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let there = async {
            while !self.text().lines().any(|l| l == line) {
                look.tick().await;
            }
        };
        let there = tokio::time::timeout(PATIENCE, there).await;
        assert!(there.is_ok(), "waited for {line} in {}", self.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_let_go_and_one_that_has_nothing_to_read_stays() {
    /// More than the system's buffers of a connection take.
    const MAPS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let unread = Duration::from_secs(1);
    let listening = server.listen_with(local, local.ip(), &[], unread).await;
    let listening = listening.unwrap();
    let scrape = Scrape::of(&server);
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    for n in 0..MAPS {
        let data = json!({"a": "x".repeat(1_000_000)});
        let map = json!({"metadata": {"name": format!("m{n}")}, "data": data});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let widgets: Api<Widget> = Api::default_namespaced(outside(&server, listening.addr).await);
    let quiet = widgets.watch(&WatchParams::default(), "0").await.unwrap();
    let mut quiet = std::pin::pin!(quiet);

    // HTTP/1.1.
    let mut first = connect(dir.path(), listening.addr).await;
    let request = format!(
        "GET /api/v1/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    first.write_all(request.as_bytes()).await.unwrap();
    scrape
        .until("some_operator_connections_closed_total{reason=\"unread\"} 1")
        .await;
    let mut read = Vec::new();
    let _ = soon("the end of what was sent", first.read_to_end(&mut read)).await;
    assert!(read.starts_with(b"HTTP/1.1 200"));
    assert!(read.len() < MAPS * 1_000_000, "{} bytes", read.len());

    // HTTP/2: of two streams of one connection that is well otherwise, one is not read.
    let stream = connect_h2(dir.path(), listening.addr).await;
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // Less than one object.
    client.initial_stream_window_size(65_535);
    let handshake = client.handshake::<_, Empty<Bytes>>(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let asked = |path: &str| {
        let request = http::Request::get(format!("https://localhost{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let unread = sender
        .send_request(asked("/api/v1/namespaces/default/configmaps/m0"))
        .await;
    let unread = unread.unwrap();
    assert_eq!(unread.status(), 200);
    let beside = sender.send_request(asked("/version")).await.unwrap();
    assert_eq!(beside.status(), 200);
    scrape
        .until("some_operator_connections_closed_total{reason=\"unread\"} 2")
        .await;
    assert!(unread.into_body().collect().await.is_err(), "it is cut off");
    let _ = soon("the end of the connection", connection).await;

    // The watch that had nothing to send all the time is still there.
    widgets
        .create(&PostParams::default(), &widget("late"))
        .await
        .unwrap();
    let event = soon("an event", quiet.try_next()).await.unwrap();
    assert!(matches!(event, Some(WatchEvent::Added(p)) if p.name_any() == "late"));
    listening.stop().await;
    server.close().await;
}

/// As [`connect`], for HTTP/2.
async fn connect_h2(dir: &Path, addr: SocketAddr) -> TlsStream<TcpStream> {
    connect_with(dir, addr, "localhost", &[b"h2"])
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_watches_connections_and_commits_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let scrape = Scrape::of(&server);
    let widgets: Api<Widget> = Api::default_namespaced(outside(&server, listening.addr).await);
    let post = PostParams::default();
    widgets.create(&post, &widget("a")).await.unwrap();
    assert!(widgets.create(&post, &widget("a")).await.is_err());
    let watch = widgets.watch(&WatchParams::default(), "0").await.unwrap();
    let mut watch = Box::pin(watch);
    soon("the first event", watch.try_next()).await.unwrap();
    say(
        dir.path(),
        listening.addr,
        b"GET /secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;

    let labels = |verb: &str| {
        format!(
            "group=\"example.com\",resource=\"widgets\",subresource=\"\",verb=\"{verb}\",version=\"v1alpha1\""
        )
    };
    let requests = |verb: &str, code: &str, n: u64| {
        format!(
            "apiserver_request_total{{code=\"{code}\",{}}} {n}",
            labels(verb)
        )
    };
    let open = |n: u64| {
        format!(
            "apiserver_longrunning_requests{{group=\"example.com\",resource=\"widgets\",verb=\"WATCH\",version=\"v1alpha1\"}} {n}"
        )
    };
    for line in [
        requests("POST", "201", 1),
        requests("POST", "409", 1),
        requests("WATCH", "200", 1),
        // A path that is made up is no series.
        "apiserver_request_total{code=\"401\",group=\"\",resource=\"\",subresource=\"\",verb=\"GET\",version=\"\"} 1".to_owned(),
        format!("apiserver_request_duration_seconds_count{{{}}} 2", labels("POST")),
        open(1),
        "some_operator_connections{state=\"busy\"} 1".to_owned(),
    ] {
        scrape.until(&line).await;
    }
    // One that says nothing is closed after some seconds, which a busy machine may miss: then another takes its place.
    let none = "some_operator_connections{state=\"unauthenticated\"} 0";
    let mut silent = Vec::new();
    soon("a silent connection to be counted", async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while scrape.text().lines().any(|line| line == none) {
            silent.push(TcpStream::connect(listening.addr).await.unwrap());
            look.tick().await;
        }
    })
    .await;
    let text = scrape.text();
    assert!(!text.contains(&format!("seconds_count{{{}}}", labels("WATCH"))));
    let value = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(value("some_operator_store_commit_seconds_count ") >= 1);
    let size = std::fs::metadata(dir.path().join("store.redb")).unwrap();
    assert_eq!(value("apiserver_storage_size_bytes "), size.len());
    drop((watch, silent));
    scrape.until(&open(0)).await;
    scrape.until(none).await;
    listening.stop().await;
    server.close().await;
}

/// Silent strangers that a server has to bear.
const CROWD: usize = 2_000;
/// Longest wait for an answer beside them: far below the time that they may be silent for.
const BESIDE_THEM: Duration = Duration::from_secs(5);

#[tokio::test]
async fn thousands_of_silent_strangers_keep_no_client_out() {
    rlimit::increase_nofile_limit(6_000).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let addr = listening.addr;
    let mut crowd: Vec<TlsStream<TcpStream>> = Vec::new();
    while crowd.len() < CROWD {
        let some = (0..50).map(|_| connect(dir.path(), addr));
        let some = futures::future::join_all(some);
        match tokio::time::timeout(BESIDE_THEM, some).await {
            Ok(some) => crowd.extend(some),
            Err(elapsed) => panic!("after {} strangers: {elapsed}", crowd.len()),
        }
    }
    let start = std::time::Instant::now();
    let namespaces: Api<Namespace> = Api::all(outside(&server, addr).await);
    let params = ListParams::default();
    let listed = tokio::time::timeout(BESIDE_THEM, namespaces.list(&params)).await;
    let count = listed.expect("an answer beside the crowd").unwrap();
    assert_eq!(count.items.len(), 4);
    eprintln!("answered beside {CROWD} strangers in {:?}", start.elapsed());

    // A watch that is quiet is not idle: strangers that come later do not end it.
    let watching = namespaces.watch(&WatchParams::default(), "0").await;
    let mut events = watching.unwrap().boxed();
    for _ in 0..4 {
        assert_eq!(event(&mut events).await.unwrap().0, "added");
    }
    crowd.truncate(CROWD / 2);
    for _ in 0..20 {
        let some = (0..50).map(|_| connect(dir.path(), addr));
        crowd.extend(futures::future::join_all(some).await);
    }
    let late = Namespace {
        metadata: kube::api::ObjectMeta {
            name: Some("late".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let inside: Api<Namespace> = Api::all(server.client());
    inside.create(&PostParams::default(), &late).await.unwrap();
    assert_eq!(event(&mut events).await, Some(("added", "late".to_owned())));
    drop(crowd);
    soon("stopping", listening.stop()).await;
    server.close().await;
}

#[tokio::test]
async fn a_server_on_every_address_is_reached_by_name_and_address() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    for every in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
        let names = ["edge.example".to_owned(), "203.0.113.7".to_owned()];
        // As on every address, but that a test listens on loopback alone.
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listening = server
            .listen_with(loopback, every, &names, PATIENCE)
            .await
            .unwrap();
        // The kubeconfig leads there: to the first address that answers.
        let listens = SocketAddr::new(every, listening.addr.port());
        let namespaces: Api<Namespace> = Api::all(outside(&server, listens).await);
        let listed = soon("a list", namespaces.list(&ListParams::default())).await;
        assert!(listed.unwrap().items.len() >= 4);
        // A client elsewhere knows the server by these.
        let here = SocketAddr::from(([127, 0, 0, 1], listening.addr.port()));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        for name in ["edge.example", "203.0.113.7", "localhost", host.trim()] {
            connect_as(dir.path(), here, name).await.unwrap();
        }
        let stranger = connect_as(dir.path(), here, "other.example").await;
        assert!(stranger.is_err());
        listening.stop().await;
    }
    let path = server.write_kubeconfig_for("edge.example:6444").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("\"https://edge.example:6444\""), "{text}");
    server.close().await;
}

/// One thread for all: the server, a client with a heavy body, and one beside it.
#[tokio::test]
async fn a_heavy_body_keeps_nobody_else_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(outside(&server, listening.addr).await);
    let owners: Vec<serde_json::Value> = (0..20_000)
        .map(
            |n| json!({"apiVersion": "v1", "kind": "Namespace", "name": "n", "uid": n.to_string()}),
        )
        .collect();
    let map = json!({"metadata": {"name": "heavy", "ownerReferences": owners}});
    let map: ConfigMap = serde_json::from_value(map).unwrap();
    let namespaces: Api<Namespace> = Api::all(server.client());
    let params = PostParams::default();
    let mut heavy = std::pin::pin!(maps.create(&params, &map));
    let (mut beside, mut longest) = (0, Duration::ZERO);
    let mut last = std::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            answer = &mut heavy => {
                // Larger than what is stored, or stored: it was worked on.
                assert!(answer.is_ok_and(|map| map.owner_references().len() == 20_000) || beside > 0);
                break;
            }
            got = namespaces.get("default") => {
                got.unwrap();
                beside += 1;
                longest = longest.max(last.elapsed());
                last = std::time::Instant::now();
                tokio::task::yield_now().await;
            }
        }
    }
    eprintln!("{beside} answers beside a heavy body, the slowest after {longest:?}");
    assert!(beside > 0 && longest < BESIDE_THEM, "{beside}, {longest:?}");
    listening.stop().await;
    server.close().await;
}

/// What is overwritten while it is stalled can be used again: no snapshot is held for it.
#[tokio::test]
async fn a_watcher_that_stops_reading_holds_no_disk_space() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    // More than the sockets' buffers take.
    let filler = "x".repeat(100_000);
    for n in 0..200 {
        let map = json!({"metadata": {"name": format!("m{n}")}, "data": {"filler": filler}});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let mut stalled = connect(dir.path(), listening.addr).await;
    let request = format!(
        "GET /api/v1/configmaps?watch=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stalled.write_all(request.as_bytes()).await.unwrap();
    let mut some = [0; 1_000];
    soon("the first event", stalled.read_exact(&mut some))
        .await
        .unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.snapshots(), 0);
    drop(stalled);
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn a_watch_may_be_asked_for_longer_than_time_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let mut stream = connect(dir.path(), listening.addr).await;
    let request = format!(
        "GET /api/v1/namespaces?watch=1&timeoutSeconds=9223372036854775807 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("ADDED") {
        let read = soon("an event", stream.read_buf(&mut answer)).await;
        assert!(read.unwrap() > 0 && answer.starts_with(b"HTTP/1.1 200"));
    }
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn a_collection_of_thousands_goes_in_few_commits() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(outside(&server, listening.addr).await);
    let create = |n: usize| {
        let map = json!({"metadata": {"name": format!("m{n:04}")}});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        let maps = maps.clone();
        async move { maps.create(&PostParams::default(), &map).await.unwrap() }
    };
    futures::stream::iter(0..2_000)
        .map(create)
        .buffer_unordered(64)
        .for_each(async |_| ())
        .await;
    let before = server.commits();
    let params = (DeleteParams::default(), ListParams::default());
    let deleted = soon("a collection", maps.delete_collection(&params.0, &params.1)).await;
    assert_eq!(deleted.unwrap().left().unwrap().items.len(), 2_000);
    let commits = server.commits() - before;
    eprintln!("2,000 objects were deleted in {commits} commits");
    assert!(commits <= 500, "{commits} commits");
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn many_warnings_are_cut_to_what_clients_take() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let gadgets: Api<Gadget> = Api::default_namespaced(outside(&server, listening.addr).await);
    let finalizers: Vec<String> = (0..120).map(|n| format!("a{n}")).collect();
    let gadget = json!({"metadata": {"name": "c", "finalizers": finalizers}, "spec": {"widget": {"name": "p"}}});
    let gadget: Gadget = serde_json::from_value(gadget).unwrap();
    let made = gadgets.create(&PostParams::default(), &gadget).await;
    assert_eq!(made.unwrap().finalizers().len(), 120);
    listening.stop().await;
    server.close().await;
}

#[tokio::test]
async fn many_writers_and_watchers_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let listening = listen(&server).await;
    let client = outside(&server, listening.addr).await;
    let widgets: Api<Widget> = Api::default_namespaced(client);
    let names: Vec<String> = (0..100).map(|n| format!("widget-{n:03}")).collect();
    let watching = (0..10).map(async |_| {
        let events = widgets.watch(&WatchParams::default(), "0").await.unwrap();
        let seen: Vec<String> = events
            .map_ok(|event| match event {
                WatchEvent::Added(widget) => widget.name_any(),
                other => panic!("{other:?}"),
            })
            .take(names.len())
            .try_collect()
            .await
            .unwrap();
        seen
    });
    let writing = names.iter().map(async |name| {
        widgets
            .create(&PostParams::default(), &widget(name))
            .await
            .unwrap();
    });
    let both = futures::future::join(
        futures::future::join_all(watching),
        futures::future::join_all(writing),
    );
    let (seen, _) = soon("a hundred widgets", both).await;
    for mut seen in seen {
        seen.sort();
        assert_eq!(seen, names);
    }
    listening.stop().await;
    server.close().await;
}

/// A server in memory, at this moment of a clock that goes with tokio's time.
async fn in_memory(seed: u64) -> InMemory {
    let start = tokio::time::Instant::now();
    let wall: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = move || wall + start.elapsed();
    InMemory::open(InMemoryOptions {
        clock: Clock::new(clock),
        seed: Some(seed),
        ..InMemoryOptions::new(crate::testing::serves())
    })
    .await
    .unwrap()
}

/// What happens on it is a matter of its clock and its seed alone: two servers tell the same, byte for byte.
#[tokio::test(start_paused = true)]
async fn a_server_in_memory_does_the_same_twice() {
    let tell = async |seed| {
        let server = in_memory(seed).await;
        let widgets: Api<Widget> = Api::namespaced(server.client(), "default");
        let mut one = widget("a");
        let made = widgets.create(&PostParams::default(), &one).await.unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        one.metadata.name = None;
        one.metadata.generate_name = Some("b-".to_owned());
        widgets.create(&PostParams::default(), &one).await.unwrap();
        widgets.delete("a", &DeleteParams::default()).await.unwrap();
        let told = widgets
            .watch(
                &WatchParams::default().timeout(1),
                &made.resource_version().unwrap(),
            )
            .await
            .unwrap();
        let told: Vec<WatchEvent<Widget>> = told.try_collect().await.unwrap();
        server.close().await;
        serde_json::to_string(&told).unwrap()
    };
    let first = tell(1).await;
    assert!(first.contains("2026-01-01T01:00:00Z"), "{first}");
    assert_eq!(first, tell(1).await);
    assert_ne!(first, tell(2).await);
}
