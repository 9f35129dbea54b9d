//! The subset of JSONPath that printer columns use: names (with `\.` for a dot in a name), `['name']`, `[0]`, `[*]`, and
//! `[?(@.type=="Ready")]`. A path finds its first match. A path outside of the subset finds nothing.

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Every,
    /// Every item whose value at the path equals the text.
    Where {
        path: Vec<String>,
        equals: String,
    },
}

impl Path {
    /// Parses a path. `None` for one outside of the subset.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}');
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix('.') {
                let (name, tail) = name(tail)?;
                steps.push(Step::Field(name));
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("[?(") {
                let end = tail.find(")]")?;
                steps.push(filter(&tail[..end])?);
                rest = &tail[end + 2..];
            } else {
                let tail = rest.strip_prefix('[')?;
                let end = tail.find(']')?;
                steps.push(match &tail[..end] {
                    "*" => Step::Every,
                    inner => match unquote(inner) {
                        Some(name) => Step::Field(name.to_owned()),
                        None => Step::Index(inner.parse().ok()?),
                    },
                });
                rest = &tail[end + 1..];
            }
        }
        Some(Self(steps))
    }

    /// The first value that the path leads to.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        find(&self.0, root)
    }
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => find(rest, value.get(name)?),
        Step::Index(index) => find(rest, value.get(index)?),
        Step::Every => value.as_array()?.iter().find_map(|item| find(rest, item)),
        Step::Where { path, equals } => value.as_array()?.iter().find_map(|item| {
            let found = path.iter().try_fold(item, |v, name| v.get(name))?;
            let same = match found {
                Value::String(text) => text == equals,
                other => &other.to_string() == equals,
            };
            if same { find(rest, item) } else { None }
        }),
    }
}

/// The unescaped name up to the next `.` or `[`, and the rest of the path.
fn name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '.' | '[' => return (!name.is_empty()).then(|| (name, &text[at..])),
            _ => name.push(c),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

fn filter(text: &str) -> Option<Step> {
    let (path, equals) = text.split_once("==")?;
    let mut rest = path.trim().strip_prefix('@')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (found, tail) = name(rest.strip_prefix('.')?)?;
        names.push(found);
        rest = tail;
    }
    let equals = equals.trim();
    Some(Step::Where {
        path: names,
        equals: unquote(equals).unwrap_or(equals).to_owned(),
    })
}

fn unquote(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": {"labels": {"example.org/team": "c1"}},
            "status": {
                "capacity": 5,
                "conditions": [{"type": "Paused", "status": "False"}, {"type": "Ready", "status": "True"}],
            },
            "list": [{}, {"a": 1}, {"a": 2}],
        });
        let cases = [
            (r".metadata.labels.example\.org/team", json!("c1")),
            (".metadata.labels['example.org/team']", json!("c1")),
            (".status.capacity", json!(5)),
            ("{.status.capacity}", json!(5)),
            (
                r#".status.conditions[?(@.type=="Ready")].status"#,
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type=='Paused')].status",
                json!("False"),
            ),
            (".status.conditions[1].type", json!("Ready")),
            (".list[*].a", json!(1)),
        ];
        for (path, want) in cases {
            let path = Path::parse(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(path.find(&object), Some(&want));
        }
        for nothing in [
            ".spec.x",
            r#".status.conditions[?(@.type=="X")].status"#,
            ".list[7]",
        ] {
            assert_eq!(
                Path::parse(nothing).unwrap().find(&object),
                None,
                "{nothing}"
            );
        }
        for odd in ["a", "..a", ".a[", ".a[?(@.b)]", ".a[-1]", r".a\"] {
            assert_eq!(Path::parse(odd), None, "{odd}");
        }
    }
}
