//! Pieces that both parsers share: arguments of a control line, sizes.

/// The arguments of a control line: up to `N` runs of bytes between runs of spaces and tabs.
pub(crate) struct Arguments<'a, const N: usize> {
    list: [&'a [u8]; N],
    count: usize,
}

impl<'a, const N: usize> Arguments<'a, N> {
    /// Splits `line`, or returns `None` when there are more than `N`.
    pub(crate) fn split(line: &'a [u8]) -> Option<Self> {
        let mut list: [&[u8]; N] = [&[]; N];
        let mut count = 0;
        let mut start = None;
        for (at, byte) in line.iter().enumerate() {
            let blank = matches!(byte, b' ' | b'\t' | b'\r');
            match (blank, start) {
                (false, None) => start = Some(at),
                (true, Some(from)) => {
                    *list.get_mut(count)? = &line[from..at];
                    count += 1;
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            *list.get_mut(count)? = &line[from..];
            count += 1;
        }
        Some(Self { list, count })
    }

    pub(crate) fn as_slice(&self) -> &[&'a [u8]] {
        &self.list[..self.count]
    }
}

/// The most digits a size may have; nine keep every size within 30 bits.
const SIZE_DIGITS_MAX: usize = 9;

/// Reads a size: one to nine decimal digits, nothing else.
pub(crate) fn parse_size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut size = 0usize;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + usize::from(digit);
    }
    Some(size)
}

/// Whether `bytes` begins with `verb`, in any case. `verb` is lower case.
pub(crate) fn starts_with_verb(bytes: &[u8], verb: &[u8]) -> bool {
    bytes.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb))
}

/// Whether `bytes` is a beginning of `verb`, in any case, and shorter than it.
pub(crate) fn is_beginning_of(bytes: &[u8], verb: &[u8]) -> bool {
    verb.get(..bytes.len()).is_some_and(|head| head.eq_ignore_ascii_case(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |digits: &[u8], expected| assert_eq!(parse_size(digits), expected);
        check(b"0", Some(0));
        check(b"1048576", Some(1_048_576));
        check(b"999999999", Some(999_999_999));
        check(b"0000000005", None);
        check(b"", None);
        check(b"-1", None);
        check(b"1a", None);
        check(b"+1", None);
    }

    #[test]
    fn arguments() {
        let check = |line: &[u8], expected: Option<&[&[u8]]>| {
            assert_eq!(Arguments::<3>::split(line).as_ref().map(Arguments::as_slice), expected);
        };
        check(b"", Some(&[]));
        check(b"  \t ", Some(&[]));
        check(b"foo", Some(&[b"foo"]));
        check(b" foo\t\tbar  5\r", Some(&[b"foo", b"bar", b"5"]));
        check(b"a b c d", None);
    }
}
