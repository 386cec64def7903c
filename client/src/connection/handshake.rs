//! The first exchange on a new connection, without its socket.
//!
//! ```text
//! server  INFO ------------------------------------------------------ (+OK) PONG
//! client        (TLS, when either side wants it)   CONNECT, PING
//! state   Greeting       Securing                         LoggingIn       done
//! ```
//!
//! With TLS first the client begins in `Greeting` on a connection that is secure already. PING
//! goes with CONNECT because its PONG says that the credentials were accepted: a server answers
//! bad ones with `-ERR` instead.

use fulmar_protocol::connect::Connect;
use fulmar_protocol::encode;
use fulmar_protocol::info::Info;
use fulmar_protocol::server_op::{self, ServerOp};

use crate::event::ServerError;

/// The first exchange. Feed it with [`Handshake::handle_input`] and do what it says.
pub(crate) struct Handshake {
    connect: Connect,
    secure: Secure,
    state: State,
}

/// How TLS stands when the handshake begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secure {
    /// Plain, and it may stay so unless the server requires TLS.
    WhenRequired,
    /// Plain, and it must not stay so.
    Required,
    /// TLS is there already.
    Already,
}

enum State {
    Greeting,
    Securing(Box<Info>),
    LoggingIn(Box<Info>),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read more.
    Read,
    /// Set up TLS, then call [`Handshake::handle_secured`].
    Secure,
    /// Send these bytes, then call [`Handshake::handle_input`] again.
    Send(Vec<u8>),
    /// The connection is ready.
    Done(Box<Info>),
}

/// Why the connection cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server said so.
    Server(ServerError),
    /// TLS is required here and not offered there.
    TlsUnavailable,
    /// The bytes are not what a server sends.
    Protocol(String),
}

impl Handshake {
    /// A handshake that will send `connect`.
    pub(crate) fn new(connect: Connect, secure: Secure) -> Self {
        Self { connect, secure, state: State::Greeting }
    }

    /// Takes what has arrived from the front of `buffer`: how many bytes were taken, and what to
    /// do next.
    pub(crate) fn handle_input(&mut self, buffer: &[u8]) -> Result<(usize, Step), Failure> {
        let mut taken = 0;
        loop {
            let parsed = server_op::parse(&buffer[taken..])
                .map_err(|error| Failure::Protocol(error.to_string()))?;
            let server_op::Step::Op { op, consumed } = parsed else {
                return Ok((taken, Step::Read));
            };
            taken += consumed;
            if let Some(step) = self.handle_op(op)? {
                if step == Step::Secure && taken < buffer.len() {
                    // Whoever sits in between could have put them there, to be taken for bytes
                    // that came under TLS.
                    return Err(Failure::Protocol("bytes came before TLS".to_owned()));
                }
                return Ok((taken, step));
            }
        }
    }

    /// TLS is set up.
    pub(crate) fn handle_secured(&mut self) -> Step {
        self.secure = Secure::Already;
        match std::mem::replace(&mut self.state, State::Greeting) {
            State::Securing(info) => self.log_in(info),
            other => {
                self.state = other;
                Step::Read
            }
        }
    }

    fn handle_op(&mut self, op: ServerOp<'_>) -> Result<Option<Step>, Failure> {
        match op {
            ServerOp::Err(text) => Err(Failure::Server(ServerError::from_text(text))),
            ServerOp::Info(json) => {
                let info: Info = serde_json::from_slice(json)
                    .map_err(|error| Failure::Protocol(format!("INFO cannot be read: {error}")))?;
                self.handle_info(Box::new(info))
            }
            ServerOp::Pong => match std::mem::replace(&mut self.state, State::Greeting) {
                State::LoggingIn(info) => Ok(Some(Step::Done(info))),
                _ => Err(Failure::Protocol("PONG came before INFO".to_owned())),
            },
            ServerOp::Ping => Ok(Some(Step::Send(b"PONG\r\n".to_vec()))),
            ServerOp::Ok => Ok(None),
            ServerOp::Message(_) => {
                Err(Failure::Protocol("a message came before a subscription".to_owned()))
            }
        }
    }

    fn handle_info(&mut self, info: Box<Info>) -> Result<Option<Step>, Failure> {
        if let State::LoggingIn(known) = &mut self.state {
            *known = info;
            return Ok(None);
        }
        let offered = info.tls_required || info.tls_available;
        match self.secure {
            Secure::Already => Ok(Some(self.log_in(info))),
            Secure::Required if !offered => Err(Failure::TlsUnavailable),
            Secure::WhenRequired if !info.tls_required => Ok(Some(self.log_in(info))),
            Secure::Required | Secure::WhenRequired => {
                self.state = State::Securing(info);
                Ok(Some(Step::Secure))
            }
        }
    }

