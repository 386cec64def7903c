//! The command line as it was written, in the manner of Go's `flag` package, which nats-server
//! uses: `-p 4222`, `--p=4222`, `-DV`, `-T=false`. No GNU-style parser reads `-js` or `-sl=ldm=1`.
//!
//! What the values mean is not known here; the texts of `-h` and of errors are.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use thiserror::Error;

use super::nearest::nearest;
use super::options::{LogFormat, Secret};
use super::settings::{Port, Settings};
use crate::mesh::interest::PEER_COUNT_MAX;

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// Something to print instead of starting.
    pub show: Option<Show>,
    /// `-t`: check the configuration file and exit.
    pub test: bool,
    /// `--signal`: what to send to a running process.
    pub signal: Option<String>,
    /// `--config`: the configuration file.
    pub config: Option<PathBuf>,
    /// Everything that a file can say too.
    pub settings: Settings,
}

/// What to print instead of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The version.
    Version,
    /// How to use the command line.
    Help,
}

/// Why a command line cannot be followed. Each is one line for standard error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlagError {
    /// Neither a flag nor a command, such as `---p` or `-=1`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// No flag has this name.
    #[error("unknown flag: -{name}{}; -h shows all flags", suggestion(*.meant))]
    Unknown {
        /// The name as written, without dashes.
        name: String,
        /// The name that was probably meant, with dashes.
        meant: Option<&'static str>,
    },
    /// The command line ends where a value must follow.
    #[error("flag needs a value: -{0}")]
    NoValue(String),
    /// The value does not fit the flag.
    #[error("invalid value {value:?} for flag -{name}: {reason}")]
    Value {
        /// The name of the flag, without dashes.
        name: String,
        /// The value as written.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A word that is not a command.
    #[error("unrecognized command: {0:?}")]
    Command(String),
    /// Flags of a feature that this version does not have.
    #[error("{}: {feature} is not served yet by this version", .flags.join(", "))]
    NotServed {
        /// The flags as written.
        flags: Vec<String>,
        /// What they ask for.
        feature: &'static str,
    },
    /// An argument that is not UTF-8.
    #[error("argument {0} is not UTF-8")]
    NotText(usize),
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

impl Flags {
    /// Parses the arguments that follow the name of the executable.
    ///
    /// As in nats-server, a flag written twice counts as written last, flags end at the first word
    /// that is not one, and that word must be `help` or `version`.
    ///
    /// # Errors
    /// The first thing on the line that cannot be followed.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, FlagError> {
        let mut arguments = arguments.into_iter().enumerate().map(|(index, argument)| {
            argument.into_string().map_err(|_| FlagError::NotText(index + 1))
        });
        let mut parsing = Parsing::default();
        let mut command = None;
        while let Some(argument) = arguments.next() {
            let argument = argument?;
            if argument == "--" {
                command = arguments.next().transpose()?;
                break;
            }
            let Some(flag) = argument.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                command = Some(argument);
                break;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if name.is_empty() || name.starts_with('-') {
                return Err(FlagError::Syntax(argument));
            }
            let definition = find(name).ok_or_else(|| FlagError::Unknown {
                name: name.to_owned(),
                meant: nearest_flag(name),
            })?;
            let value = match (value, &definition.effect) {
                (Some(value), _) => value,
                (None, Effect::Switch(_) | Effect::NotServed(_, Off::False)) => "true".to_owned(),
                (None, _) => arguments
                    .next()
                    .transpose()?
                    .ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
            };
            parsing.apply(name, &definition.effect, &value).map_err(|reason| FlagError::Value {
                name: name.to_owned(),
                value: if definition.is_secret() { "...".to_owned() } else { value },
                reason,
            })?;
        }
        parsing.finish(command.as_deref())
    }

    /// The text of `-h`, for a binary of this name.
    pub fn usage(executable: &str) -> String {
        let mut text = format!("Usage: {executable} [flags] [help | version]\n");
        text.push_str(
            "\nFlags take one dash or two, and their value after a space or an equals sign.\n",
        );
        for section in SECTIONS {
            let _ = write!(text, "\n{}\n", section.title);
            for definition in section.flags {
                let mut names = definition.names.join(", ");
                if !definition.value.is_empty() {
                    let _ = write!(names, " <{}>", definition.value);
                }
                let _ = writeln!(text, "  {names:<36} {}", definition.help);
            }
        }
        text
    }
}

