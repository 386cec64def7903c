//! A configuration file, a file that it may include and a variable that it may use: reading them
//! ends with a configuration or with reasons, and twice with the same.

#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use arbitrary::Arbitrary;
use fulmar::config::conf::{Document, Surroundings};
use fulmar::config::{Flags, load};
use libfuzzer_sys::fuzz_target;

/// What stands in memory instead of on a disk and in an environment.
#[derive(Arbitrary, Debug)]
struct World<'a> {
    variable: Option<&'a str>,
    included: &'a [u8],
    main: &'a [u8],
}

impl Surroundings for World<'_> {
    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = match path.to_str() {
            Some("main.conf") => self.main,
            Some("included.conf") => self.included,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(file[..file.len().min(bytes_max.saturating_add(1))].to_vec())
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "VARIABLE").then(|| self.variable.map(str::to_owned)).flatten()
    }
}

fuzz_target!(|world: World<'_>| {
    let path = PathBuf::from("main.conf");
    match Document::read(&path, &world) {
        Ok(document) => {
            let again = Document::read(&path, &world).expect("it could be read before");
            assert_eq!(document.map, again.map);
            assert_eq!(document.digest(), again.digest());
        }
        Err(reasons) => assert_explained(&reasons),
    }
    let flags = Flags { config: Some(path), ..Flags::default() };
    if let Err(reasons) = load(&flags, &world) {
        assert_explained(&reasons);
    }
});

fn assert_explained<T: std::fmt::Display>(reasons: &[T]) {
    assert!(!reasons.is_empty(), "what fails has a reason");
    assert!(reasons.iter().all(|reason| !reason.to_string().is_empty()));
}
