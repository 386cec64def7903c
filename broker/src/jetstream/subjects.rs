//! Questions that stream and consumer configurations ask about subjects: is one valid, do two
//! meet, does one lie within another, is a name fit for a stream.
//!
//! Who publishes or subscribes is not known here. The answers are nats-server's also for bytes
//! that are no well-formed subject.

/// Longest name of a stream or consumer, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Whether `name` may be that of a stream or consumer: not empty, no blanks, none of `.*>\/`.
pub fn is_valid_name(name: &str) -> bool {
    const REFUSED: &[char] = &[' ', '\t', '\r', '\n', '\u{c}', '.', '*', '>', '\\', '/'];
    !name.is_empty() && !name.contains(REFUSED)
}

/// Whether `subject` is well formed; it may have wildcards.
pub fn is_valid(subject: &str) -> bool {
    let mut is_over = false;
    for token in subject.split('.') {
        if token.is_empty() || is_over || token.contains(['\t', '\n', '\u{c}', '\r', ' ']) {
            return false;
        }
        is_over = token == ">";
    }
    true
}

/// Whether no token is a wildcard.
pub fn is_literal(subject: &str) -> bool {
    !subject.split('.').any(|token| matches!(token, "*" | ">"))
}

/// Whether `subject` is well formed and has no wildcard.
pub fn is_valid_literal(subject: &str) -> bool {
    is_valid(subject) && is_literal(subject)
}

/// Whether some subject matches both `one` and `other`.
pub fn collide(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(""), _) | (_, Some("")) | (None, _) | (_, None) => return false,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(token), Some(other)) if token != other => return false,
            _ => {}
        }
    }
}

/// Whether every subject that matches `inner` matches `outer` too.
pub fn is_subset(inner: &str, outer: &str) -> bool {
    let (mut inners, mut outers) = (inner.split('.'), outer.split('.'));
    loop {
        match (inners.next(), outers.next()) {
            (None, None) => return true,
            (None, _) | (_, None | Some("")) => return false,
            (Some(_), Some(">")) => return true,
            (Some("" | ">"), _) => return false,
            (Some(_), Some("*")) => {}
            (Some(token), Some(other)) if token != other => return false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "A-b_c", "ä", "$x", "a\u{a0}b", "a,b", "a\u{b}b"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "a b", "a.b", "*", "a>", "a\\b", "a/b", "a\tb", "a\u{c}b", "a\r", "\n"] {
            assert!(!is_valid_name(name), "{name}");
        }
    }

    #[test]
    fn validity() {
        for subject in ["a", "a.b", "*", ">", "a.*.>", "a*.>b", "$JS.>", "ä.ö"] {
            assert!(is_valid(subject), "{subject}");
        }
        for subject in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\u{c}", "a.\t"] {
            assert!(!is_valid(subject), "{subject}");
        }
        assert!(is_valid_literal("a*.>b") && !is_valid_literal("a.*") && !is_valid_literal("a."));
    }

    #[test]
    fn collisions_and_subsets() {
        // inner, outer, collide, inner is a subset of outer
        for (one, other, colliding, subset) in [
            ("a", "a", true, true),
            ("a", "b", false, false),
            ("a.b", "a.*", true, true),
            ("a.*", "a.b", true, false),
            ("a.>", "a", false, false),
            ("a", "a.>", false, false),
            ("a.b", ">", true, true),
            (">", "*", true, false),
            ("*", ">", true, true),
            ("*.b", "a.*", true, false),
            ("*.b", "a.c", false, false),
            ("a.*.c", "a.b.>", true, false),
            ("a.*", "*.*.*", false, false),
            ("a.*.>", "a.*", false, false),
            ("a.*", "a.*.>", false, false),
            ("a.>", "*.b", true, false),
            ("a.>", "a.>", true, true),
            ("a.*", "a.>", true, true),
            ("a.>", "a.*", true, false),
            ("*.*", "*.*", true, true),
        ] {
            assert_eq!(collide(one, other), colliding, "{one} {other}");
            assert_eq!(collide(other, one), colliding, "{other} {one}");
            assert_eq!(is_subset(one, other), subset, "{one} {other}");
        }
    }
}
