//! Expressions of dashboards and alerts: Grafana's variables filled in, parsed, walked over.
//!
//! A parser of the part of PromQL that a dashboard needs: selectors with ranges, functions, aggregations, binary operators with
//! their matching. Types are not checked; a real Prometheus does that in `proof.rs`.

/// What variables stand for where an expression is only parsed. Longer names first.
const STANDINS: [(&str, &str); 8] = [
    ("$__rate_interval", "5m"),
    ("$__range", "6h"),
    ("$__interval", "1m"),
    ("$namespace", ".+"),
    ("$instance", ".+"),
    ("$pool", ".+"),
    ("$job", ".+"),
    ("$top", "10"),
];

/// The expression with every variable filled in.
pub(crate) fn filled(expr: &str) -> String {
    let fill = |text: String, (name, value): (&str, &str)| text.replace(name, value);
    STANDINS.into_iter().fold(expr.to_owned(), fill)
}

/// One matcher of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub(crate) op: String,
    pub(crate) value: String,
}

/// A selector of series, and what stands around it.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<Matcher>,
    /// What stands in `[...]`.
    pub(crate) range: Option<String>,
    /// The function that takes it.
    pub(crate) taken_by: Option<String>,
}

impl Selector {
    /// As it is written, without its range.
    pub(crate) fn text(&self) -> String {
        let matchers = self.matchers.iter();
        let matchers: Vec<String> = matchers
            .map(|m| format!("{}{}\"{}\"", m.label, m.op, m.value))
            .collect();
        match matchers.as_slice() {
            [] => self.name.clone(),
            some => format!("{}{{{}}}", self.name, some.join(",")),
        }
    }
}

