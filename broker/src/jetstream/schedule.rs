//! Message schedules: when a message that a stream keeps is to be published, and as what.
//!
//! The header `Nats-Schedule` says when: `@at <RFC 3339>`, `@every <duration>`, six cron fields
//! (second, minute, hour, day, month, weekday) or `@daily` and the like. Who keeps the schedules
//! and waits for their time is not known here; the clock is an argument.
//!
//! Cron libraries accept more than nats-server (`L`, `#`, weekday 7) and differ in which days
//! meet when both day fields are given, so patterns are read here. A pattern fires at each whole
//! second whose local time it matches: what a clock change leaves out does not fire, what it
//! repeats fires twice.
//!
//! Sources: ADR-51, and nats-server 2.15.1, which was asked which patterns and zones it takes.

use fulmar_protocol::headers::Headers;
use fulmar_protocol::subject::is_publishable;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{self, Offset, TimeZone};

use super::error::{self, ApiError};
use super::header_block::HeaderBlock;
use super::message_ttl::MessageTtl;
use crate::go_duration;

/// When something fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Once, at this time (nanoseconds since 1970).
    At(i64),
    /// Again and again, with this many nanoseconds in between, at least a second.
    Every(i64),
    /// At certain times of certain days.
    Cron(Box<Cron>),
}

impl Schedule {
    /// Parses a pattern, to be understood in `zone` (UTC if there is none).
    ///
    /// # Errors
    ///
    /// [`error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID`] or [`error::MESSAGE_SCHEDULES_PATTERN_INVALID`]. A pattern may be well formed
    /// and still never fire: see [`Self::next`].
    pub fn parse(pattern: &str, zone: Option<&str>) -> Result<Self, ApiError> {
        let zone = zone.map(time_zone).transpose()?;
        let simple = if let Some(time) = pattern.strip_prefix("@at ") {
            parse_time(time).map(Self::At)
        } else if let Some(interval) = pattern.strip_prefix("@every ") {
            let interval_ns = go_duration::parse(interval).ok();
            interval_ns.filter(|interval_ns| *interval_ns >= SECOND_NS).map(Self::Every)
        } else {
            let fields = match pattern {
                "@yearly" | "@annually" => "0 0 0 1 1 *",
                "@monthly" => "0 0 0 1 * *",
                "@weekly" => "0 0 0 * * 0",
                "@daily" | "@midnight" => "0 0 0 * * *",
                "@hourly" => "0 0 * * * *",
                pattern => pattern,
            };
            let zone = zone.unwrap_or(TimeZone::UTC);
            let cron = Cron::parse(fields, zone).ok_or(error::MESSAGE_SCHEDULES_PATTERN_INVALID)?;
            return Ok(Self::Cron(Box::new(cron)));
        };
        // A moment and an interval are the same everywhere.
        simple.filter(|_| zone.is_none()).ok_or(error::MESSAGE_SCHEDULES_PATTERN_INVALID)
    }

    /// When it fires next if it fired (or was made) at `after_unix_ns`. What was missed in the
    /// meantime, until `now_unix_ns`, is left out; only [`Self::At`] may lie in the past.
    ///
    /// `None`: not within five years, or beyond what 63 bits of nanoseconds hold. A message with
    /// such a pattern is refused with [`error::MESSAGE_SCHEDULES_PATTERN_INVALID`].
    pub fn next(&self, after_unix_ns: i64, now_unix_ns: i64) -> Option<i64> {
        let next_after = |after_ns| match self {
            Self::At(time) => Some(*time),
            Self::Every(interval_ns) => {
                Some(rounded_to_second(after_ns).saturating_add(*interval_ns))
            }
            Self::Cron(cron) => cron.next(after_ns),
        };
        let next = next_after(after_unix_ns)?;
        if next < now_unix_ns { next_after(rounded_to_second(now_unix_ns)) } else { Some(next) }
    }

    /// Whether it fires more than once.
    pub fn repeats(&self) -> bool {
        !matches!(self, Self::At(_))
    }

    /// `unix_ns` as the header `Nats-Schedule-Next` shows it: RFC 3339 in the pattern's zone.
    pub fn format(&self, unix_ns: i64) -> String {
        let time = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::MAX);
        let offset = match self {
            Self::Cron(cron) => cron.zone.to_offset(time),
            Self::At(_) | Self::Every(_) => Offset::UTC,
        };
        match offset.seconds() {
            0 => time.to_string(),
            _ => time.display_with_offset(offset).to_string(),
        }
    }
}

/// Six cron fields. Each set has bit n for the value n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// 0 is Sunday.
    weekdays: u64,
    /// One of the two suffices: neither was written with a star.
    either_day: bool,
    zone: TimeZone,
}

