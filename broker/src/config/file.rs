//! The options of a configuration file: their names, the types of their values, their bounds.
//!
//! The format is `conf`'s business, defaults are `meaning`'s. No option is passed over in silence:
//! one that nobody knows is an error, and so is one that nats-server knows and this version does
//! not serve yet, unless its value asks for nothing.

use std::time::Duration;

use super::conf::{Diagnostic, Document, Entry, Map, Node, Place, Severity, Value};
use super::duration;
use super::nearest::nearest;
use super::options::{Secret, SyncPolicy, UserPassword};
use super::settings::{JetStreamSettings, Port, Settings};

/// What a file says, and what there is to say about it.
pub(super) struct Reading {
    pub settings: Settings,
    /// Errors, warnings and notices, unsorted.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all options of `document`.
pub(super) fn read(document: &Document) -> Reading {
    let mut reader = Reader { document, settings: Settings::default(), diagnostics: Vec::new() };
    if document.map.is_empty() {
        let text = "the configuration is empty";
        reader.diagnostics.push(Diagnostic::new(Severity::Warning, &document.name, text));
    }
    for (key, entry) in document.map.iter() {
        reader.option(key, entry);
    }
    Reading { settings: reader.settings, diagnostics: reader.diagnostics }
}

/// Where `option` is written, at the top or in `authorization`.
pub(super) fn place_of(document: &Document, option: &str) -> Option<Place> {
    let names: &[&str] = match option {
        "password" => &["pass", "password"],
        "token" => &["token"],
        "users" => &["users"],
        _ => OPTIONS.iter().map(|(names, _)| *names).find(|names| names.contains(&option))?,
    };
    let find = |map: &Map| {
        let mut entries = map.iter();
        let is_named = |key: &str| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        entries.find(|(key, _)| is_named(key)).map(|(_, entry)| entry.key_place)
    };
    find(&document.map).or_else(|| {
        document.map.iter().filter(|(key, _)| key.eq_ignore_ascii_case("authorization")).find_map(
            |(_, entry)| match &entry.node.value {
                Value::Map(map) => find(map),
                _ => None,
            },
        )
    })
}

/// How the value of an option is read.
enum Rule {
    Text(fn(&mut Settings) -> &mut Option<String>),
    Switch(fn(&mut Settings) -> &mut Option<bool>),
    /// In bytes or just a number, from 0 to the second value.
    Size(fn(&mut Settings) -> &mut Option<usize>, usize),
    /// The same, with a negative value read as 0.
    Unlimited(fn(&mut Settings) -> &mut Option<usize>),
    Duration(fn(&mut Settings) -> &mut Option<Duration>, Seconds),
    Port(fn(&mut Settings) -> &mut Option<Port>),
    Other(fn(&mut Reader<'_>, &str, &Node)),
    /// Part of this feature, which is not served yet; the function knows values that ask for
    /// nothing.
    NotServed(&'static str, fn(&Value) -> bool),
}

/// Whether a number counts as seconds where a duration is expected. Old files have that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seconds {
    Allowed,
    Refused,
}

/// The largest size of what nats-server keeps in 32 bits.
const INT32_MAX: usize = 2_147_483_647;
/// Any size.
const SIZE_MAX: usize = usize::MAX;

/// All options of nats-server, by their names.
const OPTIONS: &[(&[&str], Rule)] = &[
    (
        &["listen"],
        Rule::Other(|reader, _, node| {
            if let Some((host, port)) = reader.listen(node) {
                reader.settings.host = Some(host);
                reader.settings.port = Some(port);
            }
        }),
    ),
    (&["port"], Rule::Port(|s| &mut s.port)),
    (&["host", "net"], Rule::Text(|s| &mut s.host)),
    (
        &["server_name"],
        Rule::Other(|reader, option, node| {
            if let Some(name) = reader.text(option, node) {
                if name.contains(' ') {
                    reader.error(node.place, "a server name cannot contain spaces");
                } else {
                    reader.settings.server_name = Some(name);
                }
            }
        }),
    ),
    (&["client_advertise"], Rule::Text(|s| &mut s.client_advertise)),
    (&["debug"], Rule::Switch(|s| &mut s.debug)),
    (&["trace"], Rule::Switch(|s| &mut s.trace)),
    (
        &["trace_verbose"],
        Rule::Other(|reader, option, node| {
            reader.settings.trace_verbose = reader.switch(option, node);
            // It asks for a trace too; `false` takes away none.
            if reader.settings.trace_verbose == Some(true) {
                reader.settings.trace = Some(true);
            }
        }),
    ),
    (
        &["trace_headers"],
        Rule::Other(|reader, option, node| {
            reader.settings.trace_headers = reader.switch(option, node);
            // It asks for a trace too; `false` takes away none.
            if reader.settings.trace_headers == Some(true) {
                reader.settings.trace = Some(true);
            }
        }),
    ),
    (&["logtime"], Rule::Switch(|s| &mut s.log_time)),
    (&["logtime_utc"], Rule::Switch(|s| &mut s.log_utc)),
    (&["log_file", "logfile"], Rule::Text(|s| &mut s.log_file)),
    (
        &["log_size_limit", "logfile_size_limit"],
        Rule::Other(|reader, option, node| {
            if let Some(bytes) = reader.integer(option, node) {
                reader.settings.log_size_bytes_max = Some(u64::try_from(bytes).unwrap_or(0));
            }
        }),
    ),
    (&["log_max_num", "logfile_max_num"], Rule::Unlimited(|s| &mut s.log_files_max)),
    (&["syslog"], Rule::Switch(|s| &mut s.syslog)),
    (&["remote_syslog"], Rule::Text(|s| &mut s.remote_syslog)),
    (&["pid_file", "pidfile"], Rule::Text(|s| &mut s.pid_file)),
    (&["ports_file_dir"], Rule::Text(|s| &mut s.ports_file_dir)),
    (&["max_traced_msg_len"], Rule::Unlimited(|s| &mut s.traced_message_bytes_max)),
    (
        &["http"],
        Rule::Other(|reader, _, node| {
            if let Some((host, port)) = reader.listen(node) {
                reader.settings.http_host = Some(host);
                reader.settings.http_port = Some(port);
            }
        }),
    ),
    (&["http_port", "monitor_port"], Rule::Port(|s| &mut s.http_port)),
    (&["http_base_path"], Rule::Text(|s| &mut s.http_base_path)),
    // There is no value for "unlimited": nats-server refuses everyone at 0 and below.
    (&["max_connections", "max_conn"], Rule::Unlimited(|s| &mut s.connections_max)),
    (&["max_control_line"], Rule::Size(|s| &mut s.control_line_bytes_max, INT32_MAX)),
    (&["max_payload"], Rule::Size(|s| &mut s.payload_bytes_max, INT32_MAX)),
    (&["max_pending"], Rule::Size(|s| &mut s.pending_bytes_max, SIZE_MAX)),
    (&["max_subscriptions", "max_subs"], Rule::Unlimited(|s| &mut s.subscriptions_max)),
    (
        &["max_sub_tokens", "max_subscription_tokens"],
        Rule::Other(|reader, option, node| {
            const TOKENS_MAX: usize = 255;
            if let Some(tokens) = reader.integer(option, node) {
                match usize::try_from(tokens) {
                    Ok(tokens @ 1..=TOKENS_MAX) => {
                        reader.settings.subscription_tokens_max = Some(tokens);
                    }
                    _ => reader.error(node.place, format!("`{option}` must be 1 to {TOKENS_MAX}")),
                }
            }
        }),
    ),
    (&["ping_interval"], Rule::Duration(|s| &mut s.ping_interval, Seconds::Allowed)),
    (
        &["ping_max"],
        Rule::Other(|reader, option, node| {
            if let Some(pings) = reader.size(option, node, INT32_MAX) {
                reader.settings.ping_max = u32::try_from(pings).ok();
            }
        }),
    ),
    (&["write_deadline"], Rule::Duration(|s| &mut s.write_deadline, Seconds::Allowed)),
    (
        &["lame_duck_duration"],
        Rule::Other(|reader, option, node| {
            const SHORTEST: Duration = Duration::from_secs(30);
            match reader.duration(option, node, Seconds::Refused) {
                Some(duration) if duration < SHORTEST => {
                    reader.error(node.place, format!("`{option}` must be 30 seconds or longer"));
                }
                duration => reader.settings.lame_duck_duration = duration,
            }
        }),
    ),
    (
        &["lame_duck_grace_period"],
        Rule::Duration(|s| &mut s.lame_duck_grace_period, Seconds::Refused),
    ),
    (&["max_closed_clients"], Rule::Size(|s| &mut s.max_closed_clients, INT32_MAX)),
    (&["no_header_support"], Rule::Switch(|s| &mut s.no_header_support)),
    (&["no_fast_producer_stall"], Rule::Switch(|s| &mut s.no_fast_producer_stall)),
    (
        &["server_tags"],
        Rule::Other(|reader, option, node| {
            let tags = reader.texts(option, node);
            // As in nats-server: lower case, no spaces around, each once.
            let mut kept: Vec<String> = Vec::new();
            for tag in tags.iter().map(|tag| tag.trim().to_lowercase()) {
                if !tag.is_empty() && !kept.contains(&tag) {
                    kept.push(tag);
                }
            }
            reader.settings.server_tags = Some(kept);
        }),
    ),
    (
        &["server_metadata"],
        Rule::Other(|reader, option, node| {
            let Some(map) = reader.map(option, node) else { return };
            let metadata = map
                .iter()
                .filter_map(|(key, entry)| Some((key.to_owned(), reader.text(key, &entry.node)?)))
                .collect();
            reader.settings.server_metadata = Some(metadata);
        }),
    ),
    (
        &["authorization"],
        Rule::Other(|reader, option, node| {
            if let Some(map) = reader.map(option, node) {
                reader.authorization(map);
            }
        }),
    ),
    (&["no_auth_user"], Rule::Text(|s| &mut s.no_auth_user)),
    (
        &["write_timeout"],
        Rule::Other(|reader, option, node| {
            // Both mean the same for clients.
            match reader.text(option, node).as_deref() {
                None | Some("default" | "close") => {}
                Some("retry") => reader.not_served(node.place, "`write_timeout: retry`"),
                Some(_) => {
                    reader.error(node.place, "`write_timeout` must be default, close or retry")
                }
            }
        }),
    ),
    // Nothing here depends on these: no server is connected to, and there is no system account.
    (
        &["connect_error_reports"],
        Rule::Other(|reader, option, node| {
            reader.integer(option, node);
        }),
    ),
    (
        &["reconnect_error_reports"],
        Rule::Other(|reader, option, node| {
            reader.integer(option, node);
        }),
    ),
    (
        &["no_system_account", "no_system", "no_sys_acc"],
        Rule::Other(|reader, option, node| {
            reader.switch(option, node);
        }),
    ),
    (
        &["disable_sublist_cache", "no_sublist_cache"],
        Rule::Other(|reader, option, node| {
            if reader.switch(option, node) == Some(true) {
                reader.say(node.place, Severity::Notice, format!("`{option}` has no effect here"));
            }
        }),
    ),
    (&["jetstream"], Rule::Other(|reader, option, node| reader.jetstream(option, node))),
    (
        &["store_dir", "storedir"],
        Rule::Other(|reader, option, node| reader.store_dir(option, node)),
    ),
    (&["default_js_domain"], Rule::NotServed("accounts", is_empty_map)),
    (&["feature_flags"], Rule::NotServed("feature flags", is_all_false)),
    (&["tls"], Rule::NotServed("TLS", never)),
    (&["allow_non_tls"], Rule::NotServed("TLS", is_false)),
    (&["ocsp"], Rule::NotServed("TLS", is_false)),
    (&["ocsp_cache"], Rule::NotServed("TLS", is_false)),
    (&["https"], Rule::NotServed("monitoring over HTTPS", never)),
    (&["https_port"], Rule::NotServed("monitoring over HTTPS", is_zero)),
    (&["prof_port"], Rule::NotServed("profiling", is_zero)),
    (&["prof_block_rate"], Rule::NotServed("profiling", is_zero)),
    (&["proxy_protocol"], Rule::NotServed("the PROXY protocol", is_false)),
    (&["proxies"], Rule::NotServed("trusted proxies", never)),
    (&["accounts"], Rule::NotServed("accounts", never)),
    (&["system_account", "system"], Rule::NotServed("accounts", is_empty_text)),
    (&["mappings", "maps"], Rule::NotServed("subject mapping", is_empty_map)),
    (
        &["operator", "operators", "root", "roots", "root_operator", "root_operators"],
        Rule::NotServed("operator mode", never),
    ),
    (&["trusted", "trusted_keys"], Rule::NotServed("operator mode", never)),
    (
        &["resolver", "account_resolver", "accounts_resolver"],
        Rule::NotServed("operator mode", never),
    ),
    (&["resolver_preload"], Rule::NotServed("operator mode", is_empty_map)),
    (&["resolver_tls"], Rule::NotServed("operator mode", never)),
    (&["resolver_pinned_accounts"], Rule::NotServed("operator mode", never)),
    (&["default_sentinel"], Rule::NotServed("operator mode", is_empty_text)),
    (&["cluster"], Rule::NotServed("clustering", never)),
    (&["gateway"], Rule::NotServed("clustering", never)),
    (&["leafnodes", "leaf"], Rule::NotServed("leaf nodes", never)),
    (&["websocket", "ws"], Rule::NotServed("WebSocket", never)),
    (&["mqtt"], Rule::NotServed("MQTT", never)),
];

/// All options of a `jetstream` block.
const JETSTREAM_OPTIONS: &[&str] = &[
    "enabled",
    "enable",
    "store_dir",
    "store",
    "storedir",
    "max_memory_store",
    "max_mem_store",
    "max_mem",
    "max_file_store",
    "max_file",
    "sync_interval",
    "sync",
    "domain",
    "strict",
    "limits",
    "max_buffered_msgs",
    "max_buffered_size",
    "request_queue_limit",
    "info_queue_limit",
    "cipher",
    "encryption_key",
    "key",
    "ek",
    "prev_encryption_key",
    "prev_key",
    "prev_ek",
    "tpm",
    "unique_tag",
    "extension_hint",
    "max_outstanding_catchup",
    "meta_compact",
    "meta_compact_size",
    "meta_compact_sync",
    "max_concurrent_io",
];

fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false))
}

fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Integer(0))
}

fn is_empty_text(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

fn is_empty_map(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.is_empty())
}

fn is_all_false(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.iter().all(|(_, entry)| is_false(&entry.node.value)))
}

struct Reader<'a> {
    document: &'a Document,
    settings: Settings,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn option(&mut self, key: &str, entry: &Entry) {
        let option = key.to_lowercase();
        let rule = OPTIONS.iter().find(|(names, _)| names.contains(&option.as_str()));
        let Some((_, rule)) = rule else {
            let known = OPTIONS.iter().flat_map(|(names, _)| names.iter().copied());
            return self.unknown(key, entry, known);
        };
        let node = &entry.node;
        match rule {
            Rule::Text(field) => {
                if let Some(text) = self.text(&option, node) {
                    *field(&mut self.settings) = Some(text);
                }
            }
            Rule::Switch(field) => {
                if let Some(value) = self.switch(&option, node) {
                    *field(&mut self.settings) = Some(value);
                }
            }
            Rule::Size(field, size_max) => {
                if let Some(size) = self.size(&option, node, *size_max) {
                    *field(&mut self.settings) = Some(size);
                }
            }
            Rule::Unlimited(field) => {
                if let Some(number) = self.integer(&option, node) {
                    *field(&mut self.settings) = Some(usize::try_from(number).unwrap_or(0));
                }
            }
            Rule::Duration(field, seconds) => {
                if let Some(duration) = self.duration(&option, node, *seconds) {
                    *field(&mut self.settings) = Some(duration);
                }
            }
            Rule::Port(field) => {
                if let Some(port) = self.port(&option, node) {
                    *field(&mut self.settings) = Some(port);
                }
            }
            Rule::Other(read) => read(self, &option, node),
            Rule::NotServed(feature, is_off) => {
                if !is_off(&node.value) {
                    self.not_served(entry.key_place, &format!("`{key}` ({feature})"));
                }
            }
        }
    }

    fn store_dir(&mut self, option: &str, node: &Node) {
        let Some(directory) = self.text(option, node) else { return };
        if self.settings.store_dir.as_ref().is_some_and(|known| !known.is_empty()) {
            self.error(
                node.place,
                "`store_dir` is written twice, here and in `jetstream` or above",
            );
        }
        self.settings.store_dir = Some(directory);
    }

    /// `true`, `enabled` or a map.
    fn jetstream(&mut self, option: &str, node: &Node) {
        let switch = |text: &str| match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => Some(true),
            "disabled" | "disable" => Some(false),
            _ => None,
        };
        match &node.value {
            Value::Bool(on) => self.settings.jetstream = Some(*on),
            Value::Text(text) => match switch(text) {
                Some(on) => self.settings.jetstream = Some(on),
                None => self.error(
                    node.place,
                    format!(
                        "`{option}` must be enabled, disabled, true, false or a map, not {text:?}"
                    ),
                ),
            },
            Value::Map(map) => self.jetstream_block(map),
            _ => self.mismatch(option, node, "enabled, disabled, true, false or a map"),
        }
    }

    fn jetstream_block(&mut self, map: &Map) {
        let mut block = JetStreamSettings::default();
        let mut on = true;
        for (key, entry) in map.iter() {
            let (option, node) = (key.to_lowercase(), &entry.node);
            match option.as_str() {
                "enabled" | "enable" => on = self.switch(&option, node).unwrap_or(on),
                "store_dir" | "store" | "storedir" => self.store_dir(&option, node),
                "max_memory_store" | "max_mem_store" | "max_mem" => {
                    block.memory_bytes_max = self.storage_size(&option, node);
                }
                "max_file_store" | "max_file" => {
                    block.file_bytes_max = self.storage_size(&option, node);
                }
                "sync_interval" | "sync" => block.sync = self.sync_policy(&option, node),
                "domain" => block.domain = self.domain(&option, node),
                "strict" => block.strict = self.switch(&option, node),
                "limits" => {
                    if let Some(map) = self.map(&option, node) {
                        self.jetstream_limits(map, &mut block);
                    }
                }
                "max_buffered_msgs" => {
                    block.buffered_messages_max = self.size(&option, node, SIZE_MAX);
                }
                "max_buffered_size" => {
                    block.buffered_bytes_max = self.storage_size(&option, node);
                }
                "request_queue_limit" => {
                    block.request_queue_max = self.size(&option, node, SIZE_MAX);
                }
                "info_queue_limit" => {
                    block.info_queue_max = self.size(&option, node, SIZE_MAX);
                }
                "cipher" => self.cipher(&option, node),
                "encryption_key"
                | "key"
                | "ek"
                | "prev_encryption_key"
                | "prev_key"
                | "prev_ek" => {
                    if !is_empty_text(&node.value) {
                        self.not_served(entry.key_place, &format!("`{key}` (encryption)"));
                    }
                }
                "tpm" => self.not_served(entry.key_place, &format!("`{key}` (encryption)")),
                "unique_tag"
                | "extension_hint"
                | "max_outstanding_catchup"
                | "meta_compact"
                | "meta_compact_size"
                | "meta_compact_sync"
                | "max_concurrent_io" => {
                    let text = format!("`{key}` has no effect here");
                    self.say(entry.key_place, Severity::Notice, text);
                }
                _ => self.unknown(key, entry, JETSTREAM_OPTIONS.iter().copied()),
            }
        }
        self.settings.jetstream = Some(on);
        self.settings.jetstream_block = Some(block);
    }

    fn jetstream_limits(&mut self, map: &Map, block: &mut JetStreamSettings) {
        const KNOWN: [&str; 5] =
            ["max_ack_pending", "max_ha_assets", "max_request_batch", "duplicate_window", "batch"];
        for (key, entry) in map.iter() {
            let (option, node) = (key.to_lowercase(), &entry.node);
            match option.as_str() {
                "max_ack_pending" => block.ack_pending_max = self.count(&option, node),
                "max_request_batch" => block.request_batch_max = self.count(&option, node),
                "duplicate_window" => {
                    block.duplicate_window_max = self.duration(&option, node, Seconds::Refused);
                }
                "batch" => {
                    if let Some(map) = self.map(&option, node) {
                        self.jetstream_batch(map, block);
                    }
                }
                "max_ha_assets" => {
                    let text = format!("`{key}` has no effect here");
                    self.say(entry.key_place, Severity::Notice, text);
                }
                _ => self.unknown(key, entry, KNOWN),
            }
        }
    }

    fn jetstream_batch(&mut self, map: &Map, block: &mut JetStreamSettings) {
        const KNOWN: [&str; 4] =
            ["max_inflight_per_stream", "max_inflight_total", "max_msgs", "timeout"];
        for (key, entry) in map.iter() {
            let (option, node) = (key.to_lowercase(), &entry.node);
            match option.as_str() {
                "max_inflight_per_stream" => {
                    block.batches_per_stream_max = self.count(&option, node);
                }
                "max_inflight_total" => block.batches_max = self.count(&option, node),
                "max_msgs" => block.batch_messages_max = self.count(&option, node),
                "timeout" => block.batch_timeout = self.duration(&option, node, Seconds::Refused),
                _ => self.unknown(key, entry, KNOWN),
            }
        }
    }

    /// A number of which a negative one says nothing.
    fn count(&mut self, option: &str, node: &Node) -> Option<usize> {
        usize::try_from(self.integer(option, node)?).ok()
    }

    /// Bytes, as a number or a text such as `10G`; a negative number says nothing.
    fn storage_size(&mut self, option: &str, node: &Node) -> Option<u64> {
        match &node.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::Text(text) => {
                let bytes = storage_bytes(text).ok_or_else(|| {
                    format!(
                        "`{option}` must be a number of bytes or a text that ends in K, M, G or T, such as \"10G\", not {text:?}"
                    )
                });
                u64::try_from(self.checked(node, bytes)?).ok()
            }
            _ => {
                self.mismatch(option, node, "a number of bytes or a text such as \"10G\"");
                None
            }
        }
    }

    fn sync_policy(&mut self, option: &str, node: &Node) -> Option<SyncPolicy> {
        if matches!(&node.value, Value::Text(text) if text.eq_ignore_ascii_case("always")) {
            return Some(SyncPolicy::Always);
        }
        self.duration(option, node, Seconds::Allowed).map(SyncPolicy::Interval)
    }

    fn domain(&mut self, option: &str, node: &Node) -> Option<String> {
        let domain = self.text(option, node)?;
        let is_refused =
            |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}' | '.' | '*' | '>');
        if domain.contains(is_refused) {
            self.error(node.place, "a domain cannot contain blanks, '.', '*' or '>'");
            return None;
        }
        Some(domain)
    }

    /// Says nothing without a key, but must still be one.
    fn cipher(&mut self, option: &str, node: &Node) {
        let Some(cipher) = self.text(option, node) else { return };
        if !["chacha", "chachapoly", "aes"].contains(&cipher.to_lowercase().as_str()) {
            self.error(node.place, format!("`{option}` must be chacha or aes, not {cipher:?}"));
        }
    }

    fn authorization(&mut self, map: &Map) {
        const KNOWN: [&str; 14] = [
            "user",
            "username",
            "pass",
            "password",
            "token",
            "timeout",
            "users",
            "permissions",
            "default_permission",
            "default_permissions",
            "auth_callout",
            "auth_hook",
            "proxy_required",
            "no_auth_user",
        ];
        for (key, entry) in map.iter() {
            let (option, node) = (key.to_lowercase(), &entry.node);
            match option.as_str() {
                "user" | "username" => {
                    self.settings.user = self.text(&option, node);
                }
                "pass" | "password" => {
                    self.settings.password = self.text(&option, node).map(Secret::new);
                }
                "token" => self.settings.token = self.text(&option, node).map(Secret::new),
                "timeout" => {
                    self.settings.authentication_timeout =
                        self.authorization_timeout(&option, node);
                }
                "users" => self.settings.users = self.users(&option, node),
                "proxy_required" if is_false(&node.value) => {}
                "permissions" | "default_permission" | "default_permissions" => {
                    self.not_served(entry.key_place, &format!("`{key}` (permissions)"));
                }
                "auth_callout" | "auth_hook" | "proxy_required" => {
                    self.not_served(entry.key_place, &format!("`{key}`"));
                }
                "no_auth_user" => {
                    self.error(
                        entry.key_place,
                        "`no_auth_user` belongs outside of `authorization`",
                    );
                }
                _ => self.unknown(key, entry, KNOWN),
            }
        }
    }

    fn authorization_timeout(&mut self, option: &str, node: &Node) -> Option<Duration> {
        const SENSIBLE_MAX: Duration = Duration::from_secs(60);
        let timeout = match &node.value {
            Value::Float(seconds) => match Duration::try_from_secs_f64(*seconds) {
                Ok(timeout) => timeout,
                Err(_) => {
                    self.error(node.place, format!("`{option}` must be 0 seconds or more"));
                    return None;
                }
            },
            Value::Integer(seconds) => self.seconds(option, node, *seconds)?,
            _ => self.duration(option, node, Seconds::Refused)?,
        };
        if timeout > SENSIBLE_MAX {
            let text = format!(
                "`{option}` is {} seconds; keep it under a minute, and put a duration in quotes (2m without is 2,000,000)",
                timeout.as_secs()
            );
            self.say(node.place, Severity::Warning, text);
        }
        Some(timeout)
    }

    fn users(&mut self, option: &str, node: &Node) -> Option<Vec<UserPassword>> {
        let nodes = self.array(option, node)?;
        if nodes.is_empty() {
            let text = "`users` is empty, so everybody may connect";
            self.say(node.place, Severity::Notice, text);
        }
        let mut users: Vec<UserPassword> = Vec::new();
        for node in nodes {
            let Some(map) = self.map("users", node) else { continue };
            let Some(user) = self.user(node, map) else { continue };
            if users.iter().any(|known| known.user == user.user) {
                self.error(node.place, format!("user {:?} is listed twice", user.user));
            }
            users.push(user);
        }
        Some(users)
    }

    fn user(&mut self, node: &Node, map: &Map) -> Option<UserPassword> {
        const KNOWN: [&str; 12] = [
            "user",
            "username",
            "pass",
            "password",
            "nkey",
            "permission",
            "permissions",
            "authorization",
            "allowed_connection_types",
            "connection_types",
            "clients",
            "proxy_required",
        ];
        let (mut user, mut password) = (None, None);
        let mut is_complete = true;
        for (key, entry) in map.iter() {
            let (option, node) = (key.to_lowercase(), &entry.node);
            match option.as_str() {
                "user" | "username" => {
                    user = self.text(&option, node);
                    is_complete &= user.is_some();
                }
                "pass" | "password" => {
                    password = self.text(&option, node);
                    is_complete &= password.is_some();
                }
                "proxy_required" if is_false(&node.value) => {}
                "nkey" => {
                    self.not_served(entry.key_place, &format!("`{key}`"));
                    is_complete = false;
                }
                "permission" | "permissions" | "authorization" => {
                    self.not_served(entry.key_place, &format!("`{key}` (permissions)"));
                }
                "allowed_connection_types" | "connection_types" | "clients" | "proxy_required" => {
                    self.not_served(entry.key_place, &format!("`{key}`"));
                }
                _ => self.unknown(key, entry, KNOWN),
            }
        }
        match user {
            Some(user) if !user.is_empty() => {
                let password = Secret::new(password.unwrap_or_default());
                Some(UserPassword { user, password })
            }
            _ => {
                // A key at fault has been reported.
                if is_complete {
                    self.error(node.place, "each of the users needs a `user`");
                }
                None
            }
        }
    }

    fn unknown(&mut self, key: &str, entry: &Entry, known: impl IntoIterator<Item = &'static str>) {
        if entry.is_variable {
            return;
        }
        let hint = if let Some((word, _)) = key.split_once('{') {
            format!("; put a space between {word:?} and the brace")
        } else {
            match nearest(key, known) {
                Some(name) => format!(", did you mean {name:?}?"),
                None => String::new(),
            }
        };
        self.error(entry.key_place, format!("unknown field {key:?}{hint}"));
    }

    fn not_served(&mut self, place: Place, what: &str) {
        self.error(place, format!("{what} is not served yet by this version"));
    }

    fn error(&mut self, place: Place, text: impl Into<String>) {
        self.say(place, Severity::Error, text);
    }

    fn say(&mut self, place: Place, severity: Severity, text: impl Into<String>) {
        self.diagnostics.push(self.document.diagnostic(place, severity, text));
    }

    /// Reports that `node` is not what `option` must be.
    fn mismatch(&mut self, option: &str, node: &Node, expected: &str) {
        let hint = match &node.value {
            // The variable has been reported.
            Value::Missing => return,
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_)
                if expected == TEXT =>
            {
                "; put it in quotes"
            }
            Value::Text(text)
                if (expected == INTEGER && text.parse::<i64>().is_ok())
                    || (expected == SWITCH && is_switch(text)) =>
            {
                "; take away the quotes"
            }
            _ => "",
        };
        let kind = node.value.kind();
        self.error(node.place, format!("`{option}` must be {expected}, not {kind}{hint}"));
    }

    fn text(&mut self, option: &str, node: &Node) -> Option<String> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        self.mismatch(option, node, TEXT);
        None
    }

    fn switch(&mut self, option: &str, node: &Node) -> Option<bool> {
        if let Value::Bool(value) = &node.value {
            return Some(*value);
        }
        self.mismatch(option, node, SWITCH);
        None
    }

    fn integer(&mut self, option: &str, node: &Node) -> Option<i64> {
        if let Value::Integer(number) = &node.value {
            return Some(*number);
        }
        self.mismatch(option, node, INTEGER);
        None
    }

    fn size(&mut self, option: &str, node: &Node, size_max: usize) -> Option<usize> {
        let number = self.integer(option, node)?;
        let size = usize::try_from(number).ok().filter(|size| *size <= size_max);
        if size.is_none() {
            let range = match size_max {
                SIZE_MAX => "0 or more".to_owned(),
                _ => format!("0 to {size_max}"),
            };
            self.error(node.place, format!("`{option}` must be {range}"));
        }
        size
    }

    fn port(&mut self, option: &str, node: &Node) -> Option<Port> {
        let number = self.integer(option, node)?;
        self.checked(node, Port::try_from(number))
    }

    fn duration(&mut self, option: &str, node: &Node, seconds: Seconds) -> Option<Duration> {
        match &node.value {
            Value::Text(text) => self.checked(node, duration::parse(text)),
            Value::Integer(number) if seconds == Seconds::Allowed => {
                let duration = self.seconds(option, node, *number)?;
                let text = format!(
                    "`{option}` is {number} seconds; write it as a duration in quotes, such as \"2m\""
                );
                self.say(node.place, Severity::Warning, text);
                Some(duration)
            }
            _ => {
                self.mismatch(option, node, "a duration in quotes, such as \"2m\"");
                None
            }
        }
    }

    fn seconds(&mut self, option: &str, node: &Node, number: i64) -> Option<Duration> {
        /// As many as fit Go's durations.
        const SECONDS_MAX: u64 = i64::MAX as u64 / 1_000_000_000;
        let seconds = u64::try_from(number).ok().filter(|seconds| *seconds <= SECONDS_MAX);
        if seconds.is_none() {
            self.error(node.place, format!("`{option}` must be 0 to {SECONDS_MAX} seconds"));
        }
        seconds.map(Duration::from_secs)
    }

    /// `host:port`, `:port`, `[host]:port` or a port.
    fn listen(&mut self, node: &Node) -> Option<(String, Port)> {
        match &node.value {
            Value::Integer(number) => {
                let port = self.checked(node, Port::try_from(*number))?;
                Some((String::new(), port))
            }
            Value::Text(text) => self.checked(node, host_and_port(text)),
            _ => {
                self.mismatch("listen", node, "host:port or a port");
                None
            }
        }
    }

    fn texts(&mut self, option: &str, node: &Node) -> Vec<String> {
        match &node.value {
            Value::Text(text) => vec![text.clone()],
            Value::Array(nodes) => {
                nodes.iter().filter_map(|node| self.text(option, node)).collect()
            }
            _ => {
                self.mismatch(option, node, "a text or an array of texts");
                Vec::new()
            }
        }
    }

    fn array<'n>(&mut self, option: &str, node: &'n Node) -> Option<&'n [Node]> {
        if let Value::Array(nodes) = &node.value {
            return Some(nodes);
        }
        self.mismatch(option, node, "an array");
        None
    }

    fn map<'n>(&mut self, option: &str, node: &'n Node) -> Option<&'n Map> {
        if let Value::Map(map) = &node.value {
            return Some(map);
        }
        self.mismatch(option, node, "a map");
        None
    }

    fn checked<T>(&mut self, node: &Node, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.error(node.place, text)).ok()
    }
}

