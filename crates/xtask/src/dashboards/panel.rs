//! Panels and variables as classic Grafana JSON.

use serde_json::{Value, json};

/// Width of a dashboard, in Grafana's columns.
const WIDTH: u64 = 24;

/// The label matchers of every expression.
pub(crate) const SELECT: &str = r#"job=~"$job", instance=~"$instance""#;

/// Dashboards that every dashboard links to: title, uid, and the variables that they take over where that is not all. Those of
/// single pools have no "All" for the namespace and the pool.
const LINKED: [(&str, &str, &str); 3] = [
    ("Fleet", "metal3-ipam-fleet", ""),
    (
        "Pools",
        "metal3-ipam-pools",
        "?${job:queryparam}&${instance:queryparam}",
    ),
    ("Controller", "metal3-ipam-controller", ""),
];

/// Panels in the order in which they are read, placed from left to right and from top to bottom.
#[derive(Default)]
pub(crate) struct Page {
    panels: Vec<Value>,
    x: u64,
    y: u64,
    height: u64,
}

/// One panel under construction.
pub(crate) struct Panel(Value);

/// Adds an item to a list of the panel's JSON.
fn push(list: &mut Value, item: Value) {
    if let Value::Array(items) = list {
        items.push(item);
    }
}

impl Page {
    /// A heading over what follows; `repeat` names a variable that the row is repeated for.
    pub(crate) fn row(&mut self, title: &str, repeat: Option<&str>) {
        self.wrap();
        let mut row = json!({
            "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": self.y, "w": WIDTH, "h": 1},
        });
        if let Some(variable) = repeat {
            row["repeat"] = json!(variable);
        }
        self.push(row);
        self.y += 1;
    }

    /// A panel of this size.
    pub(crate) fn add(&mut self, w: u64, h: u64, panel: Panel) {
        if self.x + w > WIDTH {
            self.wrap();
        }
        let Panel(mut panel) = panel;
        panel["gridPos"] = json!({"x": self.x, "y": self.y, "w": w, "h": h});
        self.x += w;
        self.height = self.height.max(h);
        self.push(panel);
    }

    fn push(&mut self, mut panel: Value) {
        panel["id"] = json!(self.panels.len() + 1);
        self.panels.push(panel);
    }

    fn wrap(&mut self) {
        self.y += self.height;
        (self.x, self.height) = (0, 0);
    }

    /// The whole dashboard; `variables` follow those that every dashboard has.
    pub(crate) fn finish(
        self,
        uid: &str,
        title: &str,
        description: &str,
        variables: Vec<Value>,
    ) -> Value {
        let mut list = vec![
            json!({
                "name": "datasource", "label": "Data Source", "type": "datasource", "query": "prometheus",
                "current": {}, "hide": 0, "includeAll": false, "multi": false, "refresh": 1, "regex": "", "options": [],
            }),
            variable("job", "job", "label_values(metal3_ipam_build_info, job)"),
            variable(
                "instance",
                "instance",
                r#"label_values(metal3_ipam_build_info{job=~"$job"}, instance)"#,
            ),
        ];
        list.extend(variables);
        let links: Vec<Value> = LINKED
            .into_iter()
            .filter(|(_, other, _)| *other != uid)
            .map(|(title, other, variables)| {
                json!({
                    "type": "link", "title": title, "url": format!("/d/{other}{variables}"), "icon": "dashboard", "tooltip": "",
                    "tags": [], "asDropdown": false, "includeVars": variables.is_empty(), "keepTime": true, "targetBlank": false,
                })
            })
            .collect();
        json!({
            "uid": uid, "title": title, "description": description, "tags": ["metal3", "ipam"],
            "schemaVersion": 41, "version": 1, "editable": false, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
            "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "weekStart": "",
            "links": links,
            "annotations": {"list": []}, "templating": {"list": list}, "panels": self.panels,
        })
    }
}

/// A variable whose values come from the data source.
pub(crate) fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": query, "definition": query,
        "refresh": 2, "multi": true, "includeAll": true, "allValue": ".+",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "hide": 0, "regex": "", "sort": 1, "options": [],
    })
}

/// The same variable without "All": Grafana takes the first value until others are chosen.
pub(crate) fn some_of(mut variable: Value) -> Value {
    variable["includeAll"] = json!(false);
    variable["allValue"] = Value::Null;
    variable["current"] = json!({});
    variable
}

