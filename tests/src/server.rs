//! A running server: started on free ports, its log captured, killed when the test lets go of it.
//!
//! What is said over its sockets is not known here.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Page, RawClient, eventually, eventually_some, is_fulmar, server_binary};

/// How a server is to be started. It listens on loopback only, on ports that were free.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServerBuilder {
    configuration: Option<String>,
    arguments: Vec<String>,
    monitoring: bool,
    jetstream: bool,
    port: Option<u16>,
}

impl ServerBuilder {
    /// The text of its configuration file, in NATS syntax.
    pub fn configuration(mut self, text: impl Into<String>) -> Self {
        self.configuration = Some(text.into());
        self
    }

    /// More flags, after those of the harness.
    pub fn arguments<A: Into<String>>(mut self, more: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }

    /// Offer the monitoring pages too.
    pub fn monitoring(mut self) -> Self {
        self.monitoring = true;
        self.arguments(["-m", "-1"])
    }

    /// The monitoring pages come from the configuration file: wait for them, but do not ask.
    pub fn expect_monitoring(mut self) -> Self {
        self.monitoring = true;
        self
    }

    /// With JetStream, which keeps what it stores in the directory of this server.
    pub fn jetstream(mut self) -> Self {
        self.jetstream = true;
        self
    }

    /// Take a port that outgoing connections never take, so that it is still free when
    /// [`Server::restart`] wants it again.
    pub fn restartable(mut self) -> Self {
        // Linux takes source ports from 32768 on. The first try differs between test processes.
        let first = 20_000 + std::process::id() * 7 % 12_000;
        let port = (0..12_000)
            .map(|step| 20_000 + (first - 20_000 + step) % 12_000)
            .filter_map(|port| u16::try_from(port).ok())
            .filter(|port| claim(*port))
            .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
        self.port = Some(port.expect("one of 12,000 ports is free"));
        self
    }

    /// Starts it and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// When it ends instead, or is not ready within [`DEADLINE`](crate::DEADLINE); with its log.
    #[track_caller]
    pub fn start(self) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let child = spawn(&self, directory.path());
        let mut server = Server { child, directory, builder: self, port: 0, monitoring_port: None };
        server.wait_until_ready();
        server
    }
}

/// A running server. Dropping it kills it; when the test fails, its log is printed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    directory: TempDir,
    builder: ServerBuilder,
    port: u16,
    monitoring_port: Option<u16>,
}

impl Server {
    /// Starts one without a configuration file.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts one with the text of a configuration file.
    #[track_caller]
    pub fn with_configuration(text: impl Into<String>) -> Self {
        Self::builder().configuration(text).start()
    }

    /// Decides first how it is started.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Calls `check` with a server for each number of reactors worth testing: the default, and
    /// for fulmar also 2 and 4, because what holds within one thread may not hold between two.
    pub fn for_each_reactor_count(builder: &ServerBuilder, mut check: impl FnMut(&Server)) {
        check(&builder.clone().start());
        if is_fulmar() {
            for count in ["2", "4"] {
                check(&builder.clone().arguments(["--reactors", count]).start());
            }
        }
    }

    /// The port of the client listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the client listener.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The address as clients write it: `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A directory of this server alone; its configuration file and ports file lie there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where JetStream keeps what it stores.
    pub fn store(&self) -> PathBuf {
        store_path(self.directory.path())
    }

    /// A connection that has read the first INFO and sent nothing.
    #[track_caller]
    pub fn client(&self) -> RawClient {
        RawClient::open(self.address())
    }

    /// A connection that sent CONNECT with the usual options of a client library
    /// (`verbose`, `pedantic` false, headers, protocol 1) and had its first PING answered.
    #[track_caller]
    pub fn connect(&self) -> RawClient {
        self.connect_with(&serde_json::json!({}))
    }

    /// As [`Server::connect`]; the fields of `options` add to the usual ones or replace them.
    #[track_caller]
    pub fn connect_with(&self, options: &Value) -> RawClient {
        let mut client = self.client();
        client.handshake(options);
        client
    }

