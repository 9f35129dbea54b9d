//! Answers that the layer makes without the server.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::BoxError;

/// Body of an answer.
pub(crate) type Answer = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

/// Nobody listens there.
pub(super) fn unconnected() -> BoxError {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()
}

fn said(code: u16, body: &Value) -> Response<Answer> {
    let mut response = Response::new(whole(serde_json::to_vec(body).unwrap()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// An error as the server returns it.
pub(super) fn refusal(code: u16) -> Response<Answer> {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "refused by the test"});
    let mut response = said(code, &body);
    if code == 429 {
        let second = HeaderValue::from_static("1");
        response.headers_mut().insert("retry-after", second);
    }
    response
}
