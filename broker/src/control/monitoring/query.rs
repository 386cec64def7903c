//! The parameters of a request, read as Go reads them: harnesses compare what it says of bad ones.

use std::num::IntErrorKind;

/// Why a request gets no page: the text of the answer, whose status is 400.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

/// The parameters behind the `?`.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what stands behind the `?`. Nothing is an error.
    pub(super) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of `name`; empty without one.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The value of `name` as Go's `ParseBool` understands it; false without one.
    ///
    /// # Errors
    ///
    /// It is no boolean.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(refusal("boolean", name, "ParseBool", other, "invalid syntax")),
        }
    }

    /// The value of `name` as Go's `Atoi` understands it; 0 without one.
    ///
    /// # Errors
    ///
    /// It is no number, or one beyond 64 bits.
    pub(super) fn integer(&self, name: &str) -> Result<i64, Refusal> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        text.parse::<i64>()
            .map_err(|error| refusal("int", name, "Atoi", text, what_is_wrong(error.kind())))
    }

    /// The value of `name` as Go's `ParseUint` understands it; 0 without one.
    ///
    /// # Errors
    ///
    /// It has a sign, is no number, or one beyond 64 bits.
    pub(super) fn unsigned(&self, name: &str) -> Result<u64, Refusal> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        let parsed = match text.parse::<u64>() {
            // Rust takes a sign.
            Ok(_) if text.starts_with('+') => Err("invalid syntax"),
            Ok(value) => Ok(value),
            Err(error) => Err(what_is_wrong(error.kind())),
        };
        parsed.map_err(|wrong| refusal("uint64", name, "ParseUint", text, wrong))
    }
}

fn what_is_wrong(kind: &IntErrorKind) -> &'static str {
    match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

fn refusal(kind: &str, name: &str, function: &str, text: &str, wrong: &str) -> Refusal {
    let text = quote(text);
    Refusal(format!(
        "Error decoding {kind} for '{name}': strconv.{function}: parsing {text}: {wrong}"
    ))
}

/// `text` as a Go string literal.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..' ' | '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        let check = |query: &str, expected: Result<bool, &str>| {
            let expected = expected.map_err(|text| {
                let parsing = format!("strconv.ParseBool: parsing {text}: invalid syntax");
                Refusal(format!("Error decoding boolean for 'b': {parsing}"))
            });
            assert_eq!(Query::parse(query).boolean("b"), expected, "{query}");
        };
        for query in ["b=1", "b=t", "b=T", "b=true", "b=TRUE", "b=True", "x=0&b=1", "b=1&b=0"] {
            check(query, Ok(true));
        }
        for query in ["", "b", "b=", "c=1", "B=1", "b=0", "b=f", "b=F", "b=false", "b=False"] {
            check(query, Ok(false));
        }
        check("b=yes", Err(r#""yes""#));
        check("b=tRUE", Err(r#""tRUE""#));
        check("b=%22x%22", Err(r#""\"x\"""#));
        check("b=a%0Ab%C3%A9+c", Err(r#""a\nbé c""#));
        check("b=%00%7F%07%5C", Err(r#""\x00\x7f\a\\""#));
    }

    #[test]
    fn integers() {
        let check = |query: &str, expected: Result<i64, &str>| {
            let actual = Query::parse(query).integer("n");
            let expected = expected.map_err(|rest| {
                Refusal(format!("Error decoding int for 'n': strconv.Atoi: parsing {rest}"))
            });
            assert_eq!(actual, expected, "{query}");
        };
        check("", Ok(0));
        check("n=17", Ok(17));
        check("n=-3", Ok(-3));
        check("n=%2B1", Ok(1));
        check("n=+1", Err(r#"" 1": invalid syntax"#));
        check("n=1.5", Err(r#""1.5": invalid syntax"#));
        check("n=0x10", Err(r#""0x10": invalid syntax"#));
        check("n=-", Err(r#""-": invalid syntax"#));
        check("n=9223372036854775808", Err(r#""9223372036854775808": value out of range"#));
        check("n=-9223372036854775809", Err(r#""-9223372036854775809": value out of range"#));
    }

    #[test]
    fn unsigned_integers() {
        let check = |query: &str, expected: Result<u64, &str>| {
            let expected = expected.map_err(|rest| {
                Refusal(format!("Error decoding uint64 for 'n': strconv.ParseUint: parsing {rest}"))
            });
            assert_eq!(Query::parse(query).unsigned("n"), expected, "{query}");
        };
        check("", Ok(0));
        check("n=18446744073709551615", Ok(u64::MAX));
        check("n=-1", Err(r#""-1": invalid syntax"#));
        check("n=%2B1", Err(r#""+1": invalid syntax"#));
        check("n=99999999999999999999", Err(r#""99999999999999999999": value out of range"#));
    }
}
