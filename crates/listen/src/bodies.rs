//! Bodies of requests, read so that all long ones together have a bound. Short ones are read at once. A body that is longer takes
//! as much of the room for all long ones as it announces, and waits until there is as much.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::room::{Place, Room};

/// Up to here a body is short, in bytes.
pub const SHORT: usize = 64 << 10;

/// The room for the long bodies of a server's requests.
#[derive(Debug)]
pub struct Bodies {
    /// Bytes of the longest body that is read.
    most: usize,
    /// In units of [`SHORT`].
    room: Room,
}

/// Why a body is not read.
#[derive(Debug)]
pub enum Unread {
    /// It is longer than bodies may be.
    TooLong,
    /// It came in slowly, and others waited for its place.
    GivenWay,
    /// The connection broke off, or the client ended the request.
    Broken(String),
}

// === impl Bodies ===

impl Bodies {
    /// Bodies of up to `most` bytes, of which the long ones have `together` bytes at one time.
    pub fn new(most: usize, together: usize) -> Self {
        Self {
            most,
            room: Room::of(together / SHORT),
        }
    }

    /// Reads a whole body. The place of a long one is kept as long as its bytes are.
    ///
    /// # Errors
    /// When it is not read.
    pub async fn read<B>(&self, mut body: B) -> Result<(Bytes, Option<Place>), Unread>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        // Refused before it is read, so that a client need not send it.
        if body.size_hint().lower() > self.most as u64 {
            return Err(Unread::TooLong);
        }
        let (mut bytes, mut place) = (BytesMut::new(), None::<Place>);
        loop {
            let frame = match &place {
                None => body.frame().await,
                Some(place) => tokio::select! {
                    biased;
                    frame = body.frame() => frame,
                    () = place.gives_way() => return Err(Unread::GivenWay),
                },
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| Unread::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = bytes.len() + data.len();
            if length > self.most {
                return Err(Unread::TooLong);
            }
            if place.is_none() && length > SHORT {
                // What is announced, and no doubling on the way: pages that are not written to take no memory.
                let rest = body.size_hint().upper().and_then(|n| n.try_into().ok());
                let whole = rest.map_or(self.most, |rest: usize| {
                    self.most.min(length.saturating_add(rest))
                });
                let units = u32::try_from(whole.div_ceil(SHORT)).unwrap_or(u32::MAX);
                place = Some(self.room.enter(units).await);
                let mut roomy = BytesMut::with_capacity(whole);
                roomy.extend_from_slice(&bytes);
                bytes = roomy;
            }
            bytes.extend_from_slice(&data);
        }
        if let Some(place) = &place {
            place.is_complete();
        }
        Ok((bytes.freeze(), place))
    }
}
