//! Secret.

use super::{AGE, BOOL, BYTES_MAP, Kind, Owned, Struct, TEXT, TEXT_MAP, fields};
use crate::kinds::Strategy;

pub(super) static SECRET: Kind = Kind {
    group: "",
    kind: "Secret",
    plural: "secrets",
    short_names: &[],
    categories: &[],
    namespaced: true,
    status_subresource: false,
    strategy: Strategy::Plain,
    selectable: &["type"],
    columns: &[
        ("Type", "string", ".type"),
        ("Data", "integer", ".data"),
        AGE,
    ],
    object: Some(&Struct {
        description: "Secret data, as keys and values.",
        owned: Owned::Granular,
        fields: fields! { object
            2 "data" Omitted BYTES_MAP, "The values.";
            3 "type" Omitted TEXT, "What the secret is for.";
            4 "stringData" Omitted TEXT_MAP, "Values as text; the server moves them to data.";
            5 "immutable" Pointer BOOL, "Whether the contents can no longer be changed.";
        },
    }),
};
