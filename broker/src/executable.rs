//! How this process was called: the broker answers to the names `fulmar` and `nats-server`.

use std::path::Path;

/// The name nats-server goes by; scripts and test harnesses start us by a link of that name.
const NATS_SERVER: &str = "nats-server";

/// The file name in `argv[0]`, so the name of the link and not of its target.
pub fn name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    name_of(Path::new(&path))
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "fulmar".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What `-v` prints. Scripts compare nats-server's, so under its name there is nothing else.
pub fn version(name: &str) -> String {
    if name == NATS_SERVER {
        format!("{NATS_SERVER}: v{}", fulmar_protocol::NATS_VERSION)
    } else {
        format!(
            "fulmar: v{} (serves NATS {})",
            env!("CARGO_PKG_VERSION"),
            fulmar_protocol::NATS_VERSION
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, name) in [("/usr/bin/nats-server", NATS_SERVER), ("./a", "a"), ("", "fulmar")] {
            assert_eq!(name_of(Path::new(path)), name);
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("fulmar"), "fulmar: v0.1.0 (serves NATS 2.15.1)");
        assert_eq!(version("anything"), version("fulmar"));
        assert_eq!(version("nats-server"), "nats-server: v2.15.1");
    }
}
