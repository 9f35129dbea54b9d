//! What each server makes up by itself gets a name that is the same for both: `{uid 12.0}` is the first UID that was new in the
//! answer to step 12, `{rv 12.0}` the first resourceVersion of an object, `{name 12.0}` the first generated name, `{list 12}`
//! the resourceVersion of a list and `{continue 12}` its token. Two answers that say the same read the same with these names
//! in them, also as to which of the earlier objects and versions they mean.

use std::collections::HashMap;

/// The names of one side, of one run of a script.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// The namespace that the script plays in.
    pub(super) namespace: String,
    actual: HashMap<String, String>,
    named: HashMap<String, String>,
    /// Generated names, to be found within texts.
    generated: Vec<(String, String)>,
    step: u32,
    count: HashMap<&'static str, usize>,
}

impl Symbols {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    /// What comes now is the answer to this step.
    pub(super) fn begin(&mut self, step: u32) {
        self.step = step;
        self.count.clear();
    }

    /// The symbol of a value; a new one when it was never seen.
    pub(super) fn name(&mut self, what: &'static str, actual: &str) -> String {
        let known = format!("{what} {actual}");
        if let Some(symbol) = self.named.get(&known) {
            return symbol.clone();
        }
        let symbol = self.fresh(what, actual);
        if what == "name" {
            self.generated.push((actual.to_owned(), symbol.clone()));
        }
        self.named.insert(known, symbol.clone());
        symbol
    }

    /// A new symbol, whatever was seen.
    pub(super) fn fresh(&mut self, what: &'static str, actual: &str) -> String {
        let count = self.count.entry(what).or_default();
        let symbol = format!("{{{what} {}.{count}}}", self.step);
        *count += 1;
        self.actual.insert(symbol.clone(), actual.to_owned());
        symbol
    }

    /// The symbol of a value, if it has one.
    pub(super) fn known(&self, what: &str, actual: &str) -> Option<&String> {
        self.named.get(&format!("{what} {actual}"))
    }

    /// Puts what this side calls them where symbols stand.
    pub(super) fn resolve(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let symbol = symbol_at(rest);
            if symbol == Some("{ns}") {
                out.push_str(&self.namespace);
                rest = &rest["{ns}".len()..];
            } else if let Some(symbol) = symbol {
                // A symbol of a step that was left out: the same nonsense on both sides.
                let actual = self.actual.get(symbol).map_or("1", String::as_str);
                out.push_str(actual);
                rest = &rest[symbol.len()..];
            } else {
                out.push('{');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        out
    }

    /// Puts symbols where this side's own words stand in a text for people.
    pub(super) fn read(&self, text: &str) -> String {
        let mut text = text.replace(&self.namespace, "{ns}");
        for (actual, symbol) in &self.generated {
            text = text.replace(actual, symbol);
        }
        text
    }
}

/// The symbol that a text begins with.
pub(super) fn symbol_at(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let symbol = &text[..=end];
    if symbol == "{ns}" {
        return Some(symbol);
    }
    let (what, number) = symbol[1..end].split_once(' ')?;
    let is_known = ["uid", "rv", "name", "list", "continue"].contains(&what);
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (is_known && is_number && !number.is_empty()).then_some(symbol)
}
