//! Rules in CEL (`x-kubernetes-validations`), evaluated as a real API server evaluates them.
//!
//! The interpreter and Kubernetes' functions (`isIP`, `cidr`, ...) are kube-cel's. The walk is here, because two things that
//! kube-cel's own validator does not have decide what a client sees: on an update a rule does not fail for a value that did not
//! change (ratcheting), and `oldSelf` of a rule with `optionalOldSelf` is an optional value.
//!
//! Costs are not counted: a real API server estimates them when a definition is stored, and clients cannot store any here.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map as CelMap, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::{Map, Value};

use super::found::Found;
use super::{Additional, List, Node, SchemaError, child, is_type_or_metadata};
use crate::field::{FieldError, FieldErrorKind};

/// Functions and macros, without variables. Each evaluation adds its own in a scope.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// Reserved words of CEL. A field with such a name is `__name__` in an expression.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One rule of a node.
#[derive(Debug)]
pub(super) struct Rule {
    program: Program,
    /// The message when the rule fails.
    message: String,
    kind: FieldErrorKind,
    /// The field that the error names, within the node.
    field: Option<String>,
    old_self: OldSelf,
}

/// How a rule uses the value before the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldSelf {
    /// The rule does not use it.
    Unused,
    /// The rule is evaluated only when there is an old value.
    Needed,
    /// The rule is always evaluated; `oldSelf` is an optional value.
    Optional,
}

/// The value before the update, at one place of the walk.
#[derive(Clone, Copy)]
struct Before<'a> {
    /// The old value of this place, where old and new places correspond.
    value: Option<&'a Value>,
    /// Whether the value at this place, or at the nearest place above it that has an old value, is unchanged.
    stands: bool,
}

/// Compiles the rules of one node.
pub(super) fn rules(raw: &Value, path: &str) -> Result<Vec<Rule>, SchemaError> {
    let list = raw.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|rule| Rule::read(rule, path)).collect()
}

/// The violations of the rules by an object.
pub(super) fn check(
    root: &Node,
    object: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> Vec<FieldError> {
    let mut found = Found::default();
    if root.has_rules {
        for (name, value) in object {
            if is_type_or_metadata(name) {
                continue;
            }
            if let Some(node) = root.properties.get(name) {
                let before = match old {
                    None => Before::NOTHING,
                    Some(old) => Before::of(old.get(name), value),
                };
                walk(node, value, before, name, &mut found);
            }
        }
    }
    found.errors
}

fn walk(node: &Node, value: &Value, before: Before<'_>, path: &str, found: &mut Found) {
    if !node.has_rules || value.is_null() || found.is_full() {
        return;
    }
    // An unchanged value is checked only by rules that compare it with its old value.
    if before.stands && !node.has_transitions {
        return;
    }
    evaluate(node, value, before, path, found);
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let (node, path) = match (node.properties.get(name), &node.additional) {
                    (Some(property), _) => (property, child(path, name)),
                    (None, Additional::Of(values)) => (&**values, format!("{path}[{name}]")),
                    (None, Additional::Any | Additional::None) => continue,
                };
                walk(node, value, before.field(name, value), &path, found);
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter().enumerate() {
                let before = before.item(&node.list, item);
                walk(items, item, before, &format!("{path}[{index}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Evaluates the rules of a node on one value.
fn evaluate(node: &Node, value: &Value, before: Before<'_>, path: &str, found: &mut Found) {
    if node.rules.is_empty() {
        return;
    }
    let is_judged = |rule: &Rule| match rule.old_self {
        OldSelf::Unused => !before.stands,
        OldSelf::Needed => before.value.is_some_and(|old| !old.is_null()),
        OldSelf::Optional => true,
    };
    if !node.rules.iter().any(is_judged) {
        return;
    }
    let new = to_cel(node, value);
    let old = before
        .value
        .filter(|old| !old.is_null())
        .map(|old| to_cel(node, old));
    for rule in node.rules.iter().filter(|rule| is_judged(rule)) {
        let mut scope = FUNCTIONS.new_inner_scope();
        match (rule.old_self, &old) {
            (OldSelf::Unused, _) | (OldSelf::Needed, None) => {}
            (OldSelf::Needed, Some(old)) => scope.add_variable_from_value("oldSelf", old.clone()),
            (OldSelf::Optional, old) => {
                let optional = match old {
                    Some(old) => OptionalValue::of(old.clone()),
                    None => OptionalValue::none(),
                };
                scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(optional)));
            }
        }
        scope.add_variable_from_value("self", new.clone());
        match rule.program.execute(&scope) {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => found.push(rule.broken(value, path)),
            Err(error) => found.push(rule.failed(&error, value, path)),
        }
    }
}

// === impl Rule ===

impl Rule {
    /// Whether the rule compares a value with its old value.
    pub(super) fn is_transition(&self) -> bool {
        self.old_self != OldSelf::Unused
    }

    fn read(raw: &Value, path: &str) -> Result<Self, SchemaError> {
        let wrong = |why: String| SchemaError {
            path: path.to_owned(),
            why,
        };
        let text = |name: &str| raw.get(name).and_then(Value::as_str);
        let known = ["fieldPath", "message", "optionalOldSelf", "reason", "rule"];
        let keys = raw.as_object().into_iter().flat_map(Map::keys);
        if let Some(other) = keys.into_iter().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(format!("{other} of a rule is not carried out here")));
        }
        let rule = text("rule").unwrap_or_default();
        let program = Program::compile(rule).map_err(|error| wrong(error.to_string()))?;
        let uses_old = program.references().has_variable("oldSelf");
        let old_self = match (uses_old, raw.get("optionalOldSelf") == Some(&true.into())) {
            (false, _) => OldSelf::Unused,
            (true, false) => OldSelf::Needed,
            (true, true) => OldSelf::Optional,
        };
        Ok(Self {
            program,
            message: match text("message") {
                Some(message) => message.trim().to_owned(),
                None => format!("failed rule: {}", rule.trim()),
            },
            kind: match text("reason") {
                Some("FieldValueRequired") => FieldErrorKind::Required,
                Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
                Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
                None | Some(_) => FieldErrorKind::Invalid,
            },
            field: text("fieldPath").map(|field| field.trim_start_matches('.').to_owned()),
            old_self,
        })
    }

    fn broken(&self, value: &Value, path: &str) -> FieldError {
        let path = match &self.field {
            Some(field) => child(path, field),
            None => path.to_owned(),
        };
        // A real API server shows no lists and maps.
        let shows_value = matches!(
            self.kind,
            FieldErrorKind::Invalid | FieldErrorKind::Duplicate
        ) && !value.is_object()
            && !value.is_array();
        let (value, detail) = match self.kind {
            FieldErrorKind::Duplicate => (Some(value.clone()), String::new()),
            _ if shows_value => (Some(value.clone()), self.message.clone()),
            _ => (None, self.message.clone()),
        };
        FieldError {
            field: path,
            kind: self.kind,
            value,
            detail,
        }
    }

    fn failed(&self, error: &ExecutionError, value: &Value, path: &str) -> FieldError {
        let kind = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(_) | Value::Null => "integer",
        };
        let why = format!("{error} evaluating rule: {}", self.message);
        FieldError::invalid(path, &kind.into(), why)
    }
}

