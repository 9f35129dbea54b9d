//! The form of an answer, by the `Accept` header: the object, its metadata, or a table; JSON or YAML.

/// The view of objects.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum View {
    /// The whole objects.
    Object,
    /// Metadata alone (`PartialObjectMetadata`).
    Metadata,
    /// Rows with the kind's columns; the text is the version of `meta.k8s.io` that was asked for.
    Table(&'static str),
}

/// The encoding.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Encoding {
    Json,
    Yaml,
}

/// The form of one answer.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct Form {
    pub(super) view: View,
    pub(super) encoding: Encoding,
}

/// Whole objects in JSON. Errors are always written in this form.
pub(super) const JSON: Form = Form {
    view: View::Object,
    encoding: Encoding::Json,
};

/// The first clause of an `Accept` header, by weight and then by order, that this server can serve. `None` when there is none.
/// Protobuf is refused, as for every custom resource, and clients that list JSON after it get JSON. Aggregated discovery is not
/// served: `as=APIGroupDiscoveryList` falls through to the next clause.
pub(super) fn choose(accept: Option<&str>) -> Option<Form> {
    let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
        return Some(JSON);
    };
    let mut clauses: Vec<(u32, Form)> = accept.split(',').filter_map(clause).collect();
    // Stable: equal weights keep the client's order.
    clauses.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    clauses.first().map(|(_, form)| *form)
}

fn clause(text: &str) -> Option<(u32, Form)> {
    let mut parts = text.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "application/*" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let (mut weight, mut kind, mut group, mut version) = (1000, None, None, None);
    for parameter in parts {
        let Some((key, value)) = parameter.split_once('=') else {
            continue;
        };
        match key.trim() {
            // In thousandths. A weight that cannot be read counts as 1.
            "q" => {
                let q: f32 = value.trim().parse().unwrap_or(1.0);
                weight = if q >= 1.0 {
                    1000
                } else {
                    (1..1000u16)
                        .rev()
                        .find(|n| f32::from(*n) <= q * 1000.0)?
                        .into()
                };
            }
            "as" => kind = Some(value.trim()),
            "g" => group = Some(value.trim()),
            "v" => version = Some(value.trim()),
            _ => {}
        }
    }
    let version = match version {
        Some("v1beta1") => "v1beta1",
        Some("v1") | None => "v1",
        Some(_) => return None,
    };
    let view = match (kind, group) {
        (None, _) => View::Object,
        (Some("Table"), Some("meta.k8s.io")) => View::Table(version),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io")) => {
            View::Metadata
        }
        (Some(_), _) => return None,
    };
    Some((weight, Form { view, encoding }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_clause_that_can_be_served_wins() {
        let table = View::Table("v1");
        let cases = [
            ("", Some((View::Object, Encoding::Json))),
            ("*/*", Some((View::Object, Encoding::Json))),
            (
                "application/vnd.kubernetes.protobuf, application/json",
                Some((View::Object, Encoding::Json)),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some((table, Encoding::Json)),
            ),
            (
                "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
                Some((View::Object, Encoding::Json)),
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                Some((View::Object, Encoding::Json)),
            ),
            (
                "application/json;q=0.5, application/yaml;q=0.8",
                Some((View::Object, Encoding::Yaml)),
            ),
            (
                "application/json;q=0, application/yaml;q=0.001",
                Some((View::Object, Encoding::Yaml)),
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some((View::Metadata, Encoding::Json)),
            ),
        ];
        for (accept, want) in cases {
            let got = choose(Some(accept)).map(|f| (f.view, f.encoding));
            assert_eq!(got, want, "{accept}");
        }
        assert_eq!(choose(None), Some(JSON));
    }
}
