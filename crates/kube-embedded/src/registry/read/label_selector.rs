//! Parses a label selector: text -> tokens -> requirements. Errors have the texts of a real API server.

use crate::field::truncated;
use crate::registry::read::selector::{LabelRequirement, LabelTest, MOST};
use crate::registry::rules::names::{key_faults, value_faults};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `=`, `==`, `!=`, `>`, `<`, `!`, `(`, `)` or `,`.
    Sign(&'a str),
    End,
}

/// The tokens of a selector, and the position among them.
struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

/// Parses a selector.
pub(crate) fn requirements(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        at: 0,
    };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(found),
            Token::Word(_) | Token::Sign("!") => {}
            Token::Sign(sign) => {
                return Err(format!(
                    "found '{sign}', expected: !, identifier, or 'end of string'"
                ));
            }
        }
        let requirement = parser
            .requirement()
            .map_err(|why| format!("unable to parse requirement: {why}"))?;
        found.push(requirement);
        if found.len() > MOST {
            return Err("too many requirements".to_owned());
        }
        match parser.next() {
            Token::End => return Ok(found),
            Token::Sign(",") => match parser.peek() {
                Token::Word(_) | Token::Sign("!") => {}
                other => {
                    let shown = other.shown();
                    return Err(format!("found '{shown}', expected: identifier after ','"));
                }
            },
            other => {
                let shown = other.shown();
                return Err(format!("found '{shown}', expected: ',' or 'end of string'"));
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SIGNS: &str = "=!<>(),";
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if SIGNS.contains(first) {
            let double = ["==", "!="].iter().any(|sign| rest.starts_with(sign));
            if double { 2 } else { 1 }
        } else {
            rest.find(|c: char| c.is_whitespace() || SIGNS.contains(c))
                .unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(if SIGNS.contains(first) {
            Token::Sign(token)
        } else {
            Token::Word(token)
        });
        rest = after.trim_start();
    }
    tokens.push(Token::End);
    tokens
}

impl<'a> Token<'a> {
    /// The token in an error.
    fn shown(self) -> String {
        match self {
            Self::Word(text) | Self::Sign(text) => truncated(text, 64),
            Self::End => String::new(),
        }
    }

    fn word(self, expected: &str) -> Result<&'a str, String> {
        match self {
            Self::Word(word) => Ok(word),
            other => Err(format!("found '{}', expected: {expected}", other.shown())),
        }
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let negated = self.peek() == Token::Sign("!");
        if negated {
            self.next();
        }
        let key = self.next().word("identifier")?;
        if let Some(why) = join(&key_faults(key)) {
            return Err(format!("<nil>: Invalid value: {key:?}: {why}"));
        }
        let made = |test| LabelRequirement {
            key: key.to_owned(),
            test,
        };
        let alone = matches!(self.peek(), Token::End | Token::Sign(","));
        if negated {
            return Ok(made(LabelTest::Missing));
        }
        if alone {
            return Ok(made(LabelTest::Exists));
        }
        let operator = self.next();
        let values = match operator {
            Token::Word("in" | "notin") => self.values()?,
            Token::Sign("=" | "==" | "!=" | ">" | "<") => vec![self.exact_value()?],
            other => {
                return Err(format!(
                    "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    other.shown()
                ));
            }
        };
        for (n, value) in values.iter().enumerate() {
            if let Some(why) = join(&value_faults(value)) {
                return Err(format!(
                    "values[{n}][{key}]: Invalid value: {value:?}: {why}"
                ));
            }
        }
        let bound = |values: &[String]| {
            let value = values.first().map_or("", String::as_str);
            value.parse::<i64>().map_err(|_| {
                format!(
                    "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                )
            })
        };
        Ok(made(match operator {
            Token::Word("in") | Token::Sign("=" | "==") => LabelTest::In(values),
            Token::Sign(">") => LabelTest::Above(bound(&values)?),
            Token::Sign("<") => LabelTest::Below(bound(&values)?),
            Token::Word(_) | Token::Sign(_) | Token::End => LabelTest::NotIn(values),
        }))
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        self.next().word("identifier").map(str::to_owned)
    }

    /// `(a,b)`. An empty string between commas is a value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(format!("found '{}' expected: '('", other.shown())),
        }
        let mut values: Vec<String> = Vec::new();
        if self.peek() == Token::Sign(")") {
            self.next();
            return Ok(vec![String::new()]);
        }
        if !matches!(self.peek(), Token::Word(_) | Token::Sign(",")) {
            let shown = self.peek().shown();
            return Err(format!("found '{shown}', expected: ',', ')' or identifier"));
        }
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word.to_owned());
                    match self.peek() {
                        Token::Sign(",") => {}
                        Token::Sign(")") => break,
                        other => {
                            return Err(format!("found '{}', expected: ',' or ')'", other.shown()));
                        }
                    }
                }
                Token::Sign(",") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek() {
                        Token::Sign(")") => {
                            values.push(String::new());
                            break;
                        }
                        Token::Sign(",") => values.push(String::new()),
                        Token::Sign(_) | Token::Word(_) | Token::End => {}
                    }
                }
                other => {
                    return Err(format!(
                        "found '{}', expected: ',', or identifier",
                        other.shown()
                    ));
                }
            }
        }
        self.next();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

fn join(faults: &[String]) -> Option<String> {
    (!faults.is_empty()).then(|| faults.join("; "))
}
