//! What settings mean together: defaults filled in, contradictions refused.
//!
//! Where a setting was written is not known here; a contradiction names the option that is to be
//! changed, and who knows the file can point at it.

use thiserror::Error;

use super::options::{
    Authentication, JetStreamOptions, Limits, LogOptions, Monitoring, Options, Secret, SyncPolicy,
    Timers, UserPassword,
};
use super::settings::{Port, Settings};

/// Settings that cannot both be followed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct Contradiction {
    /// The option that is to blame first.
    pub option: &'static str,
    /// What contradicts what.
    pub text: String,
}

impl Options {
    /// The options that `settings` mean. What they leave out gets its default.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn from_settings(settings: Settings) -> Result<Self, Contradiction> {
        let authentication = authentication(&settings)?;
        let limits = limits(&settings)?;
        let timers = timers(&settings)?;
        let default = Self::default();
        Ok(Self {
            monitoring: monitoring(&settings),
            log: log(&settings),
            jetstream: jetstream(&settings),
            authentication,
            limits,
            timers,
            host: written(settings.host).unwrap_or(default.host),
            port: number(settings.port).unwrap_or(default.port),
            server_name: written(settings.server_name),
            client_advertise: written(settings.client_advertise),
            no_header_support: settings.no_header_support.unwrap_or(default.no_header_support),
            no_fast_producer_stall: settings
                .no_fast_producer_stall
                .unwrap_or(default.no_fast_producer_stall),
            max_closed_clients: at_least_one(settings.max_closed_clients)
                .unwrap_or(default.max_closed_clients),
            pid_file: written(settings.pid_file).map(Into::into),
            ports_file_dir: written(settings.ports_file_dir).map(Into::into),
            reactors: settings.reactors,
            server_tags: settings.server_tags.unwrap_or_default(),
            server_metadata: settings.server_metadata.unwrap_or_default(),
            config_file: None,
        })
    }
}

/// An empty text is as good as none.
fn written(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// 0 stands for the default, or for no limit.
fn at_least_one<T: PartialEq + Default>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// The port to bind, where 0 is any free one.
fn number(port: Option<Port>) -> Option<u16> {
    match port? {
        Port::Free => Some(0),
        Port::Unset => None,
        Port::Number(number) => Some(number),
    }
}

fn authentication(settings: &Settings) -> Result<Authentication, Contradiction> {
    let fault = |option, text: &str| Err(Contradiction { option, text: text.to_owned() });
    let secret =
        |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.expose().is_empty());
    let user = written(settings.user.clone());
    let password = secret(&settings.password);
    let token = secret(&settings.token);
    let users = settings.users.clone().unwrap_or_default();
    let no_auth_user = written(settings.no_auth_user.clone());
    if !users.is_empty() {
        if user.is_some() || password.is_some() {
            return fault("users", "cannot have a single user and a list of users");
        }
        if token.is_some() {
            return fault("users", "cannot have a token and a list of users");
        }
        if let Some(name) = &no_auth_user
            && !users.iter().any(|user| user.user == *name)
        {
            let text = format!("no_auth_user {name:?} is not one of the users");
            return fault("no_auth_user", &text);
        }
        return Ok(Authentication::Users { users, no_auth_user });
    }
    if let Some(name) = no_auth_user {
        let text = format!("no_auth_user {name:?} needs a list of users that names it");
        return fault("no_auth_user", &text);
    }
    match (user, password, token) {
        (None, None, None) => Ok(Authentication::None),
        (None, None, Some(token)) => Ok(Authentication::Token(token)),
        (_, _, Some(_)) => fault("token", "cannot have both a user and a token"),
        // nats-server lets everybody in with that.
        (None, Some(_), None) => fault("password", "a password needs a user"),
        (Some(user), password, None) => {
            let password = password.unwrap_or_else(|| Secret::new(""));
            let users = vec![UserPassword { user, password }];
            Ok(Authentication::Users { users, no_auth_user: None })
        }
    }
}

fn monitoring(settings: &Settings) -> Option<Monitoring> {
    Some(Monitoring {
        port: number(settings.http_port)?,
        host: written(settings.http_host.clone()),
        base_path: base_path(settings.http_base_path.as_deref().unwrap_or_default()),
    })
}

