//! Requests of pools, sent one by one with no controller around them: the same bodies, paths and preconditions as the writer's.
//! For `bench`, which measures what the API server itself takes, and for `repair`.

use kube::Client;
use serde::Deserialize;

use crate::api::{Kind, Meta, PoolKey};
use crate::pool::Request;

use super::discovery;
use super::served::Served;
use super::transport::{self, OBJECT_BYTES};
use super::wire;
use super::writer::PATIENCE;

/// Sends what a pool asks for, and nothing else: no queue, no lease, no second attempt.
pub(crate) struct Direct {
    client: Client,
    served: Served,
}

impl Direct {
    /// Finds out which versions the server has.
    ///
    /// # Errors
    /// A line for people.
    pub(crate) async fn new(client: Client) -> Result<Self, String> {
        let served = Served::new();
        for kind in Kind::ALL {
            served.set(kind, discovery::version_of(&client, kind).await?);
        }
        Ok(Self { client, served })
    }

    /// Sends a request; tells the metadata of the object as it was stored.
    ///
    /// # Errors
    /// A line for people when it is refused or has no answer.
    pub(crate) async fn send(&self, pool: &PoolKey, request: &Request) -> Result<Meta, String> {
        #[derive(Deserialize)]
        struct Stored {
            metadata: Meta,
        }
        let subject = wire::subject(pool, request);
        let call = wire::encode(pool, request, &self.served)
            .map_err(|unserved| format!("the server does not have {}", unserved.0))?;
        let reply = transport::send(&self.client, call, PATIENCE, OBJECT_BYTES)
            .await
            .map_err(transport::Fault::text)?;
        match reply.status {
            200 | 201 => serde_json::from_slice::<Stored>(&reply.body)
                .map(|stored| stored.metadata)
                .map_err(|e| e.to_string()),
            status => Err(format!(
                "{} {} {}: the server answered {status}: {}",
                subject.verb.name(),
                subject.kind,
                subject.name,
                super::bounded(String::from_utf8_lossy(&reply.body).into_owned())
            )),
        }
    }
}