impl Cron {
    fn parse(pattern: &str, zone: TimeZone) -> Option<Self> {
        let mut fields = pattern.split_whitespace();
        let mut field =
            |lowest, highest, names| parse_field(fields.next()?, lowest, highest, names);
        let (seconds, _) = field(0, 59, &[])?;
        let (minutes, _) = field(0, 59, &[])?;
        let (hours, _) = field(0, 23, &[])?;
        let (days, any_day) = field(1, 31, &[])?;
        let (months, _) = field(1, 12, &MONTHS)?;
        let (weekdays, any_weekday) = field(0, 6, &WEEKDAYS)?;
        if fields.next().is_some() {
            return None;
        }
        let either_day = !any_day && !any_weekday;
        Some(Self { seconds, minutes, hours, days, months, weekdays, either_day, zone })
    }

    /// The first whole second after `after_unix_ns` that matches.
    fn next(&self, after_unix_ns: i64) -> Option<i64> {
        let first = Timestamp::from_second(after_unix_ns.div_euclid(SECOND_NS) + 1).ok()?;
        let mut time = first;
        let year_last = self.zone.to_datetime(first).year() + YEARS_MAX;
        loop {
            let local = self.zone.to_datetime(time);
            if local.year() > year_last {
                return None;
            }
            let Some(next_candidate) = self.next_candidate(local) else {
                return time.as_second().checked_mul(SECOND_NS);
            };
            // The clocks go on as they do now until the next transition; there we look again.
            let skipped = next_candidate.duration_since(local);
            let skipped_to = time.checked_add(skipped).ok()?;
            let transition =
                self.zone.following(time).next().map(|transition| transition.timestamp());
            time = transition.map_or(skipped_to, |transition| transition.min(skipped_to));
        }
    }

    /// The next local time at which it is worth looking, or `None` if `local` itself matches.
    fn next_candidate(&self, local: DateTime) -> Option<DateTime> {
        let has = |set: u64, value: i8| set & 1 << value != 0;
        let day = has(self.days, local.day());
        let weekday = has(self.weekdays, local.weekday().to_sunday_zero_offset());
        let date = local.date();
        let midnight = |date: Result<Date, _>| date.unwrap_or(Date::MAX).at(0, 0, 0, 0);
        if !has(self.months, local.month()) {
            Some(midnight(date.last_of_month().tomorrow()))
        } else if !(day && weekday || self.either_day && (day || weekday)) {
            Some(midnight(date.tomorrow()))
        } else if !has(self.hours, local.hour()) {
            let begun = date.at(local.hour(), 0, 0, 0);
            Some(begun.saturating_add(jiff::SignedDuration::from_hours(1)))
        } else if !has(self.minutes, local.minute()) {
            let begun = date.at(local.hour(), local.minute(), 0, 0);
            Some(begun.saturating_add(jiff::SignedDuration::from_mins(1)))
        } else if !has(self.seconds, local.second()) {
            Some(local.saturating_add(jiff::SignedDuration::from_secs(1)))
        } else {
            None
        }
    }
}

/// How far ahead a pattern is searched.
const YEARS_MAX: i16 = 5;
const SECOND_NS: i64 = 1_000_000_000;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The set of values that `field`, a list of ranges, names, and whether a star stands for all.
/// `names` are those of the values from `lowest` on. `None`: it is malformed, or nothing is in it.
fn parse_field(field: &str, lowest: u32, highest: u32, names: &[&str]) -> Option<(u64, bool)> {
    let mut set = 0_u64;
    let mut star = false;
    for range in field.split(',').filter(|range| !range.is_empty()) {
        let (range, step) = match range.split_once('/') {
            Some((range, step)) => (range, Some(parse_number(step)?)),
            None => (range, None),
        };
        let value = |text: &str| match names
            .iter()
            .zip(lowest..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            Some((_, value)) => Some(value),
            None => parse_number(text),
        };
        let (first, last) = match range.split_once('-') {
            // What follows a star is not looked at.
            _ if matches!(range.split('-').next(), Some("*" | "?")) => {
                star |= step.is_none_or(|step| step <= 1);
                (lowest, highest)
            }
            Some((first, last)) => (value(first)?, value(last)?),
            // `5/20` means from 5 on.
            None if step.is_some() => (value(range)?, highest),
            None => (value(range)?, value(range)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0)?;
        if first < lowest || last > highest || first > last {
            return None;
        }
        set = (first..=last).step_by(step).fold(set, |set, value| set | 1 << value);
    }
    (set != 0).then_some((set, star))
}

/// As Go reads it, with a plus if somebody likes.
fn parse_number(text: &str) -> Option<u32> {
    let number: i64 = text.parse().ok()?;
    // A step may be larger than any field; more than 32 bits of it make no difference.
    (number >= 0).then(|| u32::try_from(number).unwrap_or(u32::MAX))
}

/// The zone called `name`, in the spelling of the IANA database, or `Local`.
fn time_zone(name: &str) -> Result<TimeZone, ApiError> {
    let zone = match name {
        "Local" => TimeZone::try_system(),
        name => tz::db().get(name),
    };
    // The database does not mind the case, nats-server does.
    zone.ok()
        .filter(|zone| name == "Local" || zone.iana_name() == Some(name))
        .ok_or(error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)
}

fn rounded_to_second(unix_ns: i64) -> i64 {
    let down = unix_ns.rem_euclid(SECOND_NS);
    let floor = unix_ns - down;
    if down >= SECOND_NS / 2 { floor.saturating_add(SECOND_NS) } else { floor }
}

/// Reads an RFC 3339 time, in nanoseconds since 1970, as Go does: the hour may have one digit,
/// the fraction may follow a comma and have any number of digits, and offsets go up to 24:60.
/// What 63 bits do not hold becomes the earliest or the latest they do.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = take_number(&mut rest, 4, b"-")?;
    let month = take_number(&mut rest, 2, b"-")?;
    let day = take_number(&mut rest, 2, b"T")?;
    let hour_digits = if rest.get(1) == Some(&b':') { 1 } else { 2 };
    let hour = take_number(&mut rest, hour_digits, b":")?;
    let minute = take_number(&mut rest, 2, b":")?;
    let second = take_number(&mut rest, 2, b"")?;
    let small = |number: i64| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut fraction_ns = 0;
    if let [b'.' | b',', after @ ..] = rest {
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for place in 0..9 {
            let digit = after[..digits].get(place).map_or(0, |byte| i64::from(byte - b'0'));
            fraction_ns = fraction_ns * 10 + digit;
        }
        rest = &after[digits..];
    }
    let offset_minutes = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), after @ ..] => {
            rest = after;
            let hours = take_number(&mut rest, 2, b":")?;
            let minutes = take_number(&mut rest, 2, b"")?;
            if !rest.is_empty() || hours > 24 || minutes > 60 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let midnight = date.duration_since(Date::constant(1970, 1, 1)).as_secs();
    let seconds = midnight + ((hour * 60) + minute - offset_minutes) * 60 + second;
    Some(seconds.saturating_mul(SECOND_NS).saturating_add(fraction_ns))
}

