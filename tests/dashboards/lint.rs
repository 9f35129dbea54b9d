//! The 17 rules of grafana/dashboard-linter, each by its name: they hold on every dashboard, and each is shown to catch a
//! violation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::promql::{self, Matcher, Selector};

/// What a rule finds wrong with a dashboard.
type Rule = fn(&Value) -> Vec<String>;

pub(crate) const RULES: [(&str, Rule); 17] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |d| template_of(d, "job")),
    ("template-instance-rule", |d| template_of(d, "instance")),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title_description),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_no_targets),
    ("target-logql-rule", target_logql),
    ("target-logql-auto-rule", target_logql_auto),
    ("target-promql-rule", target_promql),
    ("target-rate-interval-rule", target_rate_interval),
    ("target-job-rule", |d| target_matches(d, "job")),
    ("target-instance-rule", |d| target_matches(d, "instance")),
    ("target-counter-agg-rule", target_counter_agg),
    ("uneditable-dashboard", uneditable),
];

/// Units of Grafana that the dashboards use. A unit that is not here is a spelling mistake, or is to be looked up first in
/// Grafana's `valueFormats/categories.ts`.
const UNITS: [&str; 8] = [
    "none",
    "short",
    "percentunit",
    "s",
    "ops",
    "reqps",
    "bytes",
    "dateTimeFromNow",
];

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn variables<'a>(dashboard: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(dashboard, "/templating/list")
        .iter()
        .filter(move |v| v["type"] == kind)
}

/// Panels that show something, those folded into rows too.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = list(dashboard, "/panels").iter();
    let nested = top.flat_map(|p| std::iter::once(p).chain(list(p, "/panels")));
    nested.filter(|p| p["type"] != "row").collect()
}

/// Panels with their expressions.
pub(crate) fn expressions(dashboard: &Value) -> Vec<(&str, &str)> {
    let of_panel = |p| {
        list(p, "/targets")
            .iter()
            .map(move |t| (text(p, "/title"), text(t, "/expr")))
    };
    panels(dashboard).into_iter().flat_map(of_panel).collect()
}

fn template_datasource(d: &Value) -> Vec<String> {
    let all: Vec<_> = variables(d, "datasource").collect();
    match all.as_slice() {
        [one]
            if one["name"] == "datasource"
                && one["label"] == "Data Source"
                && one["query"] == "prometheus" =>
        {
            Vec::new()
        }
        [one] => vec![format!("the data source is a variable {one}")],
        other => vec![format!("{} variables are data sources", other.len())],
    }
}

fn template_of(d: &Value, name: &str) -> Vec<String> {
    let Some(variable) = variables(d, "query").find(|v| v["name"] == name) else {
        return vec![format!("there is no variable {name}")];
    };
    let want = [
        ("/datasource/uid", json!("$datasource")),
        ("/label", json!(name)),
        ("/multi", json!(true)),
        ("/includeAll", json!(true)),
        ("/allValue", json!(".+")),
    ];
    let wrong = want
        .iter()
        .filter(|(pointer, value)| variable.pointer(pointer) != Some(value));
    wrong
        .map(|(pointer, _)| format!("{name}: {pointer} is {:?}", variable.pointer(pointer)))
        .collect()
}

fn template_label_promql(d: &Value) -> Vec<String> {
    let wrong = |v: &Value| {
        let query = text(v, "/query");
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|q| q.strip_suffix(')'));
        let selector = inner
            .and_then(|inner| inner.rsplit_once(','))
            .map(|(selector, _)| selector);
        match selector.map(promql::selectors) {
            Some(Ok(_)) => None,
            Some(Err(e)) => Some(format!("{query}: {e}")),
            None => Some(format!("{query} is no label_values(selector, label)")),
        }
    };
    variables(d, "query").filter_map(wrong).collect()
}

fn template_reload(d: &Value) -> Vec<String> {
    let stale = variables(d, "query").filter(|v| v["refresh"] != 2);
    stale
        .map(|v| format!("{} is not asked for anew when the time changes", v["name"]))
        .collect()
}

fn each_panel(d: &Value, wrong: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let told = |p: &Value| wrong(p).map(|what| format!("panel {}: {what}", p["title"]));
    panels(d).into_iter().filter_map(told).collect()
}

fn panel_datasource(d: &Value) -> Vec<String> {
    each_panel(d, |p| {
        (text(p, "/datasource/uid") != "$datasource")
            .then(|| format!("its data source is {}", p["datasource"]))
    })
}

fn panel_title_description(d: &Value) -> Vec<String> {
    each_panel(d, |p| {
        let missing = ["/title", "/description"]
            .into_iter()
            .find(|pointer| text(p, pointer).trim().is_empty());
        missing.map(|pointer| format!("it has no {pointer}"))
    })
}

