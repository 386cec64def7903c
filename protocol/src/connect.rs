//! CONNECT: what a client says of itself.

use serde::{Deserialize, Serialize};

/// The document of `CONNECT`.
///
/// Reading one fills absent fields with what a server assumes: verbose, pedantic and echo are
/// then true. `Connect::default()` is the same document, an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connect {
    /// The client wants `+OK` after each operation.
    pub verbose: bool,
    /// The client wants subjects of its messages checked.
    pub pedantic: bool,
    /// The client says that it needs TLS; informational.
    pub tls_required: bool,
    /// The client's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The language of the client library.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// The version of the client library.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// 1 when the client understands INFO at any time, else 0.
    pub protocol: i64,
    /// The client's own messages are delivered back to it.
    pub echo: bool,
    /// The client understands headers.
    pub headers: bool,
    /// The client wants a 503 when nobody listens to its request.
    pub no_responders: bool,
    /// A token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// A user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// That user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// A user JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// A public user nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// The signature of INFO's nonce, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// Old way to name an account; any use is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Old way to ask for an account; any use is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new_account: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            tls_required: false,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            echo: true,
            headers: false,
            no_responders: false,
            auth_token: None,
            user: None,
            pass: None,
            jwt: None,
            nkey: None,
            sig: None,
            account: None,
            new_account: false,
        }
    }
}

impl Connect {
    /// Reads the document, for a connection that sends its first one.
    ///
    /// # Errors
    ///
    /// It is no JSON object, or a field has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::default().changed_by(json)
    }

    /// This document with the fields that `json` names: what a second CONNECT means. A field
    /// that is `null` counts as not named.
    ///
    /// # Errors
    ///
    /// It is no JSON object, or a field has the wrong type.
    pub fn changed_by(self, json: &[u8]) -> Result<Self, serde_json::Error> {
        // serde would take an array too, and its elements for the fields in their order.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(serde::de::Error::custom("CONNECT is not a JSON object"));
        }
        let named: Named = serde_json::from_slice(json)?;
        Ok(Self {
            verbose: named.verbose.unwrap_or(self.verbose),
            pedantic: named.pedantic.unwrap_or(self.pedantic),
            tls_required: named.tls_required.unwrap_or(self.tls_required),
            name: named.name.unwrap_or(self.name),
            lang: named.lang.unwrap_or(self.lang),
            version: named.version.unwrap_or(self.version),
            protocol: named.protocol.unwrap_or(self.protocol),
            echo: named.echo.unwrap_or(self.echo),
            headers: named.headers.unwrap_or(self.headers),
            no_responders: named.no_responders.unwrap_or(self.no_responders),
            auth_token: named.auth_token.or(self.auth_token),
            user: named.user.or(self.user),
            pass: named.pass.or(self.pass),
            jwt: named.jwt.or(self.jwt),
            nkey: named.nkey.or(self.nkey),
            sig: named.sig.or(self.sig),
            account: named.account.or(self.account),
            new_account: named.new_account.unwrap_or(self.new_account),
        })
    }
}

/// The fields a document names.
#[derive(Deserialize)]
struct Named {
    verbose: Option<bool>,
    pedantic: Option<bool>,
    tls_required: Option<bool>,
    name: Option<String>,
    lang: Option<String>,
    version: Option<String>,
    protocol: Option<i64>,
    echo: Option<bool>,
    headers: Option<bool>,
    no_responders: Option<bool>,
    auth_token: Option<String>,
    user: Option<String>,
    pass: Option<String>,
    jwt: Option<String>,
    nkey: Option<String>,
    sig: Option<String>,
    account: Option<String>,
    new_account: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_what_a_server_assumes() {
        let connect = Connect::parse(b"{}").unwrap();
        assert_eq!(connect, Connect::default());
        assert!(connect.verbose && connect.pedantic && connect.echo);
        assert!(!connect.headers && !connect.no_responders);
    }

    #[test]
    fn unknown_fields_are_tolerated_and_wrong_types_are_not() {
        assert!(Connect::parse(br#"{"verbose":false,"future":[1,2]}"#).is_ok());
        assert!(Connect::parse(br#"{"verbose":"no"}"#).is_err());
        assert!(Connect::parse(b"[]").is_err());
        assert!(Connect::parse(b"").is_err());
    }

    #[test]
    fn a_second_document_changes_what_it_names() {
        let first = Connect::parse(br#"{"verbose":false,"echo":false,"name":"n"}"#).unwrap();
        let second = first.clone().changed_by(br#"{"echo":true,"name":null}"#).unwrap();
        assert_eq!(second, Connect { echo: true, ..first });
    }

    #[test]
    fn written_and_read_back() {
        let connect = Connect {
            name: "n".into(),
            user: Some("u".into()),
            pass: Some("p".into()),
            ..Connect::default()
        };
        let json = serde_json::to_vec(&connect).unwrap();
        assert_eq!(Connect::parse(&json).unwrap(), connect);
    }
}
