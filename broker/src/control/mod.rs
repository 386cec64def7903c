//! The control thread: what is not on the path of a message.
//!
//! It accepts connections and hands them to reactors, serves monitoring, and takes commands.

mod accept;
pub(crate) mod files;
mod monitoring;
mod run;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

pub use self::run::{RunError, run};
use crate::reactor::Mail;
use crate::shared::Shared;

/// How often lame duck mode looks whether the last client has gone.
const LAME_DUCK_STEP: Duration = Duration::from_millis(50);

/// What the control thread is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close everything and end.
    Stop,
    /// Let the clients go one by one, then end.
    LameDuck,
}

/// What the control thread owns.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: TcpListener,
    pub(crate) monitoring: Option<TcpListener>,
    pub(crate) reactors: Vec<JoinHandle<()>>,
    /// The thread of the streams, if there are any.
    pub(crate) shard: Option<JoinHandle<()>>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

impl Control {
    /// Starts the thread.
    pub(crate) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("fulmar-control".to_owned()).spawn(move || {
            runtime.block_on(self.run());
            runtime.shutdown_background();
        })
    }

    async fn run(mut self) {
        let accepting = tokio::spawn(accept::accept(self.listener, self.shared.clone()));
        let monitoring = self
            .monitoring
            .map(|listener| tokio::spawn(monitoring::serve(listener, self.shared.clone())));
        // A closed channel is a server that was dropped.
        let command = self.commands.recv().await.unwrap_or(Command::Stop);
        accepting.abort();
        // The listener is closed when the task is gone.
        let _ = accepting.await;
        if command == Command::LameDuck {
            let live = self.shared.live();
            let timers = &live.options.timers;
            let grace = timers.lame_duck_grace_period;
            let over = timers.lame_duck_duration.saturating_sub(grace);
            self.shared.lame_duck.store(true, Ordering::Relaxed);
            for peer in self.shared.reactors() {
                peer.inbox.push(Mail::LameDuck { grace, over });
            }
            let until = Instant::now() + timers.lame_duck_duration;
            while Instant::now() < until && self.shared.connection_count.load(Ordering::Relaxed) > 0
            {
                tokio::time::sleep(LAME_DUCK_STEP).await;
                if self.commands.try_recv() == Ok(Command::Stop) {
                    break;
                }
            }
        }
        if let Some(monitoring) = monitoring {
            // It asks the reactors, so it ends before them.
            monitoring.abort();
            let _ = monitoring.await;
        }
        for peer in self.shared.reactors() {
            peer.inbox.push(Mail::Stop);
        }
        for reactor in self.reactors {
            if reactor.join().is_err() {
                tracing::error!("a reactor thread had panicked");
            }
        }
        // After the reactors: what they took in is in its inbox by now.
        for peer in &self.shared.peers[self.shared.reactors().len()..] {
            peer.inbox.push(Mail::Stop);
        }
        if let Some(shard) = self.shard
            && shard.join().is_err()
        {
            tracing::error!("the thread of the streams had panicked");
        }
    }
}