/// An absolute path without a slash at its end, and without `.`, `..` and empty steps.
fn base_path(path: &str) -> String {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            _ => steps.push(step),
        }
    }
    format!("/{}", steps.join("/"))
}

fn limits(settings: &Settings) -> Result<Limits, Contradiction> {
    let default = Limits::default();
    let limits = Limits {
        connections_max: settings.connections_max.unwrap_or(default.connections_max),
        subscriptions_max: at_least_one(settings.subscriptions_max),
        subscription_tokens_max: at_least_one(settings.subscription_tokens_max),
        control_line_bytes_max: at_least_one(settings.control_line_bytes_max)
            .unwrap_or(default.control_line_bytes_max),
        payload_bytes_max: at_least_one(settings.payload_bytes_max)
            .unwrap_or(default.payload_bytes_max),
        pending_bytes_max: at_least_one(settings.pending_bytes_max)
            .unwrap_or(default.pending_bytes_max),
    };
    if limits.payload_bytes_max > limits.pending_bytes_max {
        return Err(Contradiction {
            option: if settings.payload_bytes_max.is_some() {
                "max_payload"
            } else {
                "max_pending"
            },
            text: format!(
                "max_payload ({}) cannot be higher than max_pending ({})",
                limits.payload_bytes_max, limits.pending_bytes_max
            ),
        });
    }
    Ok(limits)
}

fn timers(settings: &Settings) -> Result<Timers, Contradiction> {
    let default = Timers::default();
    let timers = Timers {
        ping_interval: at_least_one(settings.ping_interval).unwrap_or(default.ping_interval),
        ping_max: at_least_one(settings.ping_max).unwrap_or(default.ping_max),
        authentication_timeout: at_least_one(settings.authentication_timeout)
            .unwrap_or(default.authentication_timeout),
        write_deadline: at_least_one(settings.write_deadline).unwrap_or(default.write_deadline),
        lame_duck_duration: settings.lame_duck_duration.unwrap_or(default.lame_duck_duration),
        lame_duck_grace_period: at_least_one(settings.lame_duck_grace_period)
            .unwrap_or(default.lame_duck_grace_period),
    };
    if timers.lame_duck_grace_period >= timers.lame_duck_duration {
        return Err(Contradiction {
            option: if settings.lame_duck_grace_period.is_some() {
                "lame_duck_grace_period"
            } else {
                "lame_duck_duration"
            },
            text: format!(
                "lame_duck_grace_period ({:?}) must be shorter than lame_duck_duration ({:?})",
                timers.lame_duck_grace_period, timers.lame_duck_duration
            ),
        });
    }
    Ok(timers)
}

fn jetstream(settings: &Settings) -> Option<JetStreamOptions> {
    if settings.jetstream != Some(true) {
        return None;
    }
    let default = JetStreamOptions::default();
    let block = settings.jetstream_block.clone().unwrap_or_default();
    let request_queue_max =
        at_least_one(block.request_queue_max).unwrap_or(default.request_queue_max);
    Some(JetStreamOptions {
        store_dir: written(settings.store_dir.clone()).map(Into::into),
        memory_bytes_max: block.memory_bytes_max,
        file_bytes_max: block.file_bytes_max,
        sync: match block.sync {
            // No time at all between writing and syncing is what `always` says.
            Some(SyncPolicy::Interval(interval)) if interval.is_zero() => SyncPolicy::Always,
            sync => sync.unwrap_or(default.sync),
        },
        domain: written(block.domain),
        strict: block.strict.unwrap_or(default.strict),
        ack_pending_max: at_least_one(block.ack_pending_max),
        request_batch_max: at_least_one(block.request_batch_max),
        duplicate_window_max: at_least_one(block.duplicate_window_max),
        batches_per_stream_max: at_least_one(block.batches_per_stream_max)
            .unwrap_or(default.batches_per_stream_max),
        batches_max: at_least_one(block.batches_max).unwrap_or(default.batches_max),
        fast_batches_per_stream_max: at_least_one(block.batches_per_stream_max)
            .unwrap_or(default.fast_batches_per_stream_max),
        fast_batches_max: at_least_one(block.batches_max).unwrap_or(default.fast_batches_max),
        batch_messages_max: at_least_one(block.batch_messages_max)
            .unwrap_or(default.batch_messages_max),
        batch_timeout: at_least_one(block.batch_timeout).unwrap_or(default.batch_timeout),
        buffered_messages_max: at_least_one(block.buffered_messages_max)
            .unwrap_or(default.buffered_messages_max),
        buffered_bytes_max: at_least_one(block.buffered_bytes_max)
            .unwrap_or(default.buffered_bytes_max),
        request_queue_max,
        info_queue_max: at_least_one(block.info_queue_max).unwrap_or(request_queue_max),
    })
}