fn panel_units(d: &Value) -> Vec<String> {
    each_panel(d, |p| {
        let overrides = list(p, "/fieldConfig/overrides").iter();
        let properties = overrides
            .flat_map(|o| list(o, "/properties"))
            .filter(|p| p["id"] == "unit");
        let mut units = properties.map(|p| text(p, "/value")).collect::<Vec<_>>();
        units.push(text(p, "/fieldConfig/defaults/unit"));
        let wrong = units.into_iter().find(|unit| !UNITS.contains(unit));
        wrong.map(|unit| format!("{unit:?} is no unit"))
    })
}

fn panel_no_targets(d: &Value) -> Vec<String> {
    each_panel(d, |p| {
        list(p, "/targets")
            .is_empty()
            .then(|| "it shows nothing".to_owned())
    })
}

/// Targets of Loki: there are none here, so each would be a mistake in the data source.
fn logql(d: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let targets = panels(d)
        .into_iter()
        .flat_map(|p| list(p, "/targets").iter().map(move |t| (p, t)));
    targets.filter(|(p, t)| {
        [p, t]
            .into_iter()
            .any(|x| text(x, "/datasource/type") == "loki")
    })
}

/// LogQL cannot be parsed here, so it is refused as a whole: a dashboard of metrics has none.
fn target_logql(d: &Value) -> Vec<String> {
    logql(d)
        .map(|(p, t)| {
            format!(
                "panel {}: {} is LogQL that nothing here can read",
                p["title"], t["expr"]
            )
        })
        .collect()
}

fn target_logql_auto(d: &Value) -> Vec<String> {
    let fixed = logql(d)
        .filter(|(_, t)| text(t, "/expr").contains('[') && !text(t, "/expr").contains("[$__auto]"));
    fixed
        .map(|(p, t)| format!("panel {}: {} has a fixed range", p["title"], t["expr"]))
        .collect()
}

fn target_promql(d: &Value) -> Vec<String> {
    let wrong = |(title, expr)| {
        promql::selectors(expr)
            .err()
            .map(|e| format!("panel {title}: {expr}: {e}"))
    };
    expressions(d).into_iter().filter_map(wrong).collect()
}

/// What is wrong with the selectors of any target. What cannot be parsed is another rule's.
fn each_selector(d: &Value, wrong: impl Fn(&Selector) -> Option<String>) -> Vec<String> {
    let mut all = Vec::new();
    for (title, expr) in expressions(d) {
        let found = promql::selectors(expr).unwrap_or_default();
        let told = found.iter().filter_map(&wrong);
        all.extend(told.map(|what| format!("panel {title}: {expr}: {what}")));
    }
    all
}

const RATES: [&str; 3] = ["rate", "irate", "increase"];

fn target_rate_interval(d: &Value) -> Vec<String> {
    // The stand-in for `$__rate_interval` is a range that nothing else here has, so the text is looked at, not the number.
    let mut all = Vec::new();
    for (title, expr) in expressions(d) {
        for rate in RATES {
            for call in expr.split(&format!("{rate}(")).skip(1) {
                let range = call
                    .split_once('[')
                    .and_then(|(_, rest)| rest.split_once(']'));
                if range.map(|(range, _)| range) != Some("$__rate_interval") {
                    all.push(format!("panel {title}: {expr}: {rate} over {range:?}"));
                }
            }
        }
    }
    all
}

fn target_matches(d: &Value, label: &str) -> Vec<String> {
    // Before the variables are filled in: what is asked for is the variable itself.
    let mut all = Vec::new();
    for (title, expr) in expressions(d) {
        let kept = expr.replace(&format!("${label}"), "KEPT");
        for found in promql::selectors(&kept).unwrap_or_default() {
            let is = |m: &Matcher| m.label == label && m.op == "=~" && m.value == "KEPT";
            if !found.matchers.iter().any(is) {
                all.push(format!(
                    "panel {title}: {} lacks {label}=~\"${label}\"",
                    found.text()
                ));
            }
        }
    }
    all
}

fn target_counter_agg(d: &Value) -> Vec<String> {
    each_selector(d, |found| {
        let counter = found.name.ends_with("_total");
        let taken_by = found.taken_by.as_deref().unwrap_or_default();
        let rated = found.range.is_some() && RATES.contains(&taken_by);
        (counter && !rated).then(|| format!("{} is a counter and not rated", found.name))
    })
}

fn uneditable(d: &Value) -> Vec<String> {
    if d["editable"] == false {
        Vec::new()
    } else {
        vec!["it can be edited".to_owned()]
    }
}

#[test]
fn every_rule_holds_on_every_dashboard() {
    for (name, dashboard) in crate::dashboards() {
        assert!(panels(&dashboard).len() >= 8, "{name} shows something");
        for (rule, check) in RULES {
            assert_eq!(check(&dashboard), [""; 0], "{rule} on {name}");
        }
    }
}

