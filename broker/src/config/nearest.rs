//! The known name that a mistyped one probably meant.

/// The name of `known` nearest to `written`, when it is near enough to be meant.
///
/// One slip in three characters is near enough: `prot` means `port`, `foo` means nothing.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written: String =
        written.chars().take(NAME_CHARACTERS_MAX).flat_map(char::to_lowercase).collect();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, name), name))
        .filter(|(slips, name)| *slips * 3 <= name.chars().count().max(written.chars().count()))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// Longer names are compared by their beginning: the comparison takes quadratic time.
const NAME_CHARACTERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expected: Option<&str>) {
        let known = ["port", "host", "http_port", "max_payload", "max_pending", "debug", "p"];
        assert_eq!(nearest(written, known), expected, "{written}");
    }

    #[test]
    fn near_names() {
        check("prot", Some("port"));
        check("PORT", Some("port"));
        check("maxpayload", Some("max_payload"));
        check("max_paylaod", Some("max_payload"));
        check("debgu", Some("debug"));
        check("foo", None);
        check("", None);
        check("x", None);
        check(&"y".repeat(100_000), None);
    }
}
