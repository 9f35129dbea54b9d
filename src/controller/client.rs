//! Clients as this controller needs them.

use std::sync::Arc;

use http::Request;
use kube::client::Body;
use kube::{Client, Config};

use crate::observe::metrics::Metrics;

use super::ControllerError;

/// A client without retries of its own: kube's would send a create again for minutes while nobody knows of it; here the
/// pools decide what is sent again (R7). Connections are kept and used again. Use one for watches and another for writes,
/// so that neither waits for the other's connections.
///
/// # Errors
/// When the configuration's certificates or credentials cannot be used.
pub fn client(mut config: Config) -> Result<Client, ControllerError> {
    config.default_retry = false;
    // Time limits are set per request; a limit on silence would cut quiet watches.
    config.read_timeout = None;
    Client::try_from(config).map_err(|e| ControllerError::Client(Box::new(e)))
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