/// What is done to a dashboard.
enum Break {
    /// A field of the variable of this name.
    Variable(&'static str, &'static str, Value),
    /// A field of the first panel, by its JSON pointer.
    Panel(&'static str, Value),
    /// The first panel's expression.
    Expr(&'static str),
    /// The first panel's expression, asked of Loki.
    Loki(&'static str),
    /// The dashboard can be edited.
    Editable,
}

impl Break {
    fn apply(self, dashboard: &mut Value) {
        let panels = dashboard["panels"].as_array().unwrap();
        let first = panels.iter().position(|p| p["type"] != "row").unwrap();
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let place = |name| variables.iter().position(|v| v["name"] == name).unwrap();
        match self {
            Self::Variable(name, field, value) => {
                let place = place(name);
                dashboard["templating"]["list"][place][field] = value;
            }
            Self::Panel(pointer, value) => {
                let panel = &mut dashboard["panels"][first];
                *panel.pointer_mut(pointer).unwrap() = value;
            }
            Self::Expr(expr) => {
                dashboard["panels"][first]["targets"][0]["expr"] = json!(expr);
            }
            Self::Loki(expr) => {
                let target = &mut dashboard["panels"][first]["targets"][0];
                target["expr"] = json!(expr);
                target["datasource"]["type"] = json!("loki");
            }
            Self::Editable => dashboard["editable"] = json!(true),
        }
    }
}

/// Rules, and what breaks each.
fn violations() -> Vec<(&'static str, Break)> {
    use Break::{Editable, Expr, Loki, Panel, Variable};
    let elsewhere = || json!({"type": "prometheus", "uid": "P1"});
    vec![
        (
            "template-datasource-rule",
            Variable("datasource", "name", json!("prometheus")),
        ),
        (
            "template-datasource-rule",
            Variable("datasource", "label", json!("Source")),
        ),
        (
            "template-datasource-rule",
            Variable("datasource", "query", json!("graphite")),
        ),
        (
            "template-datasource-rule",
            Variable("job", "type", json!("datasource")),
        ),
        ("template-job-rule", Variable("job", "name", json!("jobs"))),
        (
            "template-job-rule",
            Variable("job", "allValue", json!(".*")),
        ),
        ("template-job-rule", Variable("job", "multi", json!(false))),
        (
            "template-job-rule",
            Variable("job", "datasource", elsewhere()),
        ),
        (
            "template-instance-rule",
            Variable("instance", "label", json!("Instance")),
        ),
        (
            "template-label-promql-rule",
            Variable("job", "query", json!("label_values(up{, job)")),
        ),
        (
            "template-label-promql-rule",
            Variable("job", "query", json!("up")),
        ),
        (
            "template-on-time-change-reload-rule",
            Variable("instance", "refresh", json!(1)),
        ),
        ("panel-datasource-rule", Panel("/datasource", elsewhere())),
        ("panel-title-description-rule", Panel("/title", json!(""))),
        (
            "panel-title-description-rule",
            Panel("/description", json!(" ")),
        ),
        (
            "panel-units-rule",
            Panel("/fieldConfig/defaults/unit", json!("seconds")),
        ),
        (
            "panel-units-rule",
            Panel("/fieldConfig/defaults/unit", Value::Null),
        ),
        (
            "panel-units-rule",
            Panel(
                "/fieldConfig/overrides",
                json!([{"properties": [{"id": "unit", "value": "days"}]}]),
            ),
        ),
        ("panel-no-targets-rule", Panel("/targets", json!([]))),
        ("target-logql-rule", Loki("{app=\"x\"")),
        ("target-logql-auto-rule", Loki("rate({app=\"x\"}[5m])")),
        ("target-promql-rule", Expr("sum(up")),
        ("target-promql-rule", Expr("")),
        (
            "target-rate-interval-rule",
            Expr(r#"rate(x_total{job=~"$job", instance=~"$instance"}[5m])"#),
        ),
        (
            "target-rate-interval-rule",
            Expr(r#"increase(x_total{job=~"$job", instance=~"$instance"}[1h])"#),
        ),
        ("target-job-rule", Expr(r#"up{instance=~"$instance"}"#)),
        (
            "target-job-rule",
            Expr(r#"up{job=~".+", instance=~"$instance"}"#),
        ),
        (
            "target-instance-rule",
            Expr(r#"up{job=~"$job", instance="$instance"}"#),
        ),
        (
            "target-counter-agg-rule",
            Expr(r#"sum(x_total{job=~"$job", instance=~"$instance"})"#),
        ),
        (
            "target-counter-agg-rule",
            Expr(r#"max_over_time(x_total{job=~"$job", instance=~"$instance"}[5m])"#),
        ),
        ("uneditable-dashboard", Editable),
    ]
}

#[test]
fn every_rule_catches_a_violation() {
    let mut shown = BTreeSet::new();
    for (rule, violation) in violations() {
        let [(_, mut dashboard), ..] = crate::dashboards();
        violation.apply(&mut dashboard);
        let (_, check) = RULES.iter().find(|(name, _)| *name == rule).unwrap();
        assert_ne!(check(&dashboard), [""; 0], "{rule} has caught nothing");
        shown.insert(rule);
    }
    let all: BTreeSet<&str> = RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, all, "every rule is shown to catch something");
}
