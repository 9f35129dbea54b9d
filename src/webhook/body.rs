//! A request's body within bounds of size, time and memory. Most reviews are a few KiB and are read at once; one that is
//! longer first waits for room among the long ones, so that all of them together have a bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Body;
use listen::bodies::{Bodies, Unread};
use listen::room::{Place, Room};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// An AdmissionReview carries an object twice, each at most 3 MiB as the API server takes them, and some more.
pub(super) const MOST: usize = 8 << 20;
/// Requests at one time, over all connections.
pub(super) const REQUESTS: usize = 512;
/// Bodies of [`MOST`] bytes for which the long ones have room at one time.
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
    long: Bodies,
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
            long: Bodies::new(MOST, LARGE_ONES * MOST),
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
            let place = self.all.enter(1).await;
            let read = tokio::select! {
                biased;
                read = self.long.read(body) => read,
                () = place.gives_way() => Err(Unread::GivenWay),
            };
            let (bytes, long) = read.map_err(refused)?;
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
}

fn refused(why: Unread) -> (StatusCode, String) {
    match why {
        Unread::TooLong => {
            let text = format!("the body is longer than {} MiB", MOST >> 20);
            (StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        Unread::GivenWay => given_way(),
        Unread::Broken(why) => {
            let text = format!("the body cannot be read: {why}");
            (StatusCode::BAD_REQUEST, text)
        }
    }
}

/// The body came in slowly, and others wanted the place.
fn given_way() -> (StatusCode, String) {
    let text = "others wait, and the body has not come in whole; send it at once and try again";
    (StatusCode::TOO_MANY_REQUESTS, text.to_owned())
}
