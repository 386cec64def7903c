//! INFO: what a server says of itself.

use serde::{Deserialize, Serialize};

/// The document of `INFO`: the fields that a client can see, in the order in which
/// nats-server writes them, and one of our own at the end.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Info {
    /// The server's public key, 56 characters that begin with `N`.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The NATS version whose behaviour is offered; clients switch features on by it.
    pub version: String,
    /// The protocol version: 1.
    pub proto: u32,
    /// The commit the server was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// The compiler that built the server.
    pub go: String,
    /// The address clients should use.
    pub host: String,
    /// The port clients should use.
    pub port: u16,
    /// Headers are supported.
    pub headers: bool,
    /// Credentials are required.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// TLS is required.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// A client certificate is required.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// TLS is possible.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// The largest message, headers and payload, in bytes.
    pub max_payload: usize,
    /// JetStream is on.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// The connection's number.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// The address the client comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// What a client with an nkey signs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Other addresses of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// Other WebSocket addresses of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// The server is about to stop.
    #[serde(skip_serializing_if = "is_false", rename = "ldm")]
    pub lame_duck_mode: bool,
    /// This INFO answers the client's first PING.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account the client is bound to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// That account is the system account.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// The JetStream API level.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
    /// Fulmar's own version; absent from other servers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fulmar: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_leaves_out_what_is_empty() {
        let info = Info {
            server_id: "NID".into(),
            server_name: "name".into(),
            version: "2.15.1".into(),
            proto: 1,
            host: "0.0.0.0".into(),
            port: 4222,
            headers: true,
            max_payload: 1_048_576,
            client_id: 5,
            ..Info::default()
        };
        assert_eq!(
            serde_json::to_string(&info).unwrap(),
            concat!(
                r#"{"server_id":"NID","server_name":"name","version":"2.15.1","proto":1,"go":"","#,
                r#""host":"0.0.0.0","port":4222,"headers":true,"max_payload":1048576,"client_id":5}"#
            )
        );
    }

    #[test]
    fn reads_what_it_does_not_know() {
        let info: Info = serde_json::from_str(r#"{"port":1,"gateway":"x","ldm":true}"#).unwrap();
        assert!(info.port == 1 && info.lame_duck_mode);
    }
}
