//! Which settings may change while the broker runs.
//!
//! A reload takes effect as a whole or not at all: one change that needs a restart refuses all.

use crate::config::{JetStreamOptions, Options};

/// A setting that differs.
struct Change {
    /// Its name in the configuration.
    name: &'static str,
    differs: bool,
    /// Whether a running broker can take it over.
    reloadable: bool,
    old: String,
    new: String,
}

/// The names of the settings that differ, if a running broker can take all of them over.
///
/// # Errors
///
/// The first change that needs a restart, in nats-server's words.
pub fn changes(old: &Options, new: &Options) -> Result<Vec<&'static str>, String> {
    let changed: Vec<Change> =
        compare(old, new).into_iter().filter(|change| change.differs).collect();
    match changed.iter().find(|change| !change.reloadable) {
        Some(change) => Err(format!(
            "config reload not supported for {}: old={}, new={}",
            change.name, change.old, change.new
        )),
        None => Ok(changed.into_iter().map(|change| change.name).collect()),
    }
}

fn compare(old: &Options, new: &Options) -> Vec<Change> {
    /// One row a setting: its name, where it is, whether a running broker can take it over.
    macro_rules! rows {
        ($($name:literal, $($field:ident).+, $reloadable:literal;)*) => {
            vec![$(Change {
                name: $name,
                differs: old.$($field).+ != new.$($field).+,
                reloadable: $reloadable,
                old: format!("{:?}", old.$($field).+),
                new: format!("{:?}", new.$($field).+),
            },)*]
        };
    }
    let mut rows: Vec<Change> = rows! {
        "host", host, false;
        "port", port, false;
        "server_name", server_name, false;
        "client_advertise", client_advertise, true;
        "authorization", authentication, true;
        "http", monitoring, false;
        "max_connections", limits.connections_max, true;
        "max_subscriptions", limits.subscriptions_max, false;
        "max_sub_tokens", limits.subscription_tokens_max, false;
        "max_control_line", limits.control_line_bytes_max, true;
        "max_payload", limits.payload_bytes_max, true;
        "max_pending", limits.pending_bytes_max, false;
        "ping_interval", timers.ping_interval, true;
        "ping_max", timers.ping_max, true;
        "authorization.timeout", timers.authentication_timeout, true;
        "write_deadline", timers.write_deadline, true;
        "lame_duck_duration", timers.lame_duck_duration, false;
        "lame_duck_grace_period", timers.lame_duck_grace_period, false;
        "no_header_support", no_header_support, false;
        "no_fast_producer_stall", no_fast_producer_stall, true;
        "max_closed_clients", max_closed_clients, false;
        "pid_file", pid_file, false;
        "ports_file_dir", ports_file_dir, false;
        "logging", log, true;
        "reactors", reactors, false;
        "server_tags", server_tags, true;
        "server_metadata", server_metadata, true;
    };
    rows.push(jetstream(old.jetstream.as_ref(), new.jetstream.as_ref()));
    rows
}

