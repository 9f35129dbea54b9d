//! Bodies in Kubernetes' protobuf form, for the built-in kinds only. kubectl sends them so for `create namespace`, `create
//! secret` and `auth whoami`, without asking first; custom resources have no such form anywhere, and answers are always JSON.
//!
//! A body is the four bytes `k8s\0` and a message that holds `apiVersion`, `kind` and the object's own message. What fields
//! such a message has stands in tables here; fields that are not in them are skipped, as protobuf wants it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What a body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A message: field number, JSON name, type.
type Message = [(u64, &'static str, Type)];

/// How a field is read. Go writes every field that is no pointer, so that emptiness there means absence, as `omitempty` does
/// in JSON; of pointers, what is there was set.
#[derive(Clone, Copy)]
enum Type {
    /// A string; an empty one is absent.
    Text,
    /// Several strings.
    Texts,
    /// A whole number; zero is absent.
    Number,
    /// A pointer to a whole number.
    SetNumber,
    /// A pointer to a truth value.
    Flag,
    /// Seconds and nanoseconds; in JSON without fraction. An empty one is absent.
    Time,
    /// The same; in JSON with six digits.
    MicroTime,
    /// String to string.
    TextMap,
    /// String to bytes; in JSON base64.
    BytesMap,
    /// A part.
    One(&'static Message),
    /// Several parts.
    Many(&'static Message),
}
use Type::{BytesMap, Flag, Many, MicroTime, Number, One, SetNumber, Text, TextMap, Texts, Time};

const OWNER: &Message = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Flag),
    (7, "blockOwnerDeletion", Flag),
];
const META: &Message = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Number),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (10, "deletionGracePeriodSeconds", SetNumber),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Many(OWNER)),
    (14, "finalizers", Texts),
];
const NAMESPACE_SPEC: &Message = &[(1, "finalizers", Texts)];
const NAMESPACE_STATUS: &Message = &[(1, "phase", Text)];
const NAMESPACE: &Message = &[
    (1, "metadata", One(META)),
    (2, "spec", One(NAMESPACE_SPEC)),
    (3, "status", One(NAMESPACE_STATUS)),
];
const CONFIG_MAP: &Message = &[
    (1, "metadata", One(META)),
    (2, "data", TextMap),
    (3, "binaryData", BytesMap),
    (4, "immutable", Flag),
];
const SECRET: &Message = &[
    (1, "metadata", One(META)),
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", Flag),
];
const REFERENCE: &Message = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];
const EVENT_SOURCE: &Message = &[(1, "component", Text), (2, "host", Text)];
const EVENT_SERIES: &Message = &[(1, "count", Number), (2, "lastObservedTime", MicroTime)];
const EVENT: &Message = &[
    (1, "metadata", One(META)),
    (2, "involvedObject", One(REFERENCE)),
    (3, "reason", Text),
    (4, "message", Text),
    (5, "source", One(EVENT_SOURCE)),
    (6, "firstTimestamp", Time),
    (7, "lastTimestamp", Time),
    (8, "count", Number),
    (9, "type", Text),
    (10, "eventTime", MicroTime),
    (11, "series", One(EVENT_SERIES)),
    (12, "action", Text),
    (13, "related", One(REFERENCE)),
    (14, "reportingComponent", Text),
    (15, "reportingInstance", Text),
];
const LEASE_SPEC: &Message = &[
    (1, "holderIdentity", Text),
    (2, "leaseDurationSeconds", SetNumber),
    (3, "acquireTime", MicroTime),
    (4, "renewTime", MicroTime),
    (5, "leaseTransitions", SetNumber),
    (6, "strategy", Text),
    (7, "preferredHolder", Text),
];
const LEASE: &Message = &[(1, "metadata", One(META)), (2, "spec", One(LEASE_SPEC))];
const SELF_REVIEW: &Message = &[(1, "metadata", One(META))];
const RESOURCE_ATTRIBUTES: &Message = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];
const OTHER_ATTRIBUTES: &Message = &[(1, "path", Text), (2, "verb", Text)];
const ACCESS_SPEC: &Message = &[
    (1, "resourceAttributes", One(RESOURCE_ATTRIBUTES)),
    (2, "nonResourceAttributes", One(OTHER_ATTRIBUTES)),
];
const ACCESS_REVIEW: &Message = &[(1, "metadata", One(META)), (2, "spec", One(ACCESS_SPEC))];
const RULES_SPEC: &Message = &[(1, "namespace", Text)];
const RULES_REVIEW: &Message = &[(1, "metadata", One(META)), (2, "spec", One(RULES_SPEC))];
const PRECONDITIONS: &Message = &[(1, "uid", Text), (2, "resourceVersion", Text)];
const DELETE_OPTIONS: &Message = &[
    (1, "gracePeriodSeconds", SetNumber),
    (2, "preconditions", One(PRECONDITIONS)),
    (3, "orphanDependents", Flag),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];