/// Takes exactly `digits` digits, and what has to follow, off the front of `rest`.
fn take_number(rest: &mut &[u8], digits: usize, follows: &[u8]) -> Option<i64> {
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after.strip_prefix(follows)?;
    number.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// What the headers of a scheduled message ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction<'a> {
    /// When.
    pub schedule: Schedule,
    /// As what it is published.
    pub target: &'a [u8],
    /// The subject whose last message is published, instead of the scheduled one if there is any.
    pub source: Option<&'a [u8]>,
    /// `Nats-TTL` of what is published, as it was written.
    pub ttl: Option<&'a [u8]>,
    /// Whether what is published replaces what its subject has.
    pub rollup: bool,
}

impl<'a> Instruction<'a> {
    /// Reads the headers of a stored message; `None` if it is not scheduled.
    ///
    /// # Errors
    ///
    /// What can be wrong without knowing the stream, in nats-server's order: time zone, pattern,
    /// TTL, rollup, target, source.
    pub fn parse(headers: Headers<'a>) -> Result<Option<Self>, ApiError> {
        let Some(schedule) = schedule_of(headers)? else { return Ok(None) };
        Self::parse_rest(headers, schedule, true, None).map(Some)
    }

    /// `own_subject` may be neither target nor source.
    fn parse_rest(
        headers: Headers<'a>,
        schedule: Schedule,
        allows_ttl: bool,
        own_subject: Option<&[u8]>,
    ) -> Result<Self, ApiError> {
        let filled = |name| headers.get(name).filter(|value| !value.is_empty());
        let ttl = filled(TTL);
        if ttl.is_some_and(|ttl| MessageTtl::parse(ttl).is_err()) {
            return Err(error::MESSAGE_SCHEDULES_TTL_INVALID);
        }
        let rollup = filled(ROLLUP);
        if rollup.is_some_and(|rollup| rollup != b"sub") {
            return Err(error::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        }
        if ttl.is_some() && !allows_ttl {
            return Err(error::MESSAGE_TTL_DISABLED);
        }
        let is_usable = |subject| Some(subject) != own_subject && is_publishable(subject);
        let target = filled(TARGET).filter(|target| is_usable(*target));
        let target = target.ok_or(error::MESSAGE_SCHEDULES_TARGET_INVALID)?;
        let source = filled(SOURCE);
        if source.is_some_and(|source| source == target || !is_usable(source)) {
            return Err(error::MESSAGE_SCHEDULES_SOURCE_INVALID);
        }
        Ok(Self { schedule, target, source, ttl, rollup: rollup.is_some() })
    }

    /// The header block of what is published when it fires. `carried` is the block of the
    /// message that is published: the source's last, or the scheduled one itself.
    /// `next_unix_ns` is when it fires again; `None`: it is over, and is purged.
    pub fn fired_headers(
        &self,
        carried: &[u8],
        schedule_subject: &[u8],
        next_unix_ns: Option<i64>,
    ) -> Vec<u8> {
        let mut block = HeaderBlock::new(carried);
        block.remove(|name| {
            // The first prefix is also that of `Nats-Scheduler`.
            name.starts_with(b"Nats-Schedule")
                || name.starts_with(b"Nats-Expected-")
                || matches!(name, b"Nats-Msg-Id" | b"Nats-TTL" | b"Nats-Rollup")
        });
        block.append(SCHEDULER, schedule_subject);
        match next_unix_ns {
            Some(next) => block.append(NEXT, self.schedule.format(next)),
            None => block.append(NEXT, NEXT_PURGE),
        }
        if let Some(ttl) = self.ttl {
            block.append("Nats-TTL", ttl);
        }
        if self.rollup {
            block.append("Nats-Rollup", "sub");
        }
        block.finish()
    }
}

/// What the stream a message is published to has to say about schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// `allow_msg_schedules`.
    pub schedules: bool,
    /// `allow_msg_ttl`.
    pub ttl: bool,
}

