//! Files that tell other programs about this process: its number, and where it listens.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use crate::executable;

/// Writes the number of this process, and nothing else, to `path`. It stays there at the end.
///
/// # Errors
/// Those of the file system.
pub fn write_pid(path: &Path) -> io::Result<()> {
    write(path, std::process::id().to_string().as_bytes(), 0o600)
}

/// The URLs of all listeners; a kind without any is left out of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// For clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<String>,
    /// For monitoring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
    /// For other servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// For profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<String>,
    /// For clients that come by WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub websocket: Vec<String>,
}

/// The file `<executable>_<pid>.ports`. Dropping this removes it.
#[derive(Debug)]
pub struct PortsFile {
    path: PathBuf,
}

impl PortsFile {
    /// Writes the file below `directory`. Whoever sees the file sees all of it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(directory: &Path, ports: &Ports) -> io::Result<Self> {
        let name = format!("{}_{}.ports", executable::name(), std::process::id());
        // Those who wait for the file look for its ending.
        let unfinished = directory.join(format!(".{name}.unfinished"));
        let path = directory.join(name);
        write(&unfinished, &serde_json::to_vec(ports)?, 0o644)?;
        fs::rename(&unfinished, &path)?;
        Ok(Self { path })
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::error!("Error cleaning up ports file {}: {error}", self.path.display());
        }
    }
}

/// The URLs under which a listener at `address` can be reached from this machine and others.
///
/// A listener on all addresses gets one URL for each address the machine has, IPv4 only if it
/// listens on that alone.
pub fn urls(scheme: &str, address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        return vec![format!("{scheme}://{address}")];
    }
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| ip.is_ipv4() || address.is_ipv6())
        .collect();
    // A machine that does not tell has at least this one.
    if addresses.is_empty() {
        addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    addresses
        .into_iter()
        .map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, address.port())))
        .collect()
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_the_number_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        fs::write(&path, "a longer text than any number of a process").unwrap();
        write_pid(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        assert!(write_pid(directory.path()).is_err());
    }

    #[test]
    fn the_ports_file_is_there_until_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let ports = Ports {
            nats: vec!["nats://127.0.0.1:1".into()],
            monitoring: vec!["http://127.0.0.1:2".into()],
            ..Ports::default()
        };
        let file = PortsFile::write(directory.path(), &ports).unwrap();
        let name = format!("{}_{}.ports", executable::name(), std::process::id());
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [name.as_str()]);
        assert_eq!(
            fs::read_to_string(&file.path).unwrap(),
            r#"{"nats":["nats://127.0.0.1:1"],"monitoring":["http://127.0.0.1:2"]}"#
        );
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(PortsFile::write(&directory.path().join("none"), &ports).is_err());
    }

    #[test]
    fn urls_of_listeners() {
        let urls = |address: &str| super::urls("nats", address.parse().unwrap());
        assert_eq!(urls("127.0.0.1:7"), ["nats://127.0.0.1:7"]);
        assert_eq!(urls("[::1]:7"), ["nats://[::1]:7"]);
        assert!(urls("0.0.0.0:7").contains(&"nats://127.0.0.1:7".to_owned()));
        assert!(urls("0.0.0.0:7").iter().all(|url| !url.contains('[')));
        assert!(urls("[::]:7").contains(&"nats://127.0.0.1:7".to_owned()));
    }
}
