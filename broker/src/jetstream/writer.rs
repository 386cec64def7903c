//! The threads that wait for the disk, so that a shard never does.
//!
//! Each takes jobs from a queue, all that have gathered at once, and mails what came of them back
//! to the shard. It refuses to know what the jobs are for.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::reactor::Mail;
use crate::shared::PeerInbox;

/// Something to be done on the disk, and mail about how it went.
pub trait Job: Send + 'static {
    /// Does it.
    fn run(self: Box<Self>) -> Mail;
}

/// A thread that waits for the disk.
///
/// Its queue has at most one commit and one background job of each stream: a stream hands out the
/// next one when the last came back.
pub struct Writer {
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread `name`, which answers to `inbox`.
    ///
    /// # Errors
    ///
    /// The system has no threads left.
    pub fn start(name: String, inbox: Arc<PeerInbox>) -> io::Result<Self> {
        let (sender, receiver) = unbounded();
        let thread =
            std::thread::Builder::new().name(name).spawn(move || run(&receiver, &inbox))?;
        Ok(Self { jobs: Some(sender), thread: Some(thread) })
    }

    /// Hands a job over.
    pub fn give(&self, job: Box<dyn Job>) {
        if let Some(jobs) = &self.jobs {
            // It ends only when this handle is dropped.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread that waits for the disk had panicked");
        }
    }
}

fn run(jobs: &Receiver<Box<dyn Job>>, inbox: &PeerInbox) {
    while let Ok(job) = jobs.recv() {
        inbox.push(job.run());
    }
}