const TYPE_META: &Message = &[(1, "apiVersion", Text), (2, "kind", Text)];

/// The message of a kind.
fn message(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "Event") => EVENT,
        ("coordination.k8s.io/v1", "Lease") => LEASE,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => SELF_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => RULES_REVIEW,
        // Every group has its own name for the same options.
        (_, "DeleteOptions") => DELETE_OPTIONS,
        _ => return None,
    })
}

/// The object in a body, as its JSON form. The error is for people.
pub(super) fn decode(body: &[u8]) -> Result<Value, String> {
    let mut rest = body
        .strip_prefix(MAGIC)
        .ok_or("the body does not begin as Kubernetes' protobuf does")?;
    let (mut kind, mut raw): (Map<String, Value>, &[u8]) = (Map::new(), &[]);
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => kind = read(TYPE_META, bytes)?,
            (2, Field::Bytes(bytes)) => raw = bytes,
            (3, Field::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("the body is encoded a second time".to_owned());
            }
            _ => {}
        }
    }
    let text = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
    let message = message(text("apiVersion"), text("kind")).ok_or_else(|| {
        format!(
            "no kind {:?} in version {:?} is read from protobuf",
            text("kind"),
            text("apiVersion")
        )
    })?;
    let mut object = read(message, raw)?;
    object.append(&mut kind);
    Ok(object.into())
}

/// A field as it lies on the wire.
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a width that no field here has.
    Fixed,
}

/// Takes the next field off; `None` at the end.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, Field<'a>)>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let field = match tag & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Field::Fixed)?,
        2 => {
            let length = varint(rest)?;
            Field::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Field::Fixed)?,
        other => return Err(format!("wire type {other} is unknown")),
    };
    Ok(Some((tag >> 3, field)))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).map_err(|_| "a length is too big")?;
    let (taken, left) = rest
        .split_at_checked(length)
        .ok_or("the body ends within a field")?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first().ok_or("the body ends within a number")?;
        *rest = left;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number is too long".to_owned())
}

