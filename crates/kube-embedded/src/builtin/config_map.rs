//! ConfigMap.

use super::{AGE, BOOL, BYTES_MAP, Kind, Owned, Struct, TEXT_MAP, fields};
use crate::kinds::Strategy;

pub(super) static CONFIG_MAP: Kind = Kind {
    group: "",
    kind: "ConfigMap",
    plural: "configmaps",
    short_names: &["cm"],
    categories: &[],
    namespaced: true,
    status_subresource: false,
    strategy: Strategy::Plain,
    selectable: &[],
    columns: &[("Data", "integer", ".data"), AGE],
    object: Some(&Struct {
        description: "Configuration, as keys and values.",
        owned: Owned::Granular,
        fields: fields! { object
            2 "data" Omitted TEXT_MAP, "Values that are UTF-8 text.";
            3 "binaryData" Omitted BYTES_MAP, "Values that are bytes.";
            4 "immutable" Pointer BOOL, "Whether the contents can no longer be changed.";
        },
    }),
};
