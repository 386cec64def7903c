//! Every error of the JetStream API: what HTTP would call it, its own number, and its text.
//!
//! When each is returned is not known here. Names and texts are those of nats-server, whose
//! clients compare the number, and some of them the text.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiError {
    /// A status in the manner of HTTP: 400, 404, 500, 503, ...
    pub code: u16,
    /// The number of the error, 10002 and up.
    pub err_code: u32,
    /// The text for people.
    pub description: Cow<'static, str>,
}

impl ApiError {
    const fn new(code: u16, err_code: u32, description: &'static str) -> Self {
        Self { code, err_code, description: Cow::Borrowed(description) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

/// One row an error: a constant, or a function of what its text has to name.
macro_rules! errors {
    ($($code:literal $err_code:literal $name:ident $(($($argument:ident),*))? $description:literal;)*) => {
        $(errors! { @one $code $err_code $name $(($($argument),*))? $description })*

        /// Codes, numbers and texts (with their placeholders) of all errors.
        #[cfg(test)]
        const ALL: &[(u16, u32, &str)] = &[$(($code, $err_code, $description),)*];
    };
    (@one $code:literal $err_code:literal $name:ident $description:literal) => {
        #[doc = concat!($err_code, ": ", $description, ".")]
        pub const $name: ApiError = ApiError::new($code, $err_code, $description);
    };
    (@one $code:literal $err_code:literal $name:ident ($($argument:ident),*) $description:literal) => {
        #[doc = concat!($err_code, ": `", $description, "`.")]
        pub fn $name($($argument: impl fmt::Display),*) -> ApiError {
            ApiError {
                code: $code,
                err_code: $err_code,
                description: Cow::Owned(format!($description)),
            }
        }
    };
}

#[rustfmt::skip]
errors! {
    400 10002 ACCOUNT_RESOURCES_EXCEEDED "resource limits exceeded for account";
    400 10003 BAD_REQUEST "bad request";
    503 10004 CLUSTER_INCOMPLETE "incomplete results";
    400 10005 cluster_no_peers(err) "{err}";
    500 10006 CLUSTER_NOT_ACTIVE "JetStream not in clustered mode";
    500 10007 CLUSTER_NOT_ASSIGNED "JetStream cluster not assigned to this server";
    503 10008 CLUSTER_NOT_AVAIL "JetStream system temporarily unavailable";
    500 10009 CLUSTER_NOT_LEADER "JetStream cluster can not handle request";
    503 10010 CLUSTER_REQUIRED "JetStream clustering support required";
    400 10011 CLUSTER_TAGS "tags placement not supported for operation";
    500 10012 consumer_create(err) "{err}";
    400 10013 CONSUMER_NAME_EXIST "consumer name already in use";
    404 10014 CONSUMER_NOT_FOUND "consumer not found";
    400 10015 SNAPSHOT_DELIVER_SUBJECT_INVALID "deliver subject not valid";
    400 10016 CONSUMER_DURABLE_NAME_NOT_IN_SUBJECT "consumer expected to be durable but no durable name set in subject";
    400 10017 CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT "consumer name in subject does not match durable name in request";
    400 10018 CONSUMER_DURABLE_NAME_NOT_SET "consumer expected to be durable but a durable name was not set";
    400 10019 CONSUMER_EPHEMERAL_WITH_DURABLE_IN_SUBJECT "consumer expected to be ephemeral but detected a durable name set in subject";
    400 10020 CONSUMER_EPHEMERAL_WITH_DURABLE_NAME "consumer expected to be ephemeral but a durable name was set in request";
    400 10021 stream_external_api_overlap(prefix, subject) "stream external api prefix {prefix} must not overlap with {subject}";
    400 10022 stream_external_del_prefix_overlaps(prefix, subject) "stream external delivery prefix {prefix} overlaps with stream subject {subject}";
    503 10023 INSUFFICIENT_RESOURCES "insufficient resources";
    400 10024 stream_invalid_external_delivery_subj(prefix) "stream external delivery prefix {prefix} must not contain wildcards";
    400 10025 invalid_json(err) "invalid JSON: {err}";
    400 10026 MAXIMUM_CONSUMERS_LIMIT "maximum consumers limit reached";
    400 10027 MAXIMUM_STREAMS_LIMIT "maximum number of streams reached";
    500 10028 MEMORY_RESOURCES_EXCEEDED "insufficient memory resources available";
    500 10029 mirror_consumer_setup_failed(err) "{err}";
    400 10030 MIRROR_MAX_MESSAGE_SIZE_TOO_BIG "stream mirror must have max message size >= source";
    400 10031 MIRROR_WITH_SOURCES "stream mirrors can not also contain other sources";
    400 10032 MIRROR_WITH_START_SEQ_AND_TIME "stream mirrors can not have both start seq and start time configured";
    400 10033 MIRROR_WITH_SUBJECT_FILTERS "stream mirrors can not contain filtered subjects";
    400 10034 MIRROR_WITH_SUBJECTS "stream mirrors can not contain subjects";
    503 10035 NO_ACCOUNT "account not found";
    503 10036 CLUSTER_UN_SUPPORT_FEATURE "not currently supported in clustered mode";
    404 10037 NO_MESSAGE_FOUND "no message found";
    400 10038 NOT_EMPTY_REQUEST "expected an empty request payload";
    503 10039 NOT_ENABLED_FOR_ACCOUNT "JetStream not enabled for account";
    400 10040 CLUSTER_PEER_NOT_MEMBER "peer not a member";
    500 10041 raft_general(err) "{err}";
    500 10042 restore_subscribe_failed(subject, err) "JetStream unable to subscribe to restore snapshot {subject}: {err}";
    400 10043 sequence_not_found(seq) "sequence {seq} not found";
    400 10044 CLUSTER_SERVER_NOT_MEMBER "server is not a member of the cluster";
    500 10045 source_consumer_setup_failed(err) "{err}";
    400 10046 SOURCE_MAX_MESSAGE_SIZE_TOO_BIG "stream source must have max message size >= target";
    500 10047 STORAGE_RESOURCES_EXCEEDED "insufficient storage resources available";
    500 10048 stream_assignment(err) "{err}";
    500 10049 stream_create(err) "{err}";
    500 10050 stream_delete(err) "{err}";
    500 10051 stream_general(err) "{err}";
    500 10052 stream_invalid_config(err) "{err}";
    500 10053 stream_limits(err) "{err}";
    400 10054 STREAM_MESSAGE_EXCEEDS_MAXIMUM "message size exceeds maximum allowed";
    400 10055 STREAM_MIRROR_NOT_UPDATABLE "stream mirror configuration can not be updated";
    400 10056 STREAM_MISMATCH "stream name in subject does not match request";
    500 10057 stream_msg_delete_failed(err) "{err}";
    400 10058 STREAM_NAME_EXIST "stream name already in use with a different configuration";
    404 10059 STREAM_NOT_FOUND "stream not found";
    400 10060 STREAM_NOT_MATCH "expected stream does not match";
    400 10061 STREAM_REPLICAS_NOT_UPDATABLE "Replicas configuration can not be updated";
    500 10062 stream_restore(err) "restore failed: {err}";
    503 10063 STREAM_SEQUENCE_NOT_MATCH "expected stream sequence does not match";
    500 10064 stream_snapshot(err) "snapshot failed: {err}";
    400 10065 STREAM_SUBJECT_OVERLAP "subjects overlap with an existing stream";
    500 10066 stream_template_create(err) "{err}";
    500 10067 stream_template_delete(err) "{err}";
    404 10068 STREAM_TEMPLATE_NOT_FOUND "template not found";
    500 10069 stream_update(err) "{err}";
    400 10070 stream_wrong_last_msg_id(id) "wrong last msg ID: {id}";
    400 10071 stream_wrong_last_sequence(seq) "wrong last sequence: {seq}";
    500 10072 TEMP_STORAGE_FAILED "JetStream unable to open temp storage for restore";
    400 10073 TEMPLATE_NAME_NOT_MATCH_SUBJECT "template name in subject does not match request";
    500 10074 STREAM_REPLICAS_NOT_SUPPORTED "replicas > 1 not supported in non-clustered mode";
    503 10075 PEER_REMAP "peer remap failed";
    503 10076 NOT_ENABLED "JetStream not enabled";
    503 10077 stream_store_failed(err) "{err}";
    400 10078 CONSUMER_CONFIG_REQUIRED "consumer config required";
    400 10079 CONSUMER_DELIVER_TO_WILDCARDS "consumer deliver subject has wildcards";
    400 10080 CONSUMER_PUSH_MAX_WAITING "consumer in push mode can not set max waiting";
    400 10081 CONSUMER_DELIVER_CYCLE "consumer deliver subject forms a cycle";
    400 10082 CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED "consumer requires ack policy for max ack pending";
    400 10083 CONSUMER_SMALL_HEARTBEAT "consumer idle heartbeat needs to be >= 100ms";
    400 10084 CONSUMER_PULL_REQUIRES_ACK "consumer in pull mode requires explicit ack policy on workqueue stream";
    400 10085 CONSUMER_PULL_NOT_DURABLE "consumer in pull mode requires a durable name";
    400 10086 CONSUMER_PULL_WITH_RATE_LIMIT "consumer in pull mode can not have rate limit set";
    400 10087 CONSUMER_MAX_WAITING_NEGATIVE "consumer max waiting needs to be positive";
    400 10088 CONSUMER_HB_REQUIRES_PUSH "consumer idle heartbeat requires a push based consumer";
    400 10089 CONSUMER_FC_REQUIRES_PUSH "consumer flow control requires a push based consumer";
    400 10090 CONSUMER_DIRECT_REQUIRES_PUSH "consumer direct requires a push based consumer";
    400 10091 CONSUMER_DIRECT_REQUIRES_EPHEMERAL "consumer direct requires an ephemeral consumer";
    400 10092 CONSUMER_ON_MAPPED "consumer direct on a mapped consumer";
    400 10093 CONSUMER_FILTER_NOT_SUBSET "consumer filter subject is not a valid subset of the interest subjects";
    400 10094 consumer_invalid_policy(err) "{err}";
    400 10095 consumer_invalid_sampling(err) "failed to parse consumer sampling configuration: {err}";
    500 10096 STREAM_INVALID "stream not valid";
    400 10097 STREAM_HEADER_EXCEEDS_MAXIMUM "header size exceeds maximum allowed of 64k";
    400 10098 CONSUMER_WQ_REQUIRES_EXPLICIT_ACK "workqueue stream requires explicit ack";
    400 10099 CONSUMER_WQ_MULTIPLE_UNFILTERED "multiple non-filtered consumers not allowed on workqueue stream";
    400 10100 CONSUMER_WQ_CONSUMER_NOT_UNIQUE "filtered consumer not unique on workqueue stream";
    400 10101 CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL "consumer must be deliver all on workqueue stream";
    400 10102 consumer_name_too_long(max) "consumer name is too long, maximum allowed is {max}";
    400 10103 CONSUMER_BAD_DURABLE_NAME "durable name can not contain '.', '*', '>'";
    500 10104 consumer_store_failed(err) "error creating store for consumer: {err}";
    400 10105 CONSUMER_EXISTING_ACTIVE "consumer already exists and is still active";
    400 10106 CONSUMER_REPLACEMENT_WITH_DIFFERENT_NAME "consumer replacement durable config not the same";
    400 10107 consumer_description_too_long(max) "consumer description is too long, maximum allowed is {max}";
    400 10108 CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS "consumer with flow control also needs heartbeats";
    400 10109 STREAM_SEALED "invalid operation on sealed stream";
    500 10110 stream_purge_failed(err) "{err}";
    500 10111 stream_rollup_failed(err) "{err}";
    400 10112 CONSUMER_INVALID_DELIVER_SUBJECT "invalid push consumer deliver subject";
    400 10113 STREAM_MAX_BYTES_REQUIRED "account requires a stream config to have max bytes set";
    400 10114 CONSUMER_MAX_REQUEST_BATCH_NEGATIVE "consumer max request batch needs to be > 0";
    400 10115 CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL "consumer max request expires needs to be >= 1ms";
    400 10116 CONSUMER_MAX_DELIVER_BACKOFF "max deliver is required to be > length of backoff values";
    500 10117 STREAM_INFO_MAX_SUBJECTS "subject details would exceed maximum allowed";
    500 10118 STREAM_OFFLINE "stream is offline";
    500 10119 CONSUMER_OFFLINE "consumer is offline";
    400 10120 NO_LIMITS "no JetStream default or applicable tiered limit present";
    400 10121 consumer_max_pending_ack_excess(limit) "consumer max ack pending exceeds system limit of {limit}";
    400 10122 STREAM_MAX_STREAM_BYTES_EXCEEDED "stream max bytes exceeds account limit max stream bytes";
    400 10123 STREAM_MOVE_AND_SCALE "can not move and scale a stream in a single update";
    400 10124 STREAM_MOVE_IN_PROGRESS "stream move already in progress";
    400 10125 consumer_max_request_batch_exceeded(limit) "consumer max request batch exceeds server limit of {limit}";
    400 10126 CONSUMER_REPLICAS_EXCEEDS_STREAM "consumer config replica count exceeds parent stream";
    400 10127 CONSUMER_NAME_CONTAINS_PATH_SEPARATORS "Consumer name can not contain path separators";
    400 10128 STREAM_NAME_CONTAINS_PATH_SEPARATORS "Stream name can not contain path separators";
    400 10129 STREAM_RECONFIGURE_NOT_IN_PROGRESS "stream reconfiguration not in progress";
    400 10130 STREAM_NAME_EXIST_RESTORE_FAILED "stream name already in use, cannot restore";
    400 10131 CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH "Consumer create request did not match filtered subject from create subject";
    400 10132 CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH "Consumer Durable and Name have to be equal if both are provided";
    400 10133 REPLICAS_COUNT_CANNOT_BE_NEGATIVE "replicas count cannot be negative";
    400 10134 CONSUMER_REPLICAS_SHOULD_MATCH_STREAM "consumer config replicas must match interest retention stream's replicas";
    400 10135 consumer_metadata_length(limit) "consumer metadata exceeds maximum size of {limit}";
    400 10136 CONSUMER_DUPLICATE_FILTER_SUBJECTS "consumer cannot have both FilterSubject and FilterSubjects specified";
    400 10137 CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED "consumer with multiple subject filters cannot use subject based API";
    400 10138 CONSUMER_OVERLAPPING_SUBJECT_FILTERS "consumer subject filters cannot overlap";
    400 10139 CONSUMER_EMPTY_FILTER "consumer filter in FilterSubjects cannot be empty";
    400 10140 SOURCE_DUPLICATE_DETECTED "duplicate source configuration detected";
    400 10141 SOURCE_INVALID_STREAM_NAME "sourced stream name is invalid";
    400 10142 MIRROR_INVALID_STREAM_NAME "mirrored stream name is invalid";
    400 10143 MIRROR_WITH_FIRST_SEQ "stream mirrors can not have first sequence configured";
    400 10144 SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED "source with multiple subject transforms cannot also have a single subject filter";
    400 10145 source_invalid_subject_filter(err) "source transform source: {err}";
    400 10146 source_invalid_transform_destination(err) "source transform: {err}";
    400 10147 SOURCE_OVERLAPPING_SUBJECT_FILTERS "source filters can not overlap";
    400 10148 CONSUMER_ALREADY_EXISTS "consumer already exists";
    400 10149 CONSUMER_DOES_NOT_EXIST "consumer does not exist";
    400 10150 MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED "mirror with multiple subject transforms cannot also have a single subject filter";
    400 10151 mirror_invalid_subject_filter(err) "mirror transform source: {err}";
    400 10152 MIRROR_OVERLAPPING_SUBJECT_FILTERS "mirror subject filters can not overlap";
    400 10153 consumer_inactive_threshold_excess(limit) "consumer inactive threshold exceeds system limit of {limit}";
    400 10154 mirror_invalid_transform_destination(err) "mirror transform: {err}";
    400 10155 stream_transform_invalid_source(err) "stream transform source: {err}";
    400 10156 stream_transform_invalid_destination(err) "stream transform: {err}";
    400 10157 pedantic(err) "pedantic mode: {err}";
    409 10158 STREAM_DUPLICATE_MESSAGE_CONFLICT "duplicate message id is in process";
    400 10159 CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP "Setting PriorityPolicy requires at least one PriorityGroup to be set";
    400 10160 CONSUMER_INVALID_PRIORITY_GROUP "Provided priority group does not exist for this consumer";
    400 10161 CONSUMER_EMPTY_GROUP_NAME "Group name cannot be an empty string";
    400 10162 CONSUMER_INVALID_GROUP_NAME "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    503 10163 STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY "expected last sequence per subject temporarily unavailable";
    400 10164 STREAM_WRONG_LAST_SEQUENCE_CONSTANT "wrong last sequence";
    400 10165 MESSAGE_TTL_INVALID "invalid per-message TTL";
    400 10166 MESSAGE_TTL_DISABLED "per-message TTL is disabled";
    429 10167 STREAM_TOO_MANY_REQUESTS "too many requests";
    400 10168 MESSAGE_INCR_DISABLED "message counters is disabled";
    400 10169 MESSAGE_INCR_MISSING "message counter increment is missing";
    400 10170 MESSAGE_INCR_PAYLOAD "message counter has payload";
    400 10171 MESSAGE_INCR_INVALID "message counter increment is invalid";
    400 10172 MESSAGE_COUNTER_BROKEN "message counter is broken";
    400 10173 MIRROR_WITH_COUNTERS "stream mirrors can not also calculate counters";
    400 10174 ATOMIC_PUBLISH_DISABLED "atomic publish is disabled";
    400 10175 ATOMIC_PUBLISH_MISSING_SEQ "atomic publish sequence is missing";
    400 10176 ATOMIC_PUBLISH_INCOMPLETE_BATCH "atomic publish batch is incomplete";
    400 10177 atomic_publish_unsupported_header_batch(header) "atomic publish unsupported header used: {header}";
    400 10178 CONSUMER_PUSH_WITH_PRIORITY_GROUP "priority groups can not be used with push consumers";
    400 10179 ATOMIC_PUBLISH_INVALID_BATCH_ID "atomic publish batch ID is invalid";
    412 10180 STREAM_MIN_LAST_SEQ "min last sequence";
    400 10181 CONSUMER_ACK_POLICY_INVALID "consumer ack policy invalid";
    400 10182 CONSUMER_REPLAY_POLICY_INVALID "consumer replay policy invalid";
    400 10183 CONSUMER_ACK_WAIT_NEGATIVE "consumer ack wait needs to be positive";
    400 10184 CONSUMER_BACK_OFF_NEGATIVE "consumer backoff needs to be positive";
    412 10185 REQUIRED_API_LEVEL "JetStream minimum api level required";
    400 10186 MIRROR_WITH_MSG_SCHEDULES "stream mirrors can not also schedule messages";
    400 10187 SOURCE_WITH_MSG_SCHEDULES "stream source can not also schedule messages";
    400 10188 MESSAGE_SCHEDULES_DISABLED "message schedules is disabled";
    400 10189 MESSAGE_SCHEDULES_PATTERN_INVALID "message schedules pattern is invalid";
    400 10190 MESSAGE_SCHEDULES_TARGET_INVALID "message schedules target is invalid";
    400 10191 MESSAGE_SCHEDULES_TTL_INVALID "message schedules invalid per-message TTL";
    400 10192 MESSAGE_SCHEDULES_ROLLUP_INVALID "message schedules invalid rollup";
    400 10193 STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID "missing sequence for expected last sequence per subject";
    500 10194 stream_offline_reason(err) "stream is offline: {err}";
    500 10195 consumer_offline_reason(err) "consumer is offline: {err}";
    400 10196 CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE "consumer can not have priority groups when policy is none";
    400 10197 CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE "PinnedTTL cannot be set when PriorityPolicy is none";
    400 10198 MIRROR_WITH_ATOMIC_PUBLISH "stream mirrors can not also use atomic publishing";
    400 10199 atomic_publish_too_large_batch(size) "atomic publish batch is too large: {size}";
    400 10200 ATOMIC_PUBLISH_INVALID_BATCH_COMMIT "atomic publish batch commit is invalid";
    400 10201 ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE "atomic publish batch contains duplicate message id";
    400 10202 CLUSTER_SERVER_MEMBER_CHANGE_INFLIGHT "cluster member change is in progress";
    400 10203 MESSAGE_SCHEDULES_SOURCE_INVALID "message schedules source is invalid";
    400 10204 consumer_invalid_reset(err) "invalid reset: {err}";
    400 10205 BATCH_PUBLISH_DISABLED "batch publish is disabled";
    400 10206 BATCH_PUBLISH_INVALID_PATTERN "batch publish pattern is invalid";
    400 10207 BATCH_PUBLISH_INVALID_BATCH_ID "batch publish ID is invalid";
    400 10208 BATCH_PUBLISH_UNKNOWN_BATCH_ID "batch publish ID unknown";
    400 10209 MIRROR_WITH_BATCH_PUBLISH "stream mirrors can not also use batch publishing";
    429 10210 ATOMIC_PUBLISH_TOO_MANY_INFLIGHT "atomic publish too many inflight";
    429 10211 BATCH_PUBLISH_TOO_MANY_INFLIGHT "batch publish too many inflight";
    400 10212 MESSAGE_SCHEDULES_SCHEDULER_INVALID "message schedules invalid scheduler";
    400 10213 MIRROR_DURABLE_CONSUMER_CFG_INVALID "stream mirror consumer config is invalid";
    400 10214 MIRROR_CONSUMER_REQUIRES_ACK_FC "stream mirror consumer requires flow control ack policy";
    400 10215 SOURCE_DURABLE_CONSUMER_CFG_INVALID "stream source consumer config is invalid";
    400 10216 SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED "duplicate stream source consumer detected";
    400 10217 SOURCE_CONSUMER_REQUIRES_ACK_FC "stream source consumer requires flow control ack policy";
    400 10218 CONSUMER_ACK_FC_REQUIRES_PUSH "flow control ack policy requires a push based consumer";
    400 10219 CONSUMER_ACK_FC_REQUIRES_FC "flow control ack policy requires flow control";
    400 10220 CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING "flow control ack policy requires max ack pending";
    400 10221 CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT "flow control ack policy requires unset ack wait";
    400 10222 CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER "flow control ack policy requires unset max deliver";
    400 10223 MESSAGE_SCHEDULES_TIME_ZONE_INVALID "message schedules time zone is invalid";
    400 10224 cluster_rescue(err) "JetStream system rescue not applied: {err}";
    400 10225 consumer_stream_identity_mismatch(msg) "consumer's stream identity does not match: {msg}";
    400 10226 STREAM_RECONFIGURE_IN_PROGRESS "stream reconfiguration already in progress";
    400 10227 MESSAGE_SOURCE_HDR_NOT_ALLOWED "message stream source header is not allowed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_rise() {
        assert!(ALL.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert_eq!(ALL.len(), 226);
        assert!(ALL.iter().all(|(code, number, text)| {
            (400..=503).contains(code) && (10_002..=10_227).contains(number) && !text.is_empty()
        }));
    }

    #[test]
    fn as_json() {
        let check = |error: &ApiError, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&crate::jetstream::json::to_vec(error)), expected);
        };
        check(
            &STREAM_NOT_FOUND,
            r#"{"code":404,"err_code":10059,"description":"stream not found"}"#,
        );
        check(
            &stream_wrong_last_sequence(7),
            r#"{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}"#,
        );
        check(
            &stream_invalid_config("capturing > & <"),
            r#"{"code":500,"err_code":10052,"description":"capturing \u003e \u0026 \u003c"}"#,
        );
    }
}
