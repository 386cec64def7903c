//! Which server is tested, and running it to its end.
//!
//! How a server that keeps running is spoken to is not known here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::eventually_some;

/// The path of the server under test: `FULMAR_TEST_SERVER`, or else the workspace's `fulmar`,
/// built first so that it is never older than its sources.
///
/// # Panics
///
/// When `FULMAR_TEST_SERVER` is no file, or the build fails.
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("FULMAR_TEST_SERVER") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "FULMAR_TEST_SERVER={} is no file", path.display());
            // A test may start it from another directory.
            path.canonicalize().expect("the file is there")
        }
        None => build_fulmar(),
    })
}

/// Whether the server under test is fulmar, by what `--version` prints.
pub fn is_fulmar() -> bool {
    static IS_FULMAR: OnceLock<bool> = OnceLock::new();
    *IS_FULMAR.get_or_init(|| run(["--version"]).stdout.starts_with("fulmar"))
}

/// What a server that ended left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Everything written to standard output.
    pub stdout: String,
    /// Everything written to standard error.
    pub stderr: String,
}

/// Runs the server under test with `arguments` until it ends.
///
/// # Panics
///
/// When it does not end within [`DEADLINE`](crate::DEADLINE).
#[track_caller]
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    finish(Command::new(server_binary()).args(arguments))
}

/// Runs the server under test through a symbolic link of that name until it ends.
///
/// # Panics
///
/// When it does not end within [`DEADLINE`](crate::DEADLINE).
#[track_caller]
pub fn run_linked_as<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Finished {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let link = directory.path().join(name);
    std::os::unix::fs::symlink(server_binary(), &link).expect("a symbolic link");
    finish(Command::new(link).args(arguments))
}

#[track_caller]
fn finish(command: &mut Command) -> Finished {
    // Files and not pipes: nobody has to read them while the server runs.
    let mut stdout = tempfile::tempfile().expect("a temporary file");
    let mut stderr = tempfile::tempfile().expect("a temporary file");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("a second handle"))
        .stderr(stderr.try_clone().expect("a second handle"))
        .spawn()
        .expect("the server starts");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually_some("the server to end", || child.try_wait().expect("it can be waited for"))
    }));
    if ended.is_err() {
        // Already failing; a server left behind would disturb the tests after this one.
        drop(child.kill());
        drop(child.wait());
    }
    let (stdout, stderr) = (content(&mut stdout), content(&mut stderr));
    match ended {
        Ok(status) => Finished { code: status.code(), stdout, stderr },
        Err(_) => {
            panic!("{command:?} does not end by itself\nstdout: {stdout}\nstderr: {stderr}")
        }
    }
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("files can be rewound");
    file.read_to_end(&mut bytes).expect("files can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Builds `fulmar` in the profile and target directory of this test executable.
fn build_fulmar() -> PathBuf {
    // target/<profile>/deps/<this executable>
    let executable = std::env::current_exe().expect("a test knows its own path");
    let profile_directory = executable
        .parent()
        .and_then(Path::parent)
        .expect("test executables lie in <target>/<profile>/deps");
    let target_directory = profile_directory.parent().expect("a profile lies in a target");
    let profile = match profile_directory.file_name().and_then(OsStr::to_str) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("no profile in {}", executable.display()),
    };
    let binary = profile_directory.join("fulmar");

    // cargo nextest runs every test in a process of its own: the first of a run builds, the
    // others find its run id in the stamp. The lock makes them wait for it.
    let mut stamp = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(profile_directory.join("fulmar-tests.stamp"))
        .expect("the target directory can be written");
    stamp.lock().expect("files can be locked");
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    if !run.is_empty() && content(&mut stamp) == run && binary.is_file() {
        return binary;
    }

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--package", "fulmar", "--bin", "fulmar"])
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(target_directory)
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "fulmar does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );

    stamp.set_len(0).expect("the stamp can be written");
    stamp.rewind().expect("files can be rewound");
    stamp.write_all(run.as_bytes()).expect("the stamp can be written");
    binary
}
