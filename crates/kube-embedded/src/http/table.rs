//! Tables for `kubectl get`: one row for each object, with the columns of its kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::Path;
use super::query::IncludeObject;
use crate::kinds::{Resource, Strategy};

/// The columns of one kind, with parsed paths.
pub(super) struct Columns {
    strategy: Strategy,
    /// Whether the object's name is the last cell and not the first.
    named_last: bool,
    cells: Vec<Cell>,
    /// `columnDefinitions`.
    definitions: Value,
}

struct Cell {
    kind: Kind,
    path: Option<Path>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Age,
    /// A date that is shown as it is, not as an age.
    Date,
}

/// The description of the column Name, as on a real API server.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

impl Columns {
    pub(super) fn of(resource: &Resource) -> Self {
        // The name of an Event is the last column, in wide output only.
        let named_last = resource.strategy == Strategy::Event;
        let name = json!({
            "name": "Name", "type": "string", "format": "name",
            "priority": i32::from(named_last),
            "description": NAME,
        });
        let mut definitions = Vec::with_capacity(resource.columns.len() + 1);
        let mut cells = Vec::with_capacity(resource.columns.len());
        for column in &resource.columns {
            definitions.push(json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            }));
            let kind = match (column.kind.as_str(), resource.strategy) {
                ("integer", _) => Kind::Integer,
                ("number", _) => Kind::Number,
                ("boolean", _) => Kind::Boolean,
                ("date", Strategy::Definition) => Kind::Date,
                ("date", _) => Kind::Age,
                _ => Kind::Text,
            };
            let path = Path::parse(&column.json_path);
            cells.push(Cell { kind, path });
        }
        definitions.insert(if named_last { definitions.len() } else { 0 }, name);
        Self {
            strategy: resource.strategy,
            named_last,
            cells,
            definitions: definitions.into(),
        }
    }

    pub(super) fn definitions(&self) -> &Value {
        &self.definitions
    }

    /// The row of one object. `include`: what it has beside the cells.
    pub(super) fn row(&self, object: Value, include: IncludeObject, now: Timestamp) -> Value {
        let mut cells = Vec::with_capacity(self.cells.len() + 1);
        for cell in &self.cells {
            let found = cell.path.as_ref().and_then(|path| path.find(&object));
            cells.push(self.cell(cell.kind, found, &object, now));
        }
        let name = object["metadata"]["name"].clone();
        cells.insert(if self.named_last { cells.len() } else { 0 }, name);
        let object = match include {
            IncludeObject::None => Value::Null,
            IncludeObject::Metadata => metadata_only(object),
            IncludeObject::Object => object,
        };
        json!({"cells": cells, "object": object})
    }

    fn cell(&self, kind: Kind, found: Option<&Value>, object: &Value, now: Timestamp) -> Value {
        match (kind, found) {
            // An Event that happened once has eventTime or firstTimestamp only.
            (Kind::Age, None | Some(Value::Null)) if self.strategy == Strategy::Event => {
                let time = [&object["eventTime"], &object["firstTimestamp"]]
                    .into_iter()
                    .find(|time| time.is_string());
                time.map_or("<unknown>".into(), |time| age(time, now))
            }
            (_, None | Some(Value::Null)) => Value::Null,
            (Kind::Age, Some(value)) => age(value, now),
            // The number of entries of a ConfigMap or a Secret.
            (Kind::Integer, Some(Value::Object(map))) => map.len().into(),
            (Kind::Integer, Some(value)) => match value.as_f64() {
                Some(_) if value.is_i64() || value.is_u64() => value.clone(),
                Some(float) => json!(float as i64),
                None => Value::Null,
            },
            (Kind::Number, Some(value)) if value.is_number() => value.clone(),
            (Kind::Boolean, Some(value)) if value.is_boolean() => value.clone(),
            (Kind::Number | Kind::Boolean, Some(_)) => Value::Null,
            (Kind::Date | Kind::Text, Some(Value::String(text))) => text.as_str().into(),
            // The object of an Event.
            (Kind::Text, Some(value)) if self.strategy == Strategy::Event => {
                let text = |key: &str| value[key].as_str().unwrap_or_default();
                format!("{}/{}", text("kind").to_lowercase(), text("name")).into()
            }
            (Kind::Date | Kind::Text, Some(value)) => value.to_string().into(),
        }
    }
}

/// `PartialObjectMetadata` of an object.
pub(super) fn metadata_only(mut object: Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"].take(),
    })
}

fn age(time: &Value, now: Timestamp) -> Value {
    let Some(text) = time.as_str() else {
        return "<unknown>".into();
    };
    match text.parse::<Timestamp>() {
        Ok(then) => human(now.as_second() - then.as_second()).into(),
        Err(_) => "<invalid>".into(),
    }
}

/// A duration with at most two units, less precise the longer it is; as a real API server writes it.
fn human(seconds: i64) -> String {
    // Clocks may differ by a second.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{big_unit}")
        } else {
            format!("{big}{big_unit}{small}{small_unit}")
        }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_072_000 + 86_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        for (seconds, want) in cases {
            assert_eq!(human(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn a_row_has_the_columns_of_the_kind() {
        let kinds = crate::testing::resources();
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let row = |group: &str, kind: &str, object: Value| {
            let columns = Columns::of(kinds.by_kind(group, kind).unwrap());
            let row = columns.row(object, IncludeObject::None, now);
            assert_eq!(
                row["cells"].as_array().unwrap().len(),
                columns.definitions().as_array().unwrap().len()
            );
            row["cells"].clone()
        };
        let created = "2026-01-01T00:00:00Z";
        assert_eq!(
            row(
                "example.com",
                "Widget",
                json!({
                    "metadata": {"name": "p", "creationTimestamp": created,
                        "labels": {"example.org/team": "c"}},
                    "status": {"capacity": 7, "used": 0,
                        "conditions": [{"type": "Ready", "status": "True"}]},
                })
            ),
            json!(["p", "c", 7, 0, null, "True", "10m"])
        );
        assert_eq!(
            row(
                "",
                "ConfigMap",
                json!({"metadata": {"name": "m", "creationTimestamp": created},
                "data": {"a": "1", "b": "2"}})
            ),
            json!(["m", 2, "10m"])
        );
        assert_eq!(
            row(
                "",
                "Event",
                json!({"metadata": {"name": "e"}, "eventTime": created, "type": "Normal",
                "reason": "R", "message": "hello", "involvedObject": {"kind": "Widget", "name": "p"}})
            ),
            json!(["10m", "Normal", "R", "widget/p", "hello", "e"])
        );
    }

    #[test]
    fn what_stands_beside_the_cells_is_chosen() {
        let kinds = crate::testing::resources();
        let columns = Columns::of(kinds.by_kind("", "Namespace").unwrap());
        let object = json!({"kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {}});
        let with =
            |include| columns.row(object.clone(), include, Timestamp::UNIX_EPOCH)["object"].clone();
        assert_eq!(with(IncludeObject::None), Value::Null);
        assert_eq!(with(IncludeObject::Object), object);
        let partial = with(IncludeObject::Metadata);
        assert_eq!(partial["kind"], "PartialObjectMetadata");
        assert_eq!(partial["metadata"], object["metadata"]);
        assert_eq!(partial.get("spec"), None);
    }
}
