//! How much streams may have on this machine, where the configuration does not say.
//!
//! The only file of `jetstream` that asks the machine; who uses the answer is not known here.

use std::path::Path;

/// Memory for streams if the memory of the machine is not known.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Files for streams if the free space of the disk is not known.
const FILE_BYTES: u64 = 1024 * 1024 * 1024 * 1024;

/// Three quarters of the memory of this machine, or of what its control group may use.
pub fn memory_bytes() -> u64 {
    let of_group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let info = rustix::system::sysinfo();
    let of_machine = u64::from(info.mem_unit).saturating_mul(info.totalram);
    three_quarters(lower(of_machine, of_group.as_deref()), MEMORY_BYTES)
}

/// Three quarters of what the disk of `directory` has left. The directory need not be there yet.
pub fn file_bytes(directory: &Path) -> u64 {
    let existing = directory.ancestors().find(|directory| directory.exists());
    // A path without any directory in it stands in the current one.
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free =
        rustix::fs::statvfs(existing).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    three_quarters(free, FILE_BYTES)
}

/// The lower of both, where the second is a number in a file, or `max`.
fn lower(of_machine: u64, of_group: Option<&str>) -> u64 {
    match of_group.and_then(|text| text.trim().parse().ok()) {
        Some(of_group) => of_machine.min(of_group),
        None => of_machine,
    }
}

fn three_quarters(bytes: u64, otherwise: u64) -> u64 {
    if bytes == 0 { otherwise } else { bytes / 4 * 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(three_quarters(0, 7), 7);
        assert_eq!(three_quarters(100, 7), 75);
        assert_eq!(three_quarters(u64::MAX, 7), u64::MAX / 4 * 3);
        for (of_group, expected) in
            [(None, 100), (Some("max\n"), 100), (Some("60\n"), 60), (Some("200"), 100)]
        {
            assert_eq!(lower(100, of_group), expected);
        }
    }

    #[test]
    fn this_machine() {
        assert!(memory_bytes() > 1024 * 1024);
        let directory = tempfile::tempdir().unwrap();
        let there = file_bytes(directory.path());
        let to_be_made = file_bytes(&directory.path().join("a/b/jetstream"));
        // Others write to the disk meanwhile.
        assert!(there.abs_diff(to_be_made) <= there / 2, "{there} {to_be_made}");
        assert!(file_bytes(Path::new("not/there")) > 0);
    }
}