    fn log_in(&mut self, info: Box<Info>) -> Step {
        self.connect.tls_required = self.secure == Secure::Already;
        self.connect.no_responders = info.headers;
        self.connect.headers = info.headers;
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &self.connect);
        bytes.extend_from_slice(b"PING\r\n");
        self.state = State::LoggingIn(info);
        Step::Send(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(secure: Secure) -> Handshake {
        let connect = Connect { verbose: false, pedantic: false, ..Connect::default() };
        Handshake::new(connect, secure)
    }

    fn sent(step: Step) -> String {
        match step {
            Step::Send(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("nothing is sent: {other:?}"),
        }
    }

    #[test]
    fn plain() {
        let mut handshake = handshake(Secure::WhenRequired);
        let info = b"INFO {\"headers\":true,\"max_payload\":9}\r\n";
        assert_eq!(handshake.handle_input(&info[..10]), Ok((0, Step::Read)));
        let (taken, step) = handshake.handle_input(info).unwrap();
        assert_eq!(taken, info.len());
        let text = sent(step);
        assert!(text.starts_with("CONNECT {") && text.ends_with("}\r\nPING\r\n"), "{text}");
        assert!(text.contains("\"headers\":true") && text.contains("\"no_responders\":true"));
        let (taken, step) = handshake.handle_input(b"+OK\r\nPONG\r\nINFO ").unwrap();
        let Step::Done(info) = step else { panic!("{step:?}") };
        assert_eq!((taken, info.max_payload), (11, 9));
    }

    #[test]
    fn a_later_info_replaces_the_first() {
        let mut handshake = handshake(Secure::WhenRequired);
        handshake.handle_input(b"INFO {\"max_payload\":1}\r\n").unwrap();
        let (_, step) = handshake.handle_input(b"INFO {\"max_payload\":2}\r\nPONG\r\n").unwrap();
        assert!(matches!(step, Step::Done(info) if info.max_payload == 2));
    }

    #[test]
    fn tls() {
        let check = |secure, info: &str, expected: Result<Step, Failure>| {
            let line = format!("INFO {info}\r\n");
            let found = handshake(secure).handle_input(line.as_bytes()).map(|(_, step)| step);
            match expected {
                Ok(Step::Send(_)) => assert!(matches!(found, Ok(Step::Send(_))), "{info}"),
                expected => assert_eq!(found, expected, "{info}"),
            }
        };
        let login = || Ok(Step::Send(Vec::new()));
        check(Secure::WhenRequired, "{}", login());
        check(Secure::WhenRequired, r#"{"tls_available":true}"#, login());
        check(Secure::WhenRequired, r#"{"tls_required":true}"#, Ok(Step::Secure));
        check(Secure::Required, "{}", Err(Failure::TlsUnavailable));
        check(Secure::Required, r#"{"tls_available":true}"#, Ok(Step::Secure));
        check(Secure::Already, "{}", login());

        let injected = b"INFO {\"tls_required\":true}\r\nINFO {}\r\n";
        let error = handshake(Secure::WhenRequired).handle_input(injected).unwrap_err();
        assert_eq!(error, Failure::Protocol("bytes came before TLS".to_owned()));

        let mut handshake = handshake(Secure::Required);
        handshake.handle_input(b"INFO {\"tls_required\":true}\r\n").unwrap();
        assert!(sent(handshake.handle_secured()).contains("\"tls_required\":true"));
    }

    #[test]
    fn refused() {
        let check = |bytes: &[u8], expected: &str| {
            let mut handshake = handshake(Secure::WhenRequired);
            let mut buffer = b"INFO {}\r\n".to_vec();
            let (taken, _) = handshake.handle_input(&buffer).unwrap();
            buffer.extend_from_slice(bytes);
            let error = handshake.handle_input(&buffer[taken..]).unwrap_err();
            assert!(format!("{error:?}").contains(expected), "{error:?}");
        };
        check(b"-ERR 'Authorization Violation'\r\n", "AuthorizationViolation");
        check(b"MSG a 1 1\r\nx\r\n", "before a subscription");
        check(b"HTTP/1.1 400\r\n", "unknown");
        let early = handshake(Secure::WhenRequired).handle_input(b"PONG\r\n");
        assert!(matches!(early, Err(Failure::Protocol(_))));
        let json = handshake(Secure::WhenRequired).handle_input(b"INFO {\r\n");
        assert!(matches!(json, Err(Failure::Protocol(_))));
    }
}
