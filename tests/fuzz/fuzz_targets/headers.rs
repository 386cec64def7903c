//! A header block that anybody may have written: looked at in place it stays within itself, and
//! what can be written again is read as the same.

#![no_main]

use fulmar_protocol::headers::{HeaderMap, Headers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let headers = Headers::new(block);
    let within = block.as_ptr_range();
    let is_within = |part: &[u8]| {
        part.is_empty() || within.start <= part.as_ptr() && part.as_ptr_range().end <= within.end
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        assert!(is_within(name) && is_within(value));
        let Ok(text) = std::str::from_utf8(name) else { continue };
        let first = headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
        assert_eq!(headers.get(text), first);
        assert!(headers.get_all(text).any(|other| other == value));
        if let Ok(value) = std::str::from_utf8(value) {
            // Names and values that cannot be written are refused, and nothing else happens.
            let _ = map.append(text, value);
        }
    }
    if let Some((code, description)) = headers.status() {
        assert!(code < 1_000 && is_within(description));
    }
    let mut written = Vec::new();
    map.encode(&mut written);
    assert_eq!(HeaderMap::from(Headers::new(&written)), map);
    assert_eq!(Headers::new(&written).status(), None);
});
