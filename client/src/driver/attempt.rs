//! One attempt to connect: from a server's address to a connection that is ready.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use fulmar_protocol::connect::Connect;
use fulmar_protocol::info::Info;
use fulmar_protocol::server_op::LINE_BYTES_MAX;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::READ_BYTES;
use super::transport::Transport;
use crate::connection::handshake::{Failure, Handshake, Secure, Step};
use crate::connection::pool::Server;
use crate::event::ServerError;
use crate::{ConnectError, ConnectOptions, tls};

/// A connection that is ready.
pub(super) struct Opened {
    pub(super) server: Server,
    pub(super) transport: Transport,
    pub(super) info: Box<Info>,
    /// What the server has sent after that.
    pub(super) input: BytesMut,
}

/// Certificates are read from files once, when TLS is first needed.
pub(super) type TlsConfig = OnceCell<Arc<ClientConfig>>;

/// Connects to `server`.
pub(super) async fn open(
    server: Server,
    options: Arc<ConnectOptions>,
    tls_config: Arc<TlsConfig>,
) -> Result<Opened, ConnectError> {
    let limit = options.connection_timeout;
    let name = server.address.to_string();
    let opened = tokio::time::timeout(limit, open_unlimited(server, &options, &tls_config));
    opened.await.unwrap_or_else(|_| {
        Err(ConnectError::TimedOut { server: name, seconds: limit.as_secs_f64() })
    })
}

/// The configuration of TLS, made when it is asked for first.
pub(super) async fn tls_config(
    options: &ConnectOptions,
    cell: &TlsConfig,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let make = || async {
        let options = options.tls.clone();
        let made = tokio::task::spawn_blocking(move || tls::client_config(&options));
        made.await.map_err(|error| ConnectError::TlsOptions(error.to_string()))?
    };
    cell.get_or_try_init(make).await.cloned()
}

async fn open_unlimited(
    server: Server,
    options: &ConnectOptions,
    config: &TlsConfig,
) -> Result<Opened, ConnectError> {
    let name = server.address.to_string();
    let io_error = |source| ConnectError::Io { server: name.clone(), source };
    let tls_error = |source| ConnectError::Tls { server: name.clone(), source };
    let mut transport = Transport::Plain(open_socket(&server, &name).await?);
    let secure = if options.tls.first {
        let config = tls_config(options, config).await?;
        transport = transport.secure(config, &server.tls_name).await.map_err(tls_error)?;
        Secure::Already
    } else if options.tls.required || server.address.tls_required() {
        Secure::Required
    } else {
        Secure::WhenRequired
    };
    let mut handshake = Handshake::new(login(&server, &options.connect), secure);
    let mut input = BytesMut::with_capacity(READ_BYTES);
    loop {
        let (taken, mut step) =
            handshake.handle_input(&input).map_err(|failure| refused(failure, &name))?;
        input.advance(taken);
        if step == Step::Secure {
            let config = tls_config(options, config).await?;
            transport = transport.secure(config, &server.tls_name).await.map_err(tls_error)?;
            step = handshake.handle_secured();
        }
        match step {
            Step::Send(bytes) => transport.write_all(&bytes).await.map_err(io_error)?,
            Step::Done(info) => return Ok(Opened { server, transport, info, input }),
            Step::Read | Step::Secure => {
                if input.len() > LINE_BYTES_MAX {
                    let reason = "it sends no end of a line".to_owned();
                    return Err(ConnectError::Protocol { server: name, reason });
                }
                if transport.read(&mut input).await.map_err(io_error)? == 0 {
                    return Err(io_error(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}

async fn open_socket(server: &Server, name: &str) -> Result<TcpStream, ConnectError> {
    let dns_error = |source| ConnectError::Dns { server: name.to_owned(), source };
    let io_error = |source| ConnectError::Io { server: name.to_owned(), source };
    let addresses = tokio::net::lookup_host((server.address.host(), server.address.port()));
    let mut error = dns_error(io::Error::other("the name has no address"));
    for address in addresses.await.map_err(dns_error)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // What is sent was gathered before; waiting for more would only delay it.
                stream.set_nodelay(true).map_err(io_error)?;
                return Ok(stream);
            }
            Err(source) => error = io_error(source),
        }
    }
    Err(error)
}

/// CONNECT with the credentials for `server`: those of its address, or else those of the options.
fn login(server: &Server, connect: &Connect) -> Connect {
    let mut connect = connect.clone();
    if let Some(username) = server.address.username() {
        (connect.user, connect.pass, connect.auth_token) = match server.address.password() {
            Some(password) => (Some(username.to_owned()), Some(password.to_owned()), None),
            None => (None, None, Some(username.to_owned())),
        };
    }
    connect
}

fn refused(failure: Failure, name: &str) -> ConnectError {
    let server = name.to_owned();
    match failure {
        Failure::Server(error @ ServerError::AuthorizationViolation) => {
            ConnectError::AuthorizationViolation { server, text: error.to_string() }
        }
        Failure::Server(error) => ConnectError::Refused { server, error },
        Failure::TlsUnavailable => ConnectError::TlsUnavailable { server },
        Failure::Protocol(reason) => ConnectError::Protocol { server, reason },
    }
}
