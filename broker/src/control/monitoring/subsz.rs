//! `/subsz`: the interest, and on demand every subscription.

use std::borrow::Cow;
use std::time::SystemTime;

use fulmar_protocol::subject::{Filter, tokens};
use serde::{Serialize, Serializer};

use super::answer::{go_float, is_zero};
use super::connz::at_least_one;
use super::gather;
use super::query::{Query, Refusal};
use super::site::Site;
use super::varz::total;
use crate::reactor::SubscriptionReport;

/// Subscriptions of a page when nothing else is asked for.
const LIMIT_DEFAULT: usize = 1024;
/// Subscriptions of a page whatever is asked for, about 200 bytes each; for more, ask for the
/// next page by `offset`.
const LIMIT_MAX: usize = 262_144;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    is_listed: bool,
    offset: usize,
    limit: usize,
    account: String,
    /// A subject the subscriptions must match; empty is none.
    test: String,
}

impl Wanted {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// The first one that is wrong.
    pub(super) fn read(query: &Query) -> Result<Self, Refusal> {
        let is_listed = query.boolean("subs")?;
        let offset = at_least_one(query.integer("offset")?).unwrap_or(0);
        let limit = at_least_one(query.integer("limit")?).unwrap_or(LIMIT_DEFAULT);
        let test = query.text("test").to_owned();
        let is_literal = tokens(test.as_bytes()).all(|token| !matches!(token, b"" | b"*" | b">"));
        if !(test.is_empty() || is_literal) {
            return Err(Refusal(format!(
                "invalid test subject, must be valid publish subject: {test}"
            )));
        }
        Ok(Self { is_listed, offset, limit, account: query.text("acc").to_owned(), test })
    }

    /// Whether the reactors have to be asked.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    fn wants(&self, site: &Site, report: &SubscriptionReport) -> bool {
        let in_account =
            self.account.is_empty() || self.account == site.account_name(report.account);
        in_account
            && (self.test.is_empty()
                || Filter::parse(&report.subject)
                    .is_ok_and(|filter| filter.matches(self.test.as_bytes())))
    }
}

/// What was found, not in its final form yet.
#[derive(Debug)]
pub(super) struct Found {
    wanted: Wanted,
    total: usize,
    page: Vec<SubscriptionReport>,
}

impl Found {
    /// How many entries the page has.
    pub(super) fn entry_count(&self) -> usize {
        self.page.len()
    }
}

/// Asks the reactors, if a list is wanted.
pub(super) async fn find(site: &Site, wanted: Wanted) -> Found {
    let mut found = Found { wanted, total: 0, page: Vec::new() };
    let Found { wanted, total, page } = &mut found;
    if wanted.is_listed {
        gather::subscriptions(site.shared(), |subscription| {
            if wanted.wants(site, &subscription) {
                if *total >= wanted.offset && page.len() < wanted.limit.min(LIMIT_MAX) {
                    page.push(subscription);
                }
                *total += 1;
            }
        })
        .await;
    }
    found
}

/// The page, in the order of nats-server's fields.
#[derive(Serialize)]
pub(super) struct Subsz<'a> {
    server_id: &'a str,
    now: String,
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    #[serde(serialize_with = "go_float")]
    cache_hit_rate: f64,
    max_fanout: u64,
    #[serde(serialize_with = "go_float")]
    avg_fanout: f64,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriptions_list: Option<Subscriptions<'a>>,
}

/// A list whose entries are made one by one while they are written.
struct Subscriptions<'a> {
    site: &'a Site,
    found: &'a Found,
}

impl Serialize for Subscriptions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let account = |report: &SubscriptionReport| Some(self.site.account_name(report.account));
        let page = self.found.page.iter();
        serializer.collect_seq(page.map(|report| SubscriptionDetail::of(report, account(report))))
    }
}

impl<'a> Subsz<'a> {
    /// The page about what was found.
    pub(super) fn of(site: &'a Site, found: &'a Found) -> Self {
        let wanted = &found.wanted;
        let accounts = || {
            site.shared()
                .accounts
                .iter()
                .filter(|account| wanted.account.is_empty() || account.name == wanted.account)
        };
        let (mut inserts, mut removes) = (0, 0);
        for account in accounts() {
            let (inserted, removed) = account.interest.changes();
            inserts += inserted;
            removes += removed;
        }
        // The reactors count what they remember over all accounts.
        let counters =
            if accounts().next().is_some() { total(site.shared()) } else { Default::default() };
        let matches = counters.cache_hits + counters.cache_misses;
        Self {
            server_id: site.server_id(),
            now: site.clock().utc(SystemTime::now()),
            num_subscriptions: inserts.saturating_sub(removes),
            num_cache: counters.cache_entries,
            num_inserts: inserts,
            num_removes: removes,
            num_matches: matches,
            cache_hit_rate: ratio(counters.cache_hits, matches),
            max_fanout: counters.fanout_max,
            avg_fanout: ratio(counters.fanout_sum, counters.cache_entries),
            total: found.total,
            offset: wanted.offset,
            limit: wanted.limit,
            subscriptions_list: (!found.page.is_empty()).then_some(Subscriptions { site, found }),
        }
    }
}

/// `part` of `whole`; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = part as f64 / whole.max(1) as f64;
    ratio
}

/// A subscription, in the order of nats-server's fields.
#[derive(Serialize)]
pub(super) struct SubscriptionDetail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_tag: Option<&'a str>,
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qgroup: Option<Cow<'a, str>>,
    sid: Cow<'a, str>,
    msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    cid: u64,
}

impl<'a> SubscriptionDetail<'a> {
    /// The entry about `report`, which names its account or not.
    pub(super) fn of(report: &'a SubscriptionReport, account: Option<&'a str>) -> Self {
        Self {
            account,
            account_tag: account,
            subject: String::from_utf8_lossy(&report.subject),
            qgroup: report.queue.as_deref().map(String::from_utf8_lossy),
            sid: String::from_utf8_lossy(&report.sid),
            msgs: report.delivered,
            max: report.max,
            cid: report.cid,
        }
    }
}