    /// Gets a monitoring page, for instance `/varz` or `/connz?subs=1`.
    ///
    /// # Panics
    ///
    /// When the server was started without [`ServerBuilder::monitoring`] or does not answer.
    #[track_caller]
    pub fn page(&self, path: &str) -> Page {
        Page::get(&self.monitoring_url(path))
    }

    /// The address of a monitoring page.
    #[track_caller]
    pub fn monitoring_url(&self, path: &str) -> String {
        let port = self.monitoring_port.expect("started without monitoring");
        format!("http://127.0.0.1:{port}{path}")
    }

    /// `/varz` as JSON.
    #[track_caller]
    pub fn varz(&self) -> Value {
        self.page("/varz").json()
    }

    /// `/connz` as JSON, with `query` such as `?subs=1`.
    #[track_caller]
    pub fn connz(&self, query: &str) -> Value {
        self.page(&format!("/connz{query}")).json()
    }

    /// What it logged until now.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a pid"), signal).expect("the server can be signalled");
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually_some("the server to end", || child.try_wait().expect("it can be waited for"))
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }

    /// Kills it without warning and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.wait_for_exit();
    }

    /// Kills it and starts it again on the same ports.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// After it has ended, starts it again on the same port.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.builder.port.is_some(), "only a restartable server keeps its port");
        self.child = spawn(&self.builder, self.directory.path());
        self.wait_until_ready();
    }

    /// Replaces the text of its configuration file; it learns of it by SIGHUP or a restart.
    ///
    /// # Panics
    ///
    /// When it was started without one.
    pub fn rewrite_configuration(&mut self, text: impl Into<String>) {
        assert!(self.builder.configuration.is_some(), "started without a configuration file");
        let text = text.into();
        std::fs::write(configuration_path(self.directory.path()), &text)
            .expect("its directory can be written");
        self.builder.configuration = Some(text);
    }

    /// The content of the ports file, once it is complete.
    pub fn ports(&self) -> Option<Value> {
        let name = format!("_{}.ports", self.child.id());
        let entries = std::fs::read_dir(self.directory.path()).expect("its directory is there");
        let path = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with(&name))?;
        // It may be seen half written.
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        let ports = eventually_some("the server to be ready", || {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                panic!("the server ended ({status}) instead of becoming ready");
            }
            let ports = self.ports()?;
            let client = port_of(&ports["nats"])?;
            let monitoring = port_of(&ports["monitoring"]);
            (monitoring.is_some() || !self.builder.monitoring).then_some((client, monitoring))
        });
        (self.port, self.monitoring_port) = ports;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, as the test wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let (port, arguments) = (self.port, &self.builder.arguments);
            eprintln!("--- log of the server on port {port}, {arguments:?}:\n{}---", self.log());
        }
    }
}

fn spawn(builder: &ServerBuilder, directory: &Path) -> Child {
    let mut command = Command::new(server_binary());
    command.args(["-a", "127.0.0.1"]);
    command.args(["-p", &builder.port.map_or("-1".to_owned(), |port| port.to_string())]);
    command.arg("--ports_file_dir").arg(directory);
    if let Some(text) = &builder.configuration {
        let path = configuration_path(directory);
        std::fs::write(&path, text).expect("its directory can be written");
        command.arg("-c").arg(path);
    }
    if builder.jetstream {
        command.arg("-js").arg("-sd").arg(store_path(directory));
    }
    command.args(&builder.arguments);
    // Appended to, so that a restarted server continues the log.
    let output = |name: &str| {
        File::options()
            .create(true)
            .append(true)
            .open(directory.join(name))
            .expect("its directory can be written")
    };
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .expect("the server starts")
}

fn configuration_path(directory: &Path) -> PathBuf {
    directory.join("server.conf")
}

fn store_path(directory: &Path) -> PathBuf {
    directory.join("store")
}

/// The port in the first URL of a list in the ports file.
fn port_of(urls: &Value) -> Option<u16> {
    urls[0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// Whether this thread is the first of this process to ask for `port`.
fn claim(port: u16) -> bool {
    use std::collections::HashSet;
    use std::sync::{LazyLock, Mutex};
    static CLAIMED: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    CLAIMED.lock().expect("never held while panicking").insert(port)
}