/// The state while a line is parsed: flags that show something are ranked only at its end.
#[derive(Default)]
struct Parsing {
    flags: Flags,
    version: bool,
    help: bool,
    not_served: Vec<(String, &'static str)>,
}

impl Parsing {
    fn apply(&mut self, name: &str, effect: &Effect, value: &str) -> Result<(), String> {
        match effect {
            Effect::Switch(set) => set(self, boolean(value)?),
            Effect::Text(set) => set(&mut self.flags, value.to_owned()),
            Effect::Checked(set) => set(&mut self.flags, value)?,
            Effect::NotServed(feature, off) => {
                let is_off = match off {
                    Off::False => !boolean(value)?,
                    Off::Zero => integer(value)? == 0,
                    Off::Empty => value.is_empty(),
                };
                if !is_off {
                    self.not_served.push((format!("-{name}"), feature));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, command: Option<&str>) -> Result<Flags, FlagError> {
        if self.version {
            self.flags.show = Some(Show::Version);
        } else if self.help {
            self.flags.show = Some(Show::Help);
        } else if let Some(command) = command {
            self.flags.show = Some(match command.to_ascii_lowercase().as_str() {
                "version" => Show::Version,
                "help" => Show::Help,
                _ => return Err(FlagError::Command(command.to_owned())),
            });
        } else if let Some((_, feature)) = self.not_served.first() {
            let feature = *feature;
            let flags = self.not_served.into_iter().filter(|(_, of)| *of == feature);
            return Err(FlagError::NotServed {
                flags: flags.map(|(flag, _)| flag).collect(),
                feature,
            });
        }
        Ok(self.flags)
    }
}

/// A flag: all its names with the dashes `-h` shows, what it does, and its line of help.
struct Definition {
    names: &'static [&'static str],
    /// What `-h` calls the value; empty for a switch.
    value: &'static str,
    effect: Effect,
    help: &'static str,
}

impl Definition {
    /// Whether an error must not repeat the value.
    fn is_secret(&self) -> bool {
        self.value == "password" || self.value == "token"
    }
}

enum Effect {
    /// On without a value, else one of Go's spellings of a boolean.
    Switch(fn(&mut Parsing, bool)),
    /// Any text.
    Text(fn(&mut Flags, String)),
    /// A text that must fit; the error says why it does not.
    Checked(fn(&mut Flags, &str) -> Result<(), String>),
    /// Part of nats-server's command line, of this feature, which is not served yet.
    NotServed(&'static str, Off),
}

/// The value with which a flag asks for nothing. It also tells a switch from the others.
enum Off {
    False,
    Zero,
    Empty,
}

struct Section {
    title: &'static str,
    flags: &'static [Definition],
}

fn find(name: &str) -> Option<&'static Definition> {
    definitions().find(|definition| definition.names.iter().any(|known| undashed(known) == name))
}

fn nearest_flag(name: &str) -> Option<&'static str> {
    let known = || definitions().flat_map(|definition| definition.names).copied();
    let meant = nearest(name, known().map(undashed))?;
    known().find(|known| undashed(known) == meant)
}

fn definitions() -> impl Iterator<Item = &'static Definition> {
    SECTIONS.iter().flat_map(|section| section.flags)
}

fn undashed(name: &str) -> &str {
    name.trim_start_matches('-')
}

/// Go's `strconv.ParseBool`.
fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// Go's `strconv.ParseInt` with base 0: `10`, `-1`, `0x1F`, `0o17`, `017`, `0b1`, `1_000`.
fn integer(value: &str) -> Result<i64, String> {
    let not_a_number = || "not a whole number".to_owned();
    let (negative, magnitude) = match value.as_bytes() {
        [b'-', ..] => (true, &value[1..]),
        [b'+', ..] => (false, &value[1..]),
        _ => (false, value),
    };
    let lower = magnitude.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = if digits.contains('_') {
        if digits.ends_with('_')
            || digits.contains("__")
            || (radix == 10 && digits.starts_with('_'))
        {
            return Err(not_a_number());
        }
        digits.replace('_', "")
    } else {
        digits.to_owned()
    };
    // A second sign would be read by `from_str_radix`.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(not_a_number());
    }
    let signed = if negative { format!("-{digits}") } else { digits };
    i64::from_str_radix(&signed, radix).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            "out of range".to_owned()
        }
        _ => not_a_number(),
    })
}

