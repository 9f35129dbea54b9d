//! A request's body within bounds of size, time and memory. Most reviews are a few KiB and are read at once; one that is
//! longer first waits for one of a few places, so that all of them together have a bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::room::{Place, Room};

/// An AdmissionReview carries an object twice, each at most 3 MiB as the API server takes them, and some more.
pub(super) const MOST: usize = 8 << 20;
/// Up to here a body needs no place among the long ones.
pub(super) const SMALL: usize = 64 << 10;
/// Requests at one time, over all connections.
pub(super) const REQUESTS: usize = 512;
/// Those with longer bodies at one time.
pub(super) const LARGE_ONES: usize = 8;
/// Reviews with long bodies or many values that are judged at one time: each may take [`json::MOST`] of memory.
///
/// [`json::MOST`]: super::json::MOST
const JUDGED: usize = 2;
/// For the whole body, and for the places that it needs. The API server waits 10 s at most by default.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Limits how many requests are in memory at once, and how many of them with long bodies.
#[derive(Debug)]
pub(super) struct Places {
    all: Room,
    long: Room,
    judged: Arc<Semaphore>,
}

/// A request's whole body, and its places, which are given back once it is worked off.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) bytes: Bytes,
    /// Its place among all, and that among the long ones.
    pub(super) places: (Place, Option<Place>),
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            all: Room::of(REQUESTS),
            long: Room::of(LARGE_ONES),
            judged: Arc::new(Semaphore::new(JUDGED)),
        }
    }

    /// Waits until a review that may take much memory may be judged. No client can be slow here: the body has come in.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.judged).acquire_owned().await;
        permit.expect("the semaphore is never closed")
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
        let read = async {
            let place = self.all.enter().await;
            let collected = tokio::select! {
                biased;
                collected = self.collect(body) => collected,
                () = place.gives_way() => Err(given_way()),
            };
            let (bytes, long) = collected?;
            place.is_complete();
            Ok(Read {
                bytes,
                places: (place, long),
            })
        };
        match timeout(PATIENCE, read).await {
            Ok(read) => read,
            Err(_) => Err((
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not complete within {} s", PATIENCE.as_secs()),
            )),
        }
    }

    async fn collect<B>(&self, mut body: B) -> Result<(Bytes, Option<Place>), (StatusCode, String)>
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
        let (mut bytes, mut long) = (BytesMut::new(), None::<Place>);
        loop {
            let frame = match &long {
                None => body.frame().await,
                Some(place) => tokio::select! {
                    biased;
                    frame = body.frame() => frame,
                    () = place.gives_way() => return Err(given_way()),
                },
            };
            let Some(frame) = frame else { break };
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
            if long.is_none() && bytes.len() + data.len() > SMALL {
                long = Some(self.long.enter().await);
                // What is announced, and no doubling on the way: pages that are not written to take no memory.
                let announced = body.size_hint().upper().and_then(|n| n.try_into().ok());
                let mut whole = BytesMut::with_capacity(MOST.min(announced.unwrap_or(MOST)));
                whole.extend_from_slice(&bytes);
                bytes = whole;
            }
            bytes.extend_from_slice(&data);
        }
        if let Some(place) = &long {
            place.is_complete();
        }
        Ok((bytes.freeze(), long))
    }
}

/// The body came in slowly, and others wanted the place.
fn given_way() -> (StatusCode, String) {
    let text = "others wait, and the body has not come in whole; send it at once and try again";
    (StatusCode::TOO_MANY_REQUESTS, text.to_owned())
}