// === impl Before ===

impl<'a> Before<'a> {
    /// For a part that is new.
    const NOTHING: Self = Self {
        value: None,
        stands: false,
    };

    fn of(old: Option<&'a Value>, new: &Value) -> Self {
        Self {
            value: old,
            stands: old == Some(new),
        }
    }

    /// For a field or a map's value.
    fn field(self, name: &str, new: &Value) -> Self {
        match self.value {
            None => self,
            Some(old) => Self::of(old.get(name), new),
        }
    }

    /// For an item. Only items of a list that is a map have an old value, the one with the same key.
    fn item(self, list: &List, new: &Value) -> Self {
        let beside = Self {
            value: None,
            stands: self.stands,
        };
        let (List::Map(keys), Some(Value::Array(old))) = (list, self.value) else {
            return beside;
        };
        let same = |item: &&Value| keys.iter().all(|key| item.get(key) == new.get(key));
        old.iter()
            .find(same)
            .map_or(beside, |old| Self::of(Some(old), new))
    }
}

/// A value for CEL, by its schema: fields have escaped names, keys of maps stay as they are.
fn to_cel(node: &Node, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(is) => Cel::Bool(*is),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, float) => Cel::Float(float.unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => {
            let unknown = Node::default();
            let items = node.items.as_deref().unwrap_or(&unknown);
            Cel::List(Arc::new(
                list.iter().map(|item| to_cel(items, item)).collect(),
            ))
        }
        Value::Object(object) => {
            let unknown = Node::default();
            let entry = |(name, value): (&String, &Value)| {
                let (key, value) = match (node.properties.get(name), &node.additional) {
                    (Some(property), _) => (escaped(name), to_cel(property, value)),
                    (None, Additional::Of(values)) => (name.clone(), to_cel(values, value)),
                    (None, Additional::Any | Additional::None) => {
                        (name.clone(), to_cel(&unknown, value))
                    }
                };
                (Key::String(Arc::new(key)), value)
            };
            let map: HashMap<Key, Cel> = object.iter().map(entry).collect();
            Cel::Map(CelMap { map: Arc::new(map) })
        }
    }
}

/// A field's name in an expression.
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let mut text = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '_' => text.push_str("__"),
            '.' => text.push_str("__dot__"),
            '-' => text.push_str("__dash__"),
            '/' => text.push_str("__slash__"),
            letter => text.push(letter),
        }
    }
    text
}
