//! Bodies in protobuf, for built-in kinds. kubectl sends `create namespace`, `create secret` and `auth whoami` in protobuf
//! without asking whether the server reads it. Custom resources have no protobuf form; answers are always JSON.
//!
//! A body is the four bytes `k8s\0` and a message that holds `apiVersion`, `kind` and the object's own message. Which fields
//! such a message has is in the tables of `builtin`; fields that are not in them are skipped, as protobuf wants it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use listen::memory::{Memory, UsedUp};
use serde_json::{Map, Value};

use super::access_review::REVIEWS;
use crate::builtin::{DELETE_OPTIONS, Empty, Field, Form, Struct, TYPE_META, is_empty, object_of};

/// What a body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The type of the object in a body.
fn message(api_version: &str, kind: &str) -> Option<&'static Struct> {
    if kind == "DeleteOptions" {
        // Every group has its own name for the same options.
        return Some(&DELETE_OPTIONS);
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let review = REVIEWS
        .iter()
        .find(|review| (review.group, review.kind) == (group, kind));
    match review {
        _ if version != "v1" => None,
        Some(review) => Some(review.question),
        None => object_of(group, kind),
    }
}

/// The object in a body, as JSON, whose values may take so much memory. The error is a sentence for people.
pub(super) fn decode(body: &[u8], memory: &Memory) -> Result<Value, String> {
    let mut rest = body
        .strip_prefix(MAGIC)
        .ok_or("the body does not begin as Kubernetes' protobuf does")?;
    let (mut kind, mut raw): (Map<String, Value>, &[u8]) = (Map::new(), &[]);
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Wire::Bytes(bytes)) => kind = read(&TYPE_META, bytes, memory)?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
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
    let mut object = read(message, raw, memory)?;
    object.append(&mut kind);
    Ok(object.into())
}

/// The value of a field on the wire.
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 bits, which no field here has.
    Fixed,
}

/// Takes the next field off; `None` at the end.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, Wire<'a>)>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let field = match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Wire::Fixed)?,
        2 => {
            let length = varint(rest)?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Wire::Fixed)?,
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

fn read(message: &Struct, mut rest: &[u8], memory: &Memory) -> Result<Map<String, Value>, String> {
    let used_up = |why: UsedUp| why.to_string();
    let mut object = Map::new();
    while let Some((number, wire)) = next(&mut rest)? {
        let is_it = |field: &&Field| field.number == number && number != 0;
        let Some(field) = message.fields.iter().find(is_it) else {
            continue;
        };
        let name = field.name;
        // Also of a field that is repeated, whose values make a list.
        memory.value().map_err(used_up)?;
        memory.entry(name, object.len()).map_err(used_up)?;
        if let Wire::Bytes(bytes) = &wire {
            memory.text(bytes.len()).map_err(used_up)?;
        }
        let found = match (&field.form, wire) {
            (Form::List(_, Form::Text), Wire::Bytes(bytes)) => {
                append(&mut object, name, text(bytes)?.into());
                continue;
            }
            (Form::List(_, Form::Struct(part)), Wire::Bytes(bytes)) => {
                append(&mut object, name, read(part, bytes, memory)?.into());
                continue;
            }
            (Form::Map(of), Wire::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                let value = match of {
                    Form::Bytes => STANDARD.encode(value),
                    _ => text(value)?,
                };
                let map = object.entry(name).or_insert_with(|| Map::new().into());
                let others = map.as_object().map_or(0, Map::len);
                memory.entry(&key, others).map_err(used_up)?;
                map[key] = value.into();
                continue;
            }
            (Form::Text, Wire::Bytes(bytes)) => text(bytes)?.into(),
            // Two's complement, as protobuf writes signed numbers of these types.
            (Form::Int32 | Form::Int64, Wire::Varint(number)) => number.cast_signed().into(),
            (Form::Bool, Wire::Varint(number)) => (number != 0).into(),
            (Form::Time, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
            (Form::MicroTime, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
            (Form::Struct(part), Wire::Bytes(bytes)) => read(part, bytes, memory)?.into(),
            (_, Wire::Varint(_) | Wire::Bytes(_) | Wire::Fixed) => {
                return Err(format!("field {name} has the wrong wire type"));
            }
        };
        // Go writes every field that is no pointer. An empty one means what its absence means in JSON.
        if !(found.is_null() || field.empty == Empty::Omitted && is_empty(&found)) {
            object.insert(name.to_owned(), found);
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
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((text(key)?, value))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
    Ok(text.to_owned())
}

/// A time; null for the zero time, which means none.
fn time(mut rest: &[u8], form: &str) -> Result<Value, String> {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Wire::Varint(number)) => seconds = number.cast_signed(),
            (2, Wire::Varint(number)) => nanos = number.cast_signed(),
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(Value::Null);
    }
    let time = i32::try_from(nanos)
        .ok()
        .and_then(|nanos| Timestamp::new(seconds, nanos).ok())
        .ok_or("a time is out of range")?;
    Ok(time.strftime(form).to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(body: &[u8]) -> Result<Value, String> {
        super::decode(body, &Memory::of(usize::MAX))
    }

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
            decode(&body("example.com/v1alpha1", "DeleteOptions", &options)).unwrap()["preconditions"],
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
