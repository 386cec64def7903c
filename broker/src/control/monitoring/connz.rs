//! `/connz`: the connections, open and ended.
//!
//! What the reactors tell is filtered, ranked and cut to the page that was asked for as it
//! comes: of 65,000 connections no more are held than the page and those before it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::{Instant, SystemTime};

use serde::{Serialize, Serializer};

use super::answer::is_zero;
use super::gather;
use super::query::{Query, Refusal};
use super::site::Site;
use super::subsz::SubscriptionDetail;
use super::text::{round_trip, uptime};
use crate::Shared;
use crate::reactor::{ConnectionReport, SubscriptionReport};

/// Connections of a page when nothing else is asked for.
const LIMIT_DEFAULT: usize = 1024;
/// Connections of a page whatever is asked for, about 700 bytes each; for more, ask for the next
/// page by `offset`.
const LIMIT_MAX: usize = 65_536;
/// Subscriptions listed on a page, of all connections together; the rest is left out.
const SUBSCRIPTIONS_MAX: usize = 262_144;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    sort: Sort,
    auth: bool,
    lists: Lists,
    offset: usize,
    limit: usize,
    cid: Option<u64>,
    state: State,
    user: String,
    account: String,
    mqtt_client: String,
}

/// What is told of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    None,
    Subjects,
    Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Any,
}

/// By what connections are sorted. Only by number, age and reason does the smallest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Number,
    Subscriptions,
    Pending,
    MessagesTo,
    MessagesFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    RoundTrip,
}

impl Wanted {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// The first one that is wrong.
    pub(super) fn read(query: &Query) -> Result<Self, Refusal> {
        let auth = query.boolean("auth")?;
        let lists = if query.text("subs").eq_ignore_ascii_case("detail") {
            Lists::Details
        } else if query.boolean("subs")? {
            Lists::Subjects
        } else {
            Lists::None
        };
        let offset = at_least_one(query.integer("offset")?).unwrap_or(0);
        let limit = at_least_one(query.integer("limit")?).unwrap_or(LIMIT_DEFAULT);
        let cid = Some(query.unsigned("cid")?).filter(|cid| *cid > 0);
        let state = state(query.text("state"))?;
        let sort = sort(query.text("sort"), state)?;
        Ok(Self {
            sort,
            auth,
            lists,
            offset,
            limit: if cid.is_some() { 1 } else { limit },
            cid,
            state,
            user: query.text("user").to_owned(),
            account: query.text("acc").to_owned(),
            mqtt_client: query.text("mqtt_client").to_owned(),
        })
    }

    fn wants(&self, report: &ConnectionReport) -> bool {
        self.cid.is_none_or(|cid| report.cid == cid)
            && (self.user.is_empty() || *report.user == *self.user)
            // No client speaks MQTT yet.
            && self.mqtt_client.is_empty()
    }
}

/// A parameter for which 0 and less mean that it was not given.
pub(super) fn at_least_one(value: i64) -> Option<usize> {
    usize::try_from(value).ok().filter(|value| *value > 0)
}

fn state(text: &str) -> Result<State, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "" | "open" => Ok(State::Open),
        "closed" => Ok(State::Closed),
        "any" | "all" => Ok(State::Any),
        _ => Err(Refusal(format!("Error decoding state for {text}"))),
    }
}

fn sort(text: &str, state: State) -> Result<Sort, Refusal> {
    let sort = match text {
        "" | "cid" | "start" => Sort::Number,
        "subs" => Sort::Subscriptions,
        "pending" => Sort::Pending,
        "msgs_to" => Sort::MessagesTo,
        "msgs_from" => Sort::MessagesFrom,
        "bytes_to" => Sort::BytesTo,
        "bytes_from" => Sort::BytesFrom,
        "last" => Sort::Last,
        "idle" => Sort::Idle,
        "uptime" => Sort::Uptime,
        "stop" => Sort::Stop,
        "reason" => Sort::Reason,
        "rtt" => Sort::RoundTrip,
        _ => return Err(Refusal(format!("invalid sorting option: {text}"))),
    };
    if matches!(sort, Sort::Stop | Sort::Reason) && state != State::Closed {
        return Err(Refusal(format!("sort by {text} only valid on closed connections")));
    }
    Ok(sort)
}

