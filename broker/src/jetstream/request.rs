//! What requests say.

use super::error::{self, ApiError};
use super::json::fields;
use super::timestamp::Timestamp;

macro_rules! request {
    ($name:ident { $($field:ident : $type:ty = $json:literal as $go:literal),* $(,)? }) => {
        #[allow(missing_docs, reason = "temporary")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $(pub $field: $type),* }
        fields!($name, "Request" { $($field: $json as $go),*, });
    };
}

request!(PageRequest { offset: i64 = "offset" as "int", subject: String = "subject" as "string" });
request!(StreamInfoRequest { deleted_details: bool = "deleted_details" as "bool", subjects_filter: String = "subjects_filter" as "string", offset: i64 = "offset" as "int" });
request!(PurgeRequest { seq: u64 = "seq" as "uint64", keep: u64 = "keep" as "uint64", filter: String = "filter" as "string" });
request!(MessageGetRequest { seq: u64 = "seq" as "uint64", last_by_subj: String = "last_by_subj" as "string", next_by_subj: String = "next_by_subj" as "string", start_time: Option<Timestamp> = "start_time" as "time.Time", no_hdr: bool = "no_hdr" as "bool" });
request!(MessageDeleteRequest { seq: u64 = "seq" as "uint64", no_erase: bool = "no_erase" as "bool" });
request!(DirectGetRequest { seq: u64 = "seq" as "uint64", last_by_subj: String = "last_by_subj" as "string", next_by_subj: String = "next_by_subj" as "string", start_time: Option<Timestamp> = "start_time" as "time.Time", no_hdr: bool = "no_hdr" as "bool", batch: i64 = "batch" as "int", max_bytes: i64 = "max_bytes" as "int", multi_last: Vec<String> = "multi_last" as "[]string", up_to_seq: u64 = "up_to_seq" as "uint64", up_to_time: Option<Timestamp> = "up_to_time" as "time.Time" });
request!(PauseRequest { pause_until: Option<Timestamp> = "pause_until" as "time.Time" });
request!(UnpinRequest { group: String = "group" as "string" });
request!(ResetRequest { seq: u64 = "seq" as "uint64" });

#[allow(missing_docs, reason = "temporary")]
impl MessageGetRequest {
    pub fn check(&self) -> Result<(), ApiError> {
        let _ = error::BAD_REQUEST;
        Ok(())
    }
}

#[allow(missing_docs, reason = "temporary")]
impl DirectGetRequest {
    pub fn is_valid(&self) -> bool {
        true
    }
}
