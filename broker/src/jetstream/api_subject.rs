//! What a request to `$JS.API.…` asks for, read from its subject alone.
//!
//! What the body says, and whether the thing exists, is not known here.

use std::str;

/// The beginning of all API subjects.
const PREFIX: &[u8] = b"$JS.API.";

/// What is asked for. Names are parts of the subject, and not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `INFO`
    Info,
    /// `STREAM.CREATE.<stream>`
    StreamCreate(&'a str),
    /// `STREAM.UPDATE.<stream>`
    StreamUpdate(&'a str),
    /// `STREAM.NAMES`
    StreamNames,
    /// `STREAM.LIST`
    StreamList,
    /// `STREAM.INFO.<stream>`
    StreamInfo(&'a str),
    /// `STREAM.DELETE.<stream>`
    StreamDelete(&'a str),
    /// `STREAM.PURGE.<stream>`
    StreamPurge(&'a str),
    /// `STREAM.MSG.GET.<stream>`
    MessageGet(&'a str),
    /// `STREAM.MSG.DELETE.<stream>`
    MessageDelete(&'a str),
    /// `STREAM.SNAPSHOT.<stream>`
    StreamSnapshot(&'a str),
    /// `STREAM.RESTORE.<stream>`
    StreamRestore(&'a str),
    /// `STREAM.PEER.REMOVE.<stream>`
    StreamPeerRemove(&'a str),
    /// `STREAM.PEER.EVACUATE.<stream>`
    StreamPeerEvacuate(&'a str),
    /// `STREAM.CANCEL_MOVE.<stream>`
    StreamCancelMove(&'a str),
    /// `STREAM.LEADER.STEPDOWN.<stream>`
    StreamLeaderStepDown(&'a str),
    /// `CONSUMER.CREATE.<stream>[.<consumer>[.<filter>]]`
    ConsumerCreate {
        /// The stream.
        stream: &'a str,
        /// The consumer, unless the server is to find a name.
        consumer: Option<&'a str>,
        /// The filter, which must be that of the configuration.
        filter: Option<&'a str>,
    },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`
    DurableCreate(&'a str, &'a str),
    /// `CONSUMER.NAMES.<stream>`
    ConsumerNames(&'a str),
    /// `CONSUMER.LIST.<stream>`
    ConsumerList(&'a str),
    /// `CONSUMER.INFO.<stream>.<consumer>`
    ConsumerInfo(&'a str, &'a str),
    /// `CONSUMER.DELETE.<stream>.<consumer>`
    ConsumerDelete(&'a str, &'a str),
    /// `CONSUMER.PAUSE.<stream>.<consumer>`
    ConsumerPause(&'a str, &'a str),
    /// `CONSUMER.UNPIN.<stream>.<consumer>`
    ConsumerUnpin(&'a str, &'a str),
    /// `CONSUMER.RESET.<stream>.<consumer>`
    ConsumerReset(&'a str, &'a str),
    /// `CONSUMER.MSG.NEXT.<stream>.<consumer>`
    ConsumerNext(&'a str, &'a str),
    /// `CONSUMER.LEADER.STEPDOWN.<stream>.<consumer>`
    ConsumerLeaderStepDown(&'a str, &'a str),
    /// `DIRECT.GET.<stream>[.<subject>]`
    DirectGet {
        /// The stream.
        stream: &'a str,
        /// The subject whose last message is asked for; the body says what, if there is none.
        subject: Option<&'a str>,
    },
    /// `META.LEADER.STEPDOWN`
    MetaLeaderStepDown,
    /// `META.RESCUE`
    MetaRescue,
    /// `SERVER.REMOVE`
    ServerRemove,
    /// `SERVER.EVACUATE`
    ServerEvacuate,
    /// `ACCOUNT.PURGE.<account>`
    AccountPurge(&'a str),
    /// `ACCOUNT.STREAM.MOVE.<account>.<stream>`
    AccountStreamMove(&'a str, &'a str),
    /// `ACCOUNT.STREAM.CANCEL_MOVE.<account>.<stream>`
    AccountStreamCancelMove(&'a str, &'a str),
    /// Nothing of the API. nats-server lets such a request time out.
    Unknown,
}

impl<'a> Operation<'a> {
    /// What `subject` asks for, or `None` if it does not begin with `$JS.API.`.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let rest = subject.strip_prefix(PREFIX)?;
        let Ok(rest) = str::from_utf8(rest) else { return Some(Self::Unknown) };
        // Five tokens are the most that stand in front of a subject of any length.
        let mut tokens = [""; 6];
        let mut count = 0;
        for token in rest.splitn(tokens.len(), '.') {
            tokens[count] = token;
            count += 1;
        }
        let tokens = &tokens[..count];
        // What a `>` matches begins behind so many tokens.
        let tail = |skipped: usize| {
            let size: usize = tokens[..skipped].iter().map(|token| token.len() + 1).sum();
            &rest[size..]
        };
        Some(match *tokens {
            ["INFO"] => Self::Info,
            ["STREAM", "NAMES"] => Self::StreamNames,
            ["STREAM", "LIST"] => Self::StreamList,
            ["STREAM", "CREATE", stream] => Self::StreamCreate(stream),
            ["STREAM", "UPDATE", stream] => Self::StreamUpdate(stream),
            ["STREAM", "INFO", stream] => Self::StreamInfo(stream),
            ["STREAM", "DELETE", stream] => Self::StreamDelete(stream),
            ["STREAM", "PURGE", stream] => Self::StreamPurge(stream),
            ["STREAM", "SNAPSHOT", stream] => Self::StreamSnapshot(stream),
            ["STREAM", "RESTORE", stream] => Self::StreamRestore(stream),
            ["STREAM", "CANCEL_MOVE", stream] => Self::StreamCancelMove(stream),
            ["STREAM", "MSG", "GET", stream] => Self::MessageGet(stream),
            ["STREAM", "MSG", "DELETE", stream] => Self::MessageDelete(stream),
            ["STREAM", "PEER", "REMOVE", stream] => Self::StreamPeerRemove(stream),
            ["STREAM", "PEER", "EVACUATE", stream] => Self::StreamPeerEvacuate(stream),
            ["STREAM", "LEADER", "STEPDOWN", stream] => Self::StreamLeaderStepDown(stream),
            ["CONSUMER", "CREATE", stream] => {
                Self::ConsumerCreate { stream, consumer: None, filter: None }
            }
            ["CONSUMER", "CREATE", stream, consumer] => {
                Self::ConsumerCreate { stream, consumer: Some(consumer), filter: None }
            }
            ["CONSUMER", "CREATE", stream, consumer, _, ..] => {
                Self::ConsumerCreate { stream, consumer: Some(consumer), filter: Some(tail(4)) }
            }
            ["CONSUMER", "DURABLE", "CREATE", stream, consumer] => {
                Self::DurableCreate(stream, consumer)
            }
            ["CONSUMER", "NAMES", stream] => Self::ConsumerNames(stream),
            ["CONSUMER", "LIST", stream] => Self::ConsumerList(stream),
            ["CONSUMER", "INFO", stream, consumer] => Self::ConsumerInfo(stream, consumer),
            ["CONSUMER", "DELETE", stream, consumer] => Self::ConsumerDelete(stream, consumer),
            ["CONSUMER", "PAUSE", stream, consumer] => Self::ConsumerPause(stream, consumer),
            ["CONSUMER", "UNPIN", stream, consumer] => Self::ConsumerUnpin(stream, consumer),
            ["CONSUMER", "RESET", stream, consumer] => Self::ConsumerReset(stream, consumer),
            ["CONSUMER", "MSG", "NEXT", stream, consumer] => Self::ConsumerNext(stream, consumer),
            ["CONSUMER", "LEADER", "STEPDOWN", stream, consumer] => {
                Self::ConsumerLeaderStepDown(stream, consumer)
            }
            ["DIRECT", "GET", stream] => Self::DirectGet { stream, subject: None },
            ["DIRECT", "GET", stream, _, ..] => Self::DirectGet { stream, subject: Some(tail(3)) },
            ["META", "LEADER", "STEPDOWN"] => Self::MetaLeaderStepDown,
            ["META", "RESCUE"] => Self::MetaRescue,
            ["SERVER", "REMOVE"] => Self::ServerRemove,
            ["SERVER", "EVACUATE"] => Self::ServerEvacuate,
            ["ACCOUNT", "PURGE", account] => Self::AccountPurge(account),
            ["ACCOUNT", "STREAM", "MOVE", account, stream] => {
                Self::AccountStreamMove(account, stream)
            }
            ["ACCOUNT", "STREAM", "CANCEL_MOVE", account, stream] => {
                Self::AccountStreamCancelMove(account, stream)
            }
            _ => Self::Unknown,
        })
    }

    /// The `type` of the answer; empty if the answer is no JSON.
    pub fn response_type(self) -> &'static str {
        macro_rules! api {
            ($name:literal) => {
                concat!("io.nats.jetstream.api.v1.", $name, "_response")
            };
        }
        match self {
            Self::Info => api!("account_info"),
            Self::StreamCreate(_) => api!("stream_create"),
            Self::StreamUpdate(_)
            | Self::AccountStreamMove(..)
            | Self::AccountStreamCancelMove(..) => api!("stream_update"),
            Self::StreamCancelMove(_) => api!("stream_cancel_move"),
            Self::StreamNames => api!("stream_names"),
            Self::StreamList => api!("stream_list"),
            Self::StreamInfo(_) => api!("stream_info"),
            Self::StreamDelete(_) => api!("stream_delete"),
            Self::StreamPurge(_) => api!("stream_purge"),
            Self::MessageGet(_) => api!("stream_msg_get"),
            Self::MessageDelete(_) => api!("stream_msg_delete"),
            Self::StreamSnapshot(_) => api!("stream_snapshot"),
            Self::StreamRestore(_) => api!("stream_restore"),
            Self::StreamPeerRemove(_) => api!("stream_remove_peer"),
            Self::StreamPeerEvacuate(_) => api!("stream_evacuate_peer"),
            Self::StreamLeaderStepDown(_) => api!("stream_leader_stepdown"),
            Self::ConsumerCreate { .. } | Self::DurableCreate(..) => api!("consumer_create"),
            Self::ConsumerNames(_) => api!("consumer_names"),
            Self::ConsumerList(_) => api!("consumer_list"),
            Self::ConsumerInfo(..) => api!("consumer_info"),
            Self::ConsumerDelete(..) => api!("consumer_delete"),
            Self::ConsumerPause(..) => api!("consumer_pause"),
            Self::ConsumerUnpin(..) => api!("consumer_unpin"),
            Self::ConsumerReset(..) => api!("consumer_reset"),
            Self::ConsumerLeaderStepDown(..) => api!("consumer_leader_stepdown"),
            Self::MetaLeaderStepDown => api!("meta_leader_stepdown"),
            Self::MetaRescue => api!("meta_rescue"),
            Self::ServerRemove | Self::ServerEvacuate => api!("meta_server_remove"),
            Self::AccountPurge(_) => api!("account_purge"),
            Self::Unknown => api!("system"),
            Self::ConsumerNext(..) | Self::DirectGet { .. } => "",
        }
    }
}

/// `subject` as it is without the domain, if it names this one: `$JS.<domain>.API.INFO` is
/// `$JS.API.INFO`, `$JS.<domain>.API.$KV.b.k` is `$KV.b.k`.
pub fn without_domain(subject: &[u8], domain: &str) -> Option<Vec<u8>> {
    let rest = subject.strip_prefix(b"$JS.")?.strip_prefix(domain.as_bytes())?;
    let rest = rest.strip_prefix(b".API.")?;
    let has_tail = |space: &[u8]| {
        let tail = rest.strip_prefix(space).and_then(|tail| tail.strip_prefix(b"."));
        tail.is_some_and(|tail| !tail.is_empty())
    };
    if has_tail(b"$KV") || has_tail(b"$OBJ") {
        return Some(rest.to_vec());
    }
    let spaces = ["STREAM", "CONSUMER", "DIRECT", "META", "SERVER", "ACCOUNT"];
    (rest == b"INFO" || spaces.iter().any(|space| has_tail(space.as_bytes())))
        .then(|| [PREFIX, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        let check = |subject: &str, expected: Operation<'_>| {
            let subject = format!("$JS.API.{subject}");
            assert_eq!(Operation::parse(subject.as_bytes()), Some(expected), "{subject}");
        };
        check("INFO", Operation::Info);
        check("STREAM.NAMES", Operation::StreamNames);
        check("STREAM.LIST", Operation::StreamList);
        check("STREAM.CREATE.S", Operation::StreamCreate("S"));
        check("STREAM.MSG.GET.S", Operation::MessageGet("S"));
        check("STREAM.LEADER.STEPDOWN.S", Operation::StreamLeaderStepDown("S"));
        let create = |consumer, filter| Operation::ConsumerCreate { stream: "S", consumer, filter };
        check("CONSUMER.CREATE.S", create(None, None));
        check("CONSUMER.CREATE.S.C", create(Some("C"), None));
        check("CONSUMER.CREATE.S.C.f", create(Some("C"), Some("f")));
        check("CONSUMER.CREATE.S.C.f.g.*.h.>", create(Some("C"), Some("f.g.*.h.>")));
        check("CONSUMER.DURABLE.CREATE.S.C", Operation::DurableCreate("S", "C"));
        check("CONSUMER.MSG.NEXT.S.C", Operation::ConsumerNext("S", "C"));
        check("CONSUMER.LEADER.STEPDOWN.S.C", Operation::ConsumerLeaderStepDown("S", "C"));
        let get = |subject| Operation::DirectGet { stream: "S", subject };
        check("DIRECT.GET.S", get(None));
        check("DIRECT.GET.S.a", get(Some("a")));
        check("DIRECT.GET.S.a.b.c.d.e.f", get(Some("a.b.c.d.e.f")));
        check("ACCOUNT.STREAM.MOVE.A.S", Operation::AccountStreamMove("A", "S"));
        for unknown in [
            "",
            "info",
            "INFO.x",
            "STREAM",
            "STREAM.CREATE",
            "STREAM.CREATE.S.T",
            "STREAM.NAMES.S",
            "CONSUMER.DURABLE.CREATE.S",
            "CONSUMER.DURABLE.CREATE.S.C.f",
            "CONSUMER.INFO.S.C.x",
            "CONSUMER.MSG.NEXT.S.C.x",
            "DIRECT.GET",
            "ACCOUNT.STREAM.MOVE.A.S.x",
        ] {
            check(unknown, Operation::Unknown);
        }
        assert_eq!(Operation::parse(b"$JS.API.STREAM.INFO.\xff"), Some(Operation::Unknown));
        assert_eq!(Operation::parse(b"$JS.ACK.x"), None);
        assert_eq!(Operation::parse(b"$JS.API"), None);
    }

    #[test]
    fn domains() {
        let check = |subject: &str, expected: Option<&str>| {
            let found = without_domain(subject.as_bytes(), "hub");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{subject}");
        };
        check("$JS.hub.API.INFO", Some("$JS.API.INFO"));
        check("$JS.hub.API.STREAM.INFO.S", Some("$JS.API.STREAM.INFO.S"));
        check("$JS.hub.API.$KV.b.k", Some("$KV.b.k"));
        check("$JS.hub.API.$OBJ.b", Some("$OBJ.b"));
        check("$JS.hub.API.$KV", None);
        check("$JS.hub.API.STREAM", None);
        check("$JS.hub.API.INFO.x", None);
        check("$JS.hub.API.FOO.x", None);
        check("$JS.hubs.API.INFO", None);
        check("$JS.API.INFO", None);
    }

    #[test]
    fn types() {
        let kind = |subject: &str| Operation::parse(subject.as_bytes()).unwrap().response_type();
        assert_eq!(kind("$JS.API.INFO"), "io.nats.jetstream.api.v1.account_info_response");
        assert_eq!(kind("$JS.API.X"), "io.nats.jetstream.api.v1.system_response");
        assert_eq!(kind("$JS.API.CONSUMER.MSG.NEXT.S.C"), "");
    }

    proptest::proptest! {
        #[test]
        fn no_subject_makes_it_panic(subject in r"\$JS\.API\.[A-Z.é]{0,40}") {
            let _ = Operation::parse(subject.as_bytes());
        }
    }
}
