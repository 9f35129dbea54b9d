//! Bounds of the memory that requests from the network take together: their bodies, the values in them, and long answers. Requests
//! in this process have none.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use listen::bodies::{Bodies, Unread};
use listen::memory::Memory;
use listen::room::Place;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::decode::{self, Decoded, Notation};
use crate::error::ApiError;
use crate::registry::{ListBudget, Registry, Target};

/// Most bytes of a body, as on a real API server.
pub(super) const MAX_BODY: usize = 3 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// Most bytes of long bodies at one time.
const MOST_BODIES: usize = 64 << 20;
/// Bytes of memory up to which a body is parsed beside any number of others.
const LIGHT: usize = 256 << 10;
/// Bytes of memory that the values of a body may take. The largest object within the bounds of its definition, a pool, takes
/// half of it.
const HEAVY: usize = 64 << 20;
/// Requests with heavy bodies at one time. Each holds its object some times over until it is stored.
const HEAVY_ONES: usize = 2;
/// Most bytes of long lists that are read or being sent at one time.
const MOST_LISTED: usize = 256 << 20;

/// Bytes of a stored object from which on a write of it counts as heavy: the write parses it.
const LONG: usize = 16 << 10;

pub(super) struct Bounds {
    bodies: Bodies,
    heavy: Semaphore,
    pub(super) lists: ListBudget,
}

/// A whole body.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _place: Option<Place>,
}

/// A body as a value, or why it is none.
pub(super) struct Parsed<'b> {
    pub(super) read: Result<Decoded, ApiError>,
    /// Of a heavy one. To be kept until the request is answered.
    pub(super) turn: Option<SemaphorePermit<'b>>,
}

// === impl Bounds ===

impl Bounds {
    pub(super) fn new() -> Self {
        Self {
            bodies: Bodies::new(MAX_BODY, MOST_BODIES),
            heavy: Semaphore::new(HEAVY_ONES),
            lists: ListBudget::new(MOST_LISTED),
        }
    }
}

/// Reads a whole body. In process without a timeout, since the clock may be a test's.
pub(super) async fn collect<B>(bounds: Option<&Bounds>, body: B) -> Result<Whole, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broken =
        |why| ApiError::bad_request(format!("the request's body could not be read: {why}"));
    let Some(bounds) = bounds else {
        let collected = Limited::new(body, MAX_BODY).collect().await;
        let whole = collected.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ApiError::too_large(MAX_BODY)
            } else {
                broken(error.to_string())
            }
        })?;
        return Ok(Whole {
            bytes: whole.to_bytes(),
            _place: None,
        });
    };
    let body = std::pin::pin!(body.map_err(Into::into));
    let read = tokio::time::timeout(BODY_TIMEOUT, bounds.bodies.read(body)).await;
    let read =
        read.map_err(|_| ApiError::timeout("the request's body did not arrive in time", 0))?;
    let (bytes, place) = read.map_err(|why| match why {
        Unread::TooLong => ApiError::too_large(MAX_BODY),
        Unread::GivenWay => ApiError::too_many_requests(
            "others wait, and the request's body has not come in whole; send it at once and try again",
            1,
        ),
        Unread::Broken(why) => broken(why),
    })?;
    Ok(Whole {
        bytes,
        _place: place,
    })
}

/// Parses a body. One whose values take much memory waits for its turn, of which there are few.
///
/// # Errors
/// When its values take more than they may.
pub(super) async fn parse<'b>(
    bounds: Option<&'b Bounds>,
    bytes: &[u8],
    notation: Notation,
) -> Result<Parsed<'b>, ApiError> {
    let Some(bounds) = bounds else {
        let read = decode::decode(bytes, notation, &Memory::of(usize::MAX));
        return Ok(Parsed { read, turn: None });
    };
    let light = Memory::of(LIGHT);
    let read = decode::decode(bytes, notation, &light);
    if !light.is_used_up() {
        return Ok(Parsed { read, turn: None });
    }
    drop(read);
    let turn = bounds.heavy.acquire().await.map_err(ApiError::internal)?;
    let heavy = Memory::of(HEAVY);
    let read = decode::decode(bytes, notation, &heavy);
    if heavy.is_used_up() {
        let mut error = ApiError::too_large(HEAVY);
        error.message = format!(
            "Request entity too large: its values would take more than {} MiB of memory; shorten its lists and maps",
            HEAVY >> 20
        );
        return Err(error);
    }
    Ok(Parsed {
        read,
        turn: Some(turn),
    })
}

