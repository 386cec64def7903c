//! Changing the header block of a stored message without understanding it.
//!
//! What a publisher wrote stays as it is, byte by byte, also what is malformed; headers are only
//! added at its end or taken out. `fulmar_protocol::headers` reads blocks.

/// A block under construction: lines without the blank one at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    lines: Vec<u8>,
}

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

impl HeaderBlock {
    /// Begins with a copy of `block`, which may be empty.
    pub fn new(block: &[u8]) -> Self {
        let mut lines = block.strip_suffix(b"\r\n").unwrap_or(block).to_vec();
        if !lines.is_empty() && !lines.ends_with(b"\r\n") {
            lines.extend_from_slice(b"\r\n");
        }
        Self { lines }
    }

    /// Adds a header behind those there are. Line ends in `value`, which would begin headers of
    /// their own, become blanks.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if self.lines.is_empty() {
            self.lines.extend_from_slice(VERSION_LINE);
        }
        write_line(name, value.as_ref(), &mut self.lines);
    }

    /// Takes out the headers whose name is `taken`. If none is left, so is the block: empty.
    pub fn remove(&mut self, taken: impl Fn(&[u8]) -> bool) {
        let mut kept = Vec::with_capacity(self.lines.len());
        for (index, line) in lines(&self.lines).enumerate() {
            // The first line has the version, and no name.
            if index == 0 || !name_of(line).is_some_and(&taken) {
                kept.extend_from_slice(line);
            }
        }
        if kept.len() < self.lines.len() && kept == VERSION_LINE {
            kept.clear();
        }
        self.lines = kept;
    }

    /// Gives `name` this value: where it has its first one, or behind all others. Further values
    /// are taken out.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let mut written = Vec::with_capacity(self.lines.len());
        let mut is_set = false;
        for (index, line) in lines(&self.lines).enumerate() {
            if index == 0 || name_of(line) != Some(name.as_bytes()) {
                written.extend_from_slice(line);
            } else if !is_set {
                write_line(name, value.as_ref(), &mut written);
                is_set = true;
            }
        }
        self.lines = written;
        if !is_set {
            self.append(name, value);
        }
    }

    /// The finished block, blank line included; empty if there are no headers.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.lines.is_empty() {
            self.lines.extend_from_slice(b"\r\n");
        }
        self.lines
    }
}

/// Lines with their ends.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let (line, after) = rest.split_at(end + 2);
        rest = after;
        Some(line)
    })
}

fn name_of(line: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b':', line).map(|colon| &line[..colon])
}

fn write_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let value = value.trim_ascii().iter();
    out.extend(value.map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_upon() {
        let mut block = HeaderBlock::new(b"");
        assert_eq!(block.clone().finish(), b"");
        block.append("A", "1");
        block.append("B", " x\r\ny ");
        assert_eq!(block.finish(), b"NATS/1.0\r\nA: 1\r\nB: x  y\r\n\r\n");

        let mut block = HeaderBlock::new(b"NATS/1.0 100 Hi\r\nA:1\r\n\xff\r\n\r\n");
        block.append("B", "2");
        assert_eq!(block.finish(), b"NATS/1.0 100 Hi\r\nA:1\r\n\xff\r\nB: 2\r\n\r\n");

        let mut block = HeaderBlock::new(b"NATS/1.0\r\nA: cut off");
        block.append("B", "2");
        assert_eq!(block.finish(), b"NATS/1.0\r\nA: cut off\r\nB: 2\r\n\r\n");
    }

    #[test]
    fn taken_out() {
        let check = |block: &str, name: &str, expected: &str| {
            let mut lines = HeaderBlock::new(block.as_bytes());
            lines.remove(|given| given.starts_with(name.as_bytes()));
            assert_eq!(String::from_utf8(lines.finish()).unwrap(), expected, "{block:?}");
        };
        let all = "NATS/1.0\r\nA: 1\r\nAb: 2\r\nB: A\r\n\r\n";
        check(all, "A", "NATS/1.0\r\nB: A\r\n\r\n");
        check(all, "Ab", "NATS/1.0\r\nA: 1\r\nB: A\r\n\r\n");
        check(all, "", "");
        check(all, "x", all);
        check(all, "NATS", all);
        check("NATS/1.0\r\n\r\n", "x", "NATS/1.0\r\n\r\n");
        check("", "x", "");
    }

    #[test]
    fn set_anew() {
        let mut block = HeaderBlock::new(b"NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n");
        block.set("A", "4");
        block.set("C", "5");
        assert_eq!(block.finish(), b"NATS/1.0\r\nA: 4\r\nB: 2\r\nC: 5\r\n\r\n");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(block: Vec<u8>) {
            let mut lines = HeaderBlock::new(&block);
            lines.remove(|name| name.first().is_some_and(|byte| byte % 2 == 0));
            lines.set("A", &block);
            let _ = lines.finish();
        }
    }
}
