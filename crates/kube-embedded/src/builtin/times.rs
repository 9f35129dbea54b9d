//! Times, as Kubernetes' types keep them.

use jiff::{Timestamp, Unit};

/// In seconds: `2021-01-01T00:00:00Z`.
pub(crate) fn seconds(text: &str) -> Option<String> {
    let time = parse(text)?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// In microseconds: `2021-01-01T00:00:00.000000Z`.
pub(super) fn micros(text: &str) -> Option<String> {
    let time = parse(text)?;
    let micros = time.subsec_nanosecond() / 1000;
    let time = time
        .round(Unit::Second)
        .ok()
        .filter(|t| *t <= time)
        .unwrap_or(time);
    Some(format!(
        "{}.{micros:06}Z",
        time.strftime("%Y-%m-%dT%H:%M:%S")
    ))
}

/// RFC 3339 strictly: seconds and an offset must be there, and `T` and `Z` be capital.
fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|b| b.iter().all(u8::is_ascii_digit))
    };
    let form = digits(0..4)
        && bytes.get(4) == Some(&b'-')
        && digits(5..7)
        && bytes.get(7) == Some(&b'-')
        && digits(8..10)
        && bytes.get(10) == Some(&b'T')
        && digits(11..13)
        && bytes.get(13) == Some(&b':')
        && digits(14..16)
        && bytes.get(16) == Some(&b':')
        && digits(17..19)
        && !text.contains('z');
    if form { text.parse().ok() } else { None }
}
