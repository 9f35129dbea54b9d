//! A request's body within bounds of size, time and memory. Most reviews are a few KiB and are read at once; one that is
//! longer first waits for one of a few places, so that all of them together have a bound.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use std::sync::Arc;

/// An AdmissionReview carries an object twice, each at most 3 MiB as the API server takes them, and some more.
pub(super) const MOST: usize = 8 << 20;
/// Up to here a body needs no place.
pub(super) const SMALL: usize = 64 << 10;
/// Bodies longer than that at one time.
const LARGE_ONES: usize = 8;
/// For the whole body, and for the place that a long one needs. The API server waits 10 s at most by default.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Limits how many long bodies are in memory at once.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

/// A request's whole body, and its place among the long ones.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) bytes: Bytes,
    /// Of a long one: given back once it is worked off.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_ONES)))
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The status and the sentence to answer with.
    pub(super) async fn read<B>(&self, body: B) -> Result<Read, (StatusCode, String)>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        match timeout(PATIENCE, self.collect(body)).await {
            Ok(read) => read,
            Err(_) => Err((
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not complete within {} s", PATIENCE.as_secs()),
            )),
        }
    }

    async fn collect<B>(&self, mut body: B) -> Result<Read, (StatusCode, String)>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let too_long = || {
            let text = format!("the body is longer than {} MiB", MOST >> 20);
            (StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        if body.size_hint().lower() > MOST as u64 {
            return Err(too_long());
        }
        let (mut bytes, mut place) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let broken = |e| {
                let text = format!("the body cannot be read: {e}");
                (StatusCode::BAD_REQUEST, text)
            };
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MOST {
                return Err(too_long());
            }
            if place.is_none() && bytes.len() + data.len() > SMALL {
                place = Arc::clone(&self.0).acquire_owned().await.ok();
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Read {
            bytes: bytes.freeze(),
            place,
        })
    }
}
