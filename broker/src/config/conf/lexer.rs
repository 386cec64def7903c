//! The words of the configuration format: keys, scalar values, comments, spaces.
//!
//! Which word may stand where is the parser's business. Spaces and line ends matter to several of
//! the words, so the parser asks for the word it expects; there is no token stream.

use std::ops::Range;

use jiff::Timestamp;

/// A word that cannot be read, or one that may not stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub range: Range<usize>,
    pub text: String,
}

impl Fault {
    pub fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }
}

/// A key as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub text: String,
    pub range: Range<usize>,
    /// `include` without quotes and with a space after it.
    pub is_include: bool,
}

/// A value that is neither a map nor an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(Timestamp),
    /// The name after the `$`.
    Variable(String),
}

/// A position in the bytes. Every method either moves it forward or reports a fault.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the first byte, or after a byte order mark.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes the byte that was just peeked at.
    pub fn bump(&mut self) {
        debug_assert!(self.at < self.bytes.len(), "nothing was peeked at");
        self.at += 1;
    }

    /// Takes the next byte if it is one of `set`.
    pub fn take(&mut self, set: &[u8]) -> bool {
        let takes = self.peek().is_some_and(|byte| set.contains(&byte));
        self.at += usize::from(takes);
        takes
    }

    /// Passes spaces and tabs.
    pub fn skip_blanks(&mut self) {
        while self.take(b" \t") {}
    }

    /// Passes everything that Unicode calls white space, so line ends too.
    pub fn skip_space(&mut self) {
        while let Some(width) = self.space_width() {
            self.at += width;
        }
    }

    /// Passes a comment up to the end of its line, if one starts here.
    pub fn skip_comment(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        if !rest.starts_with(b"#") && !rest.starts_with(b"//") {
            return false;
        }
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        true
    }

    /// Passes white space and comments.
    pub fn skip_space_and_comments(&mut self) {
        loop {
            self.skip_space();
            if !self.skip_comment() {
                return;
            }
        }
    }

    /// A place for messages: what stands here up to the next space, at least one byte of it.
    pub fn word_here(&self) -> Range<usize> {
        let rest = &self.bytes[self.at..];
        let word = rest.iter().position(|byte| b" \t\r\n".contains(byte)).unwrap_or(rest.len());
        self.at..self.at + word.max(1)
    }

    /// Takes a key. The caller knows that something stands here.
    pub fn key(&mut self) -> Result<Key, Fault> {
        let start = self.at;
        if let Some(quote @ (b'"' | b'\'')) = self.peek() {
            self.bump();
            let end = memchr::memchr(quote, &self.bytes[self.at..])
                .map(|length| self.at + length)
                .ok_or_else(|| Fault::new(start..start + 1, "this quote is never closed"))?;
            let text = utf8(&self.bytes[start + 1..end], start..end + 1)?;
            self.at = end + 1;
            return Ok(Key { text, range: start..self.at, is_include: false });
        }
        if let Some(byte @ (b'=' | b':' | b',' | b';' | b']' | b'}')) = self.peek() {
            let text = format!("expected a key here, not `{}`", char::from(byte));
            return Err(Fault::new(start..start + 1, text));
        }
        while self.space_width().is_none() && !matches!(self.peek(), None | Some(b'=' | b':')) {
            self.at += 1;
        }
        let text = utf8(&self.bytes[start..self.at], start..self.at)?;
        if text.ends_with('{') {
            let text = "put a space before the brace, it belongs to the key otherwise";
            return Err(Fault::new(self.at - 1..self.at, text));
        }
        let is_include = text.eq_ignore_ascii_case("include") && self.space_width().is_some();
        Ok(Key { text, range: start..self.at, is_include })
    }

    /// Takes the path of an include.
    pub fn include_path(&mut self) -> Result<(String, Range<usize>), Fault> {
        self.skip_blanks();
        let start = self.at;
        match self.peek() {
            Some(b'"' | b'\'') => {
                let key = self.key()?;
                return Ok((key.text, key.range));
            }
            None | Some(b'\r' | b'\n') => {
                return Err(Fault::new(start..start + 1, "include needs the path of a file"));
            }
            Some(b'[' | b'{' | b'(' | b'-' | b'\\' | b'0'..=b'9') => {
                let text = "include needs the path of a file; put this one in quotes";
                return Err(Fault::new(self.word_here(), text));
            }
            Some(_) => {}
        }
        // A comma belongs to the path.
        while !matches!(
            self.peek(),
            None | Some(b'\r' | b'\n' | b';' | b'}' | b' ' | b'\t' | b'\'')
        ) {
            self.at += 1;
        }
        let range = start..self.at;
        let path = utf8(&self.bytes[range.clone()], range.clone())?;
        self.take(b"'");
        Ok((path, range))
    }

    /// Takes a value that is neither a map nor an array.
    pub fn scalar(&mut self) -> Result<Scalar, Fault> {
        match self.peek() {
            Some(b'"') => self.double_quoted().map(Scalar::Text),
            Some(b'\'') => self.key().map(|key| Scalar::Text(key.text)),
            Some(b'(') => self.block().map(Scalar::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'.') => {
                let text =
                    "a number must start with a digit; put a text that starts with a dot in quotes";
                Err(Fault::new(self.word_here(), text))
            }
            Some(b'\r' | b'\n') => {
                let text = "expected a value here, on the line of its key";
                Err(Fault::new(self.at..self.at + 1, text))
            }
            _ => self.bare(self.at),
        }
    }

    fn space_width(&self) -> Option<usize> {
        let first = self.peek()?;
        if first.is_ascii() {
            // Unlike `is_ascii_whitespace`, Unicode's definition has the vertical tab.
            return matches!(first, b'\t'..=b'\r' | b' ').then_some(1);
        }
        let longest = &self.bytes[self.at..self.bytes.len().min(self.at + 4)];
        let character = longest.utf8_chunks().next()?.valid().chars().next()?;
        character.is_whitespace().then(|| character.len_utf8())
    }

    fn double_quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.bump();
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None => return Err(Fault::new(start..start + 1, "this quote is never closed")),
                Some(b'"') => {
                    self.bump();
                    return utf8(&text, start..self.at);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(byte) => {
                    self.bump();
                    text.push(byte);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<u8, Fault> {
        let start = self.at;
        self.bump();
        let byte = match self.peek() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(byte @ (b'"' | b'\\')) => byte,
            Some(b'x') => {
                let digits = self.bytes.get(self.at + 1..self.at + 3);
                let byte = digits
                    .and_then(|digits| data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok())
                    .and_then(|bytes| bytes.first().copied())
                    .ok_or_else(|| {
                        let end = self.bytes.len().min(start + 4);
                        Fault::new(start..end, "\\x needs two hexadecimal digits")
                    })?;
                self.at += 2;
                byte
            }
            _ => {
                let end = self.bytes.len().min(start + 2);
                let text = "unknown escape; known are \\xXX, \\t, \\n, \\r, \\\" and \\\\";
                return Err(Fault::new(start..end, text));
            }
        };
        self.bump();
        Ok(byte)
    }

    /// A text without quotes. It began at `start`, and goes on here: what lies between is taken.
    fn bare(&mut self, start: usize) -> Result<Scalar, Fault> {
        let mut text = self.bytes[start..self.at].to_vec();
        let mut is_plain = true;
        loop {
            match self.peek() {
                Some(b'\\') => {
                    text.push(self.escape()?);
                    is_plain = false;
                }
                // nats-server ends a bare text at a single quote, and drops that.
                Some(b'\'') => {
                    self.bump();
                    is_plain = false;
                    break;
                }
                None | Some(b'\r' | b'\n' | b' ' | b'\t' | b',' | b';' | b']' | b'}') => break,
                Some(byte) => {
                    self.bump();
                    text.push(byte);
                }
            }
        }
        let text = utf8(&text, start..self.at)?;
        if !is_plain {
            return Ok(Scalar::Text(text));
        }
        if let Some(name) = text.strip_prefix('$') {
            return Ok(Scalar::Variable(name.to_owned()));
        }
        Ok(match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Scalar::Bool(true),
            "false" | "no" | "off" => Scalar::Bool(false),
            _ => Scalar::Text(text),
        })
    }

    /// Lines up to one that is only `)`, as they stand.
    fn block(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.bump();
        let content = self.at;
        for newline in memchr::memmem::find_iter(&self.bytes[content..], b"\n)") {
            let close = content + newline + 1;
            let after = &self.bytes[close + 1..];
            if after.is_empty() || after.starts_with(b"\n") || after.starts_with(b"\r\n") {
                let text = utf8(&self.bytes[content..close], content..close)?;
                self.at = close + 1;
                return Ok(text);
            }
        }
        let text = "this block is never closed; it ends at a line that is only `)`";
        Err(Fault::new(start..start + 1, text))
    }

    /// A whole number, a fraction, a date, or a text that starts with a digit, such as an address.
    fn number(&mut self) -> Result<Scalar, Fault> {
        let start = self.at;
        let is_negative = self.take(b"-");
        let digits = self.skip_digits();
        if digits == 0 {
            let text =
                "expected a digit after the minus; put a text that starts with one in quotes";
            return Err(Fault::new(start..self.word_here().end, text));
        }
        match self.peek() {
            Some(b'-') if !is_negative && digits == 4 => self.date(start),
            Some(b'-') if !is_negative => {
                let text =
                    "neither a number nor a date (2006-01-02T15:04:05Z); put a text in quotes";
                Err(Fault::new(start..self.word_here().end, text))
            }
            Some(b'.') => {
                self.bump();
                if self.skip_digits() == 0 {
                    let text = "expected a digit after the dot; put a text in quotes";
                    return Err(Fault::new(start..self.word_here().end, text));
                }
                if self.peek() == Some(b'.') {
                    // An IPv4 address, perhaps with a port.
                    while self.take(b"0123456789.:-") {}
                    return utf8(&self.bytes[start..self.at], start..self.at).map(Scalar::Text);
                }
                let range = start..self.at;
                let value = self.ascii(start).parse::<f64>().ok().filter(|value| value.is_finite());
                value.map(Scalar::Float).ok_or_else(|| Fault::new(range, "number out of range"))
            }
            Some(
                b'k' | b'K' | b'm' | b'M' | b'g' | b'G' | b't' | b'T' | b'p' | b'P' | b'e' | b'E',
            ) => {
                self.bump();
                while self.take(b"bBiI") {}
                // nats-server reads `10k]` as a text, so that `[10k]` holds one.
                if self.is_number_end() && self.peek() != Some(b']') {
                    self.integer(start)
                } else {
                    self.bare(start)
                }
            }
            _ if is_negative || self.is_number_end() => self.integer(start),
            _ => self.bare(start),
        }
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while self.take(b"0123456789") {}
        self.at - start
    }

    /// Where a number may end. nats-server has no bracket here, and refuses `[10]`.
    fn is_number_end(&self) -> bool {
        matches!(self.peek(), None | Some(b'\r' | b'\n' | b' ' | b'\t' | b',' | b';' | b']' | b'}'))
    }

    /// What has been taken since `start`, where it can only be ASCII.
    fn ascii(&self, start: usize) -> &'a str {
        str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default()
    }

    fn integer(&self, start: usize) -> Result<Scalar, Fault> {
        let text = self.ascii(start);
        let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
        let suffix = text[digits.len()..].to_ascii_lowercase();
        let (unit, rest) = suffix.split_at(suffix.len().min(1));
        let exponent = match unit {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => 6,
        };
        let base: i64 = match rest {
            "" => 1000,
            "b" | "i" | "ib" => 1024,
            _ => {
                let text = format!(
                    "unknown unit `{suffix}`; write for example 1k (1000), 1kb, 1ki or 1kib (1024)"
                );
                return Err(Fault::new(start..self.at, text));
            }
        };
        digits
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(base.pow(exponent)))
            .map(Scalar::Integer)
            .ok_or_else(|| Fault::new(start..self.at, "number out of range"))
    }

    fn date(&mut self, start: usize) -> Result<Scalar, Fault> {
        const FORM: &[u8] = b"0000-00-00T00:00:00Z";
        let range = start..self.bytes.len().min(start + FORM.len());
        let text = &self.bytes[range.clone()];
        let has_form = text.len() == FORM.len()
            && text.iter().zip(FORM).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == form,
            });
        let date = has_form
            .then(|| str::from_utf8(text).ok()?.parse::<Timestamp>().ok())
            .flatten()
            .ok_or_else(|| {
                Fault::new(range.clone(), "not a date; write it as 2006-01-02T15:04:05Z")
            })?;
        self.at = range.end;
        Ok(Scalar::Date(date))
    }
}

