//! The certificate is read for each connection, and rotated under load.

use super::harness::{Authority, CLAIM, Running, claim, connect, of_claim, post, put, send};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::*;

#[tokio::test]
async fn without_certificate_it_is_not_ready_and_serves_once_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Folder(folder.path().join("certs"));
    let certificates = Arc::new(Certificates::new(
        source,
        TlsOptions::default(),
        Arc::default(),
    ));
    let server = Running::with(
        Authority::new(),
        Arc::clone(&certificates),
        BTreeMap::new(),
        Scope::default(),
    )
    .await;
    let why = certificates.ready().unwrap_err();
    assert!(
        why.contains("tls.crt cannot be read") && why.contains("--webhook-cert-dir"),
        "{why}"
    );
    assert!(server.connect().await.is_err());

    let folder = folder.path().join("certs");
    fs::create_dir(&folder).unwrap();
    let (good, served) = server.authority.pair();
    put(&folder, 1, &good);
    assert_eq!(certificates.ready(), Ok(()));
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);

    // What does not fit together, what is garbage, and what is gone: the last good pair goes on.
    let (other, _) = server.authority.pair();
    let key = other.key.clone();
    put(
        &folder,
        2,
        &Pair {
            key,
            ..good.clone()
        },
    );
    for version in 3..5 {
        let stream = server.connect().await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
        let key = b"garbage".to_vec();
        put(
            &folder,
            version,
            &Pair {
                key,
                ..good.clone()
            },
        );
    }
    fs::remove_file(folder.join("..data")).unwrap();
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
    assert_eq!(certificates.ready(), Ok(()));
    let (next, served) = server.authority.pair();
    put(&folder, 9, &next);
    let stream = server.connect().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
}

/// What came of reviews beside the rotations.
#[derive(Default)]
struct Reviews {
    /// Begun.
    begun: AtomicU64,
    answered: AtomicU64,
    /// What went wrong, in words.
    failed: Mutex<Vec<String>>,
    /// Certificates that new connections met.
    met: Mutex<BTreeSet<Vec<u8>>>,
    /// Rung after each answer.
    progress: tokio::sync::Notify,
}

impl Reviews {
    /// One review over a connection that it opens, as only such a one meets a new certificate.
    async fn over_a_new_connection(&self, addr: SocketAddr, tls: TlsConnector, body: Bytes) {
        let answer = async {
            let stream = connect(addr, tls).await.map_err(|e| e.to_string())?;
            let certificates = stream.get_ref().1.peer_certificates().unwrap();
            let certificate = certificates[0].to_vec();
            let answer = send(stream, post(CLAIM, body)).await;
            self.met.lock().unwrap().insert(certificate);
            answer.map_err(|e| e.to_string())
        };
        self.came(answer.await);
    }

    /// One review over a connection that lasts, as an API server keeps one.
    async fn over_a_kept_connection(&self, mut kept: SendRequest<Full<Bytes>>, body: Bytes) {
        let answer = async {
            let answer = kept.send_request(post(CLAIM, body)).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head.status, String::from_utf8_lossy(&body).into_owned()))
        };
        self.came(answer.await.map_err(|e| e.to_string()));
    }

    fn came(&self, answer: Result<(StatusCode, String), String>) {
        match answer {
            Ok((StatusCode::OK, _)) => {
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok((status, text)) => self.failed.lock().unwrap().push(format!("{status} {text}")),
            Err(why) => self.failed.lock().unwrap().push(why),
        }
        self.progress.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_rotations_under_200_reviews_a_second_and_none_fails() {
    const ROTATIONS: usize = 100;
    /// Reviews that begin between two rotations, at least; and so many that one of them must have met the new certificate.
    const BETWEEN: u64 = 20;
    const MOST: u64 = 100 * BETWEEN;
    const A_SECOND: u32 = 200;
    /// Reviews at one time: a slow machine reaches a lower rate instead of a longer queue.
    const AT_ONCE: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (first, mut certificate) = authority.pair();
    put(folder.path(), 0, &first);
    let source = Source::Folder(folder.path().to_owned());
    let certificates = Arc::new(Certificates::new(
        source,
        TlsOptions::default(),
        Arc::default(),
    ));
    let server = Running::with(authority, certificates, BTreeMap::new(), Scope::default()).await;

    let (reviews, stop) = (Arc::new(Reviews::default()), CancellationToken::new());
    let (addr, tls) = (server.addr, server.authority.client());
    let stream = TokioIo::new(server.connect().await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (kept, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let asking = tokio::spawn({
        let (reviews, stop) = (Arc::clone(&reviews), stop.clone());
        async move {
            let body = Bytes::from(of_claim(&claim(&json!({"name": "c"}))).to_string());
            let mut tick = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
            let (places, tasks) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
            while !stop.is_cancelled() {
                tick.tick().await;
                let place = Arc::clone(&places).acquire_owned().await.unwrap();
                let (reviews, body) = (Arc::clone(&reviews), body.clone());
                let (tls, kept) = (tls.clone(), kept.clone());
                let even = reviews
                    .begun
                    .fetch_add(1, Ordering::SeqCst)
                    .is_multiple_of(2);
                tasks.spawn(async move {
                    if even {
                        reviews.over_a_new_connection(addr, tls, body).await;
                    } else {
                        reviews.over_a_kept_connection(kept, body).await;
                    }
                    drop(place);
                });
            }
            tasks.close();
            tasks.wait().await;
        }
    });
    let begun = std::time::Instant::now();
    for version in 0..=ROTATIONS {
        if version > 0 {
            let (pair, next) = server.authority.pair();
            put(folder.path(), version, &pair);
            certificate = next;
        }
        let before = reviews.begun.load(Ordering::SeqCst);
        let mut since = 0;
        while since < BETWEEN || !reviews.met.lock().unwrap().contains(certificate.as_ref()) {
            assert!(since < MOST, "no review meets certificate {version}");
            let progress = reviews.progress.notified();
            let waited = tokio::time::timeout(Duration::from_secs(30), progress).await;
            let failed = reviews.failed.lock().unwrap().clone();
            assert!(waited.is_ok(), "no review is answered any more: {failed:?}");
            since = reviews.begun.load(Ordering::SeqCst) - before;
        }
    }
    let took = begun.elapsed();
    stop.cancel();
    asking.await.unwrap();

    let answered = reviews.answered.load(Ordering::SeqCst);
    let failed = reviews.failed.lock().unwrap().clone();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = answered as f64 / took.as_secs_f64();
    println!(
        "{ROTATIONS} rotations, {answered} reviews, {} failed, {rate:.0} reviews/s (wanted {A_SECOND})",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    let met = reviews.met.lock().unwrap().len();
    assert_eq!(met, ROTATIONS + 1, "each certificate was met by a review");
    assert_eq!(answered, reviews.begun.load(Ordering::SeqCst));
}