/// What a published message means for schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published<'a> {
    /// It is scheduled, and fires first then.
    pub fires_unix_ns: Option<i64>,
    /// It is scheduled, and `Nats-Rollup: sub` has to be added before it is stored.
    pub needs_rollup: bool,
    /// It ends the schedule on this subject. If the last message there is none (it has no
    /// `Nats-Schedule`), it is refused with [`error::MESSAGE_SCHEDULES_SCHEDULER_INVALID`].
    pub ends: Option<&'a [u8]>,
}

/// Checks the schedule headers of a message that a client published to `subject`.
/// `is_of_stream` says whether a literal subject matches the stream's subjects.
///
/// # Errors
///
/// 10188 if the stream allows no schedules; 10223 time zone; 10189 pattern, also one that never
/// fires; 10191 TTL; 10166 TTL on a stream that allows none; 10190 target; 10203 source; 10192
/// rollup; 10212 if `Nats-Scheduler` and `Nats-Schedule-Next: purge` are not both there and valid.
pub fn check_published<'a>(
    headers: Headers<'a>,
    subject: &[u8],
    allowed: Allowed,
    now_unix_ns: i64,
    is_of_stream: impl Fn(&[u8]) -> bool,
) -> Result<Published<'a>, ApiError> {
    let mut published = Published::default();
    let first = schedule_of(headers).and_then(|schedule| {
        let Some(schedule) = schedule else { return Ok(None) };
        let fires = schedule
            .next(now_unix_ns, now_unix_ns)
            .ok_or(error::MESSAGE_SCHEDULES_PATTERN_INVALID)?;
        Ok(Some((schedule, fires)))
    });
    if !allowed.schedules && !matches!(first, Ok(None)) {
        return Err(error::MESSAGE_SCHEDULES_DISABLED);
    }
    if let Some((schedule, fires)) = first? {
        let instruction = Instruction::parse_rest(headers, schedule, allowed.ttl, Some(subject))?;
        if !is_of_stream(instruction.target) {
            return Err(error::MESSAGE_SCHEDULES_TARGET_INVALID);
        }
        if instruction.source.is_some_and(|source| !is_of_stream(source)) {
            return Err(error::MESSAGE_SCHEDULES_SOURCE_INVALID);
        }
        match headers.get("Nats-Rollup") {
            None | Some(b"") => published.needs_rollup = true,
            Some(rollup) if rollup.eq_ignore_ascii_case(b"sub") => {}
            Some(_) => return Err(error::MESSAGE_SCHEDULES_ROLLUP_INVALID),
        }
        published.fires_unix_ns = Some(fires);
    }
    let scheduler = headers.get(SCHEDULER).filter(|scheduler| !scheduler.is_empty());
    match headers.get(NEXT) {
        None | Some(b"") if scheduler.is_some() => Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID),
        None | Some(b"") => Ok(published),
        Some(next) if next != NEXT_PURGE.as_bytes() => {
            Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID)
        }
        Some(_) => match scheduler.filter(|scheduler| is_publishable(scheduler)) {
            Some(scheduler) if scheduler != subject => {
                if !allowed.schedules {
                    return Err(error::MESSAGE_SCHEDULES_DISABLED);
                }
                published.ends = Some(scheduler);
                Ok(published)
            }
            _ => Err(error::MESSAGE_SCHEDULES_SCHEDULER_INVALID),
        },
    }
}

fn schedule_of(headers: Headers<'_>) -> Result<Option<Schedule>, ApiError> {
    let zone = headers.get(TIME_ZONE).map(std::str::from_utf8).transpose();
    let zone = zone.map_err(|_| error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)?;
    match headers.get(PATTERN) {
        None | Some(b"") => zone.map_or(Ok(None), |zone| time_zone(zone).map(|_| None)),
        Some(pattern) => {
            // The zone is judged first, also if the pattern is not even text.
            let pattern = std::str::from_utf8(pattern).unwrap_or_default();
            Schedule::parse(pattern, zone).map(Some)
        }
    }
}

