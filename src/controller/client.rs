//! Clients as this controller needs them.

use kube::{Client, Config};

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