fn read(message: &Message, mut rest: &[u8]) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    while let Some((number, field)) = next(&mut rest)? {
        let known = message.iter().find(|(n, ..)| *n == number);
        let Some((_, name, kind)) = known else {
            continue;
        };
        let found = match (kind, field) {
            (Text, Field::Bytes(bytes)) => Some(text(bytes)?)
                .filter(|t| !t.is_empty())
                .map(Value::from),
            (Number, Field::Varint(0)) => None,
            // Two's complement, as protobuf writes signed numbers of these types.
            (Number | SetNumber, Field::Varint(number)) => Some(number.cast_signed().into()),
            (Flag, Field::Varint(number)) => Some((number != 0).into()),
            (Time, Field::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
            (MicroTime, Field::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
            (One(part), Field::Bytes(bytes)) => Some(read(part, bytes)?.into()),
            (Texts, Field::Bytes(bytes)) => {
                append(&mut object, name, text(bytes)?.into());
                None
            }
            (Many(part), Field::Bytes(bytes)) => {
                append(&mut object, name, read(part, bytes)?.into());
                None
            }
            (TextMap | BytesMap, Field::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                let value = match kind {
                    BytesMap => STANDARD.encode(value),
                    _ => text(value)?,
                };
                let map = object.entry(*name).or_insert_with(|| Map::new().into());
                map[key] = value.into();
                None
            }
            (_, Field::Varint(_) | Field::Bytes(_) | Field::Fixed) => {
                return Err(format!("field {name} has the wrong wire type"));
            }
        };
        if let Some(found) = found {
            object.insert((*name).to_owned(), found);
        }
    }
    Ok(object)
}

fn append(object: &mut Map<String, Value>, name: &str, item: Value) {
    if let Value::Array(list) = object
        .entry(name)
        .or_insert_with(|| Vec::<Value>::new().into())
    {
        list.push(item);
    }
}

/// Key and value of a map's entry, which is a message of two fields.
fn entry(mut rest: &[u8]) -> Result<(String, &[u8]), String> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => key = bytes,
            (2, Field::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((text(key)?, value))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
    Ok(text.to_owned())
}

fn time(mut rest: &[u8], form: &str) -> Result<Option<Value>, String> {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Field::Varint(number)) => seconds = number.cast_signed(),
            (2, Field::Varint(number)) => nanos = number.cast_signed(),
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let time = i32::try_from(nanos)
        .ok()
        .and_then(|nanos| Timestamp::new(seconds, nanos).ok())
        .ok_or("a time is out of range")?;
    Ok(Some(time.strftime(form).to_string().into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(tag: u8, mut value: u64) -> Vec<u8> {
        let mut field = vec![tag];
        while value > 0x7f {
            field.push(value as u8 | 0x80);
            value >>= 7;
        }
        field.push(value as u8);
        field
    }

    /// A field of bytes with its tag and length.
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = number(tag << 3 | 2, bytes.len() as u64);
        field.extend(bytes);
        field
    }

    fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        let kind = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [
            MAGIC.to_vec(),
            field(1, &kind),
            field(2, object),
            field(3, b""),
            field(4, b""),
        ]
        .concat()
    }

    #[test]
    fn a_namespace_as_kubectl_sends_it() {
        let label = [field(1, b"a"), field(2, b"b")].concat();
        let meta = [
            field(1, b"lab"),
            field(2, b""),
            field(8, b""),
            field(11, &label),
        ]
        .concat();
        let namespace = [field(1, &meta), field(2, b""), field(3, &field(1, b""))].concat();
        assert_eq!(
            decode(&body("v1", "Namespace", &namespace)).unwrap(),
            json!({"apiVersion": "v1", "kind": "Namespace", "spec": {}, "status": {},
                "metadata": {"name": "lab", "labels": {"a": "b"}}})
        );
    }

    #[test]
    fn every_type_of_field() {
        let entry = [field(1, b"k"), field(2, b"\xff\x00")].concat();
        let secret = [
            field(1, &field(14, b"f1")),
            field(2, &entry),
            vec![5 << 3, 1],
        ]
        .concat();
        assert_eq!(
            decode(&body("v1", "Secret", &secret)).unwrap(),
            json!({"apiVersion": "v1", "kind": "Secret", "immutable": true,
                "metadata": {"finalizers": ["f1"]}, "data": {"k": "/wA="}})
        );
        // 2026-01-01T00:00:00.25Z; a duration of 15; no transitions so far.
        let time = [number(1 << 3, 1_767_225_600), number(2 << 3, 250_000_000)].concat();
        let spec = [
            field(1, b"me"),
            vec![2 << 3, 15],
            field(4, &time),
            vec![5 << 3, 0],
        ]
        .concat();
        let lease = decode(&body("coordination.k8s.io/v1", "Lease", &field(2, &spec))).unwrap();
        assert_eq!(
            lease["spec"],
            json!({"holderIdentity": "me", "leaseDurationSeconds": 15,
                "renewTime": "2026-01-01T00:00:00.250000Z", "leaseTransitions": 0})
        );
        let options = [
            vec![1 << 3, 0],
            field(2, &field(1, b"u")),
            field(5, b"All"),
            field(77, b"later"),
        ]
        .concat();
        assert_eq!(
            decode(&body("ipam.metal3.io/v1alpha1", "DeleteOptions", &options)).unwrap()["preconditions"],
            json!({"uid": "u"})
        );
    }

    #[test]
    fn what_is_no_such_body_is_refused() {
        let good = body("v1", "Namespace", &field(1, &field(1, b"lab")));
        assert!(decode(&good).is_ok());
        for cut in 0..good.len() - 4 {
            // Cut between two fields it is a shorter message, which may still be one.
            if let Ok(value) = decode(&good[..cut]) {
                assert_eq!(value["kind"], "Namespace", "cut at {cut}");
            }
        }
        for bad in [
            b"".to_vec(),
            b"garbage".to_vec(),
            b"k8s\0".to_vec(),
            body("v1", "Pod", b""),
            body(
                "v1",
                "Namespace",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
            body("v1", "Namespace", &[0x0a, 0x7f, 0x00]),
            body("v1", "Namespace", &[1 << 3, 1]),
            body("v1", "Namespace", &[0x0b]),
            body("v1", "Namespace", &field(1, &field(1, b"\xff"))),
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
    }
}
