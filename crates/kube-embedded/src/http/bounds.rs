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
/// Requests of the heaviest kind at one time. Each holds its object some times over until it is stored. Lighter ones take a part
/// of their turns, so that many of them share a commit.
const HEAVY_ONES: usize = 2;
/// Bytes of memory in a unit of a turn.
const UNIT: usize = 1 << 20;
/// Units of a whole turn.
const WHOLE: usize = HEAVY / UNIT;
/// Requests that wait for a turn at one time. They are fewer than the requests that are worked on, of which some are to stay free.
const MOST_WAITING: usize = 64;
/// Most bytes of long lists that are read or being sent at one time.
const MOST_LISTED: usize = 256 << 20;

/// Bytes of a stored object from which on a write of it counts as heavy: the write parses it. So many bytes of JSON take a unit.
const LONG: usize = 16 << 10;

pub(super) struct Bounds {
    bodies: Bodies,
    /// In units.
    heavy: Semaphore,
    waiting: Semaphore,
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
    /// Of a heavy one that could be read. To be kept until the request is answered.
    pub(super) turn: Option<SemaphorePermit<'b>>,
}

// === impl Bounds ===

impl Bounds {
    pub(super) fn new() -> Self {
        Self {
            bodies: Bodies::new(MAX_BODY, MOST_BODIES),
            heavy: Semaphore::new(HEAVY_ONES * WHOLE),
            waiting: Semaphore::new(MOST_WAITING),
            lists: ListBudget::new(MOST_LISTED),
        }
    }

    /// Waits for so many units of a turn, when not too many wait.
    async fn turn(&self, units: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        let units = u32::try_from(units).map_err(ApiError::internal)?;
        if let Ok(turn) = self.heavy.try_acquire_many(units) {
            return Ok(turn);
        }
        let _waits = self.waiting.try_acquire().map_err(|_| {
            ApiError::too_many_requests(
                "too many writes of long objects, please try again later",
                1,
            )
        })?;
        let turn = self.heavy.acquire_many(units).await;
        turn.map_err(ApiError::internal)
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

/// Parses a body. One whose values take much memory waits for its turn.
///
/// # Errors
/// When its values take more than they may, or too many wait.
pub(super) async fn parse<'b>(
    bounds: Option<&'b Bounds>,
    bytes: &[u8],
    notation: Notation,
) -> Result<Parsed<'b>, ApiError> {
    parse_beside(bounds, bytes, notation, || 0).await
}

/// As [`parse`], for a write beside which a stored object of such a length is parsed. It counts only when the body can be read.
pub(super) async fn parse_beside<'b>(
    bounds: Option<&'b Bounds>,
    bytes: &[u8],
    notation: Notation,
    stored: impl FnOnce() -> usize,
) -> Result<Parsed<'b>, ApiError> {
    let Some(bounds) = bounds else {
        let read = decode::decode(bytes, notation, &Memory::of(usize::MAX));
        return Ok(Parsed { read, turn: None });
    };
    let light = Memory::of(LIGHT);
    let read = decode::decode(bytes, notation, &light);
    if !light.is_used_up() {
        let stored = if read.is_ok() { stored() } else { 0 };
        let turn = if stored > LONG {
            Some(bounds.turn(units(stored)).await?)
        } else {
            None
        };
        return Ok(Parsed { read, turn });
    }
    drop(read);
    let mut units = units(bytes.len().max(stored()));
    loop {
        let turn = bounds.turn(units).await?;
        let heavy = Memory::of(units * UNIT);
        let read = decode::decode(bytes, notation, &heavy);
        if !heavy.is_used_up() {
            let turn = read.is_ok().then_some(turn);
            return Ok(Parsed { read, turn });
        }
        if units == WHOLE {
            break;
        }
        // It is heavier than its length tells. The part is given back first: who holds one never waits for more.
        units = WHOLE;
    }
    let mut error = ApiError::too_large(HEAVY);
    error.message = format!(
        "Request entity too large: its values would take more than {} MiB of memory; shorten its lists and maps",
        HEAVY >> 20
    );
    Err(error)
}

/// What JSON text of this length takes of a turn.
fn units(length: usize) -> usize {
    length.div_ceil(LONG).min(WHOLE)
}

/// The length of the stored object, 0 when there is none.
pub(super) fn stored_length(registry: &Registry, target: &Target) -> usize {
    registry.get(target, None).map_or(0, |stored| stored.len())
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
            let parsed = async |body: &'static [u8]| {
                let stored = || stored_length(&registry, &one);
                parse_beside(Some(&bounds), body, Notation::Json, stored).await
            };
            // Many of them are written at one time, and share a commit.
            let mut turns = Vec::new();
            for _ in 0..50 {
                let parsed = parsed(b"{}").now_or_never().unwrap().unwrap();
                assert_eq!(parsed.turn.is_some(), is_heavy, "{name}");
                turns.push(parsed);
            }
            let rest = bounds.heavy.available_permits();
            let _all = bounds.heavy.try_acquire_many(rest.try_into().unwrap());
            assert_eq!(parsed(b"{}").now_or_never().is_none(), is_heavy, "{name}");
            // What cannot be read is answered at once.
            let unread = parsed(b"{").now_or_never().unwrap().unwrap();
            assert!(unread.read.is_err() && unread.turn.is_none(), "{name}");
        }
    }

    #[tokio::test]
    async fn few_wait_for_a_turn_and_the_next_is_sent_away() {
        let bounds = Bounds::new();
        let write = || {
            Box::pin(parse_beside(Some(&bounds), b"{}", Notation::Json, || {
                100_000
            }))
        };
        let all = bounds.turn(HEAVY_ONES * WHOLE).await.unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| write()).collect();
        for waiter in &mut waiting {
            assert!(waiter.now_or_never().is_none());
        }
        let refused = write().now_or_never().unwrap().err().unwrap();
        assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
        drop(all);
        for waiter in waiting {
            assert!(waiter.await.unwrap().turn.is_some());
        }
        assert!(write().await.is_ok());
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
