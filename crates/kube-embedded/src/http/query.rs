//! The query of a request, read as a real API server reads it: a flag is true unless it is `false` or `0`, a number that cannot
//! be read is refused, unknown keys are ignored.

use std::time::Duration;

use crate::error::ApiError;
use crate::field::{expected, truncated};

/// A query as pairs, in the client's order, decoded.
pub(super) struct Query(Vec<(String, String)>);

/// What a table's rows have beside their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncludeObject {
    None,
    Metadata,
    Object,
}

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of a key; empty for a key without `=`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// As [`Self::text`]. `None` also for an empty value.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        self.text(key).filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.text(key)?;
        Some(!(value.eq_ignore_ascii_case("false") || value == "0"))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.said(key) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| {
            let value = format!("{:?}", truncated(value, 64));
            ApiError::bad_request(expected("an integer", key, &value))
        })
    }

    /// `timeout`: how long the whole request may take, at most `most`.
    pub(super) fn timeout(&self, most: Duration) -> Result<Duration, ApiError> {
        let Some(text) = self.said("timeout") else {
            return Ok(most);
        };
        let Some(asked) = duration(text) else {
            return Err(ApiError::bad_request(format!(
                "invalid timeout specified in the request URL: {text:?} is no duration"
            )));
        };
        Ok(if asked.is_zero() {
            most
        } else {
            asked.min(most)
        })
    }

    /// All values of a key that may be repeated.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// `includeObject` of a table; metadata by default.
    pub(super) fn include_object(&self) -> Result<IncludeObject, ApiError> {
        match self.said("includeObject") {
            None | Some("Metadata") => Ok(IncludeObject::Metadata),
            Some("None") => Ok(IncludeObject::None),
            Some("Object") => Ok(IncludeObject::Object),
            Some(other) => Err(ApiError::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {:?}: must be 'Metadata', 'Object', 'None', or empty",
                truncated(other, 64)
            ))),
        }
    }
}

/// A duration as Go writes it: `4s`, `1m30s`, `250ms`. `None` for a negative one.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|n| *n > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |n| digits + n);
        let unit = match &rest[digits..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [
            ("4s", Some(4000)),
            ("1m30s", Some(90_000)),
            ("250ms", Some(250)),
            ("1.5s", Some(1500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("4", None),
            ("-4s", None),
            ("4x", None),
            ("s", None),
            ("99999999999999999999999999h", None),
        ];
        for (text, want) in cases {
            let got = duration(text).map(|d| d.as_millis());
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn flags_and_numbers() {
        let query = Query::parse(Some("watch&a=0&b=False&c=1&limit=5&bad=x&s=a%3Db%2Cc"));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("a"), Some(false));
        assert_eq!(query.flag("b"), Some(false));
        assert_eq!(query.flag("c"), Some(true));
        assert_eq!(query.flag("d"), None);
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert_eq!(query.number("none").unwrap(), None);
        assert!(query.number("bad").is_err());
        assert_eq!(query.said("s"), Some("a=b,c"));
        assert_eq!(query.said("watch"), None);
    }

    #[test]
    fn a_timeout_can_only_shorten() {
        let most = Duration::from_mins(1);
        let timeout = |text: &str| Query::parse(Some(text)).timeout(most);
        assert_eq!(timeout("").unwrap(), most);
        assert_eq!(timeout("timeout=4s").unwrap(), Duration::from_secs(4));
        assert_eq!(timeout("timeout=0s").unwrap(), most);
        assert_eq!(timeout("timeout=1h").unwrap(), most);
        assert!(timeout("timeout=soon").is_err());
    }
}
