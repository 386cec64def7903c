//! Accepting connections and handing them to reactors.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::reactor::{Accepted, Mail};
use crate::shared::Shared;

/// The first wait after a failed accept; it doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after a failed accept.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a connection is silent before the system asks whether the other side is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Accepts until it is dropped. Connections are numbered from 1.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the client listener cannot be polled: {error}"),
    };
    let mut cid = 0;
    let mut retry_after = RETRY_FIRST;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                retry_after = RETRY_FIRST;
                cid += 1;
                let Ok(stream) = prepared(stream) else { continue };
                let refused = !shared.admit();
                if refused {
                    tracing::error!("{address} - cid:{cid} - maximum connections exceeded");
                }
                // An IPv4 client of a listener for both is shown by its IPv4 address.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let peer =
                    &shared.reactors()[usize::try_from(cid).unwrap_or(0) % shared.reactors().len()];
                peer.inbox.push(Mail::Open(Box::new(Accepted { stream, address, cid, refused })));
            }
            Err(error) => {
                tracing::error!(
                    "a client could not be accepted, trying again in {retry_after:?}: {error}"
                );
                tokio::time::sleep(retry_after).await;
                retry_after = (retry_after * 2).min(RETRY_MAX);
            }
        }
    }
}

fn prepared(stream: tokio::net::TcpStream) -> io::Result<std::net::TcpStream> {
    let stream = stream.into_std()?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    Ok(stream)
}
