//! The connections that ended, for `/connz?state=closed`. How they ended is not decided here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::report::ConnectionReport;

/// Subscriptions that are remembered of one ended connection; of one with more, none are.
pub(super) const LISTED_SUBSCRIPTIONS_MAX: usize = 1024;
/// Subscriptions that are remembered of all ended connections of a reactor together, about
/// 150 bytes each. For more, the oldest connections lose their lists.
const SUBSCRIPTIONS_MAX: usize = 64 * 1024;

/// The last connections that ended, in the order in which they did.
pub(super) struct Ended {
    reports: VecDeque<ConnectionReport>,
    max: usize,
    /// The number of the first one; they are numbered from 0 on.
    first: u64,
    /// The first one whose list of subscriptions is still there.
    listed_from: u64,
    subscription_count: usize,
}

impl Ended {
    /// Remembers `max` connections.
    pub(super) fn new(max: usize) -> Self {
        Self { reports: VecDeque::new(), max, first: 0, listed_from: 0, subscription_count: 0 }
    }

    /// Remembers one more, and forgets the oldest one for it.
    pub(super) fn push(&mut self, report: ConnectionReport) {
        if self.max == 0 {
            return;
        }
        if self.reports.len() == self.max
            && let Some(oldest) = self.reports.pop_front()
        {
            self.subscription_count -= oldest.subscriptions.len();
            self.first += 1;
            self.listed_from = self.listed_from.max(self.first);
        }
        self.subscription_count += report.subscriptions.len();
        self.reports.push_back(report);
        while self.subscription_count > SUBSCRIPTIONS_MAX
            && let Some(report) = self.place(self.listed_from)
        {
            let list = std::mem::replace(&mut self.reports[report].subscriptions, Arc::from([]));
            self.subscription_count -= list.len();
            self.listed_from += 1;
        }
    }

    /// At most `count` of them from number `from` on, and the number of the next one. The numbers
    /// stay what they are when old ones are forgotten meanwhile.
    pub(super) fn page(&self, from: u64, count: usize) -> (Vec<ConnectionReport>, Option<u64>) {
        let from = from.max(self.first);
        let Some(place) = self.place(from) else { return (Vec::new(), None) };
        let reports: Vec<_> = self.reports.range(place..).take(count).cloned().collect();
        let next = from + reports.len() as u64;
        (reports, self.place(next).map(|_| next))
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.reports.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::connection::Traffic;
    use super::super::report::SubscriptionReport;
    use super::*;

    fn report(cid: u64, subscription_count: usize) -> ConnectionReport {
        let now = Instant::now();
        let subscription = SubscriptionReport {
            account: 0,
            subject: Arc::from(&b"a"[..]),
            queue: None,
            sid: b"1"[..].into(),
            delivered: 0,
            max: 0,
            cid,
        };
        ConnectionReport {
            cid,
            address: ([127, 0, 0, 1], 1).into(),
            account: 0,
            started: now,
            last_activity: now,
            end: None,
            rtt: None,
            pending_bytes: 0,
            traffic: Traffic::default(),
            stalls: 0,
            subscription_count,
            name: "".into(),
            lang: "".into(),
            version: "".into(),
            user: "".into(),
            subscriptions: vec![subscription; subscription_count].into(),
        }
    }

    fn cids(reports: &[ConnectionReport]) -> Vec<u64> {
        reports.iter().map(|report| report.cid).collect()
    }

    #[test]
    fn the_oldest_is_forgotten_and_pages_go_on_where_they_were() {
        let mut ended = Ended::new(4);
        assert!(ended.page(0, 2).0.is_empty());
        (0..4).for_each(|cid| ended.push(report(cid, 0)));
        let (page, next) = ended.page(0, 2);
        assert_eq!((cids(&page), next), (vec![0, 1], Some(2)));
        ended.push(report(4, 0));
        let (page, next) = ended.page(2, 2);
        assert_eq!((cids(&page), next), (vec![2, 3], Some(4)));
        let (page, next) = ended.page(4, 2);
        assert_eq!((cids(&page), next), (vec![4], None));
        assert_eq!(cids(&ended.page(0, 9).0), [1, 2, 3, 4]);

        let mut none = Ended::new(0);
        none.push(report(1, 0));
        assert!(none.page(0, 9).0.is_empty());
    }

    #[test]
    fn lists_of_subscriptions_are_bounded_in_all() {
        let mut ended = Ended::new(100);
        let each = SUBSCRIPTIONS_MAX / 10;
        for cid in 0..300 {
            ended.push(report(cid, each));
            assert!(ended.subscription_count <= SUBSCRIPTIONS_MAX);
        }
        let (page, _) = ended.page(0, 100);
        let lengths: Vec<_> = page.iter().map(|report| report.subscriptions.len()).collect();
        assert_eq!(lengths[..90], [0; 90]);
        assert_eq!(lengths[90..], [each; 10]);
        assert!(page.iter().all(|report| report.subscription_count == each));
    }
}
