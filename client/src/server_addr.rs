//! The address of a server as a user writes it, read once.
//!
//! It knows nothing of the network: names are looked up where connections are made.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// The port of an address that names none.
const PORT_DEFAULT: u16 = 4222;

/// The address of a server: `nats://user:password@host:port`, `tls://host`, `host:port` or
/// `host`.
///
/// ```
/// use fulmar_client::ServerAddr;
///
/// let address: ServerAddr = "tls://joe:secret@example.com".parse()?;
/// assert_eq!((address.host(), address.port()), ("example.com", 4222));
/// assert!(address.tls_required());
/// assert_eq!(address.to_string(), "tls://example.com:4222");
/// # Ok::<(), fulmar_client::ServerAddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerAddr {
    tls_required: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is not the address of a server: {reason}")]
pub struct ServerAddrError {
    // Never with a password in it: errors end up in logs.
    address: String,
    reason: String,
}

impl ServerAddr {
    /// Whether its scheme is `tls`.
    pub fn tls_required(&self) -> bool {
        self.tls_required
    }

    /// The name or the IP address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user's name, or a token when there is no password.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The same place with the credentials of `other`.
    pub(crate) fn with_credentials_of(mut self, other: &Self) -> Self {
        self.username.clone_from(&other.username);
        self.password.clone_from(&other.password);
        self
    }

    /// Whether both name the same port of the same host.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl FromStr for ServerAddr {
    type Err = ServerAddrError;

    fn from_str(text: &str) -> Result<Self, ServerAddrError> {
        let text = text.trim();
        let error = |reason: String| ServerAddrError { address: without_credentials(text), reason };
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
        let url = Url::parse(&with_scheme).map_err(|reason| error(reason.to_string()))?;
        let tls_required = match url.scheme() {
            "nats" => false,
            "tls" => true,
            other => {
                let reason = format!("the scheme {other:?} is not supported, use nats or tls");
                return Err(error(reason));
            }
        };
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) if !host.to_string().is_empty() => host.to_string(),
            _ => return Err(error("it has no host".to_owned())),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(error("something follows the port".to_owned()));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Ok(Self {
            tls_required,
            host,
            port: url.port().unwrap_or(PORT_DEFAULT),
            username: Some(url.username()).filter(|name| !name.is_empty()).map(decoded),
            password: url.password().map(decoded),
        })
    }
}

fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
        }
        None => text.to_owned(),
    }
}

/// Without user and password: this is what logs show.
impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls_required { "tls" } else { "nats" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What can be used where servers are asked for: one address, several separated by commas, or a
/// list.
pub trait ToServerAddrs {
    /// The addresses; at least one.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or there is none.
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError>;
}

impl ToServerAddrs for str {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        self.split(',').map(str::parse).collect()
    }
}

impl ToServerAddrs for String {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        self.as_str().to_server_addrs()
    }
}

impl ToServerAddrs for ServerAddr {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        Ok(vec![self.clone()])
    }
}

impl<T: ToServerAddrs> ToServerAddrs for [T] {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        let lists: Result<Vec<_>, _> = self.iter().map(T::to_server_addrs).collect();
        let list = lists?.concat();
        if list.is_empty() {
            let reason = "the list is empty".to_owned();
            return Err(ServerAddrError { address: String::new(), reason });
        }
        Ok(list)
    }
}

impl<T: ToServerAddrs> ToServerAddrs for Vec<T> {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        self.as_slice().to_server_addrs()
    }
}

impl<T: ToServerAddrs, const N: usize> ToServerAddrs for [T; N] {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        self.as_slice().to_server_addrs()
    }
}

impl<T: ToServerAddrs + ?Sized> ToServerAddrs for &T {
    fn to_server_addrs(&self) -> Result<Vec<ServerAddr>, ServerAddrError> {
        (**self).to_server_addrs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let address = text.parse::<ServerAddr>().ok();
            let found = address.as_ref().map(|address| (address.host(), address.port()));
            assert_eq!(found, expected, "{text}");
        };
        check("localhost", Some(("localhost", 4222)));
        check("localhost:1234", Some(("localhost", 1234)));
        check(" nats://10.0.0.1:1/ ", Some(("10.0.0.1", 1)));
        check("nats://[::1]:7", Some(("::1", 7)));
        check("[fe80::1]:7", Some(("fe80::1", 7)));
        check("tls://a.b", Some(("a.b", 4222)));
        check("", None);
        check("nats://", None);
        check("http://a", None);
        check("nats://a:99999", None);
        check("nats://a/b", None);
    }

    #[test]
    fn credentials() {
        let address: ServerAddr = "nats://joe:p%40ss@a".parse().unwrap();
        assert_eq!((address.username(), address.password()), (Some("joe"), Some("p@ss")));
        let address: ServerAddr = "nats://token@a".parse().unwrap();
        assert_eq!((address.username(), address.password()), (Some("token"), None));
        assert!(!format!("{address} {address:?}").contains("token"));
        let error = "nats://joe:secret@a:99999".parse::<ServerAddr>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn lists() {
        let list = "a:1, tls://b".to_server_addrs().unwrap();
        assert_eq!(
            list.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["nats://a:1", "tls://b:4222"]
        );
        assert_eq!(vec!["a", "b,c"].to_server_addrs().unwrap().len(), 3);
        assert!(Vec::<String>::new().to_server_addrs().is_err());
        assert!("a,,b".to_server_addrs().is_err());
    }
}