/// What was found, not in its final form yet.
#[derive(Debug)]
pub(super) struct Found {
    wanted: Wanted,
    now: Instant,
    total: usize,
    selection: Selection,
    /// By the number of their connection.
    subscriptions: HashMap<u64, Vec<SubscriptionReport>>,
}

/// Asks the reactors; `None` is an account that does not exist.
pub(super) async fn find(shared: &Shared, wanted: Wanted) -> Option<Found> {
    let now = Instant::now();
    let account = if wanted.account.is_empty() {
        None
    } else {
        let known = shared.accounts.iter().position(|account| account.name == wanted.account)?;
        Some(known)
    };
    let is_in_account =
        |report: &ConnectionReport| account.is_none_or(|number| report.account as usize == number);
    let listed_max = wanted.offset.saturating_add(wanted.limit.min(LIMIT_MAX));
    let mut selection = Selection::new(listed_max);
    let mut total = 0;
    // One that ends between the two questions is told of twice; it counts once.
    let mut open = HashSet::new();
    if wanted.state != State::Closed {
        gather::connections(shared, false, |report| {
            if is_in_account(&report) {
                total += 1;
                if wanted.state == State::Any {
                    open.insert(report.cid);
                }
                if wanted.wants(&report) {
                    selection.add(rank(wanted.sort, &report, shared.started_at, now), report);
                }
            }
        })
        .await;
    }
    if wanted.state != State::Open {
        gather::connections(shared, true, |report| {
            if is_in_account(&report) && !open.contains(&report.cid) {
                total += 1;
                if wanted.wants(&report) {
                    selection.add(rank(wanted.sort, &report, shared.started_at, now), report);
                }
            }
        })
        .await;
    }
    selection.forget_first(wanted.offset);
    let subscriptions = if wanted.lists == Lists::None {
        HashMap::new()
    } else {
        subscriptions_of(shared, &selection).await
    };
    Some(Found { wanted, now, total, selection, subscriptions })
}

async fn subscriptions_of(
    shared: &Shared,
    selection: &Selection,
) -> HashMap<u64, Vec<SubscriptionReport>> {
    let mut lists: HashMap<u64, Vec<SubscriptionReport>> = selection
        .reports()
        .filter(|report| report.end.is_none() && report.subscription_count > 0)
        .map(|report| (report.cid, Vec::new()))
        .collect();
    if lists.is_empty() {
        return lists;
    }
    let mut count = 0;
    gather::subscriptions(shared, |subscription| {
        if count < SUBSCRIPTIONS_MAX
            && let Some(list) = lists.get_mut(&subscription.cid)
        {
            list.push(subscription);
            count += 1;
        }
    })
    .await;
    lists
}

/// The place of a connection among others: the smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Ascending(u128),
    Descending(Reverse<u128>),
    Text(&'static str),
}

fn rank(sort: Sort, report: &ConnectionReport, started_at: Instant, now: Instant) -> Rank {
    let descending = |value: u128| Rank::Descending(Reverse(value));
    let since_start = |at: Instant| at.saturating_duration_since(started_at).as_nanos();
    let traffic = &report.traffic;
    match sort {
        Sort::Number => Rank::Ascending(report.cid.into()),
        Sort::Subscriptions => descending(report.subscription_count as u128),
        Sort::Pending => descending(report.pending_bytes as u128),
        Sort::MessagesTo => descending(traffic.out_messages.into()),
        Sort::MessagesFrom => descending(traffic.in_messages.into()),
        Sort::BytesTo => descending(traffic.out_bytes.into()),
        Sort::BytesFrom => descending(traffic.in_bytes.into()),
        Sort::Last => descending(since_start(report.last_activity)),
        Sort::Idle => Rank::Ascending(since_start(report.last_activity)),
        Sort::Uptime => {
            let end = report.end.map_or(now, |end| end.at);
            Rank::Ascending(end.saturating_duration_since(report.started).as_nanos())
        }
        Sort::Stop => descending(report.end.map_or(0, |end| since_start(end.at))),
        Sort::Reason => Rank::Text(report.end.map_or("", |end| end.reason.as_str())),
        Sort::RoundTrip => descending(report.rtt.unwrap_or_default().as_nanos()),
    }
}

