//! Bodies of answers on their way: they hold their connection busy, and it is seen when their client does not read them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::Busy;

/// Longest piece of a body that is given to hyper at once. HTTP/2 asks for the next piece when the client's window has room,
/// so what a client does not read stays here, where it is seen.
const PIECE: usize = 16 * 1024;

/// An answer's body that holds its connection busy until it is sent or dropped.
pub struct Held<B> {
    body: B,
    busy: Busy,
    /// What is left of the body's last piece.
    rest: Bytes,
    /// Something was given to hyper. The end is told in a call of its own then, which comes when the piece before it is on its
    /// way.
    begun: bool,
}

impl<B> Held<B> {
    /// This body, of an answer on a connection that is `busy` with it.
    pub fn new(body: B, busy: Busy) -> Self {
        busy.waits_for_client();
        Self {
            body,
            busy,
            rest: Bytes::new(),
            begun: false,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Held<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        this.busy.waits_for_body();
        if this.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.begun = true;
        this.busy.waits_for_client();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower() + rest);
        if let Some(upper) = left.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