/// Of streams only the bounds of their bytes may change, and only grow: what is promised to
/// streams that are there is not taken back.
fn jetstream(old: Option<&JetStreamOptions>, new: Option<&JetStreamOptions>) -> Change {
    let differs = old != new;
    let shown = |options: Option<&JetStreamOptions>| match options {
        Some(options) => format!("{options:?}"),
        None => "disabled".to_owned(),
    };
    let mut change =
        Change { name: "jetstream", differs, reloadable: false, old: shown(old), new: shown(new) };
    let (Some(old), Some(new)) = (old, new) else { return change };
    let with_bounds_of = |bounds: &JetStreamOptions| JetStreamOptions {
        memory_bytes_max: bounds.memory_bytes_max,
        file_bytes_max: bounds.file_bytes_max,
        ..old.clone()
    };
    let bounds = |options: &JetStreamOptions| {
        format!("{:?} and {:?}", options.memory_bytes_max, options.file_bytes_max)
    };
    if old.store_dir != new.store_dir {
        change.name = "jetstream storage directory";
        (change.old, change.new) =
            (old.directory().display().to_string(), new.directory().display().to_string());
    } else if with_bounds_of(new) == *new {
        // A bound that is not written is found out when the server starts.
        let grows = |old: Option<u64>, new: Option<u64>| {
            old == new || old.zip(new).is_some_and(|(old, new)| new > old)
        };
        change.name = "jetstream max memory and max store";
        change.reloadable = grows(old.memory_bytes_max, new.memory_bytes_max)
            && grows(old.file_bytes_max, new.file_bytes_max);
        (change.old, change.new) = (bounds(old), bounds(new));
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Options), expected: Result<&[&'static str], &str>) {
        let old = Options::default();
        let mut new = old.clone();
        change(&mut new);
        let found = changes(&old, &new);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_change_is_taken_over_or_refuses_all() {
        check(|_| {}, Ok(&[]));
        check(|new| new.limits.payload_bytes_max = 1, Ok(&["max_payload"]));
        check(|new| new.log.debug = true, Ok(&["logging"]));
        check(
            |new| {
                new.limits.payload_bytes_max = 1;
                new.port = 1;
            },
            Err("config reload not supported for port: old=4222, new=1"),
        );
    }

    #[test]
    fn streams() {
        let check = |old: Option<&str>, new: Option<&str>, expected: Result<&[&str], &str>| {
            // "directory memory file"
            let options = |text: Option<&str>| Options {
                jetstream: text.map(|text| {
                    let words: Vec<&str> = text.split(' ').collect();
                    JetStreamOptions {
                        store_dir: Some(words[0].into()),
                        memory_bytes_max: words[1].parse().ok(),
                        file_bytes_max: words[2].parse().ok(),
                        strict: words.len() < 4,
                        ..JetStreamOptions::default()
                    }
                }),
                ..Options::default()
            };
            let found = changes(&options(old), &options(new));
            match expected {
                Ok(names) => assert_eq!(found.as_deref(), Ok(names)),
                Err(part) => assert!(found.as_ref().unwrap_err().contains(part), "{found:?}"),
            }
        };
        let bounds = "jetstream max memory and max store";
        check(None, None, Ok(&[]));
        check(Some("d 1 1"), Some("d 1 1"), Ok(&[]));
        check(Some("d 1 1"), Some("d 2 1"), Ok(&[bounds]));
        check(Some("d 1 1"), Some("d 2 3"), Ok(&[bounds]));
        check(Some("d 2 1"), Some("d 1 2"), Err("max store: old=Some(2) and Some(1)"));
        check(Some("d 1 1"), Some("d - 1"), Err(bounds));
        check(Some("d - 1"), Some("d 1 1"), Err(bounds));
        check(Some("d 1 1"), Some("e 1 1"), Err("directory: old=d/jetstream, new=e/jetstream"));
        check(Some("d 1 1"), Some("d 1 1 lenient"), Err("for jetstream: old=JetStreamOptions"));
        check(None, Some("d 1 1"), Err("for jetstream: old=disabled"));
        check(Some("d 1 1"), None, Err("new=disabled"));
    }

    /// A setting that no row names would change without anybody noticing.
    #[test]
    fn every_setting_has_a_row() {
        let old = Options::default();
        let rows = compare(&old, &old).len();
        // Fields of `Options` with those of `Limits` and `Timers` counted one by one, without
        // `config_file`, which is where the settings come from and not one of them.
        let text = format!("{old:#?}");
        let fields =
            text.lines().filter(|line| line.starts_with("    ") && line.contains(':')).count();
        let of_log = format!("{:#?}", old.log).lines().filter(|line| line.contains(':')).count();
        let groups = ["limits", "timers", "config_file"].len();
        assert_eq!(rows, fields - of_log - groups);
    }
}