/// The same variable for one value: the first until another is chosen.
pub(crate) fn one_of(variable: Value) -> Value {
    let mut variable = some_of(variable);
    variable["multi"] = json!(false);
    variable
}

/// A variable with values to choose from.
pub(crate) fn choice(name: &str, label: &str, values: &[&str]) -> Value {
    let option =
        |(n, value): (usize, &&str)| json!({"selected": n == 0, "text": value, "value": value});
    let options: Vec<Value> = values.iter().enumerate().map(option).collect();
    json!({
        "name": name, "label": label, "type": "custom", "query": values.join(","), "current": options[0], "options": options,
        "hide": 0, "includeAll": false, "multi": false,
    })
}

impl Panel {
    fn new(kind: &str, title: &str, description: &str, unit: &str, options: &Value) -> Self {
        Self(json!({
            "type": kind, "title": title, "description": description,
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": {}}, "overrides": []},
            "options": options, "targets": [], "transformations": [],
        }))
    }

    /// A panel that shows one number.
    pub(crate) fn stat(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({
            "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
            "wideLayout": true, "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        });
        let mut panel = Self::new("stat", title, description, unit, &options);
        panel.0["fieldConfig"]["defaults"]["color"] = json!({"mode": "thresholds"});
        panel.thresholds(&[])
    }

    /// A panel of lines over time.
    pub(crate) fn lines(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        let mut panel = Self::new("timeseries", title, description, unit, &options);
        panel.0["fieldConfig"]["defaults"]["custom"] = json!({
            "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never",
            "spanNulls": false, "stacking": {"mode": "none", "group": "A"}, "axisPlacement": "auto",
        });
        panel
    }

    /// A panel of bars, one for each series, of the values now.
    pub(crate) fn bars(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({
            "displayMode": "gradient", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color", "minVizHeight": 10,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        });
        let mut panel = Self::new("bargauge", title, description, unit, &options);
        panel.0["fieldConfig"]["defaults"]["color"] = json!({"mode": "thresholds"});
        panel
    }

    /// A map: a row for each series, a column for each of 120 points in time, the value as colour.
    pub(crate) fn history(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({
            "showValue": "never", "rowHeight": 0.9, "colWidth": 1, "perPage": 50,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "single", "sort": "none"},
        });
        let mut panel = Self::new("status-history", title, description, unit, &options);
        // Grafana refuses to draw columns that are narrower than two pixels.
        panel.0["maxDataPoints"] = json!(120);
        panel.0["fieldConfig"]["defaults"]["color"] = json!({"mode": "thresholds"});
        panel.0["fieldConfig"]["defaults"]["custom"] = json!({"fillOpacity": 100, "lineWidth": 0});
        panel
    }

    /// A heatmap: how a histogram's buckets fill over time.
    pub(crate) fn heatmap(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({
            "calculate": false, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
            "yAxis": {"axisPlacement": "left", "unit": unit}, "rowsFrame": {"layout": "auto"}, "legend": {"show": true},
            "tooltip": {"mode": "single", "yHistogram": false}, "filterValues": {"le": 1e-9}, "showValue": "never",
        });
        Self::new("heatmap", title, description, unit, &options)
    }

    /// A table: each target is a column, and rows are joined by their labels.
    pub(crate) fn table(title: &str, description: &str, unit: &str) -> Self {
        let options = json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false, "reducer": ["sum"], "fields": ""}, "sortBy": []});
        let mut panel = Self::new("table", title, description, unit, &options);
        panel.0["transformations"] = json!([{"id": "merge", "options": {}}]);
        panel
    }

    fn target(mut self, expr: &str, legend: &str, more: &Value) -> Self {
        let before = self.0["targets"].as_array().map_or(0, Vec::len);
        let letter = char::from(b'A' + before as u8);
        let mut target = json!({
            "refId": letter.to_string(), "datasource": {"type": "prometheus", "uid": "$datasource"},
            "expr": expr, "legendFormat": legend,
        });
        if let (Value::Object(target), Value::Object(more)) = (&mut target, more) {
            target.extend(more.clone());
        }
        push(&mut self.0["targets"], target);
        self
    }

    /// An expression over time.
    pub(crate) fn over_time(self, expr: &str, legend: &str) -> Self {
        self.target(
            expr,
            legend,
            &json!({"range": true, "instant": false, "format": "time_series"}),
        )
    }

