//! INFO: what it says and when it comes.

use std::collections::HashSet;

use fulmar_tests::{RawClient, Server};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn first_line_describes_the_server_and_the_connection() {
    let server = Server::start();
    let client = server.client();
    let info = client.info();

    assert_server_id(&info["server_id"]);
    assert_eq!(info["server_name"], info["server_id"], "the name defaults to the id");
    assert_eq!(info["version"], "2.15.1");
    assert!(info["go"].is_string());
    let expected = json!({
        "proto": 1, "host": "127.0.0.1", "port": server.port(), "headers": true,
        "max_payload": 1_048_576, "client_ip": "127.0.0.1",
    });
    assert_fields(info, &expected);
    assert!(info["client_id"].as_u64().is_some_and(|id| id > 0));
    for absent in [
        "auth_required",
        "tls_required",
        "tls_verify",
        "tls_available",
        "nonce",
        "jetstream",
        "cluster",
        "domain",
        "connect_urls",
        "ws_connect_urls",
        "ldm",
        "connect_info",
        "remote_account",
        "acc_is_sys",
    ] {
        assert_eq!(info.get(absent), None, "{absent}");
    }
}

#[test]
fn every_connection_has_an_id_of_its_own() {
    let server = Server::start();
    let clients: Vec<RawClient> = (0..50).map(|_| server.client()).collect();
    let ids: HashSet<u64> = clients.iter().map(RawClient::cid).collect();
    assert_eq!(ids.len(), clients.len());
}

#[test]
fn first_ping_of_protocol_1_is_answered_with_pong_then_info() {
    let server = Server::start();
    let mut client = server.client();
    let first = client.info().clone();
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    client.expect_line("PONG");
    let second = client.expect_info().clone();
    assert_fields(&second, &json!({"connect_info": true, "remote_account": "$G"}));
    assert_eq!(second.get("acc_is_sys"), None);
    for (name, value) in first.as_object().unwrap() {
        assert_eq!(&second[name], value, "{name} has not changed");
    }
    // Only the first.
    client.ping();
    client.ping();
}

#[test]
fn protocol_0_never_gets_a_second_info() {
    let server = Server::start();
    for connect in ["{\"verbose\":false}", "{\"verbose\":false,\"protocol\":0}"] {
        let mut client = server.client();
        client.send(format!("CONNECT {connect}\r\nPING\r\nPING\r\n"));
        client.expect_exact("PONG\r\nPONG\r\n");
        client.ping();
    }
}

#[test]
fn ping_before_connect_does_not_count_as_the_first() {
    let server = Server::start();
    let mut client = server.client();
    client.ping();
    client.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    client.expect_line("PONG");
    client.expect_info();
    client.ping();
}

#[test]
fn server_name_comes_from_the_flag_or_the_configuration() {
    for builder in [
        Server::builder().arguments(["-n", "gull"]),
        Server::builder().arguments(["--name", "gull"]),
        Server::builder().arguments(["--server_name=gull"]),
        Server::builder().configuration("server_name: gull"),
    ] {
        let server = builder.start();
        let client = server.client();
        assert_eq!(client.info()["server_name"], "gull");
        assert_server_id(&client.info()["server_id"]);
    }
}

#[test]
fn client_advertise_replaces_host_and_port() {
    let server = Server::with_configuration("client_advertise: \"broker.example:4333\"");
    assert_fields(server.client().info(), &json!({"host": "broker.example", "port": 4333}));

    let server = Server::builder().arguments(["--client_advertise", "broker.example"]).start();
    let expected = json!({"host": "broker.example", "port": server.port()});
    assert_fields(server.client().info(), &expected);
}

#[test]
fn limits_and_switches_show() {
    let server = Server::with_configuration("max_payload: 1KB\nno_header_support: true");
    assert_fields(server.client().info(), &json!({"max_payload": 1024, "headers": false}));
}

#[test]
fn credentials_show_as_auth_required() {
    for (configuration, required) in [
        ("authorization { user: ana, password: secret }", json!(true)),
        ("authorization { token: secret }", json!(true)),
        ("authorization { users: [{user: ana, password: secret}] }", json!(true)),
        // Whoever presents nothing is ana, so nothing is required.
        (
            "authorization { users: [{user: ana, password: secret}] }\nno_auth_user: ana",
            Value::Null,
        ),
    ] {
        let server = Server::with_configuration(configuration);
        let client = server.client();
        assert_eq!(client.info()["auth_required"], required, "{configuration}");
        assert_eq!(client.info().get("nonce"), None, "nothing has to be signed");
    }
}

#[test]
fn reload_of_max_payload_shows_to_new_connections_only() {
    let mut server = Server::with_configuration("max_payload: 1000");
    let mut early = server.connect();
    assert_eq!(early.info()["max_payload"], 1000);

    server.rewrite_configuration("max_payload: 2000");
    server.signal(Signal::HUP);
    server.wait_for_log("Reloaded server configuration");

    assert_eq!(server.client().info()["max_payload"], 2000);
    // The new limit holds for the connection that was open before, though nobody told it.
    let payload = "x".repeat(1500);
    early.send("SUB reload 1\r\n");
    early.publish("reload", &payload);
    early.expect_exact(format!("MSG reload 1 1500\r\n{payload}\r\n"));
    early.ping();
}

/// The public key of a server: 56 characters of base 32, `N` first.
#[track_caller]
fn assert_server_id(id: &Value) {
    let id = id.as_str().expect("the id is a string");
    let base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    assert!(id.len() == 56 && id.starts_with('N') && id.bytes().all(base32), "{id}");
}

#[track_caller]
fn assert_fields(info: &Value, expected: &Value) {
    for (name, value) in expected.as_object().expect("expectations are an object") {
        assert_eq!(&info[name], value, "{name}");
    }
}