const PATTERN: &str = "Nats-Schedule";
const TIME_ZONE: &str = "Nats-Schedule-Time-Zone";
const TARGET: &str = "Nats-Schedule-Target";
const SOURCE: &str = "Nats-Schedule-Source";
const TTL: &str = "Nats-Schedule-TTL";
const ROLLUP: &str = "Nats-Schedule-Rollup";
const SCHEDULER: &str = "Nats-Scheduler";
const NEXT: &str = "Nats-Schedule-Next";
/// The value of `Nats-Schedule-Next` of what a plan publishes last.
pub const NEXT_PURGE: &str = "purge";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether each is taken was tried with nats-server 2.15.1.
    #[test]
    fn patterns() {
        for pattern in [
            "@at 2030-01-01T00:00:00Z",
            "@at 2020-01-01T00:00:00Z",
            "@every 1s",
            "@every 1m30s",
            "@every 2562047h",
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@daily",
            "@midnight",
            "@hourly",
            "* * * * * *",
            "0 0 0 1 1 *",
            "0 0 0 29 2 *",
            "* * * * * 0",
            "* * * * jan MON",
            "* * * * * sun-sat",
            "0-10/3 * * * * *",
            "5/20 * * * * *",
            "*/70 * * * * *",
            "? ? ? ? ? ?",
            "*-5 * * * * *",
            "?/5 * * * * *",
            "1,,2 * * * * *",
            "1, * * * * *",
            "+5 * * * * *",
            "05 * * * * *",
            "\t*  * * * *  * ",
            "\u{a0}* * * * * *",
            "1-2,5-6,*/30 * * * * *",
            "* * * * jan-mar/2 *",
            "0 0 0 29 2 mon",
            "0 0 0 31 2 */3",
        ] {
            let schedule = Schedule::parse(pattern, None);
            assert!(schedule.is_ok_and(|schedule| schedule.next(NOW, NOW).is_some()), "{pattern}");
        }
        for pattern in [
            "",
            "abc",
            "@at",
            "@at ",
            "@AT 2030-01-01T00:00:00Z",
            "@at  2030-01-01T00:00:00Z",
            "@at 2030-01-01",
            "@every 999ms",
            "@every 0.9999999999s",
            "@every -1s",
            "@every  1s",
            "@every x",
            "@every 1",
            "@every",
            "@EVERY 1s",
            "@Yearly",
            "@reboot",
            "@secondly",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* 60 * * * *",
            "* * 24 * * *",
            "* * * 0 * *",
            "* * * 32 * *",
            "* * * * 0 *",
            "* * * * 13 *",
            "* * * * * 7",
            "* * * * January *",
            "* * * jan * *",
            "* * * * * sat-sun",
            "*/0 * * * * *",
            "*/-1 * * * * *",
            "*/x * * * * *",
            "*/99999999999999999999 * * * * *",
            "1-2-3 * * * * *",
            "1/2/3 * * * * *",
            ", * * * * *",
            "0x5 * * * * *",
            "-5 * * * * *",
            "5- * * * * *",
            "5/ * * * * *",
            "/5 * * * * *",
            "10-5 * * * * *",
            "* * * L * *",
            "* * * * * 5L",
            "* * * * * 1#2",
            "* * * 15W * *",
            "H * * * * *",
            "TZ=UTC 0 0 0 * * *",
            "CRON_TZ=UTC 0 0 0 * * * *",
        ] {
            assert_eq!(
                Schedule::parse(pattern, None),
                Err(error::MESSAGE_SCHEDULES_PATTERN_INVALID),
                "{pattern}"
            );
        }
        for never in ["0 0 0 31 2 *", "0 0 0 30 2 *", "0 0 0 31 4,6 *"] {
            assert_eq!(Schedule::parse(never, None).unwrap().next(NOW, NOW), None, "{never}");
        }
    }

    /// Whether each is taken was tried with nats-server 2.15.1.
    #[test]
    fn zones() {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "EST", "Etc/GMT+5", "US/Pacific"] {
            assert!(Schedule::parse("@daily", Some(zone)).is_ok(), "{zone}");
            for pattern in ["@at 2030-01-01T00:00:00Z", "@every 5s"] {
                assert_eq!(
                    Schedule::parse(pattern, Some(zone)),
                    Err(error::MESSAGE_SCHEDULES_PATTERN_INVALID)
                );
            }
        }
        let wrong =
            ["", "X", "utc", "europe/berlin", "local", "../x", "+02:00", "Z", "UTC0", "Europe"];
        for zone in wrong {
            for pattern in ["@daily", "@every 5s", "@foo"] {
                assert_eq!(
                    Schedule::parse(pattern, Some(zone)),
                    Err(error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID)
                );
            }
        }
        assert!(Schedule::parse("@daily", Some("Local")).is_ok());
    }

    /// Which are taken was tried with nats-server 2.15.1.
    #[test]
    fn times() {
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|text| {
                i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
            });
            assert_eq!(parse_time(text), expected, "{text}");
        };
        check("2030-01-01T00:00:00Z", Some("2030-01-01T00:00:00Z"));
        check("2030-01-01T00:00:00.5Z", Some("2030-01-01T00:00:00.5Z"));
        check("2030-01-01T00:00:00,5Z", Some("2030-01-01T00:00:00.5Z"));
        check("2030-01-01T00:00:00.123456789123Z", Some("2030-01-01T00:00:00.123456789Z"));
        check("2030-01-01T0:00:00Z", Some("2030-01-01T00:00:00Z"));
        check("2030-01-01T00:00:00+02:00", Some("2029-12-31T22:00:00Z"));
        check("2030-01-01T00:00:00-00:30", Some("2030-01-01T00:30:00Z"));
        check("2030-01-01T00:00:00+24:00", Some("2029-12-31T00:00:00Z"));
        check("2030-01-01T00:00:00+23:60", Some("2029-12-31T00:00:00Z"));
        check("1969-12-31T23:59:59.25Z", Some("1969-12-31T23:59:59.25Z"));
        for wrong in [
            "",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00",
            "2030-01-01t00:00:00z",
            "2030-02-30T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T23:60:00Z",
            "2030-01-01T23:59:60Z",
            "2030-1-01T00:00:00Z",
            "12030-01-01T00:00:00Z",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00+0200",
            "2030-01-01T00:00:00+25:00",
            "2030-01-01T00:00:00Zx",
            "+030-01-01T00:00:00Z",
        ] {
            check(wrong, None);
        }
        assert_eq!(parse_time("2300-01-01T00:00:00Z"), Some(i64::MAX));
        assert_eq!(parse_time("9999-12-31T23:59:59-24:60"), Some(i64::MAX));
        assert_eq!(parse_time("0000-01-01T00:00:00Z"), Some(i64::MIN));
    }

    /// The cron lines come from a reckoning of what nats-server's search arrives at, which
    /// agreed with this one on 60,000 random patterns in six zones.
    #[test]
    fn next_ones() {
        let check = |pattern: &str, zone: Option<&str>, after: &str, expected: &str| {
            let schedule = Schedule::parse(pattern, zone).unwrap();
            let after = parse_time(after).unwrap();
            let next = schedule.next(after, after).unwrap();
            assert_eq!(schedule.format(next), expected, "{pattern} {zone:?}");
        };
        check("@at 2020-01-01T00:00:00Z", None, "2026-01-01T00:00:00Z", "2020-01-01T00:00:00Z");
        check("@every 1s", None, "2026-01-01T00:00:00.4Z", "2026-01-01T00:00:01Z");
        check("@every 1s", None, "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:02Z");
        check("@every 1.5s", None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z");
        check("* * * * * *", None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        check("* * * * * *", None, "2026-01-01T00:00:00.9Z", "2026-01-01T00:00:01Z");
        check("@hourly", None, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
        check("@daily", None, "2026-12-31T23:59:59.9Z", "2027-01-01T00:00:00Z");
        check("@weekly", None, "2026-11-21T06:41:06Z", "2026-11-22T00:00:00Z");
        check("@monthly", None, "2026-11-21T06:41:06Z", "2026-12-01T00:00:00Z");
        check("@yearly", None, "2026-11-21T06:41:06Z", "2027-01-01T00:00:00Z");
        check("0 0 0 29 2 *", None, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
        // Neither day field has a star: either suffices. A star with a step is none.
        check("0 0 0 13 * fri", None, "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z");
        check("0 0 0 13 * *", None, "2026-11-01T00:00:00Z", "2026-11-13T00:00:00Z");
        check("0 0 0 ? * fri", None, "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z");
        check("0 0 0 13 * */6", None, "2026-11-02T00:00:00Z", "2026-11-07T00:00:00Z");
        check(
            "*/2 * * * * *",
            Some("Asia/Kolkata"),
            "2026-11-21T06:41:10Z",
            "2026-11-21T12:11:12+05:30",
        );
        check(
            "@daily",
            Some("America/New_York"),
            "2026-07-01T12:00:00Z",
            "2026-07-02T00:00:00-04:00",
        );
        // 02:30 is left out on the last Sunday of March, and is there twice in October.
        let berlin = Some("Europe/Berlin");
        check("0 30 2 * * *", berlin, "2026-03-28T12:00:00Z", "2026-03-30T02:30:00+02:00");
        check("0 30 2 * * *", berlin, "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00");
        check("0 30 2 * * *", berlin, "2026-10-25T00:30:00Z", "2026-10-25T02:30:00+01:00");
        check("0 30 2 * * *", berlin, "2026-10-25T01:30:00Z", "2026-10-26T02:30:00+01:00");
        // Midnight is left out.
        check("@daily", Some("Africa/Cairo"), "2024-04-24T22:00:00Z", "2024-04-27T00:00:00+03:00");
        check(
            "@hourly",
            Some("Australia/Lord_Howe"),
            "2024-10-05T15:00:00Z",
            "2024-10-06T03:00:00+11:00",
        );
    }

    #[test]
    fn what_was_missed_is_left_out() {
        let now = parse_time("2026-01-01T12:00:00.7Z").unwrap();
        let long_ago = parse_time("2025-01-01T00:00:00Z").unwrap();
        let check = |pattern, expected| {
            let schedule = Schedule::parse(pattern, None).unwrap();
            assert_eq!(schedule.next(long_ago, now), parse_time(expected), "{pattern}");
        };
        check("@every 10s", "2026-01-01T12:00:11Z");
        check("@daily", "2026-01-02T00:00:00Z");
        check("* * * * * *", "2026-01-01T12:00:02Z");
        check("@at 2025-02-01T00:00:00Z", "2025-02-01T00:00:00Z");
        let schedule = Schedule::parse("@every 10s", None).unwrap();
        assert_eq!(schedule.next(i64::MAX, 0), Some(i64::MAX));
        let schedule = Schedule::parse("* * * * * *", None).unwrap();
        assert_eq!(schedule.next(i64::MAX, 0), None);
        assert!(schedule.next(i64::MIN, i64::MIN).is_some());
    }

    /// Each line was answered so by nats-server 2.15.1.
    #[test]
    fn published() {
        let all = Allowed { schedules: true, ttl: true };
        let check = |allowed: Allowed,
                     lines: &str,
                     expected: Result<(bool, bool, Option<&str>), ApiError>| {
            let block = format!("NATS/1.0\r\n{}\r\n", lines.replace(';', "\r\n"));
            let headers = Headers::new(block.as_bytes());
            let of_stream = |subject: &[u8]| subject.starts_with(b"s.");
            let checked =
                check_published(headers, b"s.a", allowed, NOW, of_stream).map(|published| {
                    let ends = published.ends.map(|ends| std::str::from_utf8(ends).unwrap());
                    (published.fires_unix_ns.is_some(), published.needs_rollup, ends)
                });
            assert_eq!(checked, expected, "{lines}");
        };
        let hourly = |rest: &str| format!("Nats-Schedule: @hourly;{rest}");
        let targeted = |rest: &str| hourly(&format!("Nats-Schedule-Target: s.t;{rest}"));
        let refused = |lines: &str, error| check(all, lines, Err(error));
        refused(&hourly(""), error::MESSAGE_SCHEDULES_TARGET_INVALID);
        refused(&hourly("Nats-Schedule-Target: s.a;"), error::MESSAGE_SCHEDULES_TARGET_INVALID);
        refused(&hourly("Nats-Schedule-Target: x.a;"), error::MESSAGE_SCHEDULES_TARGET_INVALID);
        refused(&hourly("Nats-Schedule-Target: s.*;"), error::MESSAGE_SCHEDULES_TARGET_INVALID);
        for source in ["s.t", "s.a", "s.*", "x.y"] {
            let source = format!("Nats-Schedule-Source: {source};");
            refused(&targeted(&source), error::MESSAGE_SCHEDULES_SOURCE_INVALID);
        }
        refused(
            &hourly("Nats-Schedule-Target: x.t;Nats-Schedule-Source: s.a;"),
            error::MESSAGE_SCHEDULES_SOURCE_INVALID,
        );
        check(all, &targeted("Nats-Schedule-TTL: 1;"), Ok((true, true, None)));
        refused(&targeted("Nats-Schedule-TTL: 0;"), error::MESSAGE_SCHEDULES_TTL_INVALID);
        refused(
            &hourly("Nats-Schedule-TTL: 0;Nats-Schedule-Rollup: all;"),
            error::MESSAGE_SCHEDULES_TTL_INVALID,
        );
        refused(&hourly("Nats-Schedule-Rollup: all;"), error::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        refused(&targeted("Nats-Schedule-Rollup: SUB;"), error::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        refused(&targeted("Nats-Rollup: all;"), error::MESSAGE_SCHEDULES_ROLLUP_INVALID);
        check(all, &targeted("Nats-Rollup: SUB;"), Ok((true, false, None)));
        refused("Nats-Schedule: @foo;", error::MESSAGE_SCHEDULES_PATTERN_INVALID);
        refused("Nats-Schedule: 0 0 0 31 2 *;", error::MESSAGE_SCHEDULES_PATTERN_INVALID);
        refused("Nats-Schedule-Time-Zone: foo;", error::MESSAGE_SCHEDULES_TIME_ZONE_INVALID);
        let no_ttl = Allowed { ttl: false, ..all };
        check(no_ttl, &hourly("Nats-Schedule-TTL: 1;"), Err(error::MESSAGE_TTL_DISABLED));
        check(
            no_ttl,
            &hourly("Nats-Schedule-TTL: 1;Nats-Schedule-Rollup: x;"),
            Err(error::MESSAGE_SCHEDULES_ROLLUP_INVALID),
        );
        let none = Allowed { schedules: false, ttl: false };
        check(none, &targeted(""), Err(error::MESSAGE_SCHEDULES_DISABLED));
        check(none, "Nats-Schedule: @foo;", Err(error::MESSAGE_SCHEDULES_DISABLED));
        check(none, "Nats-Schedule-Time-Zone: foo;", Err(error::MESSAGE_SCHEDULES_DISABLED));
        check(none, "Nats-Schedule-Time-Zone: UTC;", Ok((false, false, None)));
        check(none, "Nats-Schedule-Target: UTC;", Ok((false, false, None)));
        for plain in ["", "Nats-Schedule: ;", "Nats-Schedule-Next: ;", "Nats-Scheduler: ;"] {
            check(all, plain, Ok((false, false, None)));
        }
        let next = |rest: &str| format!("Nats-Schedule-Next: purge;{rest}");
        for wrong in ["", "Nats-Scheduler: s.a;", "Nats-Scheduler: s.*;"] {
            refused(&next(wrong), error::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
        }
        refused("Nats-Schedule-Next: x;", error::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
        refused("Nats-Scheduler: s.b;", error::MESSAGE_SCHEDULES_SCHEDULER_INVALID);
        check(all, &next("Nats-Scheduler: s.q;"), Ok((false, false, Some("s.q"))));
        check(all, &next("Nats-Scheduler: x.q;"), Ok((false, false, Some("x.q"))));
        check(none, &next("Nats-Scheduler: s.q;"), Err(error::MESSAGE_SCHEDULES_DISABLED));
        refused(
            &next("Nats-Scheduler: s.a;Nats-Schedule: @hourly;"),
            error::MESSAGE_SCHEDULES_TARGET_INVALID,
        );
    }

    /// Headers as nats-server 2.15.1 stored and published them.
    #[test]
    fn fired() {
        let check = |stored: &str, carried: Option<&str>, next: Option<&str>, expected: &str| {
            let instruction = Instruction::parse(Headers::new(stored.as_bytes())).unwrap().unwrap();
            let carried = carried.unwrap_or(stored);
            let next = next.map(|next| parse_time(next).unwrap());
            let headers = instruction.fired_headers(carried.as_bytes(), b"s.f1", next);
            assert_eq!(String::from_utf8(headers).unwrap(), expected);
        };
        check(
            "NATS/1.0\r\nNats-Schedule: */2 * * * * *\r\nNats-Schedule-Target: s.o1\r\n\
             Nats-Schedule-Time-Zone: Asia/Kolkata\r\nNats-Schedule-TTL: 5m\r\n\
             Nats-Schedule-Rollup: sub\r\nA: 1\r\nNats-Msg-Id: m\r\n\
             Nats-Expected-Stream: T\r\nNats-Rollup: sub\r\n\r\n",
            None,
            Some("2026-11-21T06:41:12Z"),
            "NATS/1.0\r\nA: 1\r\nNats-Scheduler: s.f1\r\n\
             Nats-Schedule-Next: 2026-11-21T12:11:12+05:30\r\nNats-TTL: 5m\r\n\
             Nats-Rollup: sub\r\n\r\n",
        );
        check(
            "NATS/1.0\r\nNats-Schedule: @at 2020-01-01T00:00:00Z\r\n\
             Nats-Schedule-Target: s.o2\r\nB: 2\r\nNats-Rollup: sub\r\n\r\n",
            None,
            None,
            "NATS/1.0\r\nB: 2\r\nNats-Scheduler: s.f1\r\nNats-Schedule-Next: purge\r\n\r\n",
        );
        check(
            "NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: s.o3\r\n\
             Nats-Schedule-Source: s.src\r\nB: 2\r\nNats-Rollup: sub\r\n\r\n",
            Some("NATS/1.0\r\nC: 3\r\nNats-TTL: 1h\r\n\r\n"),
            Some("2026-11-21T06:41:09.5Z"),
            "NATS/1.0\r\nC: 3\r\nNats-Scheduler: s.f1\r\n\
             Nats-Schedule-Next: 2026-11-21T06:41:09.5Z\r\n\r\n",
        );
        assert_eq!(Instruction::parse(Headers::new(b"")), Ok(None));
    }

    /// 2026-11-21T06:41:06Z
    const NOW: i64 = 1_795_243_266_000_000_000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Without any search: the first of all seconds that matches.
        #[test]
        fn it_is_the_first_second_that_matches(
            zone in prop::sample::select(&["Africa/Cairo", "Australia/Lord_Howe", "Europe/Berlin"]),
            transition in 0_usize..6,
            before in 0_i64..40_000,
            fields in ["\\*|[0-5]?[0-9]|\\*/7", "\\*|[0-5]?[0-9]|\\*/15", "\\*|[0-4]|\\*/3|22,23", "\\*|2[5-9]"],
        ) {
            let pattern = format!("{} * *", fields.join(" "));
            let schedule = Schedule::parse(&pattern, Some(zone)).unwrap();
            let Schedule::Cron(cron) = &schedule else { unreachable!("it has six fields") };
            let begin = Timestamp::from_second(1_704_067_200).unwrap();
            let transition = cron.zone.following(begin).nth(transition).unwrap().timestamp();
            let after = transition.as_second() - before;
            let limit = after + 86_400;
            let brute_force = (after + 1..limit).find(|second| {
                let local = cron.zone.to_datetime(Timestamp::from_second(*second).unwrap());
                cron.next_candidate(local).is_none()
            });
            let next = schedule.next(after * SECOND_NS, 0).unwrap() / SECOND_NS;
            prop_assert_eq!(Some(next).filter(|next| *next < limit), brute_force);
        }

        #[test]
        fn no_headers_make_it_panic(pattern in "(@at |@every )?[-0-9*/,TZ:. a-z]{0,30}", block: Vec<u8>) {
            if let Ok(schedule) = Schedule::parse(&pattern, None) {
                let _ = schedule.next(NOW, NOW).map(|next| schedule.format(next));
            }
            let _ = Instruction::parse(Headers::new(&block));
        }
    }
}