const TEXT: &str = "a text";
const SWITCH: &str = "true or false";
const INTEGER: &str = "a whole number";

fn is_switch(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "false" | "no" | "off")
}

/// `10K`, `10M`, `10G`, `10T`; nothing at all is 0.
fn storage_bytes(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let unit: i64 = match text.chars().last()? {
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        _ => return None,
    };
    text[..text.len() - 1].parse::<i64>().ok()?.checked_mul(unit)
}

/// Go's `net.SplitHostPort`, and the number of the port.
fn host_and_port(text: &str) -> Result<(String, Port), String> {
    let wrong = || format!("{text:?} is not host:port, such as \"0.0.0.0:4222\" or \"[::1]:4222\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    if host.contains(['[', ']']) {
        return Err(wrong());
    }
    let number = port.parse::<i64>().map_err(|_| wrong())?;
    Ok((host.to_owned(), Port::try_from(number)?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::conf::Memory;
    use super::super::options::{Authentication, JetStreamOptions, Monitoring, Options};
    use super::super::{Flags, Loaded, load};
    use super::*;

    fn load_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let flags = Flags { config: Some("x.conf".into()), ..Flags::default() };
        load(&flags, &Memory::file("x.conf", text))
    }

    fn show(diagnostics: &[Diagnostic]) -> String {
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// `text` must mean what `expect` makes of the default options, without a word about it.
    #[track_caller]
    fn check(text: &str, expect: impl Fn(&mut Options)) {
        check_remarks(text, "", expect);
    }

    /// The same, with one remark that contains `part`.
    #[track_caller]
    fn check_remarks(text: &str, part: &str, expect: impl Fn(&mut Options)) {
        let loaded = load_text(text).unwrap_or_else(|diagnostics| panic!("{}", show(&diagnostics)));
        let mut expected = Options::default();
        expect(&mut expected);
        expected.config_file.clone_from(&loaded.options.config_file);
        assert_eq!(loaded.options, expected, "{text}");
        let remarks = show(&loaded.remarks);
        assert_eq!(remarks.is_empty(), part.is_empty(), "{remarks}");
        assert!(remarks.contains(part), "{remarks}");
    }

    /// `place` is the line and column of the first message, `part` is in it.
    #[track_caller]
    fn check_error(text: &str, place: &str, part: &str) {
        let diagnostics = load_text(text).map(|loaded| loaded.options).expect_err(text);
        assert_eq!(diagnostics[0].location, format!("x.conf:{place}"), "{}", show(&diagnostics));
        assert!(diagnostics[0].text.contains(part), "{}", show(&diagnostics));
    }

    fn users(pairs: &[(&str, &str)]) -> Vec<UserPassword> {
        let user = |(user, password): &(&str, &str)| UserPassword {
            user: (*user).to_owned(),
            password: Secret::new(*password),
        };
        pairs.iter().map(user).collect()
    }

    #[test]
    fn where_to_listen() {
        check("port: 7", |o| o.port = 7);
        check("PORT: 7", |o| o.port = 7);
        check("port: -1", |o| o.port = 0);
        check("port: 0", |_| ());
        check("host: h", |o| o.host = "h".into());
        check("net: h", |o| o.host = "h".into());
        check("host: \"\"", |_| ());
        check("listen: 7", |o| o.port = 7);
        check("listen: h:7", |o| (o.host, o.port) = ("h".into(), 7));
        check("listen: 127.0.0.1:-1", |o| (o.host, o.port) = ("127.0.0.1".into(), 0));
        check("listen: \":7\"", |o| o.port = 7);
        check("listen: \"[::1]:7\"", |o| (o.host, o.port) = ("::1".into(), 7));
        check("server_name: s", |o| o.server_name = Some("s".into()));
        check("client_advertise: \"h:1\"", |o| o.client_advertise = Some("h:1".into()));
        check_error("port: 65536", "1:7", "65536 is not a port");
        check_error("port: -2", "1:7", "-2 is not a port");
        check_error("server_name: \"a b\"", "1:14", "spaces");
        for text in ["4222", "a:b", "::1:4222", "[::1:7", "a]:7", "", "a:", "a:65536"] {
            check_error(
                &format!("listen: \"{text}\""),
                "1:9",
                if text == "a:65536" { "not a port" } else { "not host:port" },
            );
        }
        check_error("listen: 1.5", "1:9", "must be host:port or a port");
    }

    #[test]
    fn logs() {
        check("debug: true", |o| o.log.debug = true);
        check("trace: on", |o| o.log.trace = true);
        check("trace_verbose: yes", |o| (o.log.trace, o.log.trace_verbose) = (true, true));
        check("trace_headers: true", |o| (o.log.trace, o.log.trace_headers) = (true, true));
        check("trace: true, trace_verbose: false", |o| o.log.trace = true);
        check("trace: true, trace_headers: false", |o| o.log.trace = true);
        check("logtime: false", |o| o.log.time = false);
        check("logtime_utc: true", |o| o.log.utc = true);
        for name in ["log_file", "logfile", "LogFile"] {
            check(&format!("{name}: f"), |o| o.log.file = Some("f".into()));
        }
        for name in ["log_size_limit", "logfile_size_limit"] {
            check(&format!("{name}: 1kb"), |o| o.log.size_bytes_max = Some(1024));
            check(&format!("{name}: -1"), |_| ());
        }
        for name in ["log_max_num", "logfile_max_num"] {
            check(&format!("{name}: 3"), |o| o.log.files_max = Some(3));
            check(&format!("{name}: 0"), |_| ());
        }
        check("syslog: true", |o| o.log.syslog = true);
        check("remote_syslog: \"udp://h:1\"", |o| o.log.remote_syslog = Some("udp://h:1".into()));
        check("max_traced_msg_len: 10", |o| o.log.traced_message_bytes_max = Some(10));
        check("max_traced_msg_len: -1", |_| ());
    }

    #[test]
    fn files() {
        for name in ["pid_file", "pidfile"] {
            check(&format!("{name}: f"), |o| o.pid_file = Some("f".into()));
        }
        check("ports_file_dir: d", |o| o.ports_file_dir = Some("d".into()));
    }

    #[test]
    fn monitoring() {
        let at = |host: Option<&str>, port, base_path: &str| {
            Some(Monitoring { host: host.map(Into::into), port, base_path: base_path.into() })
        };
        check("http_port: 8222", |o| o.monitoring = at(None, 8222, "/"));
        check("monitor_port: -1", |o| o.monitoring = at(None, 0, "/"));
        check("http_port: 0", |_| ());
        check("http: 8222", |o| o.monitoring = at(None, 8222, "/"));
        check("http: h:8222", |o| o.monitoring = at(Some("h"), 8222, "/"));
        check("http: 1, http_base_path: nats", |o| o.monitoring = at(None, 1, "/nats"));
        check("http_base_path: nats", |_| ());
    }

    #[test]
    fn limits() {
        for name in ["max_connections", "max_conn"] {
            check(&format!("{name}: 10"), |o| o.limits.connections_max = 10);
            check(&format!("{name}: 0"), |o| o.limits.connections_max = 0);
            check(&format!("{name}: -1"), |o| o.limits.connections_max = 0);
        }
        for name in ["max_subscriptions", "max_subs"] {
            check(&format!("{name}: 10"), |o| o.limits.subscriptions_max = Some(10));
            check(&format!("{name}: -1"), |_| ());
        }
        for name in ["max_sub_tokens", "max_subscription_tokens"] {
            check(&format!("{name}: 16"), |o| o.limits.subscription_tokens_max = Some(16));
        }
        check("max_control_line: 4k", |o| o.limits.control_line_bytes_max = 4000);
        check("max_payload: 8MB", |o| o.limits.payload_bytes_max = 8 << 20);
        check("max_payload: 0", |_| ());
        check("max_pending: 10GB", |o| o.limits.pending_bytes_max = 10 << 30);
        check("max_closed_clients: 5", |o| o.max_closed_clients = 5);
        check("no_header_support: true", |o| o.no_header_support = true);
        check("no_fast_producer_stall: true", |o| o.no_fast_producer_stall = true);
        check_error("max_sub_tokens: 0", "1:17", "must be 1 to 255");
        check_error("max_sub_tokens: 256", "1:17", "must be 1 to 255");
        check_error("max_payload: 2147483648", "1:14", "must be 0 to 2147483647");
        check_error("max_payload: -1", "1:14", "must be 0 to");
        check_error("max_control_line: 3g", "1:19", "must be 0 to 2147483647");
        check_error("max_pending: -1", "1:14", "must be 0 or more");
        check_error("max_closed_clients: -1", "1:21", "must be 0 to");
        check_error("\nmax_payload: 65MB", "2:1", "cannot be higher than max_pending");
        check_error("max_pending: 10", "1:1", "cannot be higher than max_pending (10)");
    }

    #[test]
    fn timers() {
        let seconds = Duration::from_secs;
        check("ping_interval: \"5s\"", |o| o.timers.ping_interval = seconds(5));
        check("ping_interval: 5s", |o| o.timers.ping_interval = seconds(5));
        check("ping_interval: \"0s\"", |_| ());
        check_remarks("ping_interval: 120", "is 120 seconds; write it as a duration", |_| ());
        check_remarks("ping_interval: 2m", "is 2000000 seconds", |o| {
            o.timers.ping_interval = seconds(2_000_000);
        });
        check("ping_max: 5", |o| o.timers.ping_max = 5);
        check("write_deadline: \"1m30s\"", |o| o.timers.write_deadline = seconds(90));
        check_remarks("write_deadline: 3", "warning", |o| o.timers.write_deadline = seconds(3));
        check("lame_duck_duration: \"30s\"", |o| o.timers.lame_duck_duration = seconds(30));
        check("lame_duck_grace_period: \"1s\"", |o| o.timers.lame_duck_grace_period = seconds(1));
        check("authorization {timeout: 5}", |o| o.timers.authentication_timeout = seconds(5));
        check("authorization {timeout: 0.5}", |o| {
            o.timers.authentication_timeout = Duration::from_millis(500);
        });
        check("authorization {timeout: \"3s\"}", |o| o.timers.authentication_timeout = seconds(3));
        check_remarks("authorization {timeout: 2m}", "keep it under a minute", |o| {
            o.timers.authentication_timeout = seconds(2_000_000);
        });
        check_error("ping_interval: foo", "1:16", "\"foo\" is not a duration");
        check_error("ping_interval: -1", "1:16", "must be 0 to");
        check_error("ping_interval: \"-1s\"", "1:16", "negative");
        check_error("ping_interval: true", "1:16", "must be a duration in quotes");
        check_error("ping_max: -1", "1:11", "must be 0 to");
        check_error("lame_duck_duration: 60", "1:21", "a duration in quotes");
        check_error("lame_duck_duration: \"29s\"", "1:21", "30 seconds or longer");
        check_error("lame_duck_grace_period: \"3m\"", "1:1", "must be shorter");
        check_error("authorization {timeout: -0.5}", "1:25", "0 seconds or more");
        check_error("authorization {timeout: true}", "1:25", "a duration in quotes");
    }

    #[test]
    fn who_may_connect() {
        let single = |o: &mut Options| {
            let users = users(&[("a", "b")]);
            o.authentication = Authentication::Users { users, no_auth_user: None };
        };
        for text in [
            "authorization {user: a, password: b}",
            "authorization {username: a, pass: b}",
            "Authorization {User: a, PASS: b}",
            "authorization {proxy_required: false, user: a, password: b}",
            "authorization {users: [{user: a, password: b}]}",
            "authorization {users: [{username: a, pass: b, proxy_required: false}]}",
            "P: b, authorization {user: a, password: $P}",
            "authorization {P: b, user: a, password: $P}",
        ] {
            check(text, single);
        }
        check("authorization {token: t}", |o| {
            o.authentication = Authentication::Token(Secret::new("t"));
        });
        check("authorization {token: $2a$11$x}", |o| {
            o.authentication = Authentication::Token(Secret::new("$2a$11$x"));
        });
        check("authorization {users: [{user: a}, {user: b, pass: c}]}\nno_auth_user: b", |o| {
            o.authentication = Authentication::Users {
                users: users(&[("a", ""), ("b", "c")]),
                no_auth_user: Some("b".into()),
            };
        });
        check("authorization {}", |_| ());
        check_remarks("authorization {users: []}", "everybody may connect", |_| ());
        check_error("authorization: a", "1:16", "must be a map, not a text");
        check_error(
            "authorization {user: a, pass: 123}",
            "1:31",
            "must be a text, not a whole number; put it in quotes",
        );
        check_error("authorization {pass: b}", "1:16", "a password needs a user");
        check_error(
            "authorization {user: a, pass: b, token: c}",
            "1:34",
            "both a user and a token",
        );
        check_error(
            "authorization {user: a, users: [{user: b}]}",
            "1:25",
            "a single user and a list",
        );
        check_error("authorization {token: a, users: [{user: b}]}", "1:26", "a token and a list");
        check_error("authorization {users: [{user: a}, {user: a}]}", "1:35", "listed twice");
        check_error("authorization {users: [{pass: a}]}", "1:24", "needs a `user`");
        check_error("authorization {users: [a]}", "1:24", "must be a map");
        check_error("authorization {users: {}}", "1:23", "must be an array");
        check_error("authorization {users: [{user: 1}]}", "1:31", "must be a text");
        check_error("authorization {users: [{user: a, pas: b}]}", "1:34", "did you mean \"pass\"?");
        check_error("authorization {usr: a}", "1:16", "did you mean \"user\"?");
        check_error("authorization {no_auth_user: a}", "1:16", "outside of `authorization`");
        check_error("no_auth_user: a", "1:1", "needs a list of users");
        check_error(
            "authorization {users: [{user: a}]}, no_auth_user: b",
            "1:37",
            "not one of the users",
        );
    }

    #[test]
    fn what_varz_shows() {
        check("server_tags: a", |o| o.server_tags = vec!["a".into()]);
        check("server_tags: [\" Foo \", bar, foo, \"\"]", |o| {
            o.server_tags = vec!["foo".into(), "bar".into()];
        });
        check("server_metadata {a: b, \"C d\": e}", |o| {
            o.server_metadata = [("a".into(), "b".into()), ("C d".into(), "e".into())].into();
        });
        check_error("server_tags: 5", "1:14", "a text or an array of texts");
        check_error("server_tags: [a, 1]", "1:18", "must be a text");
        check_error("server_metadata {a: 1}", "1:21", "`a` must be a text");
        check_error("server_metadata: a", "1:18", "must be a map");
    }

    #[test]
    fn options_of_no_consequence() {
        check("write_timeout: default", |_| ());
        check("write_timeout: close", |_| ());
        check("connect_error_reports: 5, reconnect_error_reports: 5", |_| ());
        check("no_system_account: true, no_sys_acc: false", |_| ());
        check("disable_sublist_cache: false", |_| ());
        check_remarks(
            "no_sublist_cache: true",
            "note: `no_sublist_cache` has no effect here",
            |_| (),
        );
        check_error("write_timeout: x", "1:16", "must be default, close or retry");
        check_error("connect_error_reports: x", "1:24", "must be a whole number");
        check_error("no_system_account: 1", "1:20", "must be true or false");
    }

    #[test]
    fn streams() {
        let check_block = |text: &str, expect: fn(&mut JetStreamOptions)| {
            check(text, |o| expect(o.jetstream.insert(JetStreamOptions::default())));
        };
        for text in [
            "jetstream: true",
            "jetstream: on",
            "jetstream: enabled",
            "jetstream: Enable",
            "jetstream {}",
            "jetstream {enabled: true}",
            "jetstream {cipher: aes}",
            "jetstream {key: \"\"}",
            "jetstream {max_mem: -1, max_file: -1}",
            "jetstream {strict: true, sync_interval: Always, domain: \"\"}",
            "jetstream {limits {}}",
            "jetstream {limits {batch {}, max_ack_pending: -1}}",
        ] {
            check_block(text, |_| ());
        }
        for name in ["store_dir", "store", "storedir"] {
            check_block(&format!("jetstream {{{name}: d}}"), |o| o.store_dir = Some("d".into()));
        }
        check_block("store_dir: d, jetstream: on", |o| o.store_dir = Some("d".into()));
        check_block("jetstream {}, storedir: d", |o| o.store_dir = Some("d".into()));
        check("store_dir: d", |_| ());
        for name in ["max_memory_store", "max_mem_store", "max_mem"] {
            check_block(&format!("jetstream {{{name}: 1GB}}"), |o| {
                o.memory_bytes_max = Some(1 << 30);
            });
        }
        for name in ["max_file_store", "max_file"] {
            check_block(&format!("jetstream {{{name}: \"2T\"}}"), |o| {
                o.file_bytes_max = Some(2 << 40);
            });
        }
        check_block("jetstream {max_mem: 0}", |o| o.memory_bytes_max = Some(0));
        check_block("jetstream {max_mem: \"\"}", |o| o.memory_bytes_max = Some(0));
        check_block("jetstream {sync: \"2m\"}", |o| {
            o.sync = SyncPolicy::Interval(Duration::from_secs(120));
        });
        check_remarks("jetstream {sync_interval: 3}", "write it as a duration", |o| {
            o.jetstream = Some(JetStreamOptions {
                sync: SyncPolicy::Interval(Duration::from_secs(3)),
                ..JetStreamOptions::default()
            });
        });
        check_block("jetstream {domain: hub}", |o| o.domain = Some("hub".into()));
        check_block("jetstream {strict: false}", |o| o.strict = false);
        check_block(
            "jetstream {limits {max_ack_pending: 1, max_request_batch: 2, duplicate_window: \"3s\",
             batch {max_inflight_per_stream: 4, max_inflight_total: 5, max_msgs: 6, timeout: \"7s\"}}}",
            |o| {
                o.ack_pending_max = Some(1);
                o.request_batch_max = Some(2);
                o.duplicate_window_max = Some(Duration::from_secs(3));
                o.batches_per_stream_max = 4;
                o.batches_max = 5;
                o.fast_batches_per_stream_max = 4;
                o.fast_batches_max = 5;
                o.batch_messages_max = 6;
                o.batch_timeout = Duration::from_secs(7);
            },
        );
        check_block(
            "jetstream {max_buffered_msgs: 1, max_buffered_size: 2K, request_queue_limit: 3, info_queue_limit: 4}",
            |o| {
                o.buffered_messages_max = 1;
                o.buffered_bytes_max = 2000;
                o.request_queue_max = 3;
                o.info_queue_max = 4;
            },
        );
        for name in [
            "unique_tag: az",
            "extension_hint: no_extend",
            "max_outstanding_catchup: 1M",
            "meta_compact: 1",
            "meta_compact_size: 1",
            "meta_compact_sync: true",
            "max_concurrent_io: 9",
            "limits {max_ha_assets: 1}",
        ] {
            check_remarks(&format!("jetstream {{{name}}}"), "has no effect here", |o| {
                o.jetstream = Some(JetStreamOptions::default());
            });
        }
        check_error("jetstream: foo", "1:12", "must be enabled, disabled, true, false or a map");
        check_error("jetstream: 5", "1:12", "must be enabled, disabled, true, false or a map");
        check_error("jetstream {max_mem: 10}, jetstream {max_memm: 1}", "1:37", "did you mean");
        check_error("jetstream {enabled: 5}", "1:21", "must be true or false");
        check_error("jetstream {store_dir: 5}", "1:23", "must be a text");
        check_error("store_dir: a, jetstream {store_dir: b}", "1:12", "written twice");
        check_error("jetstream {max_mem: \"10X\"}", "1:21", "ends in K, M, G or T");
        check_error("jetstream {max_mem: \"xK\"}", "1:21", "ends in K, M, G or T");
        check_error("jetstream {max_mem: []}", "1:21", "must be a number of bytes");
        check_error("jetstream {sync: \"x\"}", "1:18", "not a duration");
        check_error("jetstream {sync: -3}", "1:18", "seconds");
        check_error("jetstream {domain: \"a.b\"}", "1:20", "cannot contain");
        check_error("jetstream {domain: \"a b\"}", "1:20", "cannot contain");
        check_error("jetstream {strict: 5}", "1:20", "must be true or false");
        check_error("jetstream {cipher: des}", "1:20", "must be chacha or aes");
        check_error("jetstream {limits: 5}", "1:20", "must be a map");
        check_error("jetstream {limits {max_ack: 5}}", "1:20", "unknown field");
        check_error("jetstream {limits {max_ack_pending: x}}", "1:37", "a whole number");
        check_error("jetstream {limits {duplicate_window: 5}}", "1:38", "must be a duration");
        check_error("jetstream {limits {batch {max: 5}}}", "1:27", "unknown field");
        check_error("jetstream {limits {batch: 5}}", "1:27", "must be a map");
        check_error("jetstream {max_buffered_msgs: -1}", "1:31", "must be 0 or more");
    }

    #[test]
    fn options_that_are_not_served() {
        for text in [
            "default_js_domain {a: b}",
            "feature_flags {x: true}",
            "tls {}",
            "allow_non_tls: true",
            "ocsp: true",
            "ocsp_cache: true",
            "https: 1",
            "https_port: 1",
            "prof_port: 1",
            "prof_block_rate: 1",
            "proxy_protocol: true",
            "proxies {}",
            "accounts {}",
            "system_account: SYS",
            "system: SYS",
            "mappings {a: b}",
            "maps {a: b}",
            "operator: x",
            "operators: x",
            "root: x",
            "roots: x",
            "root_operator: x",
            "root_operators: x",
            "trusted: x",
            "trusted_keys: x",
            "resolver: MEM",
            "account_resolver: MEM",
            "accounts_resolver: MEM",
            "resolver_preload {a: b}",
            "resolver_tls {}",
            "resolver_pinned_accounts: x",
            "default_sentinel: x",
            "cluster {}",
            "gateway {}",
            "leafnodes {}",
            "leaf {}",
            "websocket {}",
            "ws {}",
            "mqtt {}",
        ] {
            check_error(text, "1:1", "is not served yet by this version");
        }
        for (text, place) in [
            ("write_timeout: retry", "1:16"),
            ("jetstream {key: x}", "1:12"),
            ("jetstream {ek: x}", "1:12"),
            ("jetstream {encryption_key: x}", "1:12"),
            ("jetstream {prev_key: x}", "1:12"),
            ("jetstream {prev_ek: x}", "1:12"),
            ("jetstream {prev_encryption_key: x}", "1:12"),
            ("jetstream {tpm {}}", "1:12"),
            ("authorization {permissions {}}", "1:16"),
            ("authorization {default_permission {}}", "1:16"),
            ("authorization {default_permissions {}}", "1:16"),
            ("authorization {auth_callout {}}", "1:16"),
            ("authorization {auth_hook {}}", "1:16"),
            ("authorization {proxy_required: true}", "1:16"),
            ("authorization {users: [{nkey: x}]}", "1:25"),
            ("authorization {users: [{user: a, permissions {}}]}", "1:34"),
            ("authorization {users: [{user: a, permission {}}]}", "1:34"),
            ("authorization {users: [{user: a, authorization {}}]}", "1:34"),
            ("authorization {users: [{user: a, allowed_connection_types: []}]}", "1:34"),
            ("authorization {users: [{user: a, connection_types: []}]}", "1:34"),
            ("authorization {users: [{user: a, clients: []}]}", "1:34"),
            ("authorization {users: [{user: a, proxy_required: true}]}", "1:34"),
        ] {
            check_error(text, place, "is not served yet by this version");
        }
        for text in [
            "jetstream: false",
            "jetstream: disabled",
            "jetstream {enabled: false}",
            "store_dir: \"\"",
            "feature_flags {x: false}",
            "feature_flags {}",
            "allow_non_tls: false",
            "ocsp: false",
            "ocsp_cache: false",
            "https_port: 0",
            "prof_port: 0",
            "prof_block_rate: 0",
            "proxy_protocol: false",
            "mappings {}",
            "system_account: \"\"",
            "default_sentinel: \"\"",
        ] {
            check(text, |_| ());
        }
    }

    /// Each option refuses each type that is not its own.
    #[test]
    fn types() {
        let texts = [
            "host",
            "net",
            "server_name",
            "client_advertise",
            "log_file",
            "logfile",
            "remote_syslog",
            "pid_file",
            "pidfile",
            "ports_file_dir",
            "http_base_path",
            "no_auth_user",
            "write_timeout",
        ];
        let switches = [
            "debug",
            "trace",
            "trace_verbose",
            "trace_headers",
            "logtime",
            "logtime_utc",
            "syslog",
            "no_header_support",
            "no_fast_producer_stall",
            "disable_sublist_cache",
        ];
        let integers = [
            "port",
            "http_port",
            "monitor_port",
            "log_size_limit",
            "log_max_num",
            "max_traced_msg_len",
            "max_connections",
            "max_conn",
            "max_control_line",
            "max_payload",
            "max_pending",
            "max_subscriptions",
            "max_subs",
            "max_sub_tokens",
            "ping_max",
            "max_closed_clients",
        ];
        let values = ["x", "12", "1.5", "true", "2016-05-04T18:53:41Z", "[]", "{}"];
        for (options, own, expected) in [
            (&texts[..], "x", "a text"),
            (&switches[..], "true", "true or false"),
            (&integers[..], "12", "a whole number"),
        ] {
            for option in options {
                for value in values.iter().filter(|value| **value != own) {
                    let place = format!("1:{}", option.len() + 3);
                    check_error(
                        &format!("{option}: {value}"),
                        &place,
                        &format!("`{option}` must be {expected}, not "),
                    );
                }
            }
        }
        check_error("port: \"12\"", "1:7", "take away the quotes");
        check_error("debug: \"yes\"", "1:8", "take away the quotes");
        check_error("host: 12", "1:7", "put it in quotes");
    }

    #[test]
    fn unknown_options() {
        check_error("prot: 1", "1:1", "unknown field \"prot\", did you mean \"port\"?");
        check_error("Max_Paylod: 1", "1:1", "did you mean \"max_payload\"?");
        check_error("foo: 1", "1:1", "unknown field \"foo\"");
        check_error(
            "authorization{user: a}",
            "1:1",
            "put a space between \"authorization\" and the brace",
        );
        check("foo: 7, port: $foo", |o| o.port = 7);
        check_error("authorization {foo: a, user: $foo, bar: 1}", "1:36", "unknown field \"bar\"");
    }

    #[test]
    fn several_errors_are_shown_in_their_order() {
        let diagnostics =
            load_text("prot: 1\nauthorization {\n  user: 5\n  fo: 1\n}\ndebug: x").unwrap_err();
        let lines: Vec<_> = diagnostics.iter().map(|d| d.location.as_str()).collect();
        assert_eq!(lines, ["x.conf:1:1", "x.conf:3:9", "x.conf:4:3", "x.conf:6:8"]);
        assert_eq!(
            diagnostics[0].to_string(),
            "x.conf:1:1: unknown field \"prot\", did you mean \"port\"?\n  1 | prot: 1\n    | ^^^^"
        );
    }

    #[test]
    fn an_empty_file_is_remarked_on() {
        check_remarks("", "x.conf: warning: the configuration is empty", |_| ());
        check_remarks("# nothing", "empty", |_| ());
    }

    #[test]
    fn a_missing_variable_is_reported_once() {
        let diagnostics = load_text("port: $NOPE").unwrap_err();
        assert_eq!(diagnostics.len(), 1, "{}", show(&diagnostics));
    }

    #[test]
    fn flags_win_over_the_file() {
        let load = |line: &str, text: &str| {
            let mut flags = Flags::parse(line.split(' ').map(Into::into)).unwrap();
            flags.config = Some("x.conf".into());
            super::super::load(&flags, &Memory::file("x.conf", text))
        };
        let options = |line: &str, text: &str| load(line, text).unwrap().options;
        assert_eq!(options("-p 5", "port: 7").port, 5);
        assert_eq!(options("-p 0", "port: 7").port, 4222);
        assert_eq!(options("-p -1", "port: 7").port, 0);
        assert_eq!(options("-D", "port: 7").port, 7);
        assert!(!options("-D=false", "debug: true").log.debug);
        assert_eq!(options("-a=", "host: h").host, "0.0.0.0");
        assert_eq!(options("-l=", "log_file: f").log.file, None);
        assert_eq!(options("-js=false", "jetstream {domain: d}").jetstream, None);
        let jetstream = options("-js -sd e", "store_dir: f, jetstream {domain: d, enabled: no}");
        let jetstream = jetstream.jetstream.unwrap();
        assert_eq!((jetstream.store_dir, jetstream.domain), (Some("e".into()), Some("d".into())));
        assert_eq!(
            options("--auth t", "authorization {user: a, password: b}").authentication,
            Authentication::Token(Secret::new("t"))
        );
        assert_eq!(
            options("--pass c", "authorization {user: a, password: b}").authentication,
            Authentication::Users { users: users(&[("a", "c")]), no_auth_user: None }
        );
        assert_eq!(
            options("--auth=", "authorization {token: t}").authentication,
            Authentication::None
        );
        let error = |line: &str, text: &str| load(line, text).unwrap_err()[0].to_string();
        assert!(
            error("--user a", "authorization {token: t}").contains("x.conf:1:16: cannot have both")
        );
        assert!(
            error("--auth t", "authorization {users: [{user: a}]}")
                .contains("x.conf:1:16: cannot have a token")
        );
    }

    #[test]
    fn without_a_file() {
        let load = |line: &str| {
            load(&Flags::parse(line.split(' ').map(Into::into)).unwrap(), &Memory::default())
        };
        let options = load("-p 7 --user a --pass b").unwrap().options;
        assert_eq!((options.port, options.config_file), (7, None));
        assert_eq!(load("--pass b").unwrap_err()[0].to_string(), "a password needs a user");
    }

    #[test]
    fn the_digest_is_kept() {
        let loaded = load_text("port: 4222 # any").unwrap();
        let digest = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
        assert_eq!(loaded.options.config_file, Some((PathBuf::from("x.conf"), digest.into())));
    }

    #[test]
    fn names_are_listed_once() {
        let mut names: Vec<_> = OPTIONS.iter().flat_map(|(names, _)| names.iter()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    proptest::proptest! {
        /// Any value for any option is read or refused.
        #[test]
        fn no_value_makes_it_panic(
            option in 0..OPTIONS.len(),
            value in r#"[-0-9a-z$"'(){}\[\]:;, .KMkm]{0,20}"#,
        ) {
            let _ = load_text(&format!("{}: {value}", OPTIONS[option].0[0]));
        }
    }
}
