//! The digest that identifies a configuration in the log, in `/varz` and in the answer to `-t`.
//!
//! It is nats-server's: the SHA-256 of the values as Go writes them in JSON, and a line end. So
//! comments, spaces and the way a value is spelled do not change it.

use sha2::{Digest as _, Sha256};

use super::{Map, Value};

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(map: &Map) -> String {
    let mut json = String::new();
    write_map(&mut json, map);
    json.push('\n');
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(json)))
}

pub(super) fn write_map(json: &mut String, map: &Map) {
    json.push('{');
    for (index, (key, entry)) in map.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_text(json, key);
        json.push(':');
        write_value(json, &entry.node.value);
    }
    json.push('}');
}

fn write_value(json: &mut String, value: &Value) {
    match value {
        Value::Text(text) => write_text(json, text),
        Value::Integer(number) => json.push_str(&number.to_string()),
        Value::Float(number) => json.push_str(&float(*number)),
        Value::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        Value::Date(date) => write_text(json, &date.to_string()),
        Value::Array(nodes) => {
            json.push('[');
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, &node.value);
            }
            json.push(']');
        }
        Value::Map(map) => write_map(json, map),
        // Such a configuration is never accepted, so nobody sees its digest.
        Value::Missing => json.push_str("null"),
    }
}

/// Go's encoder also escapes what would end a script in a page.
fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

/// The shortest digits that read back the same, with an exponent only far from 1.
fn float(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let mut json = String::new();
        write_text(&mut json, "a\"\\\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}<>&\u{2028}é🦅/");
        assert_eq!(
            json,
            "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}\\u003c\\u003e\\u0026\\u2028é🦅/\""
        );
    }

    #[test]
    fn floats() {
        for (number, expected) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (-0.0, "-0"),
            (0.000_001, "0.000001"),
            (0.000_000_12, "1.2e-7"),
            (1e20, "100000000000000000000"),
            (1.5e21, "1.5e+21"),
        ] {
            assert_eq!(float(number), expected);
        }
    }
}
