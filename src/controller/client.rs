//! Clients as this controller needs them.

use std::sync::Arc;

use std::time::Duration;

use http::Request;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, Layer, ServiceExt};

use crate::observe::metrics::Metrics;

use super::ControllerError;

/// Time that a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection on which nothing moves is asked for a sign of life after this time, then in these intervals so many times: one
/// that died without a word is closed within 45 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// A client without retries of its own: kube's would send a create again for minutes, unseen by the pools; here the
/// pools decide what is sent again (R7). Connections are kept and used again. Use one for watches and another for writes,
/// so that neither waits for the other's connections.
///
/// # Errors
/// When the configuration's certificates or credentials cannot be used.
pub fn client(mut config: Config) -> Result<Client, ControllerError> {
    config.default_retry = false;
    // Time limits are set per request; a limit on silence would cut quiet watches.
    config.read_timeout = None;
    let failed = |e| ControllerError::Client(Box::new(e));
    if config.proxy_url.is_some() {
        // kube makes the connections through a proxy; the limits of requests and watches hold for them all the same.
        return Client::try_from(config).map_err(failed);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_IDLE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let connector = config
        .rustls_https_connector_with_connector(connector)
        .map_err(failed)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let headers = config.extra_headers_layer().map_err(failed)?;
    let inner = headers.layer(http.map_err(BoxError::from));
    let (base, namespace) = (config.base_uri_layer(), config.default_namespace.clone());
    Ok(match config.auth_layer().map_err(failed)? {
        Some(auth) => Client::new(base.layer(auth.layer(inner)), namespace),
        None => Client::new(base.layer(inner), namespace),
    })
}

/// The same client, with every request counted (`rest_client_requests_total`). `host` is whom it talks to, as `host:port`.
pub fn counted(client: Client, host: &str, metrics: &Arc<Metrics>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let (host, metrics) = (Arc::<str>::from(host), Arc::clone(metrics));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, host, metrics) = (client.clone(), Arc::clone(&host), Arc::clone(&metrics));
        async move {
            let method = request.method().clone();
            let answer = client.send(request).await;
            let code = answer.as_ref().ok().map(|a| a.status().as_u16());
            metrics.requested(method.as_str(), &host, code);
            answer
        }
    });
    Client::new(service, namespace)
}
