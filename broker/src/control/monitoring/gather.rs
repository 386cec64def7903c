//! Asks the reactors, one after the other and page by page: each page is mail among other mail,
//! so that no question holds up messages for longer than one page takes.

use tokio::sync::oneshot;

use crate::Shared;
use crate::reactor::{Answer, ConnectionReport, Mail, Page, SubscriptionReport};

/// Calls `each` with what is told of every connection: the open ones, or those that ended.
pub(super) async fn connections(
    shared: &Shared,
    ended: bool,
    each: impl FnMut(ConnectionReport) + Send,
) {
    walk(shared, |from, answer| Mail::Connections { from, ended, answer }, each).await;
}

/// Calls `each` with what is told of every subscription of an open connection.
pub(super) async fn subscriptions(shared: &Shared, each: impl FnMut(SubscriptionReport) + Send) {
    walk(shared, |from, answer| Mail::Subscriptions { from, answer }, each).await;
}

async fn walk<T: Send + 'static>(
    shared: &Shared,
    question: impl Fn(u64, Answer<Page<T>>) -> Mail + Send,
    mut each: impl FnMut(T) + Send,
) {
    for peer in shared.reactors() {
        let mut from = Some(0);
        while let Some(place) = from {
            let (give, given) = oneshot::channel();
            let answer = Answer::new(move |page| {
                // Nobody waits for it any more when the request was given up.
                let _ = give.send(page);
            });
            peer.inbox.push(question(place, answer));
            // A reactor that has ended drops the question.
            let Ok(Page { entries, next }) = given.await else { break };
            entries.into_iter().for_each(&mut each);
            from = next;
        }
    }
}