/// The first connections by rank; equal ones by their number.
#[derive(Debug)]
struct Selection {
    max: usize,
    /// The last one on top, which goes when a better one comes.
    heap: BinaryHeap<Candidate>,
    sorted: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    rank: Rank,
    report: ConnectionReport,
}

impl Candidate {
    fn place(&self) -> (Rank, u64) {
        (self.rank, self.report.cid)
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl Selection {
    fn new(max: usize) -> Self {
        Self { max, heap: BinaryHeap::new(), sorted: Vec::new() }
    }

    fn add(&mut self, rank: Rank, report: ConnectionReport) {
        let candidate = Candidate { rank, report };
        if self.heap.len() < self.max {
            self.heap.push(candidate);
        } else if let Some(mut last) = self.heap.peek_mut()
            && candidate < *last
        {
            *last = candidate;
        }
    }

    /// Ends the selection: sorts what is in it, and takes the first `count` out.
    fn forget_first(&mut self, count: usize) {
        self.sorted = std::mem::take(&mut self.heap).into_sorted_vec();
        self.sorted.drain(..count.min(self.sorted.len()));
    }

    fn reports(&self) -> impl Iterator<Item = &ConnectionReport> {
        self.sorted.iter().map(|candidate| &candidate.report)
    }
}

/// The page.
#[derive(Serialize)]
pub(super) struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Option<Connections<'a>>,
}

/// A list whose entries are made one by one while they are written: together they would take
/// several times the memory of what is written.
struct Connections<'a> {
    site: &'a Site,
    found: &'a Found,
}

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { site, found } = self;
        let reports = found.selection.reports();
        serializer.collect_seq(reports.map(|report| Connection::of(site, found, report)))
    }
}

impl<'a> Connz<'a> {
    /// The page about what was found.
    pub(super) fn of(site: &'a Site, found: &'a Found) -> Self {
        Self {
            server_id: site.server_id(),
            now: site.clock().utc(SystemTime::now()),
            num_connections: found.selection.sorted.len(),
            total: found.total,
            offset: found.wanted.offset,
            limit: found.wanted.limit,
            connections: Some(Connections { site, found }),
        }
    }

    /// The page about an account that does not exist, which nats-server leaves nearly empty.
    pub(super) fn of_nobody(site: &Site, offset: usize, limit: usize) -> Self {
        let now = site.clock().utc(SystemTime::now());
        let connections = None;
        Self { server_id: "", now, num_connections: 0, total: 0, offset, limit, connections }
    }
}

impl Found {
    /// How many entries the page has.
    pub(super) fn entry_count(&self) -> usize {
        let listed: usize = self.subscriptions.values().map(Vec::len).sum();
        self.selection.sorted.len() + listed
    }
}

impl Wanted {
    /// Where the page begins, and how long it may be.
    pub(super) fn bounds(&self) -> (usize, usize) {
        (self.offset, self.limit)
    }
}

/// A connection, in the order of nats-server's fields.
#[derive(Serialize)]
struct Connection<'a> {
    cid: u64,
    kind: &'static str,
    r#type: &'static str,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stalls: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    authorized_user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubscriptionDetail<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<&'a str>,
}