    /// An expression's value now.
    pub(crate) fn now(self, expr: &str, legend: &str) -> Self {
        self.target(
            expr,
            legend,
            &json!({"range": false, "instant": true, "format": "time_series"}),
        )
    }

    /// A column of a table.
    pub(crate) fn column(self, expr: &str) -> Self {
        self.target(
            expr,
            "__auto",
            &json!({"range": false, "instant": true, "format": "table"}),
        )
    }

    /// A heatmap's buckets.
    pub(crate) fn buckets(self, expr: &str) -> Self {
        self.target(
            expr,
            "{{le}}",
            &json!({"range": true, "instant": false, "format": "heatmap"}),
        )
    }

    /// Green, then these colours from these values on.
    pub(crate) fn thresholds(self, steps: &[(f64, &str)]) -> Self {
        self.thresholds_from("green", steps)
    }

    /// A colour, then others from these values on.
    pub(crate) fn thresholds_from(mut self, first: &str, steps: &[(f64, &str)]) -> Self {
        let mut all = vec![json!({"color": first, "value": null})];
        all.extend(
            steps
                .iter()
                .map(|(value, color)| json!({"color": color, "value": value})),
        );
        self.0["fieldConfig"]["defaults"]["thresholds"] = json!({"mode": "absolute", "steps": all});
        self
    }

    /// The legend of lines beside them: below them Grafana cuts a table of more than three rows.
    pub(crate) fn legend_beside(mut self) -> Self {
        self.0["options"]["legend"]["placement"] = json!("right");
        self
    }

    /// A legend with the largest values alone. Grafana's last value of a series that has ended is the one before its end.
    pub(crate) fn peaks(mut self) -> Self {
        self.0["options"]["legend"]["calcs"] = json!(["max"]);
        self
    }

    /// The legend of lines as names without numbers, for long names.
    pub(crate) fn legend_of_names(mut self) -> Self {
        self.0["options"]["legend"] =
            json!({"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []});
        self
    }

    /// A stat without the line behind its number.
    pub(crate) fn plain(mut self) -> Self {
        self.0["options"]["graphMode"] = json!("none");
        self
    }

    /// A stat that shows the name of each series, also of a single one.
    pub(crate) fn named(mut self) -> Self {
        self.0["options"]["textMode"] = json!("value_and_name");
        self
    }

    /// How many decimals numbers have, on the axis too.
    pub(crate) fn decimals(mut self, decimals: u8) -> Self {
        self.0["fieldConfig"]["defaults"]["decimals"] = json!(decimals);
        self
    }

    /// What is shown where there is nothing to show.
    pub(crate) fn nothing(mut self, text: &str) -> Self {
        self.0["fieldConfig"]["defaults"]["noValue"] = json!(text);
        self
    }

    pub(crate) fn min(mut self, min: Option<f64>) -> Self {
        self.0["fieldConfig"]["defaults"]["min"] = json!(min);
        self
    }

    pub(crate) fn max(mut self, max: f64) -> Self {
        self.0["fieldConfig"]["defaults"]["max"] = json!(max);
        self
    }

    /// Stacks every series.
    pub(crate) fn stacked(mut self) -> Self {
        self.0["fieldConfig"]["defaults"]["custom"]["stacking"] =
            json!({"mode": "normal", "group": "A"});
        self.0["fieldConfig"]["defaults"]["custom"]["fillOpacity"] = json!(40);
        self
    }

    /// Changes how the fields of this name look.
    pub(crate) fn field(mut self, name: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<Value> = properties
            .iter()
            .map(|(id, value)| json!({"id": id, "value": value}))
            .collect();
        let field = json!({"matcher": {"id": "byName", "options": name}, "properties": properties});
        push(&mut self.0["fieldConfig"]["overrides"], field);
        self
    }

    /// A step that the data goes through before it is shown.
    pub(crate) fn transform(mut self, id: &str, options: &Value) -> Self {
        let step = json!({"id": id, "options": options});
        push(&mut self.0["transformations"], step);
        self
    }

    /// The order of a table's rows.
    pub(crate) fn sorted_by(mut self, field: &str, descending: bool) -> Self {
        self.0["options"]["sortBy"] = json!([{"displayName": field, "desc": descending}]);
        self
    }
}