impl<'b> Parsed<'b> {
    /// With a turn, when the stored object that is written may take much memory.
    pub(super) async fn beside_stored(
        mut self,
        bounds: Option<&'b Bounds>,
        registry: &Registry,
        target: &Target,
    ) -> Result<Self, ApiError> {
        if let (Some(bounds), None) = (bounds, &self.turn)
            && let Ok(stored) = registry.get(target, None)
            && stored.len() > LONG
        {
            drop(stored);
            let turn = bounds.heavy.acquire().await;
            self.turn = Some(turn.map_err(ApiError::internal)?);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;
    use crate::registry::{Options, WriteOptions};

    /// A body of so many maps.
    fn maps(count: usize) -> String {
        let maps = vec!["{\"a\":1}"; count].join(",");
        format!("{{\"spec\":[{maps}]}}")
    }

    #[tokio::test]
    async fn few_heavy_bodies_are_parsed_at_one_time_and_none_that_is_too_heavy() {
        let bounds = Bounds::new();
        let heavy = maps(10_000);
        let of = |text: &'static str| parse(Some(&bounds), text.as_bytes(), Notation::Json);
        let (light, heavy, hostile): (&str, &str, &str) =
            (maps(50).leak(), heavy.leak(), maps(300_000).leak());
        let mut turns = Vec::new();
        for _ in 0..HEAVY_ONES {
            let parsed = of(heavy).now_or_never().unwrap().unwrap();
            assert!(parsed.read.is_ok() && parsed.turn.is_some());
            turns.push(parsed);
        }
        assert!(of(heavy).now_or_never().is_none(), "it waits");
        let parsed = of(light).now_or_never().unwrap().unwrap();
        assert!(parsed.read.is_ok() && parsed.turn.is_none());
        turns.pop();
        assert!(hostile.len() < MAX_BODY);
        let refused = of(hostile).await.err().unwrap();
        assert_eq!(
            (refused.code, refused.reason),
            (413, "RequestEntityTooLarge")
        );
        assert!(of(heavy).await.unwrap().turn.is_some());
    }

    #[tokio::test]
    async fn a_small_write_of_a_long_object_waits_for_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path(), crate::testing::serves());
        let registry = Registry::open(options).await.unwrap();
        let maps = registry.resources().find("", "v1", "configmaps").unwrap();
        let bounds = Bounds::new();
        for (name, length, is_heavy) in [("short", 100, false), ("long", LONG, true)] {
            let text = "x".repeat(length);
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": text}});
            let all = Target::all(maps, Some("default"));
            let made = registry.create(&all, map, &WriteOptions::default()).await;
            made.unwrap();
            let one = Target::one(maps, Some("default"), name);
            let bounds = Some(&bounds);
            let parsed = parse(bounds, b"{}", Notation::Json).await.unwrap();
            let parsed = parsed.beside_stored(bounds, &registry, &one).await.unwrap();
            assert_eq!(parsed.turn.is_some(), is_heavy, "{name}");
        }
    }

    #[test]
    fn every_notation_says_what_its_values_take() {
        let yaml = "spec:\n".to_owned() + &"- a: 1\n".repeat(10_000);
        let namespace = [0x12, 0xd0, 0x0f]
            .into_iter()
            .chain([0x0a, 0].repeat(1_000));
        let kind = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace";
        let protobuf: Vec<u8> = kind.iter().copied().chain(namespace).collect();
        for (bytes, notation) in [
            (maps(10_000).as_bytes(), Notation::Json),
            (yaml.as_bytes(), Notation::Yaml),
            (&protobuf, Notation::Protobuf),
        ] {
            for (bytes_of_memory, is_enough) in [(64 << 10, false), (HEAVY, true)] {
                let memory = Memory::of(bytes_of_memory);
                let read = decode::decode(bytes, notation, &memory);
                assert_eq!(read.is_ok(), is_enough, "{notation:?}: {:?}", read.err());
                assert_eq!(memory.is_used_up(), !is_enough, "{notation:?}");
            }
        }
    }
}