impl<'a> Connection<'a> {
    fn of(site: &'a Site, found: &'a Found, report: &'a ConnectionReport) -> Self {
        let clock = site.clock();
        let traffic = &report.traffic;
        let until = report.end.map_or(found.now, |end| end.at);
        let account = site.account_name(report.account);
        let list = match report.end {
            None => found.subscriptions.get(&report.cid).map_or(&[][..], Vec::as_slice),
            Some(_) => &report.subscriptions[..],
        };
        let auth = found.wanted.auth;
        Self {
            cid: report.cid,
            kind: "Client",
            r#type: "nats",
            ip: report.address.ip().to_canonical().to_string(),
            port: report.address.port(),
            start: clock.local(report.started),
            last_activity: clock.local(report.last_activity),
            stop: report.end.map(|end| clock.local(end.at)),
            reason: report.end.map(|end| end.reason.as_str()),
            rtt: round_trip(report.rtt),
            uptime: uptime(until.saturating_duration_since(report.started)),
            idle: uptime(until.saturating_duration_since(report.last_activity)),
            pending_bytes: report.pending_bytes,
            in_msgs: traffic.in_messages,
            out_msgs: traffic.out_messages,
            in_bytes: traffic.in_bytes,
            out_bytes: traffic.out_bytes,
            stalls: report.stalls,
            subscriptions: report.subscription_count,
            name: &report.name,
            lang: &report.lang,
            version: &report.version,
            authorized_user: if auth { &report.user } else { "" },
            account: Some(account).filter(|name| auth && *name != Shared::GLOBAL_ACCOUNT),
            subscriptions_list: match found.wanted.lists {
                Lists::Subjects => list
                    .iter()
                    .map(|subscription| String::from_utf8_lossy(&subscription.subject))
                    .collect(),
                _ => Vec::new(),
            },
            subscriptions_list_detail: match found.wanted.lists {
                Lists::Details => list
                    .iter()
                    // Ended connections name the account of each, open ones do not.
                    .map(|subscription| {
                        SubscriptionDetail::of(subscription, report.end.map(|_| account))
                    })
                    .collect(),
                _ => Vec::new(),
            },
            name_tag: Some(account).filter(|_| auth && report.end.is_none()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::reactor::{CloseReason, End};

    fn report(cid: u64) -> ConnectionReport {
        let now = Instant::now();
        ConnectionReport {
            cid,
            address: ([127, 0, 0, 1], 1).into(),
            account: 0,
            started: now,
            last_activity: now,
            end: None,
            rtt: None,
            pending_bytes: 0,
            traffic: Default::default(),
            stalls: 0,
            subscription_count: 0,
            name: "".into(),
            lang: "".into(),
            version: "".into(),
            user: "".into(),
            subscriptions: Arc::from([]),
        }
    }

    #[test]
    fn the_first_ones_are_kept_whatever_comes() {
        let mut selection = Selection::new(5);
        // Each number up to 100 once, in no order.
        for step in 0..101_u64 {
            let cid = step * 37 % 101;
            selection.add(Rank::Descending(Reverse(u128::from(cid / 2))), report(cid));
            assert!(selection.heap.len() <= 5);
        }
        selection.forget_first(2);
        let cids: Vec<_> = selection.reports().map(|report| report.cid).collect();
        // 100; then 98 and 99, which are equal, 96 and 97.
        assert_eq!(cids, [99, 96, 97]);

        let mut nothing = Selection::new(0);
        nothing.add(Rank::Ascending(0), report(1));
        nothing.forget_first(7);
        assert_eq!(nothing.reports().count(), 0);
    }

    #[test]
    fn every_order() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let now = start + seconds(100);
        let mut low = report(1);
        (low.started, low.last_activity) = (start + seconds(1), start + seconds(50));
        low.end = Some(End { reason: CloseReason::ClientClosed, at: start + seconds(60) });
        let mut high = report(2);
        (high.started, high.last_activity) = (start + seconds(2), start + seconds(70));
        high.end = Some(End { reason: CloseReason::WriteError, at: start + seconds(80) });
        high.subscription_count = 1;
        high.pending_bytes = 1;
        high.rtt = Some(seconds(1));
        high.traffic.in_messages = 1;
        high.traffic.in_bytes = 1;
        high.traffic.out_messages = 1;
        high.traffic.out_bytes = 1;
        for (name, low_is_first) in [
            ("", true),
            ("cid", true),
            ("start", true),
            ("subs", false),
            ("pending", false),
            ("msgs_to", false),
            ("msgs_from", false),
            ("bytes_to", false),
            ("bytes_from", false),
            ("last", false),
            ("idle", true),
            ("uptime", true),
            ("stop", false),
            ("reason", true),
            ("rtt", false),
        ] {
            let sort = sort(name, State::Closed).unwrap();
            let rank = |report| rank(sort, report, start, now);
            assert_eq!(rank(&low) < rank(&high), low_is_first, "{name}");
        }
    }
}
