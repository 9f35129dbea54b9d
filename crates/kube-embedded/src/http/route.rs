//! Parses the path of a request. Pure: it does not know which resources are served.

use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`: the list of paths.
    Index,
    /// `/healthz`, `/readyz`, `/livez`, also with the name of a check.
    Health,
    /// `/version`.
    Version,
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: every group but the core one.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`: the resources of a version.
    GroupVersion {
        /// Empty for the core group.
        group: String,
        version: String,
    },
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/...`: the rest of the path, as in the index.
    OpenApiDocument(String),
    /// Objects, or one object.
    Objects(ObjectPath),
    /// No path of an API server.
    Unknown,
}

/// The path of a collection, an object or a subresource.
#[derive(Debug, PartialEq, Eq, Default, Clone)]
pub(super) struct ObjectPath {
    /// Empty for the core group.
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) plural: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    /// Whether more segments follow, which a real API server ignores for custom resources.
    pub(super) has_more: bool,
}

impl Route {
    pub(super) fn parse(path: &str) -> Self {
        let mut parts = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let Ok(part) = percent_decode_str(part).decode_utf8() else {
                return Self::Unknown;
            };
            parts.push(part.into_owned());
        }
        let text: Vec<&str> = parts.iter().map(String::as_str).collect();
        match text.as_slice() {
            [] => Self::Index,
            ["healthz" | "readyz" | "livez", ..] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::GroupVersion {
                group: String::new(),
                version: (*version).to_owned(),
            },
            ["apis", group, version] => Self::GroupVersion {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
            },
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", rest @ ..] => Self::OpenApiDocument(rest.join("/")),
            ["api", version, rest @ ..] => objects("", version, rest),
            ["apis", group, version, rest @ ..] => objects(group, version, rest),
            _ => Self::Unknown,
        }
    }
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Route {
    let owned = |text: &&str| Some((*text).to_owned());
    let (namespace, rest) = match rest {
        // Subresources of the namespace, not resources in it.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (owned(namespace), rest),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, owned(name), None),
        [plural, name, subresource, ..] => (plural, owned(name), owned(subresource)),
        [] => return Route::Unknown,
    };
    Route::Objects(ObjectPath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        plural: (*plural).to_owned(),
        name,
        subresource,
        has_more: rest.len() > 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(route: &str) -> [String; 6] {
        let Route::Objects(p) = Route::parse(route) else {
            panic!("{route} names no object");
        };
        let text = |o: Option<String>| o.unwrap_or_else(|| "-".to_owned());
        [
            p.group,
            p.version,
            text(p.namespace),
            p.plural,
            text(p.name),
            text(p.subresource),
        ]
    }

    #[test]
    fn objects_are_found_by_their_path() {
        let cases = [
            (
                "/api/v1/namespaces",
                ["", "v1", "-", "namespaces", "-", "-"],
            ),
            (
                "/api/v1/namespaces/a",
                ["", "v1", "-", "namespaces", "a", "-"],
            ),
            (
                "/api/v1/namespaces/a/status",
                ["", "v1", "-", "namespaces", "a", "status"],
            ),
            (
                "/api/v1/namespaces/a/events",
                ["", "v1", "a", "events", "-", "-"],
            ),
            (
                "/apis/g.io/v1/pools",
                ["g.io", "v1", "-", "pools", "-", "-"],
            ),
            (
                "/apis/g.io/v1/namespaces/a/pools/x/status",
                ["g.io", "v1", "a", "pools", "x", "status"],
            ),
            (
                "/apis/g.io/v1/namespaces/a/pools/x%3Ay",
                ["g.io", "v1", "a", "pools", "x:y", "-"],
            ),
        ];
        for (route, want) in cases {
            assert_eq!(path(route), want.map(str::to_owned), "{route}");
        }
    }

    #[test]
    fn more_may_follow_a_part_of_an_object() {
        for (route, has_more) in [
            ("/apis/g.io/v1/namespaces/a/pools/x/status", false),
            ("/apis/g.io/v1/namespaces/a/pools/x/status/more", true),
        ] {
            assert_eq!(path(route)[3..], ["pools", "x", "status"]);
            let Route::Objects(path) = Route::parse(route) else {
                panic!("{route} names no object");
            };
            assert_eq!(path.has_more, has_more, "{route}");
        }
    }

    #[test]
    fn everything_else() {
        assert_eq!(Route::parse("/"), Route::Index);
        assert_eq!(Route::parse("/readyz/etcd"), Route::Health);
        assert_eq!(Route::parse("/apis/"), Route::Groups);
        assert_eq!(Route::parse("/apis/g"), Route::Group("g".to_owned()));
        assert_eq!(
            Route::parse("/openapi/v3/apis/g/v1"),
            Route::OpenApiDocument("apis/g/v1".to_owned())
        );
        assert_eq!(Route::parse("/openapi/v2"), Route::OpenApiV2);
        for unknown in ["/x", "/openapi/v1", "/api/v1/pods/%ff"] {
            assert_eq!(Route::parse(unknown), Route::Unknown, "{unknown}");
        }
    }
}
