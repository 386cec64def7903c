//! How values are written in the JSON of the JetStream API: durations are nanoseconds, the time
//! "never" is the year 1, "no limit" is -1, and lists may be `null`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

/// A duration as nanoseconds; what is below zero is none.
pub(crate) mod nanoseconds {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(from_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Ok(to_duration(i64::deserialize(deserializer)?))
    }
}

/// Durations as nanoseconds.
pub(crate) mod nanoseconds_list {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        durations: &[Duration],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(durations.iter().map(|duration| from_duration(*duration)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let list = Option::<Vec<i64>>::deserialize(deserializer)?;
        Ok(list.unwrap_or_default().into_iter().map(to_duration).collect())
    }
}

/// A duration that may be unknown; a negative one is.
pub(crate) mod nanoseconds_known {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let nanoseconds = Option::<i64>::deserialize(deserializer)?;
        Ok(nanoseconds.filter(|count| *count >= 0).map(to_duration))
    }
}

/// A count of which 0 says that there is no limit, which the server calls -1.
pub(crate) mod limit {
    use super::*;

    pub(crate) fn serialize<T, S>(count: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Copy + TryInto<i64>,
        S: Serializer,
    {
        // What is too large for the server is no limit.
        match (*count).try_into() {
            Ok(count) if count != 0 => serializer.serialize_i64(count),
            _ => serializer.serialize_i64(-1),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: Default + TryFrom<i64>,
        D: Deserializer<'de>,
    {
        let count = i64::deserialize(deserializer)?;
        Ok(T::try_from(count.max(0)).unwrap_or_default())
    }
}

/// A count that may be without limit, which the server calls -1.
pub(crate) mod limit_known {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        Ok(u64::try_from(i64::deserialize(deserializer)?).ok())
    }
}

/// A time that may be none: the year 1, or nothing.
pub(crate) mod time_known {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let time = Option::<Timestamp>::deserialize(deserializer)?;
        Ok(time.filter(|time| *time != zero()))
    }

    fn zero() -> Timestamp {
        Timestamp::from_second(-62_135_596_800).expect("the year 1 is a time")
    }
}

/// Bytes as base64.
pub(crate) mod base64 {
    use bytes::Bytes;
    use data_encoding::BASE64;
    use serde::de::Error as _;

    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let text = text.unwrap_or_default();
        BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// Something of which `null` is the default.
pub(crate) fn null_is_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Text of which none is written as "".
pub(crate) mod empty_is_none {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        text: &Option<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_deref().unwrap_or_default().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// Whether a value need not be written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Nanoseconds; at most 292 years.
pub(crate) fn from_duration(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn to_duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}
