//! The numbers by which JetStream tells its errors apart. What they mean to an operation is decided
//! where the operation is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a JetStream error: unlike its text it says exactly what went wrong.
///
/// ```
/// use fulmar_client::jetstream::ErrorCode;
///
/// assert_eq!(ErrorCode::STREAM_NOT_FOUND, ErrorCode(10059));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ErrorCode(pub u16);

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! error_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $text] pub const $name: Self = Self($code);)*
        }
    };
}

error_codes! {
    ACCOUNT_RESOURCES_EXCEEDED = 10002, "10002: resource limits exceeded for account.";
    BAD_REQUEST = 10003, "10003: bad request.";
    CLUSTER_INCOMPLETE = 10004, "10004: incomplete results.";
    CLUSTER_NO_PEERS = 10005, "10005: cluster no peers; the text says why.";
    CLUSTER_NOT_ACTIVE = 10006, "10006: JetStream not in clustered mode.";
    CLUSTER_NOT_ASSIGNED = 10007, "10007: JetStream cluster not assigned to this server.";
    CLUSTER_NOT_AVAIL = 10008, "10008: JetStream system temporarily unavailable.";
    CLUSTER_NOT_LEADER = 10009, "10009: JetStream cluster can not handle request.";
    CLUSTER_REQUIRED = 10010, "10010: JetStream clustering support required.";
    CLUSTER_TAGS = 10011, "10011: tags placement not supported for operation.";
    CONSUMER_CREATE = 10012, "10012: consumer create; the text says why.";
    CONSUMER_NAME_EXIST = 10013, "10013: consumer name already in use.";
    CONSUMER_NOT_FOUND = 10014, "10014: consumer not found.";
    SNAPSHOT_DELIVER_SUBJECT_INVALID = 10015, "10015: deliver subject not valid.";
    CONSUMER_DURABLE_NAME_NOT_IN_SUBJECT = 10016, "10016: consumer expected to be durable but no durable name set in subject.";
    CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT = 10017, "10017: consumer name in subject does not match durable name in request.";
    CONSUMER_DURABLE_NAME_NOT_SET = 10018, "10018: consumer expected to be durable but a durable name was not set.";
    CONSUMER_EPHEMERAL_WITH_DURABLE_IN_SUBJECT = 10019, "10019: consumer expected to be ephemeral but detected a durable name set in subject.";
    CONSUMER_EPHEMERAL_WITH_DURABLE_NAME = 10020, "10020: consumer expected to be ephemeral but a durable name was set in request.";
    STREAM_EXTERNAL_API_OVERLAP = 10021, "10021: stream external api prefix ... must not overlap with ...";
    STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS = 10022, "10022: stream external delivery prefix ... overlaps with stream subject ...";
    INSUFFICIENT_RESOURCES = 10023, "10023: insufficient resources.";
    STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ = 10024, "10024: stream external delivery prefix ... must not contain wildcards.";
    INVALID_JSON = 10025, "10025: invalid JSON: ...";
    MAXIMUM_CONSUMERS_LIMIT = 10026, "10026: maximum consumers limit reached.";
    MAXIMUM_STREAMS_LIMIT = 10027, "10027: maximum number of streams reached.";
    MEMORY_RESOURCES_EXCEEDED = 10028, "10028: insufficient memory resources available.";
    MIRROR_CONSUMER_SETUP_FAILED = 10029, "10029: mirror consumer setup failed; the text says why.";
    MIRROR_MAX_MESSAGE_SIZE_TOO_BIG = 10030, "10030: stream mirror must have max message size >= source.";
    MIRROR_WITH_SOURCES = 10031, "10031: stream mirrors can not also contain other sources.";
    MIRROR_WITH_START_SEQ_AND_TIME = 10032, "10032: stream mirrors can not have both start seq and start time configured.";
    MIRROR_WITH_SUBJECT_FILTERS = 10033, "10033: stream mirrors can not contain filtered subjects.";
    MIRROR_WITH_SUBJECTS = 10034, "10034: stream mirrors can not contain subjects.";
    NO_ACCOUNT = 10035, "10035: account not found.";
    CLUSTER_UN_SUPPORT_FEATURE = 10036, "10036: not currently supported in clustered mode.";
    NO_MESSAGE_FOUND = 10037, "10037: no message found.";
    NOT_EMPTY_REQUEST = 10038, "10038: expected an empty request payload.";
    NOT_ENABLED_FOR_ACCOUNT = 10039, "10039: JetStream not enabled for account.";
    CLUSTER_PEER_NOT_MEMBER = 10040, "10040: peer not a member.";
    RAFT_GENERAL = 10041, "10041: raft general; the text says why.";
    RESTORE_SUBSCRIBE_FAILED = 10042, "10042: JetStream unable to subscribe to restore snapshot ...: ...";
    SEQUENCE_NOT_FOUND = 10043, "10043: sequence ... not found.";
    CLUSTER_SERVER_NOT_MEMBER = 10044, "10044: server is not a member of the cluster.";
    SOURCE_CONSUMER_SETUP_FAILED = 10045, "10045: source consumer setup failed; the text says why.";
    SOURCE_MAX_MESSAGE_SIZE_TOO_BIG = 10046, "10046: stream source must have max message size >= target.";
    STORAGE_RESOURCES_EXCEEDED = 10047, "10047: insufficient storage resources available.";
    STREAM_ASSIGNMENT = 10048, "10048: stream assignment; the text says why.";
    STREAM_CREATE = 10049, "10049: stream create; the text says why.";
    STREAM_DELETE = 10050, "10050: stream delete; the text says why.";
    STREAM_GENERAL = 10051, "10051: stream general; the text says why.";
    STREAM_INVALID_CONFIG = 10052, "10052: stream invalid config; the text says why.";
    STREAM_LIMITS = 10053, "10053: stream limits; the text says why.";
    STREAM_MESSAGE_EXCEEDS_MAXIMUM = 10054, "10054: message size exceeds maximum allowed.";
    STREAM_MIRROR_NOT_UPDATABLE = 10055, "10055: stream mirror configuration can not be updated.";
    STREAM_MISMATCH = 10056, "10056: stream name in subject does not match request.";
    STREAM_MSG_DELETE_FAILED = 10057, "10057: stream msg delete failed; the text says why.";
    STREAM_NAME_EXIST = 10058, "10058: stream name already in use with a different configuration.";
    STREAM_NOT_FOUND = 10059, "10059: stream not found.";
    STREAM_NOT_MATCH = 10060, "10060: expected stream does not match.";
    STREAM_REPLICAS_NOT_UPDATABLE = 10061, "10061: Replicas configuration can not be updated.";
    STREAM_RESTORE = 10062, "10062: restore failed: ...";
    STREAM_SEQUENCE_NOT_MATCH = 10063, "10063: expected stream sequence does not match.";
    STREAM_SNAPSHOT = 10064, "10064: snapshot failed: ...";
    STREAM_SUBJECT_OVERLAP = 10065, "10065: subjects overlap with an existing stream.";
    STREAM_TEMPLATE_CREATE = 10066, "10066: stream template create; the text says why.";
    STREAM_TEMPLATE_DELETE = 10067, "10067: stream template delete; the text says why.";
    STREAM_TEMPLATE_NOT_FOUND = 10068, "10068: template not found.";
    STREAM_UPDATE = 10069, "10069: stream update; the text says why.";
    STREAM_WRONG_LAST_MSG_ID = 10070, "10070: wrong last msg ID: ...";
    STREAM_WRONG_LAST_SEQUENCE = 10071, "10071: wrong last sequence: ...";
    TEMP_STORAGE_FAILED = 10072, "10072: JetStream unable to open temp storage for restore.";
    TEMPLATE_NAME_NOT_MATCH_SUBJECT = 10073, "10073: template name in subject does not match request.";
    STREAM_REPLICAS_NOT_SUPPORTED = 10074, "10074: replicas > 1 not supported in non-clustered mode.";
    PEER_REMAP = 10075, "10075: peer remap failed.";
    NOT_ENABLED = 10076, "10076: JetStream not enabled.";
    STREAM_STORE_FAILED = 10077, "10077: stream store failed; the text says why.";
    CONSUMER_CONFIG_REQUIRED = 10078, "10078: consumer config required.";
    CONSUMER_DELIVER_TO_WILDCARDS = 10079, "10079: consumer deliver subject has wildcards.";
    CONSUMER_PUSH_MAX_WAITING = 10080, "10080: consumer in push mode can not set max waiting.";
    CONSUMER_DELIVER_CYCLE = 10081, "10081: consumer deliver subject forms a cycle.";
    CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED = 10082, "10082: consumer requires ack policy for max ack pending.";
    CONSUMER_SMALL_HEARTBEAT = 10083, "10083: consumer idle heartbeat needs to be >= 100ms.";
    CONSUMER_PULL_REQUIRES_ACK = 10084, "10084: consumer in pull mode requires explicit ack policy on workqueue stream.";
    CONSUMER_PULL_NOT_DURABLE = 10085, "10085: consumer in pull mode requires a durable name.";
    CONSUMER_PULL_WITH_RATE_LIMIT = 10086, "10086: consumer in pull mode can not have rate limit set.";
    CONSUMER_MAX_WAITING_NEGATIVE = 10087, "10087: consumer max waiting needs to be positive.";
    CONSUMER_HB_REQUIRES_PUSH = 10088, "10088: consumer idle heartbeat requires a push based consumer.";
    CONSUMER_FLOW_CONTROL_REQUIRES_PUSH = 10089, "10089: consumer flow control requires a push based consumer.";
    CONSUMER_DIRECT_REQUIRES_PUSH = 10090, "10090: consumer direct requires a push based consumer.";
    CONSUMER_DIRECT_REQUIRES_EPHEMERAL = 10091, "10091: consumer direct requires an ephemeral consumer.";
    CONSUMER_ON_MAPPED = 10092, "10092: consumer direct on a mapped consumer.";
    CONSUMER_FILTER_NOT_SUBSET = 10093, "10093: consumer filter subject is not a valid subset of the interest subjects.";
    CONSUMER_INVALID_POLICY = 10094, "10094: consumer invalid policy; the text says why.";
    CONSUMER_INVALID_SAMPLING = 10095, "10095: failed to parse consumer sampling configuration: ...";
    STREAM_INVALID = 10096, "10096: stream not valid.";
    STREAM_HEADER_EXCEEDS_MAXIMUM = 10097, "10097: header size exceeds maximum allowed of 64k.";
    CONSUMER_WORK_QUEUE_REQUIRES_EXPLICIT_ACK = 10098, "10098: workqueue stream requires explicit ack.";
    CONSUMER_WORK_QUEUE_MULTIPLE_UNFILTERED = 10099, "10099: multiple non-filtered consumers not allowed on workqueue stream.";
    CONSUMER_WORK_QUEUE_CONSUMER_NOT_UNIQUE = 10100, "10100: filtered consumer not unique on workqueue stream.";
    CONSUMER_WORK_QUEUE_CONSUMER_NOT_DELIVER_ALL = 10101, "10101: consumer must be deliver all on workqueue stream.";
    CONSUMER_NAME_TOO_LONG = 10102, "10102: consumer name is too long, maximum allowed is ...";
    CONSUMER_BAD_DURABLE_NAME = 10103, "10103: durable name can not contain '.', '*', '>'.";
    CONSUMER_STORE_FAILED = 10104, "10104: error creating store for consumer: ...";
    CONSUMER_EXISTING_ACTIVE = 10105, "10105: consumer already exists and is still active.";
    CONSUMER_REPLACEMENT_WITH_DIFFERENT_NAME = 10106, "10106: consumer replacement durable config not the same.";
    CONSUMER_DESCRIPTION_TOO_LONG = 10107, "10107: consumer description is too long, maximum allowed is ...";
    CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS = 10108, "10108: consumer with flow control also needs heartbeats.";
    STREAM_SEALED = 10109, "10109: invalid operation on sealed stream.";
    STREAM_PURGE_FAILED = 10110, "10110: stream purge failed; the text says why.";
    STREAM_ROLLUP_FAILED = 10111, "10111: stream rollup failed; the text says why.";
    CONSUMER_INVALID_DELIVER_SUBJECT = 10112, "10112: invalid push consumer deliver subject.";
    STREAM_MAX_BYTES_REQUIRED = 10113, "10113: account requires a stream config to have max bytes set.";
    CONSUMER_MAX_REQUEST_BATCH_NEGATIVE = 10114, "10114: consumer max request batch needs to be > 0.";
    CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL = 10115, "10115: consumer max request expires needs to be >= 1ms.";
    CONSUMER_MAX_DELIVER_BACKOFF = 10116, "10116: max deliver is required to be > length of backoff values.";
    STREAM_INFO_MAX_SUBJECTS = 10117, "10117: subject details would exceed maximum allowed.";
    STREAM_OFFLINE = 10118, "10118: stream is offline.";
    CONSUMER_OFFLINE = 10119, "10119: consumer is offline.";
    NO_LIMITS = 10120, "10120: no JetStream default or applicable tiered limit present.";
    CONSUMER_MAX_PENDING_ACK_EXCESS = 10121, "10121: consumer max ack pending exceeds system limit of ...";
    STREAM_MAX_STREAM_BYTES_EXCEEDED = 10122, "10122: stream max bytes exceeds account limit max stream bytes.";
    STREAM_MOVE_AND_SCALE = 10123, "10123: can not move and scale a stream in a single update.";
    STREAM_MOVE_IN_PROGRESS = 10124, "10124: stream move already in progress.";
    CONSUMER_MAX_REQUEST_BATCH_EXCEEDED = 10125, "10125: consumer max request batch exceeds server limit of ...";
    CONSUMER_REPLICAS_EXCEEDS_STREAM = 10126, "10126: consumer config replica count exceeds parent stream.";
    CONSUMER_NAME_CONTAINS_PATH_SEPARATORS = 10127, "10127: Consumer name can not contain path separators.";
    STREAM_NAME_CONTAINS_PATH_SEPARATORS = 10128, "10128: Stream name can not contain path separators.";
    STREAM_RECONFIGURE_NOT_IN_PROGRESS = 10129, "10129: stream reconfiguration not in progress.";
    STREAM_NAME_EXIST_RESTORE_FAILED = 10130, "10130: stream name already in use, cannot restore.";
    CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH = 10131, "10131: Consumer create request did not match filtered subject from create subject.";
    CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH = 10132, "10132: Consumer Durable and Name have to be equal if both are provided.";
    REPLICAS_COUNT_CANNOT_BE_NEGATIVE = 10133, "10133: replicas count cannot be negative.";
    CONSUMER_REPLICAS_SHOULD_MATCH_STREAM = 10134, "10134: consumer config replicas must match interest retention stream's replicas.";
    CONSUMER_METADATA_LENGTH = 10135, "10135: consumer metadata exceeds maximum size of ...";
    CONSUMER_DUPLICATE_FILTER_SUBJECTS = 10136, "10136: consumer cannot have both FilterSubject and FilterSubjects specified.";
    CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED = 10137, "10137: consumer with multiple subject filters cannot use subject based API.";
    CONSUMER_OVERLAPPING_SUBJECT_FILTERS = 10138, "10138: consumer subject filters cannot overlap.";
    CONSUMER_EMPTY_FILTER = 10139, "10139: consumer filter in FilterSubjects cannot be empty.";
    SOURCE_DUPLICATE_DETECTED = 10140, "10140: duplicate source configuration detected.";
    SOURCE_INVALID_STREAM_NAME = 10141, "10141: sourced stream name is invalid.";
    MIRROR_INVALID_STREAM_NAME = 10142, "10142: mirrored stream name is invalid.";
    MIRROR_WITH_FIRST_SEQ = 10143, "10143: stream mirrors can not have first sequence configured.";
    SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED = 10144, "10144: source with multiple subject transforms cannot also have a single subject filter.";
    SOURCE_INVALID_SUBJECT_FILTER = 10145, "10145: source transform source: ...";
    SOURCE_INVALID_TRANSFORM_DESTINATION = 10146, "10146: source transform: ...";
    SOURCE_OVERLAPPING_SUBJECT_FILTERS = 10147, "10147: source filters can not overlap.";
    CONSUMER_ALREADY_EXISTS = 10148, "10148: consumer already exists.";
    CONSUMER_DOES_NOT_EXIST = 10149, "10149: consumer does not exist.";
    MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED = 10150, "10150: mirror with multiple subject transforms cannot also have a single subject filter.";
    MIRROR_INVALID_SUBJECT_FILTER = 10151, "10151: mirror transform source: ...";
    MIRROR_OVERLAPPING_SUBJECT_FILTERS = 10152, "10152: mirror subject filters can not overlap.";
    CONSUMER_INACTIVE_THRESHOLD_EXCESS = 10153, "10153: consumer inactive threshold exceeds system limit of ...";
    MIRROR_INVALID_TRANSFORM_DESTINATION = 10154, "10154: mirror transform: ...";
    STREAM_TRANSFORM_INVALID_SOURCE = 10155, "10155: stream transform source: ...";
    STREAM_TRANSFORM_INVALID_DESTINATION = 10156, "10156: stream transform: ...";
    PEDANTIC = 10157, "10157: pedantic mode: ...";
    STREAM_DUPLICATE_MESSAGE_CONFLICT = 10158, "10158: duplicate message id is in process.";
    CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP = 10159, "10159: Setting PriorityPolicy requires at least one PriorityGroup to be set.";
    CONSUMER_INVALID_PRIORITY_GROUP = 10160, "10160: Provided priority group does not exist for this consumer.";
    CONSUMER_EMPTY_GROUP_NAME = 10161, "10161: Group name cannot be an empty string.";
    CONSUMER_INVALID_GROUP_NAME = 10162, "10162: Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters.";
    STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY = 10163, "10163: expected last sequence per subject temporarily unavailable.";
    STREAM_WRONG_LAST_SEQUENCE_CONSTANT = 10164, "10164: wrong last sequence.";
    MESSAGE_TTL_INVALID = 10165, "10165: invalid per-message TTL.";
    MESSAGE_TTL_DISABLED = 10166, "10166: per-message TTL is disabled.";
    STREAM_TOO_MANY_REQUESTS = 10167, "10167: too many requests.";
    MESSAGE_INCR_DISABLED = 10168, "10168: message counters is disabled.";
    MESSAGE_INCR_MISSING = 10169, "10169: message counter increment is missing.";
    MESSAGE_INCR_PAYLOAD = 10170, "10170: message counter has payload.";
    MESSAGE_INCR_INVALID = 10171, "10171: message counter increment is invalid.";
    MESSAGE_COUNTER_BROKEN = 10172, "10172: message counter is broken.";
    MIRROR_WITH_COUNTERS = 10173, "10173: stream mirrors can not also calculate counters.";
    ATOMIC_PUBLISH_DISABLED = 10174, "10174: atomic publish is disabled.";
    ATOMIC_PUBLISH_MISSING_SEQ = 10175, "10175: atomic publish sequence is missing.";
    ATOMIC_PUBLISH_INCOMPLETE_BATCH = 10176, "10176: atomic publish batch is incomplete.";
    ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH = 10177, "10177: atomic publish unsupported header used: ...";
    CONSUMER_PUSH_WITH_PRIORITY_GROUP = 10178, "10178: priority groups can not be used with push consumers.";
    ATOMIC_PUBLISH_INVALID_BATCH_ID = 10179, "10179: atomic publish batch ID is invalid.";
    STREAM_MIN_LAST_SEQ = 10180, "10180: min last sequence.";
    CONSUMER_ACK_POLICY_INVALID = 10181, "10181: consumer ack policy invalid.";
    CONSUMER_REPLAY_POLICY_INVALID = 10182, "10182: consumer replay policy invalid.";
    CONSUMER_ACK_WAIT_NEGATIVE = 10183, "10183: consumer ack wait needs to be positive.";
    CONSUMER_BACK_OFF_NEGATIVE = 10184, "10184: consumer backoff needs to be positive.";
    REQUIRED_API_LEVEL = 10185, "10185: JetStream minimum api level required.";
    MIRROR_WITH_MSG_SCHEDULES = 10186, "10186: stream mirrors can not also schedule messages.";
    SOURCE_WITH_MSG_SCHEDULES = 10187, "10187: stream source can not also schedule messages.";
    MESSAGE_SCHEDULES_DISABLED = 10188, "10188: message schedules is disabled.";
    MESSAGE_SCHEDULES_PATTERN_INVALID = 10189, "10189: message schedules pattern is invalid.";
    MESSAGE_SCHEDULES_TARGET_INVALID = 10190, "10190: message schedules target is invalid.";
    MESSAGE_SCHEDULES_TTL_INVALID = 10191, "10191: message schedules invalid per-message TTL.";
    MESSAGE_SCHEDULES_ROLLUP_INVALID = 10192, "10192: message schedules invalid rollup.";
    STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID = 10193, "10193: missing sequence for expected last sequence per subject.";
    STREAM_OFFLINE_REASON = 10194, "10194: stream is offline: ...";
    CONSUMER_OFFLINE_REASON = 10195, "10195: consumer is offline: ...";
    CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE = 10196, "10196: consumer can not have priority groups when policy is none.";
    CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE = 10197, "10197: PinnedTTL cannot be set when PriorityPolicy is none.";
    MIRROR_WITH_ATOMIC_PUBLISH = 10198, "10198: stream mirrors can not also use atomic publishing.";
    ATOMIC_PUBLISH_TOO_LARGE_BATCH = 10199, "10199: atomic publish batch is too large: ...";
    ATOMIC_PUBLISH_INVALID_BATCH_COMMIT = 10200, "10200: atomic publish batch commit is invalid.";
    ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE = 10201, "10201: atomic publish batch contains duplicate message id.";
    CLUSTER_SERVER_MEMBER_CHANGE_INFLIGHT = 10202, "10202: cluster member change is in progress.";
    MESSAGE_SCHEDULES_SOURCE_INVALID = 10203, "10203: message schedules source is invalid.";
    CONSUMER_INVALID_RESET = 10204, "10204: invalid reset: ...";
    BATCH_PUBLISH_DISABLED = 10205, "10205: batch publish is disabled.";
    BATCH_PUBLISH_INVALID_PATTERN = 10206, "10206: batch publish pattern is invalid.";
    BATCH_PUBLISH_INVALID_BATCH_ID = 10207, "10207: batch publish ID is invalid.";
    BATCH_PUBLISH_UNKNOWN_BATCH_ID = 10208, "10208: batch publish ID unknown.";
    MIRROR_WITH_BATCH_PUBLISH = 10209, "10209: stream mirrors can not also use batch publishing.";
    ATOMIC_PUBLISH_TOO_MANY_INFLIGHT = 10210, "10210: atomic publish too many inflight.";
    BATCH_PUBLISH_TOO_MANY_INFLIGHT = 10211, "10211: batch publish too many inflight.";
    MESSAGE_SCHEDULES_SCHEDULER_INVALID = 10212, "10212: message schedules invalid scheduler.";
    MIRROR_DURABLE_CONSUMER_CFG_INVALID = 10213, "10213: stream mirror consumer config is invalid.";
    MIRROR_CONSUMER_REQUIRES_ACK_FLOW_CONTROL = 10214, "10214: stream mirror consumer requires flow control ack policy.";
    SOURCE_DURABLE_CONSUMER_CFG_INVALID = 10215, "10215: stream source consumer config is invalid.";
    SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED = 10216, "10216: duplicate stream source consumer detected.";
    SOURCE_CONSUMER_REQUIRES_ACK_FLOW_CONTROL = 10217, "10217: stream source consumer requires flow control ack policy.";
    CONSUMER_ACK_FLOW_CONTROL_REQUIRES_PUSH = 10218, "10218: flow control ack policy requires a push based consumer.";
    CONSUMER_ACK_FLOW_CONTROL_REQUIRES_FLOW_CONTROL = 10219, "10219: flow control ack policy requires flow control.";
    CONSUMER_ACK_FLOW_CONTROL_REQUIRES_MAX_ACK_PENDING = 10220, "10220: flow control ack policy requires max ack pending.";
    CONSUMER_ACK_FLOW_CONTROL_REQUIRES_NO_ACK_WAIT = 10221, "10221: flow control ack policy requires unset ack wait.";
    CONSUMER_ACK_FLOW_CONTROL_REQUIRES_NO_MAX_DELIVER = 10222, "10222: flow control ack policy requires unset max deliver.";
    MESSAGE_SCHEDULES_TIME_ZONE_INVALID = 10223, "10223: message schedules time zone is invalid.";
    CLUSTER_RESCUE = 10224, "10224: JetStream system rescue not applied: ...";
    CONSUMER_STREAM_IDENTITY_MISMATCH = 10225, "10225: consumer's stream identity does not match: ...";
    STREAM_RECONFIGURE_IN_PROGRESS = 10226, "10226: stream reconfiguration already in progress.";
    MESSAGE_SOURCE_HDR_NOT_ALLOWED = 10227, "10227: message stream source header is not allowed.";
}
