//! Comparing passwords with bcrypt hashes, away from the reactors.
//!
//! A comparison takes as long as the hash wants, a tenth of a second and more. The reactor hands
//! it over, reads nothing more from that client, and hears the answer by mail.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::mesh::mail::ConnectionId;
use crate::reactor::Mail;
use crate::shared::PeerInbox;

/// Comparisons that may wait. A client beyond that is refused: at a tenth of a second each, it
/// would not be let in before its time is up anyway.
const WAITING_MAX: usize = 256;
/// Threads that compare; bcrypt is meant to be slow, and messages are not to wait for it.
const THREADS_MAX: usize = 4;

/// A password to be compared.
pub struct Question {
    /// Who presented it.
    pub connection: ConnectionId,
    /// What was presented.
    pub presented: String,
    /// The hash it should belong to.
    pub hash: String,
}

/// Threads that compare. They end when this is dropped.
pub struct Verifier {
    questions: Sender<Question>,
}

impl Verifier {
    /// Starts the threads, which answer to `inboxes`, by the number of the reactor.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start(inboxes: &[Arc<PeerInbox>]) -> io::Result<Self> {
        let (questions, receiver) = bounded(WAITING_MAX);
        let count =
            thread::available_parallelism().map_or(1, usize::from).div_ceil(2).min(THREADS_MAX);
        for number in 0..count {
            let (receiver, inboxes) = (receiver.clone(), inboxes.to_vec());
            thread::Builder::new()
                .name(format!("fulmar-verify-{number}"))
                .spawn(move || answer(&receiver, &inboxes))?;
        }
        Ok(Self { questions })
    }

    /// Hands over a comparison; false when too many wait. Never blocks.
    pub fn ask(&self, question: Question) -> bool {
        !matches!(
            self.questions.try_send(question),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }
}

fn answer(questions: &Receiver<Question>, inboxes: &[Arc<PeerInbox>]) {
    for Question { connection, presented, hash } in questions {
        // A hash that cannot be read fits no password.
        let right = bcrypt::verify(presented, &hash).unwrap_or(false);
        inboxes[usize::from(connection.peer)].push(Mail::Verified { connection, right });
    }
}