fn log(settings: &Settings) -> LogOptions {
    let default = LogOptions::default();
    LogOptions {
        file: written(settings.log_file.clone()).map(Into::into),
        format: settings.log_format.unwrap_or(default.format),
        time: settings.log_time.unwrap_or(default.time),
        utc: settings.log_utc.unwrap_or(default.utc),
        debug: settings.debug.unwrap_or(default.debug),
        trace: settings.trace.unwrap_or(default.trace),
        trace_verbose: settings.trace_verbose.unwrap_or(default.trace_verbose),
        trace_headers: settings.trace_headers.unwrap_or(default.trace_headers),
        traced_message_bytes_max: at_least_one(settings.traced_message_bytes_max),
        size_bytes_max: at_least_one(settings.log_size_bytes_max),
        files_max: at_least_one(settings.log_files_max),
        syslog: settings.syslog.unwrap_or(default.syslog),
        remote_syslog: written(settings.remote_syslog.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Settings), expect: impl Fn(&mut Options)) {
        let (mut settings, mut options) = (Settings::default(), Options::default());
        write(&mut settings);
        expect(&mut options);
        assert_eq!(Options::from_settings(settings), Ok(options));
    }

    #[track_caller]
    fn check_contradiction(write: impl Fn(&mut Settings), option: &str, part: &str) {
        let mut settings = Settings::default();
        write(&mut settings);
        let contradiction = Options::from_settings(settings).expect_err("a contradiction");
        assert_eq!(contradiction.option, option, "{contradiction}");
        assert!(contradiction.text.contains(part), "{contradiction}");
    }

    fn users(names: &[&str]) -> Vec<UserPassword> {
        names
            .iter()
            .map(|name| UserPassword { user: (*name).into(), password: Secret::new("x") })
            .collect()
    }

    #[test]
    fn nothing_written_is_the_default() {
        check(|_| (), |_| ());
        check(
            |s| {
                s.host = Some(String::new());
                s.port = Some(Port::Unset);
                s.http_port = Some(Port::Unset);
                s.server_name = Some(String::new());
                s.user = Some(String::new());
                s.token = Some(Secret::new(""));
                s.users = Some(Vec::new());
                s.payload_bytes_max = Some(0);
                s.pending_bytes_max = Some(0);
                s.control_line_bytes_max = Some(0);
                s.subscriptions_max = Some(0);
                s.ping_interval = Some(Duration::ZERO);
                s.ping_max = Some(0);
                s.write_deadline = Some(Duration::ZERO);
                s.authentication_timeout = Some(Duration::ZERO);
                s.lame_duck_grace_period = Some(Duration::ZERO);
                s.max_closed_clients = Some(0);
                s.log_file = Some(String::new());
                s.log_size_bytes_max = Some(0);
                s.log_files_max = Some(0);
                s.traced_message_bytes_max = Some(0);
                s.pid_file = Some(String::new());
            },
            |_| (),
        );
        // The one 0 that is meant.
        check(|s| s.connections_max = Some(0), |o| o.limits.connections_max = 0);
    }

    #[test]
    fn ports() {
        check(|s| s.port = Some(Port::Free), |o| o.port = 0);
        check(|s| s.port = Some(Port::Number(7)), |o| o.port = 7);
        check(
            |s| s.http_port = Some(Port::Free),
            |o| o.monitoring = Some(Monitoring { host: None, port: 0, base_path: "/".into() }),
        );
        check(|s| s.http_host = Some("h".into()), |_| ());
    }

    #[test]
    fn base_paths() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("a", "/a"),
            ("/a/", "/a"),
            ("a//b/./c/..", "/a/b"),
            ("../..", "/"),
        ] {
            assert_eq!(base_path(path), expected, "{path}");
        }
    }

    #[test]
    fn who_may_connect() {
        check(
            |s| s.token = Some(Secret::new("t")),
            |o| o.authentication = Authentication::Token(Secret::new("t")),
        );
        check(
            |s| (s.user, s.password) = (Some("u".into()), Some(Secret::new("x"))),
            |o| {
                o.authentication =
                    Authentication::Users { users: users(&["u"]), no_auth_user: None };
            },
        );
        check(
            |s| s.user = Some("u".into()),
            |o| {
                o.authentication = Authentication::Users {
                    users: vec![UserPassword { user: "u".into(), password: Secret::new("") }],
                    no_auth_user: None,
                };
            },
        );
        check(
            |s| (s.users, s.no_auth_user) = (Some(users(&["u", "v"])), Some("v".into())),
            |o| {
                o.authentication = Authentication::Users {
                    users: users(&["u", "v"]),
                    no_auth_user: Some("v".into()),
                };
            },
        );
    }

    #[test]
    fn streams() {
        use super::super::settings::JetStreamSettings;
        let on = JetStreamOptions::default;
        check(|s| s.jetstream = Some(false), |_| ());
        check(|s| s.store_dir = Some("d".into()), |_| ());
        check(|s| s.jetstream = Some(true), |o| o.jetstream = Some(on()));
        let check_block = |write: fn(&mut JetStreamSettings), expect: fn(&mut JetStreamOptions)| {
            check(
                |s| {
                    s.jetstream = Some(true);
                    write(s.jetstream_block.get_or_insert_default());
                },
                |o| expect(o.jetstream.insert(on())),
            );
        };
        check_block(
            |b| b.sync = Some(SyncPolicy::Interval(Duration::ZERO)),
            |o| o.sync = SyncPolicy::Always,
        );
        check_block(
            |b| b.request_queue_max = Some(7),
            |o| (o.request_queue_max, o.info_queue_max) = (7, 7),
        );
        check_block(|b| b.info_queue_max = Some(7), |o| o.info_queue_max = 7);
        // Nothing at all may be meant.
        check_block(|b| b.memory_bytes_max = Some(0), |o| o.memory_bytes_max = Some(0));
        check_block(
            |b| {
                b.domain = Some(String::new());
                b.ack_pending_max = Some(0);
                b.batches_max = Some(0);
                b.batch_timeout = Some(Duration::ZERO);
                b.buffered_bytes_max = Some(0);
            },
            |_| (),
        );
    }

    #[test]
    fn contradictions() {
        check_contradiction(|s| s.password = Some(Secret::new("x")), "password", "needs a user");
        check_contradiction(
            |s| (s.user, s.token) = (Some("u".into()), Some(Secret::new("t"))),
            "token",
            "both a user and a token",
        );
        check_contradiction(
            |s| (s.user, s.users) = (Some("u".into()), Some(users(&["v"]))),
            "users",
            "a single user",
        );
        check_contradiction(
            |s| (s.token, s.users) = (Some(Secret::new("t")), Some(users(&["v"]))),
            "users",
            "a token",
        );
        check_contradiction(
            |s| (s.no_auth_user, s.users) = (Some("u".into()), Some(users(&["v"]))),
            "no_auth_user",
            "not one of the users",
        );
        check_contradiction(|s| s.no_auth_user = Some("u".into()), "no_auth_user", "needs a list");
        check_contradiction(|s| s.pending_bytes_max = Some(10), "max_pending", "cannot be higher");
        check_contradiction(
            |s| (s.payload_bytes_max, s.pending_bytes_max) = (Some(11), Some(10)),
            "max_payload",
            "(11) cannot be higher than max_pending (10)",
        );
        check(
            |s| (s.payload_bytes_max, s.pending_bytes_max) = (Some(10), Some(10)),
            |o| (o.limits.payload_bytes_max, o.limits.pending_bytes_max) = (10, 10),
        );
        check_contradiction(
            |s| s.lame_duck_grace_period = Some(Duration::from_secs(120)),
            "lame_duck_grace_period",
            "must be shorter",
        );
        check_contradiction(
            |s| s.lame_duck_duration = Some(Duration::from_secs(5)),
            "lame_duck_duration",
            "(10s) must be shorter than lame_duck_duration (5s)",
        );
    }
}