/// A size or count; nats-server reads a negative one as 0.
fn count<T: TryFrom<i64>>(value: &str) -> Result<T, String> {
    T::try_from(integer(value)?.max(0)).map_err(|_| "out of range".to_owned())
}

fn port(value: &str) -> Result<Port, String> {
    Port::try_from(integer(value)?)
}

const TLS: &str = "TLS";
const CLUSTER: &str = "clustering";

const SECTIONS: &[Section] = &[
    Section {
        title: "Server",
        flags: &[
            Definition {
                names: &["-a", "--addr", "--net"],
                value: "host",
                effect: Effect::Text(|flags, host| flags.settings.host = Some(host)),
                help: "Address to listen on for clients (0.0.0.0)",
            },
            Definition {
                names: &["-p", "--port"],
                value: "port",
                effect: Effect::Checked(|flags, text| {
                    flags.settings.port = Some(port(text)?);
                    Ok(())
                }),
                help: "Port to listen on for clients (4222); -1 takes a free one",
            },
            Definition {
                names: &["-n", "--name", "--server_name"],
                value: "name",
                effect: Effect::Checked(|flags, name| {
                    if name.contains(' ') {
                        return Err("a server name cannot contain spaces".to_owned());
                    }
                    flags.settings.server_name = Some(name.to_owned());
                    Ok(())
                }),
                help: "Name of this server (its id)",
            },
            Definition {
                names: &["-P", "--pid"],
                value: "file",
                effect: Effect::Text(|flags, file| flags.settings.pid_file = Some(file)),
                help: "File to write the process id to",
            },
            Definition {
                names: &["-m", "--http_port"],
                value: "port",
                effect: Effect::Checked(|flags, text| {
                    flags.settings.http_port = Some(port(text)?);
                    Ok(())
                }),
                help: "Port to serve monitoring on over HTTP (none)",
            },
            Definition {
                names: &["-ms", "--https_port"],
                value: "port",
                effect: Effect::NotServed("monitoring over HTTPS", Off::Zero),
                help: "Port to serve monitoring on over HTTPS; not served yet",
            },
            Definition {
                names: &["-c", "--config"],
                value: "file",
                effect: Effect::Text(|flags, file| {
                    flags.config = (!file.is_empty()).then(|| file.into());
                }),
                help: "Configuration file; flags win over it",
            },
            Definition {
                names: &["-t"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.test = on),
                help: "Check the configuration file and exit",
            },
            Definition {
                names: &["-sl", "--signal"],
                value: "signal[=pid]",
                effect: Effect::Text(|flags, text| {
                    flags.signal = (!text.is_empty()).then_some(text);
                }),
                help: "Send ldm, stop, quit, term, reopen or reload to a running server;\n\
                       \x20                                      pid is a number, a pid file, or a prefix with a star",
            },
            Definition {
                names: &["--client_advertise"],
                value: "host[:port]",
                effect: Effect::Text(|flags, text| flags.settings.client_advertise = Some(text)),
                help: "Address that clients are told to connect to",
            },
            Definition {
                names: &["--ports_file_dir"],
                value: "directory",
                effect: Effect::Text(|flags, text| flags.settings.ports_file_dir = Some(text)),
                help: "Directory to write <executable>_<pid>.ports to, with all listeners",
            },
            Definition {
                names: &["--reactors"],
                value: "number",
                effect: Effect::Checked(|flags, text| {
                    let number = count::<usize>(text)?;
                    // One peer owns the streams.
                    const REACTOR_COUNT_MAX: usize = PEER_COUNT_MAX - 1;
                    if !(1..=REACTOR_COUNT_MAX).contains(&number) {
                        return Err(format!("write 1 to {REACTOR_COUNT_MAX}"));
                    }
                    flags.settings.reactors = Some(number);
                    Ok(())
                }),
                help: "Threads that serve clients (chosen for the machine)",
            },
        ],
    },
    Section {
        title: "Logging",
        flags: &[
            Definition {
                names: &["-l", "--log"],
                value: "file",
                effect: Effect::Text(|flags, file| flags.settings.log_file = Some(file)),
                help: "File to log to (standard error)",
            },
            Definition {
                names: &["--log_format"],
                value: "text|json",
                effect: Effect::Checked(|flags, text| {
                    flags.settings.log_format = Some(match text {
                        "text" => LogFormat::Text,
                        "json" => LogFormat::Json,
                        _ => return Err("write text or json".to_owned()),
                    });
                    Ok(())
                }),
                help: "Log lines, or one JSON object a line (text)",
            },
            Definition {
                names: &["-T", "--logtime"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.log_time = Some(on)),
                help: "Write the time on each line (true)",
            },
            Definition {
                names: &["--logtime_utc"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.log_utc = Some(on)),
                help: "Write it in UTC and not in local time (false)",
            },
            Definition {
                names: &["-s", "--syslog"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.syslog = Some(on)),
                help: "Log to the syslog of this machine",
            },
            Definition {
                names: &["-r", "--remote_syslog"],
                value: "url",
                effect: Effect::Text(|flags, url| flags.settings.remote_syslog = Some(url)),
                help: "Log to a syslog elsewhere, such as udp://localhost:514",
            },
            Definition {
                names: &["-D", "--debug"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.debug = Some(on)),
                help: "Log what helps to find faults",
            },
            Definition {
                names: &["-V", "--trace"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.trace = Some(on)),
                help: "Log the protocol",
            },
            Definition {
                names: &["-VV"],
                value: "",
                effect: Effect::Switch(|parsing, on| {
                    parsing.flags.settings.trace = Some(on);
                    parsing.flags.settings.trace_verbose = Some(on);
                }),
                help: "Log the protocol, of the system account too",
            },
            Definition {
                names: &["-DV"],
                value: "",
                effect: Effect::Switch(|parsing, on| {
                    parsing.flags.settings.debug = Some(on);
                    parsing.flags.settings.trace = Some(on);
                }),
                help: "Both -D and -V",
            },
            Definition {
                names: &["-DVV"],
                value: "",
                effect: Effect::Switch(|parsing, on| {
                    parsing.flags.settings.debug = Some(on);
                    parsing.flags.settings.trace = Some(on);
                    parsing.flags.settings.trace_verbose = Some(on);
                }),
                help: "Both -D and -VV",
            },
            Definition {
                names: &["--log_size_limit"],
                value: "bytes",
                effect: Effect::Checked(|flags, text| {
                    flags.settings.log_size_bytes_max = Some(count(text)?);
                    Ok(())
                }),
                help: "Start a new log file when this one is larger (never)",
            },
            Definition {
                names: &["--max_traced_msg_len"],
                value: "bytes",
                effect: Effect::Checked(|flags, text| {
                    flags.settings.traced_message_bytes_max = Some(count(text)?);
                    Ok(())
                }),
                help: "Show no more of a payload in a trace line (all)",
            },
        ],
    },
    Section {
        title: "Authorization",
        flags: &[
            Definition {
                names: &["--user"],
                value: "name",
                effect: Effect::Text(|flags, name| flags.settings.user = Some(name)),
                help: "User that clients must present",
            },
            Definition {
                names: &["--pass"],
                value: "password",
                effect: Effect::Text(|flags, text| {
                    flags.settings.password = Some(Secret::new(text));
                }),
                help: "Password of that user",
            },
            Definition {
                names: &["--auth"],
                value: "token",
                effect: Effect::Text(|flags, text| flags.settings.token = Some(Secret::new(text))),
                help: "Token that clients must present",
            },
        ],
    },
    Section {
        title: "JetStream",
        flags: &[
            Definition {
                names: &["-js", "--jetstream"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.flags.settings.jetstream = Some(on)),
                help: "Keep streams",
            },
            Definition {
                names: &["-sd", "--store_dir"],
                value: "directory",
                effect: Effect::Text(|flags, text| flags.settings.store_dir = Some(text)),
                help: "Directory to keep them in",
            },
        ],
    },
    Section {
        title: "Known, but not served yet",
        flags: &[
            Definition {
                names: &["--tls"],
                value: "",
                effect: Effect::NotServed(TLS, Off::False),
                help: "TLS for clients",
            },
            Definition {
                names: &["--tlscert"],
                value: "file",
                effect: Effect::NotServed(TLS, Off::Empty),
                help: "Certificate of the server",
            },
            Definition {
                names: &["--tlskey"],
                value: "file",
                effect: Effect::NotServed(TLS, Off::Empty),
                help: "Private key of that certificate",
            },
            Definition {
                names: &["--tlsverify"],
                value: "",
                effect: Effect::NotServed(TLS, Off::False),
                help: "TLS, and clients must present a certificate",
            },
            Definition {
                names: &["--tlscacert"],
                value: "file",
                effect: Effect::NotServed(TLS, Off::Empty),
                help: "Authorities that certificates of clients come from",
            },
            Definition {
                names: &["--help_tls"],
                value: "",
                effect: Effect::NotServed(TLS, Off::False),
                help: "How to configure TLS",
            },
            Definition {
                names: &["--cluster", "--cluster_listen"],
                value: "url",
                effect: Effect::NotServed(CLUSTER, Off::Empty),
                help: "Address to listen on for other servers",
            },
            Definition {
                names: &["--routes"],
                value: "urls",
                effect: Effect::NotServed(CLUSTER, Off::Empty),
                help: "Servers to connect to, with commas between",
            },
            Definition {
                names: &["--cluster_name"],
                value: "name",
                effect: Effect::NotServed(CLUSTER, Off::Empty),
                help: "Name of the cluster",
            },
            Definition {
                names: &["--cluster_advertise"],
                value: "host[:port]",
                effect: Effect::NotServed(CLUSTER, Off::Empty),
                help: "Address that other servers are told",
            },
            Definition {
                names: &["--no_advertise"],
                value: "",
                effect: Effect::NotServed(CLUSTER, Off::False),
                help: "Do not tell clients about other servers",
            },
            Definition {
                names: &["--connect_retries"],
                value: "number",
                effect: Effect::NotServed(CLUSTER, Off::Zero),
                help: "Attempts to connect to a server that another one named",
            },
            Definition {
                names: &["--profile"],
                value: "port",
                effect: Effect::NotServed("profiling", Off::Zero),
                help: "Port to serve profiles on",
            },
        ],
    },
    Section {
        title: "Common",
        flags: &[
            Definition {
                names: &["-h", "--help"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.help = on),
                help: "Print this text",
            },
            Definition {
                names: &["-v", "--version"],
                value: "",
                effect: Effect::Switch(|parsing, on| parsing.version = on),
                help: "Print the version",
            },
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, FlagError> {
        Flags::parse(line.split_whitespace().map(OsString::from))
    }

    /// `line` must be read as what `expect` makes of the settings.
    #[track_caller]
    fn check(line: &str, expect: impl Fn(&mut Settings)) {
        let mut settings = Settings::default();
        expect(&mut settings);
        let flags = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(flags.settings, settings, "{line}");
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let error = parse(line).expect_err(line).to_string();
        assert_eq!(error, expected, "{line}");
        assert!(!error.contains('\n'), "one line: {error}");
    }

    #[test]
    fn every_way_to_write_a_flag() {
        for line in ["-p 1", "--p 1", "-p=1", "--p=1", "-port 1", "--port=1", "-p 9 -p 1"] {
            check(line, |s| s.port = Some(Port::Number(1)));
        }
        check("-p -1", |s| s.port = Some(Port::Free));
        check("-p=-1", |s| s.port = Some(Port::Free));
        check("-p 0", |s| s.port = Some(Port::Unset));
        check("--user=a=b", |s| s.user = Some("a=b".into()));
        check("--user -p", |s| s.user = Some("-p".into()));
        check("--user=", |s| s.user = Some(String::new()));
    }

    #[test]
    fn switches() {
        for on in ["-D", "--debug", "-D=true", "-D=1", "-D=t", "-D=T", "-D=TRUE", "--D=True"] {
            check(on, |s| s.debug = Some(true));
        }
        for off in ["-D=false", "-D=0", "-D=f", "-D=F", "-D=FALSE", "-D=False", "-D -D=false"] {
            check(off, |s| s.debug = Some(false));
        }
        check("-T=false", |s| s.log_time = Some(false));
        check("-DV", |s| (s.debug, s.trace) = (Some(true), Some(true)));
        check("-VV", |s| (s.trace, s.trace_verbose) = (Some(true), Some(true)));
        check("-DVV", |s| {
            (s.debug, s.trace, s.trace_verbose) = (Some(true), Some(true), Some(true));
        });
        check("-DV=false", |s| (s.debug, s.trace) = (Some(false), Some(false)));
        // A switch takes no value after a space.
        check_error("-D false", "unrecognized command: \"false\"");
    }

    #[test]
    fn every_flag_that_takes_a_text() {
        type Field = fn(&mut Settings) -> &mut Option<String>;
        let fields: &[(&[&str], Field)] = &[
            (&["a", "addr", "net"], |s| &mut s.host),
            (&["n", "name", "server_name"], |s| &mut s.server_name),
            (&["P", "pid"], |s| &mut s.pid_file),
            (&["client_advertise"], |s| &mut s.client_advertise),
            (&["ports_file_dir"], |s| &mut s.ports_file_dir),
            (&["l", "log"], |s| &mut s.log_file),
            (&["r", "remote_syslog"], |s| &mut s.remote_syslog),
            (&["user"], |s| &mut s.user),
            (&["sd", "store_dir"], |s| &mut s.store_dir),
        ];
        for (names, field) in fields {
            for name in *names {
                check(&format!("-{name} x"), |s| *field(s) = Some("x".into()));
                check(&format!("--{name}=x"), |s| *field(s) = Some("x".into()));
            }
        }
        check("--pass x", |s| s.password = Some(Secret::new("x")));
        check("--auth x", |s| s.token = Some(Secret::new("x")));
        for line in ["-c x", "--config=x"] {
            assert_eq!(parse(line).unwrap().config, Some(PathBuf::from("x")));
        }
        for line in ["-sl ldm=x", "-sl=ldm=x", "--signal=ldm=x"] {
            assert_eq!(parse(line).unwrap().signal.as_deref(), Some("ldm=x"));
        }
    }

    #[test]
    fn every_other_flag() {
        check("-m 1", |s| s.http_port = Some(Port::Number(1)));
        check("--http_port=-1", |s| s.http_port = Some(Port::Free));
        check("--logtime=false", |s| s.log_time = Some(false));
        check("--logtime_utc", |s| s.log_utc = Some(true));
        check("-s", |s| s.syslog = Some(true));
        check("--syslog", |s| s.syslog = Some(true));
        check("-V", |s| s.trace = Some(true));
        check("--trace", |s| s.trace = Some(true));
        check("--log_size_limit 10", |s| s.log_size_bytes_max = Some(10));
        check("--log_size_limit -1", |s| s.log_size_bytes_max = Some(0));
        check("--max_traced_msg_len 10", |s| s.traced_message_bytes_max = Some(10));
        check("--log_format json", |s| s.log_format = Some(LogFormat::Json));
        check("--log_format=text", |s| s.log_format = Some(LogFormat::Text));
        check("--reactors 4", |s| s.reactors = Some(4));
        check("-js", |s| s.jetstream = Some(true));
        check("--jetstream=false", |s| s.jetstream = Some(false));
        assert!(parse("-t").unwrap().test);
        assert!(!parse("-t=false").unwrap().test);
    }

    #[test]
    fn numbers_as_go_reads_them() {
        for (text, number) in [
            ("0x10", 16),
            ("0X1f", 31),
            ("010", 8),
            ("0o10", 8),
            ("0b11", 3),
            ("1_000", 1000),
            ("+7", 7),
            ("-0", 0),
            ("0_7", 7),
            ("0x_f", 15),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(integer(text), Ok(number), "{text}");
        }
        for wrong in ["", "-", "+-1", "--1", "1_", "_1", "1__0", "0x", "09", "1.0", "1k", " 1", "٣"]
        {
            assert_eq!(integer(wrong), Err("not a whole number".into()), "{wrong}");
        }
        assert_eq!(integer("9223372036854775808"), Err("out of range".into()));
    }

    #[test]
    fn what_is_shown_instead_of_starting() {
        for line in ["-v", "--version", "version", "VERSION", "-h -v", "-js -v", "-p 1 version x"] {
            assert_eq!(parse(line).unwrap().show, Some(Show::Version), "{line}");
        }
        for line in ["-h", "--help", "help", "Help", "-js -h", "-- help", "foo -h=false help"] {
            if line.starts_with("foo") {
                check_error(line, "unrecognized command: \"foo\"");
            } else {
                assert_eq!(parse(line).unwrap().show, Some(Show::Help), "{line}");
            }
        }
        assert_eq!(parse("-h=false").unwrap().show, None);
        assert_eq!(parse("").unwrap(), Flags::default());
        assert_eq!(parse("--").unwrap(), Flags::default());
    }

    #[test]
    fn mistakes() {
        check_error("foo", "unrecognized command: \"foo\"");
        check_error("-", "unrecognized command: \"-\"");
        check_error("-- -p", "unrecognized command: \"-p\"");
        check_error("---p", "bad flag syntax: ---p");
        check_error("-=1", "bad flag syntax: -=1");
        check_error("--=1", "bad flag syntax: --=1");
        check_error("--prot 1", "unknown flag: -prot (did you mean --port?); -h shows all flags");
        check_error("-jss", "unknown flag: -jss (did you mean -js?); -h shows all flags");
        check_error("-bogus", "unknown flag: -bogus; -h shows all flags");
        check_error("-p", "flag needs a value: -p");
        check_error("-p abc", "invalid value \"abc\" for flag -p: not a whole number");
        check_error(
            "-p 70000",
            "invalid value \"70000\" for flag -p: 70000 is not a port; ports are 1 to 65535, or -1 for a free one",
        );
        check_error("-D=maybe", "invalid value \"maybe\" for flag -D: write true or false");
        check_error(
            "--log_format xml",
            "invalid value \"xml\" for flag -log_format: write text or json",
        );
        check_error("--reactors 0", "invalid value \"0\" for flag -reactors: write 1 to 63");
        let spaces = Flags::parse(["-n".into(), "a b".into()]).unwrap_err().to_string();
        assert_eq!(
            spaces,
            "invalid value \"a b\" for flag -n: a server name cannot contain spaces"
        );
    }

    #[test]
    fn flags_of_features_that_are_not_served() {
        check_error("--tls", "-tls: TLS is not served yet by this version");
        check_error("--tls --tlscert x", "-tls, -tlscert: TLS is not served yet by this version");
        for line in [
            "--tls",
            "--tlscert x",
            "--tlskey x",
            "--tlsverify",
            "--tlscacert x",
            "--help_tls",
            "--cluster nats://x:1",
            "--cluster_listen x",
            "--routes x",
            "--cluster_name x",
            "--cluster_advertise x",
            "--no_advertise",
            "--connect_retries 3",
            "--profile 6060",
            "-ms 8443",
            "--https_port=1",
        ] {
            let error = parse(line).expect_err(line);
            assert!(matches!(error, FlagError::NotServed { .. }), "{line}: {error}");
        }
        // Their values are checked, and asking for nothing is granted.
        check_error("-js=x", "invalid value \"x\" for flag -js: write true or false");
        check_error("-ms x", "invalid value \"x\" for flag -ms: not a whole number");
        for line in ["--tls=false", "--routes=", "--profile 0", "-ms 0"] {
            check(line, |_| ());
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text() {
        use std::os::unix::ffi::OsStringExt;
        let argument = OsString::from_vec(vec![b'-', 0xff]);
        assert_eq!(Flags::parse(["-D".into(), argument]), Err(FlagError::NotText(2)));
    }

    #[test]
    fn the_usage_names_every_flag_once() {
        let usage = Flags::usage("fulmar");
        let mut names: Vec<_> = definitions().flat_map(|definition| definition.names).collect();
        for name in &names {
            assert!(usage.contains(*name), "{name}");
        }
        let all = names.len();
        names.sort_by_key(|name| undashed(name));
        names.dedup_by_key(|name| undashed(name));
        assert_eq!(names.len(), all, "two flags of one name");
        assert!(usage.lines().all(|line| line.len() <= 110), "lines fit a terminal");
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(arguments: Vec<String>) {
            let _ = Flags::parse(arguments.into_iter().map(OsString::from));
        }

        #[test]
        fn no_number_makes_it_panic(text in "[-+]?0?[xXoObB]?[_0-9a-fé]{0,30}") {
            let _ = integer(&text);
        }
    }
}
