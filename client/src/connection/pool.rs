//! The servers a client may connect to: which is next, and how long to wait before.
//!
//! All are tried in turn. After a round without success comes a pause, which doubles from round
//! to round; chance shortens it by up to a half, so that the clients of a server that went away
//! do not all come back at the same moment.

use fastrand::Rng;

use crate::ServerAddr;

/// The servers, the next one first.
pub(crate) struct Pool {
    servers: Vec<Server>,
    tried_in_round: usize,
    rounds_failed: u32,
    random: Rng,
}

/// A server of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: ServerAddr,
    /// The name its certificate must have. A server that another one told of is often named by
    /// its IP address; then it is the name of the other one.
    pub(crate) tls_name: String,
    /// Another server told of it.
    discovered: bool,
}

/// The pause after the first round without success, in milliseconds.
const PAUSE_MS_FIRST: u64 = 100;
/// The longest pause, in milliseconds.
const PAUSE_MS_MAX: u64 = 4_000;
/// The most servers that are kept; of more that another server tells of, the last are ignored.
const SERVERS_MAX: usize = 1_000;

impl Pool {
    /// A pool of `addresses` in this order, or in any order when `shuffle` is set.
    pub(crate) fn new(addresses: Vec<ServerAddr>, shuffle: bool, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut servers: Vec<Server> = Vec::new();
        for address in addresses {
            if servers.iter().all(|known| !known.address.is_same_place(&address)) {
                let tls_name = address.host().to_owned();
                servers.push(Server { address, tls_name, discovered: false });
            }
        }
        if shuffle {
            random.shuffle(&mut servers);
        }
        Self { servers, tried_in_round: 0, rounds_failed: 0, random }
    }

    /// How many servers there are.
    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// The next server to try. It moves to the end.
    pub(crate) fn next(&mut self) -> Server {
        self.tried_in_round += 1;
        self.servers.rotate_left(1);
        self.servers.last().expect("a pool is made of at least one server").clone()
    }

    /// How many milliseconds to wait before the next server is tried.
    pub(crate) fn pause_ms(&mut self) -> u64 {
        if self.tried_in_round < self.servers.len() {
            return 0;
        }
        self.tried_in_round = 0;
        let doubled = PAUSE_MS_FIRST << self.rounds_failed.min(16);
        self.rounds_failed += 1;
        let pause_ms = doubled.min(PAUSE_MS_MAX);
        self.random.u64(pause_ms / 2..=pause_ms)
    }

    /// The connection to the server that [`Pool::next`] gave last held for some time: the next
    /// attempt need not wait. One that is lost at once counts as a failed attempt.
    pub(crate) fn handle_held(&mut self) {
        self.tried_in_round = 0;
        self.rounds_failed = 0;
    }

    /// `current` told of these servers, `host:port` each. Those it told of before and not now
    /// are forgotten.
    pub(crate) fn handle_connect_urls(&mut self, current: &Server, urls: &[String], shuffle: bool) {
        let scheme = if current.address.tls_required() { "tls" } else { "nats" };
        let told: Vec<ServerAddr> =
            urls.iter().filter_map(|url| format!("{scheme}://{url}").parse().ok()).collect();
        self.servers.retain(|server| {
            !server.discovered
                || server.address.is_same_place(&current.address)
                || told.iter().any(|address| server.address.is_same_place(address))
        });
        // The current server is the last: what is new goes before it.
        let mut new: Vec<Server> = Vec::new();
        for address in told {
            let mut known = self.servers.iter().chain(&new);
            if known.all(|known| !known.address.is_same_place(&address)) {
                let by_address = address.host().parse::<std::net::IpAddr>().is_ok();
                let name = if by_address { &current.tls_name } else { address.host() };
                let tls_name = name.to_owned();
                // They are one cluster: what is good for one is good for the others.
                let address = address.with_credentials_of(&current.address);
                new.push(Server { address, tls_name, discovered: true });
            }
        }
        new.truncate(SERVERS_MAX.saturating_sub(self.servers.len()));
        if shuffle {
            self.random.shuffle(&mut new);
        }
        let before_current = self.servers.len().saturating_sub(1);
        self.servers.splice(before_current..before_current, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(addresses: &str) -> Pool {
        let addresses = addresses.split(' ').map(|text| text.parse().unwrap()).collect();
        Pool::new(addresses, false, 1)
    }

    fn hosts(pool: &mut Pool, count: usize) -> Vec<String> {
        (0..count).map(|_| pool.next().address.host().to_owned()).collect()
    }

    #[test]
    fn in_turn_without_doubles() {
        assert_eq!(hosts(&mut pool("a b A:4222 b:1"), 5), ["a", "b", "b", "a", "b"]);
    }

    #[test]
    fn any_order() {
        let addresses = || (0..20).map(|host| format!("h{host}").parse().unwrap()).collect();
        let mut first = hosts(&mut Pool::new(addresses(), true, 1), 20);
        let mut second = hosts(&mut Pool::new(addresses(), true, 2), 20);
        assert_ne!(first, second);
        first.sort();
        second.sort();
        assert_eq!(first, second);
    }

    #[test]
    fn pauses_grow_from_round_to_round() {
        let mut pool = pool("a b");
        let mut bounds = Vec::new();
        for _ in 0..9 {
            assert_eq!(pool.pause_ms(), 0);
            pool.next();
            assert_eq!(pool.pause_ms(), 0);
            pool.next();
            bounds.push(pool.pause_ms());
        }
        let highest = [100, 200, 400, 800, 1600, 3200, 4000, 4000, 4000];
        for (pause_ms, highest_ms) in bounds.into_iter().zip(highest) {
            assert!((highest_ms / 2..=highest_ms).contains(&pause_ms), "{pause_ms}");
        }
        pool.handle_held();
        assert_eq!(pool.pause_ms(), 0);
    }

    #[test]
    fn servers_tell_of_others() {
        let mut pool = pool("tls://a.example b");
        let current = pool.next();
        let urls = ["10.0.0.1:1", "c.example:2", "b:4222", "no port:x"].map(str::to_owned);
        pool.handle_connect_urls(&current, &urls, false);
        let servers: Vec<Server> = (0..4).map(|_| pool.next()).collect();
        let shown = |server: &Server| format!("{} {}", server.address, server.tls_name);
        assert_eq!(
            servers.iter().map(shown).collect::<Vec<_>>(),
            [
                "nats://b:4222 b",
                "tls://10.0.0.1:1 a.example",
                "tls://c.example:2 c.example",
                "tls://a.example:4222 a.example",
            ]
        );
        pool.handle_connect_urls(&current, &["c.example:2".to_owned()], false);
        assert_eq!(hosts(&mut pool, 3), ["b", "c.example", "a.example"]);
    }
}