/// Every selector of an expression, or what is wrong with it.
pub(crate) fn selectors(expr: &str) -> Result<Vec<Selector>, String> {
    let tokens = tokens(&filled(expr))?;
    let mut parser = Parser {
        tokens,
        at: 0,
        functions: Vec::new(),
        found: Vec::new(),
    };
    parser.binary()?;
    match parser.peek() {
        None => Ok(parser.found),
        Some(left) => Err(format!("unexpected {left:?}")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name, a number or a duration.
    Word(String),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 25] = [
    "==", "!=", ">=", "<=", "=~", "!~", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{",
    "}", "[", "]", ",", ":", "@", "\0",
];
const AGGREGATIONS: [&str; 10] = [
    "sum", "min", "max", "avg", "count", "topk", "bottomk", "group", "stddev", "quantile",
];
const OPERATORS: [&str; 12] = [
    "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "^",
];
const SETS: [&str; 3] = ["and", "or", "unless"];
const FUNCTIONS: [&str; 14] = [
    "rate",
    "irate",
    "increase",
    "deriv",
    "predict_linear",
    "histogram_quantile",
    "clamp_min",
    "clamp_max",
    "absent",
    "vector",
    "max_over_time",
    "last_over_time",
    "min_over_time",
    "count_over_time",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
        if first == '"' {
            let end = rest[1..].find('"').ok_or("a text without an end")?;
            tokens.push(Token::Text(rest[1..=end].to_owned()));
            rest = &rest[end + 2..];
        } else if word(first) {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("{first:?} means nothing"))?;
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Functions around what is being read, the outermost first; `None` for what keeps a vector from being an argument.
    functions: Vec<Option<String>>,
    found: Vec<Selector>,
}

type Parsed = Result<(), String>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends too soon")?;
        self.at += 1;
        Ok(token)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(s)) if *s == sign)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Parsed {
        if self.takes(sign) {
            return Ok(());
        }
        Err(format!("expected {sign:?}, found {:?}", self.peek()))
    }

    fn takes_word(&mut self, words: &[&str]) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(w)) if words.contains(&w.as_str()));
        self.at += usize::from(is);
        is
    }

    /// Operands and what stands between them; which binds tighter does not matter here.
    fn binary(&mut self) -> Parsed {
        self.unary()?;
        loop {
            let operator =
                OPERATORS.into_iter().any(|sign| self.takes(sign)) || self.takes_word(&SETS);
            if !operator {
                return Ok(());
            }
            if self.takes_word(&["on", "ignoring"]) {
                self.labels()?;
                if self.takes_word(&["group_left", "group_right"]) && self.is("(") {
                    self.labels()?;
                }
            }
            self.takes_word(&["bool"]);
            self.unary()?;
        }
    }

    fn unary(&mut self) -> Parsed {
        while self.takes("-") || self.takes("+") {}
        match self.next()? {
            Token::Sign("(") => {
                self.inside(None)?;
                self.expect(")")?;
                self.subquery()
            }
            Token::Sign("{") => {
                self.at -= 1;
                self.selector(String::new())
            }
            Token::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => word
                .parse::<f64>()
                .map(drop)
                .map_err(|e| format!("{word}: {e}")),
            Token::Word(word) if AGGREGATIONS.contains(&word.as_str()) => self.aggregation(),
            Token::Word(word) if self.is("(") => self.call(&word),
            Token::Word(word) => self.selector(word),
            other => Err(format!("unexpected {other:?}")),
        }
    }

    /// The values of an expression over a time, if that is asked for: `[6h:1m]`, or `[6h:]`.
    fn subquery(&mut self) -> Parsed {
        if !self.takes("[") {
            return Ok(());
        }
        self.duration()?;
        self.expect(":")?;
        if !self.is("]") {
            self.duration()?;
        }
        self.expect("]")
    }

    fn duration(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) if word.ends_with(['s', 'm', 'h', 'd', 'w']) => Ok(word),
            other => Err(format!("{other:?} is no duration")),
        }
    }

    /// An expression inside of something that is (or is not) a function.
    fn inside(&mut self, function: Option<String>) -> Parsed {
        self.functions.push(function);
        let parsed = self.binary();
        self.functions.pop();
        parsed
    }

    fn aggregation(&mut self) -> Parsed {
        let before = self.takes_word(&["by", "without"]);
        if before {
            self.labels()?;
        }
        self.expect("(")?;
        self.inside(None)?;
        if self.takes(",") {
            self.inside(None)?;
        }
        self.expect(")")?;
        if !before && self.takes_word(&["by", "without"]) {
            self.labels()?;
        }
        Ok(())
    }

    fn call(&mut self, function: &str) -> Parsed {
        if !FUNCTIONS.contains(&function) {
            return Err(format!("{function} is no function that is known here"));
        }
        self.expect("(")?;
        loop {
            self.inside(Some(function.to_owned()))?;
            if !self.takes(",") {
                return self.expect(")");
            }
        }
    }

    fn labels(&mut self) -> Parsed {
        self.expect("(")?;
        while let Some(Token::Word(_)) = self.peek() {
            self.at += 1;
            if !self.takes(",") {
                break;
            }
        }
        self.expect(")")
    }

    fn selector(&mut self, name: String) -> Parsed {
        let mut matchers = Vec::new();
        if self.takes("{") {
            while !self.is("}") {
                matchers.push(self.matcher()?);
                if !self.takes(",") {
                    break;
                }
            }
            self.expect("}")?;
        }
        if name.is_empty() && matchers.is_empty() {
            return Err("a selector of everything".to_owned());
        }
        let mut range = None;
        if self.takes("[") {
            range = Some(self.duration()?);
            self.expect("]")?;
        }
        if self.takes("@") {
            self.moment()?;
        }
        self.found.push(Selector {
            name,
            matchers,
            range,
            taken_by: self.functions.last().cloned().flatten(),
        });
        Ok(())
    }

    /// What stands behind `@`: one end of what is asked for.
    fn moment(&mut self) -> Parsed {
        if !self.takes_word(&["start", "end"]) {
            return Err(format!("{:?} is no moment", self.peek()));
        }
        self.expect("(")?;
        self.expect(")")
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        match (self.next()?, self.next()?, self.next()?) {
            (
                Token::Word(label),
                Token::Sign(op @ ("=" | "!=" | "=~" | "!~")),
                Token::Text(value),
            ) => Ok(Matcher {
                label,
                op: op.to_owned(),
                value,
            }),
            other => Err(format!("{other:?} is no matcher")),
        }
    }
}

#[test]
fn what_is_promql_is_read_and_what_is_not_is_refused() {
    let found = selectors(r#"topk($top, 1 - sum by (a, b) (rate(x_total{job=~"$job", c!="d"}[$__rate_interval])) / on (a) (y > 0)) unless z"#).unwrap();
    let texts: Vec<String> = found.iter().map(Selector::text).collect();
    assert_eq!(texts, [r#"x_total{job=~".+",c!="d"}"#, "y", "z"]);
    assert_eq!(
        (found[0].range.as_deref(), found[0].taken_by.as_deref()),
        (Some("5m"), Some("rate"))
    );
    assert_eq!(found[1].taken_by, None);
    for good in [
        "deriv((max by (a) (b))[6h:1m])",
        "deriv((b)[6h:])",
        "-(a < 0)",
        "2 ^ 32 * x",
        "absent(a)",
        "max(a) by (b)",
        "{a=\"b\"}",
        "a or 0 * b",
        "deriv(a[6h])",
        "a and topk($top, max by (b) (a{c=\"d\"} @ end()))",
    ] {
        assert!(selectors(good).is_ok(), "{good}: {:?}", selectors(good));
    }
    for bad in [
        "",
        "sum(a",
        "a b",
        "rate(a[5])",
        "a{b}",
        "a{b=c}",
        "{}",
        "nothing(a)",
        "a +",
        "sum by a (b)",
        "a{b=\"c}",
        "(a))",
        "a @ b",
        "a @ end",
        "$unknown",
    ] {
        assert!(selectors(bad).is_err(), "{bad}: {:?}", selectors(bad));
    }
}