fn utf8(bytes: &[u8], range: Range<usize>) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::new(range, "this is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scalar, and what is left behind it.
    #[track_caller]
    fn check(input: &str, expected: Scalar, rest: &str) {
        let mut lexer = Lexer::new(input.as_bytes());
        assert_eq!(lexer.scalar(), Ok(expected), "{input}");
        assert_eq!(&input[lexer.at..], rest, "{input}");
    }

    #[track_caller]
    fn check_fault(input: &str, start: usize, end: usize, part: &str) {
        let fault = Lexer::new(input.as_bytes()).scalar().expect_err(input);
        assert_eq!(fault.range, start..end, "{input}");
        assert!(fault.text.contains(part), "{input}: {}", fault.text);
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn texts() {
        check("foo", text("foo"), "");
        check("foo bar", text("foo"), " bar");
        check("foo;bar", text("foo"), ";bar");
        check("foo,bar", text("foo"), ",bar");
        check("foo]", text("foo"), "]");
        check("foo}", text("foo"), "}");
        check("foo\r\n", text("foo"), "\r\n");
        check("foo#bar", text("foo#bar"), "");
        check("http://a:1/b", text("http://a:1/b"), "");
        check("a\"b", text("a\"b"), "");
        check("a'b", text("a"), "b");
        check("true'", text("true"), "");
        check(r"a\x41\tb", text("aA\tb"), "");
        check("é", text("é"), "");
        check("", text(""), "");
        check(";", text(""), ";");
        check("''", text(""), "");
        check("'a\"\\n b'c", text("a\"\\n b"), "c");
        check("'a\nb'", text("a\nb"), "");
        check("\"\"", text(""), "");
        check("\"a 'b' # {x\ny\"z", text("a 'b' # {x\ny"), "z");
        check(r#""\x41\x7a\t\n\r\"\\""#, text("Az\t\n\r\"\\"), "");
        check(r#""\xc3\xa9""#, text("é"), "");
    }

    #[test]
    fn blocks() {
        check("(\nfoo\n)\nbar", text("\nfoo\n"), "\nbar");
        check("(\nfoo\n)", text("\nfoo\n"), "");
        check("(foo\n)\r\n", text("foo\n"), "\r\n");
        check("(\na)\n )\n)x\n)\n", text("\na)\n )\n)x\n"), "\n");
        check_fault("(\nfoo)", 0, 1, "never closed");
        check_fault("()", 0, 1, "never closed");
    }

    #[test]
    fn words_with_a_meaning() {
        for word in ["true", "TRUE", "Yes", "on"] {
            check(word, Scalar::Bool(true), "");
        }
        for word in ["false", "FALSE", "No", "off"] {
            check(word, Scalar::Bool(false), "");
        }
        check("only", text("only"), "");
        check("\"true\"", text("true"), "");
        check("$X", Scalar::Variable("X".into()), "");
        check("$a.b]", Scalar::Variable("a.b".into()), "]");
        check("$", Scalar::Variable(String::new()), "");
        check("$2a$11$x/y.z", Scalar::Variable("2a$11$x/y.z".into()), "");
        check("\"$X\"", text("$X"), "");
        check(r"$X\t", text("$X\t"), "");
    }

    #[test]
    fn numbers() {
        let units = [
            ("", 1),
            ("k", 1000),
            ("K", 1000),
            ("kb", 1024),
            ("ki", 1024),
            ("KiB", 1024),
            ("m", 1000_i64.pow(2)),
            ("MB", 1024_i64.pow(2)),
            ("Mi", 1024_i64.pow(2)),
            ("mib", 1024_i64.pow(2)),
            ("g", 1000_i64.pow(3)),
            ("GiB", 1024_i64.pow(3)),
            ("t", 1000_i64.pow(4)),
            ("TB", 1024_i64.pow(4)),
            ("p", 1000_i64.pow(5)),
            ("Pi", 1024_i64.pow(5)),
            ("e", 1000_i64.pow(6)),
            ("EB", 1024_i64.pow(6)),
        ];
        for (unit, factor) in units {
            for end in ["", " ", "\n", "\r", ",", ";", "}", "\t"] {
                check(&format!("3{unit}{end}"), Scalar::Integer(3 * factor), end);
                check(&format!("-3{unit}{end}"), Scalar::Integer(-3 * factor), end);
            }
        }
        check("9223372036854775807", Scalar::Integer(i64::MAX), "");
        check("-9223372036854775808", Scalar::Integer(i64::MIN), "");
        check("007", Scalar::Integer(7), "");
        check("10]", Scalar::Integer(10), "]");
        check("-10]", Scalar::Integer(-10), "]");
        check("-1x", Scalar::Integer(-1), "x");
        check("1.50", Scalar::Float(1.5), "");
        check("-1.5]", Scalar::Float(-1.5), "]");
        check("1.5s", Scalar::Float(1.5), "s");
        check_fault("9223372036854775808", 0, 19, "out of range");
        check_fault("99999e", 0, 6, "out of range");
        check_fault(&format!("{}.0", "9".repeat(400)), 0, 402, "out of range");
        check_fault("10kbb", 0, 5, "unknown unit");
        check_fault("10kbi ", 0, 5, "unknown unit");
        check_fault("-a b", 0, 2, "minus");
        check_fault("-", 0, 2, "minus");
        check_fault("1.", 0, 3, "dot");
        check_fault("1.x y", 0, 3, "dot");
        check_fault(".5", 0, 2, "digit");
    }

    #[test]
    fn texts_that_start_with_a_digit() {
        check("127.0.0.1", text("127.0.0.1"), "");
        check("127.0.0.1:4222\n", text("127.0.0.1:4222"), "\n");
        check("0.0.0.0:-1", text("0.0.0.0:-1"), "");
        check("10s", text("10s"), "");
        check("5ms", text("5ms"), "");
        check("1h30m", text("1h30m"), "");
        check("2m", Scalar::Integer(2_000_000), "");
        check("4222:x", text("4222:x"), "");
        check("1kx", text("1kx"), "");
        check("1k2", text("1k2"), "");
        check("10k]", text("10k"), "]");
        check("-5kb]", text("-5kb"), "]");
        check("0A]", text("0A"), "]");
        check_fault("12-a", 0, 4, "neither a number nor a date");
    }

    #[test]
    fn dates() {
        let date = |text: &str| Scalar::Date(text.parse().unwrap());
        check("2016-05-04T18:53:41Z", date("2016-05-04T18:53:41Z"), "");
        check("2016-05-04T18:53:41Z]", date("2016-05-04T18:53:41Z"), "]");
        check_fault("2016-13-04T18:53:41Z", 0, 20, "not a date");
        check_fault("2016-05-04", 0, 10, "not a date");
        check_fault("2016-05-04T18:53:41+01:00", 0, 20, "not a date");
        check_fault("2016-05-04 18:53:41Z", 0, 20, "not a date");
        check_fault("2016-é", 0, 7, "not a date");
    }

    #[test]
    fn faults_of_texts() {
        check_fault("\"abc", 0, 1, "never closed");
        check_fault("\"abc\\\"", 0, 1, "never closed");
        check_fault("'abc", 0, 1, "never closed");
        check_fault(r#""\q""#, 1, 3, "unknown escape");
        check_fault(r#""\'""#, 1, 3, "unknown escape");
        check_fault(r"a\", 1, 2, "unknown escape");
        check_fault(r#""\x4""#, 1, 5, "hexadecimal");
        check_fault(r"\x", 0, 2, "hexadecimal");
        check_fault(r"\xg0", 0, 4, "hexadecimal");
        check_fault(r"\xff", 0, 4, "UTF-8");
        check_fault("\n", 0, 1, "on the line of its key");
    }

    #[test]
    fn keys() {
        #[track_caller]
        fn check(input: &str, text: &str, is_include: bool, rest: &str) {
            let mut lexer = Lexer::new(input.as_bytes());
            let key = lexer.key().expect(input);
            assert_eq!((key.text.as_str(), key.is_include), (text, is_include), "{input}");
            assert_eq!(&input[lexer.at..], rest, "{input}");
        }
        check("a b", "a", false, " b");
        check("a=b", "a", false, "=b");
        check("a:b", "a", false, ":b");
        check("a\nb", "a", false, "\nb");
        check("a\u{a0}b", "a", false, "\u{a0}b");
        check("a{b c", "a{b", false, " c");
        check("\"a b\" c", "a b", false, " c");
        check("'a=\"' c", "a=\"", false, " c");
        check("\"\":", "", false, ":");
        check("include x", "include", true, " x");
        check("Include\tx", "Include", true, "\tx");
        check("include: x", "include", false, ": x");
        check("include", "include", false, "");
        check("'include' x", "include", false, " x");
        for wrong in ["=", ":", "\"a", "'a", ",", "]", "a{", "a{ b"] {
            assert!(Lexer::new(wrong.as_bytes()).key().is_err(), "{wrong}");
        }
        assert!(Lexer::new(b"\xff").key().is_err());
    }

    #[test]
    fn paths_of_includes() {
        #[track_caller]
        fn check(input: &str, path: &str, rest: &str) {
            let mut lexer = Lexer::new(input.as_bytes());
            assert_eq!(lexer.include_path().map(|(path, _)| path), Ok(path.to_owned()), "{input}");
            assert_eq!(&input[lexer.at..], rest, "{input}");
        }
        check(" a.conf\nb", "a.conf", "\nb");
        check("./a.conf;b", "./a.conf", ";b");
        check("a,b}", "a,b", "}");
        check("\"a b\" c", "a b", " c");
        check("'a b'", "a b", "");
        check("a' b", "a", " b");
        for wrong in ["", "\n", "[", "{", "(", "-x", "1x", "\\x", "\"x"] {
            assert!(Lexer::new(wrong.as_bytes()).include_path().is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            for word in [0, 1, 2] {
                let mut lexer = Lexer::new(&bytes);
                loop {
                    let before = lexer.at;
                    lexer.skip_space_and_comments();
                    let range = match word {
                        0 => lexer.scalar().err().map(|fault| fault.range),
                        1 => lexer.key().err().map(|fault| fault.range),
                        _ => lexer.include_path().err().map(|fault| fault.range),
                    };
                    if let Some(range) = range {
                        assert!(range.start <= range.end);
                    }
                    if lexer.at == before {
                        break;
                    }
                }
            }
        }

        /// Likelier to be close to the format than any bytes.
        #[test]
        fn no_text_makes_it_panic(text in r#"[-0-9a-z$"'\\(){}\[\]=:;,#/.\n kKbi]{0,40}"#) {
            let mut lexer = Lexer::new(text.as_bytes());
            while lexer.at < text.len() && lexer.scalar().is_ok() {
                lexer.skip_space_and_comments();
                if lexer.peek().is_some() {
                    lexer.bump();
                }
            }
        }
    }
}
