//! Continue tokens: where a page of a list ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::field::truncated;

/// Version of continue tokens.
pub(crate) const VERSION: &str = "meta.k8s.io/v1";

/// Where a page ended. Opaque to clients.
#[derive(Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(default)]
    pub(crate) v: String,
    /// Revision of the list; -1 for the newest.
    #[serde(default)]
    pub(crate) rv: i64,
    /// The last key that was looked at, after the collection's prefix.
    #[serde(default)]
    pub(crate) start: String,
    /// How many objects follow, if that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u64>,
}

// === impl Token ===

impl Token {
    /// Reads what a client sent back.
    ///
    /// # Errors
    /// 400 for a text that is no token of this server.
    pub(crate) fn read(text: &str) -> Result<Self, ApiError> {
        let bad = |why: &str| {
            Err(ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            )))
        };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')) else {
            return bad("illegal base64 data");
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Err(error) => bad(&truncated(&error.to_string(), 128)),
            Ok(token) if token.v.is_empty() => {
                bad("server does not recognize this encoded version ")
            }
            Ok(token) if token.v != VERSION => bad(&format!(
                "server does not recognize this encoded version {}",
                truncated(&token.v, 64)
            )),
            Ok(token) if token.rv == 0 => bad(&format!(
                "incorrect encoded start resourceVersion (version {VERSION})"
            )),
            Ok(token) if token.start.is_empty() || token.start.contains("..") => {
                bad(&format!("encoded start key empty (version {VERSION})"))
            }
            Ok(token) => Ok(token),
        }
    }

    /// The text that clients get.
    pub(crate) fn write(&self) -> String {
        let json = serde_json::to_vec(self).expect("writing to memory cannot fail");
        URL_SAFE_NO_PAD.encode(json)
    }
}
