//! Key-value buckets, against a real server.

mod support;

use std::time::Duration;

use fulmar_client::jetstream::consumer::MessagesError;
use fulmar_client::jetstream::stream::{Republish, Source, StorageType};
use fulmar_client::jetstream::{Context, ErrorCode};
use fulmar_client::kv::{Config, Entry, Error, Operation, Store};
use futures_util::{StreamExt as _, TryStreamExt as _};
use support::jetstream::{JetStreamServer, all, next_ok, text};
use support::{next, within};

async fn setup() -> (JetStreamServer, Context) {
    let server = JetStreamServer::start();
    let context = server.context().await;
    (server, context)
}

fn config(bucket: &str) -> Config {
    Config { bucket: bucket.to_owned(), storage: StorageType::Memory, ..Config::default() }
}

async fn bucket(context: &Context, name: &str, history: u8) -> Store {
    context.create_key_value(Config { history, ..config(name) }).await.expect("it is made")
}

async fn put(store: &Store, key: &str, value: &str) -> u64 {
    store.put(key, value.to_owned().into()).await.expect("it is stored")
}

/// An entry in short: `key=value@revision`, with `-` for a delete and `!` for a purge.
fn short(entry: &Entry) -> String {
    let what = match entry.operation {
        Operation::Put => format!("={}", text(&entry.value)),
        Operation::Delete => "-".to_owned(),
        Operation::Purge => "!".to_owned(),
    };
    format!("{}{what}@{}", entry.key, entry.revision)
}

fn shorts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(short).collect()
}

#[tokio::test]
async fn buckets_are_made_changed_listed_and_deleted() {
    let (_server, context) = setup().await;
    assert!(all(context.key_value_names()).await.is_empty());
    let store = bucket(&context, "b", 3).await;
    // The same again is no error, another is.
    bucket(&context, "b", 3).await;
    let error = context.create_key_value(config("b")).await.unwrap_err();
    let Error::Stream(error) = error else { panic!("{error}") };
    assert_eq!(error.err_code(), Some(ErrorCode::STREAM_NAME_EXIST));
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    put(&store, "b", "2").await;
    let status = store.status().await.unwrap();
    assert_eq!((status.bucket(), status.values(), status.history()), ("b", 3, 3));
    assert!(status.bytes() > 0 && status.max_age().is_zero());
    assert!(!status.is_compressed() && status.limit_markers().is_none());

    let changed = Config { history: 5, max_value_size: 100, ..config("b") };
    let changed = context.update_key_value(changed).await.unwrap();
    assert_eq!(changed.status().await.unwrap().history(), 5);
    assert!(context.update_key_value(config("c")).await.unwrap_err().is_not_found());
    let file = Config { storage: StorageType::File, compression: true, ..config("c") };
    let compressed = context.create_or_update_key_value(file).await.unwrap();
    assert!(compressed.status().await.unwrap().is_compressed());
    support::jetstream::stream(&context, "NOT", &["$KV.not.>"]).await;
    assert_eq!(all(context.key_value_names()).await, ["b", "c"]);
    let statuses = all(context.key_values()).await;
    assert_eq!(statuses.iter().map(|status| status.values()).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(context.get_key_value("b").await.unwrap().name(), "b");
    context.delete_key_value("b").await.unwrap();
    assert!(context.get_key_value("b").await.unwrap_err().is_not_found());
    assert!(context.delete_key_value("b").await.unwrap_err().is_not_found());
    let error = context.get_key_value("b.c").await.unwrap_err();
    let expected = r#""b.c" cannot be the name of a bucket: use letters, digits, '-' and '_'"#;
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn values_are_read_and_written() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 5).await;
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.entry("a").await.unwrap(), None);
    assert_eq!(put(&store, "a", "1").await, 1);
    assert_eq!(put(&store, "a.b/c=d_e-F", "x").await, 2);
    assert_eq!(store.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(store.get("a.b/c=d_e-F").await.unwrap().unwrap(), "x");
    assert_eq!(store.update("a", "2".into(), 1).await.unwrap(), 3);
    let error = store.update("a", "3".into(), 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot change key a of bucket b: its revision is not 1 any more"
    );
    let entry = store.entry("a").await.unwrap().unwrap();
    assert_eq!((short(&entry).as_str(), entry.bucket.as_str()), ("a=2@3", "b"));
    assert!((jiff_now() - entry.created.as_second()).abs() < 60);
    assert_eq!(short(&store.entry_for_revision("a", 1).await.unwrap().unwrap()), "a=1@1");
    // It happened to another key, or not at all.
    assert_eq!(store.entry_for_revision("a", 2).await.unwrap(), None);
    assert_eq!(store.entry_for_revision("a", 99).await.unwrap(), None);
    for key in ["", "a b", ".a", "a..b", "a*", ">"] {
        assert!(matches!(store.put(key, "".into()).await, Err(Error::InvalidKey(_))), "{key}");
        assert!(matches!(store.get(key).await, Err(Error::InvalidKey(_))), "{key}");
    }
    // An empty value is a value.
    put(&store, "empty", "").await;
    assert_eq!(store.get("empty").await.unwrap().unwrap(), "");
    context.delete_key_value("b").await.unwrap();
    assert!(store.get("a").await.is_err());
}

fn jiff_now() -> i64 {
    fulmar_client::jetstream::Timestamp::now().as_second()
}

#[tokio::test]
async fn keys_are_created_once() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 5).await;
    assert_eq!(store.create("a", "1".into()).await.unwrap(), 1);
    let error = store.create("a", "2".into()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot create key a of bucket b: it has a value already");
    // After its end it may be created again, whichever end it was.
    store.delete("a").await.unwrap();
    assert_eq!(store.create("a", "3".into()).await.unwrap(), 3);
    assert!(matches!(store.delete_if("a", 1).await, Err(Error::WrongRevision { .. })));
    store.delete_if("a", 3).await.unwrap();
    store.purge("a").await.unwrap();
    assert_eq!(store.create("a", "4".into()).await.unwrap(), 6);
    assert!(matches!(store.purge_if("a", 1).await, Err(Error::WrongRevision { .. })));
    store.purge_if("a", 6).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.entry("a").await.unwrap().unwrap().operation, Operation::Purge);
    // Of many who try, one succeeds.
    let tries = futures_util::future::join_all((0..20).map(|number: u32| {
        let store = store.clone();
        async move { store.create("once", number.to_string().into()).await }
    }));
    let tries = within("all tries", tries).await;
    assert_eq!(tries.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn histories_and_keys() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 3).await;
    assert!(all(store.keys().await.unwrap()).await.is_empty());
    assert!(all(store.history("a").await.unwrap()).await.is_empty());
    for value in ["1", "2", "3", "4"] {
        put(&store, "a", value).await;
    }
    put(&store, "b", "1").await;
    put(&store, "c.d", "1").await;
    put(&store, "c.e", "1").await;
    let history = all(store.history("a").await.unwrap()).await;
    assert_eq!(shorts(&history), ["a=2@2", "a=3@3", "a=4@4"]);
    assert_eq!(history.iter().map(|entry| entry.delta).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(
        history.iter().map(|entry| entry.seen_current).collect::<Vec<_>>(),
        [false, false, true]
    );
    store.delete("b").await.unwrap();
    let mut keys = all(store.keys().await.unwrap()).await;
    keys.sort();
    assert_eq!(keys, ["a", "c.d", "c.e"]);
    let mut keys = all(store.keys_with(["c.*", "b"]).await.unwrap()).await;
    keys.sort();
    assert_eq!(keys, ["c.d", "c.e"]);
    store.purge("a").await.unwrap();
    assert_eq!(shorts(&all(store.history("a").await.unwrap()).await), ["a!@9"]);
    store.delete("c.d").await.unwrap();
    store.delete("c.e").await.unwrap();
    // The last one there is, is one that is left out.
    assert!(all(store.keys().await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn watches() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 5).await;
    let mut empty = store.watch_all().await.unwrap();
    assert!(empty.is_current());
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c.d", "1")] {
        put(&store, key, value).await;
    }
    store.delete("b").await.unwrap();
    for expected in ["a=1@1", "a=2@2", "b=1@3", "c.d=1@4", "b-@5"] {
        assert_eq!(short(&next_ok(&mut empty).await), expected);
    }

    let mut last = store.watch_all().await.unwrap();
    assert!(!last.is_current());
    let now = last.current().await.unwrap();
    assert_eq!(shorts(&now), ["a=2@2", "c.d=1@4", "b-@5"]);
    assert!(last.is_current() && last.current().await.unwrap().is_empty());
    put(&store, "e", "1").await;
    let entry = next_ok(&mut last).await;
    assert_eq!((short(&entry).as_str(), entry.seen_current), ("e=1@6", true));

    let mut values = store.watch_all().ignore_deletes().await.unwrap();
    assert_eq!(shorts(&values.current().await.unwrap()), ["a=2@2", "c.d=1@4", "e=1@6"]);
    let mut history = store.watch("a").include_history().await.unwrap();
    assert_eq!(shorts(&history.current().await.unwrap()), ["a=1@1", "a=2@2"]);
    let mut updates = store.watch_many(["a", "c.>"]).updates_only().await.unwrap();
    assert!(updates.is_current());
    let mut from = store.watch_all().from_revision(4).await.unwrap();
    assert_eq!(shorts(&from.current().await.unwrap()), ["c.d=1@4", "b-@5", "e=1@6"]);
    let mut names = store.watch("*").meta_only().await.unwrap();
    assert_eq!(shorts(&names.current().await.unwrap()), ["a=@2", "b-@5", "e=@6"]);

    store.delete("a").await.unwrap();
    put(&store, "c.d", "2").await;
    for (watch, expected) in [
        (&mut values, &["c.d=2@8"][..]),
        (&mut history, &["a-@7"]),
        (&mut updates, &["a-@7", "c.d=2@8"]),
        (&mut from, &["a-@7", "c.d=2@8"]),
        (&mut names, &["a-@7"]),
    ] {
        for expected in expected {
            assert_eq!(short(&next_ok(watch).await), *expected);
        }
    }
    assert!(matches!(store.watch("a b").await, Err(Error::InvalidKey(_))));
}

#[tokio::test]
async fn a_watch_survives_its_consumer_and_the_server() {
    let (mut server, context) = setup().await;
    let file = Config { storage: StorageType::File, history: 9, ..config("b") };
    let store = context.create_key_value(file).await.unwrap();
    let mut watch = store.watch_all().await.unwrap();
    put(&store, "a", "1").await;
    assert_eq!(short(&next_ok(&mut watch).await), "a=1@1");
    server.server.restart();
    let written = async {
        loop {
            // Until the server is back, nothing is stored, or not known to be.
            if store.put("a", "2".into()).await.is_ok() {
                return;
            }
        }
    };
    within("the server is back", written).await;
    let entry = next_ok(&mut watch).await;
    assert_eq!((entry.key.as_str(), text(&entry.value).as_str()), ("a", "2"));
    assert!(entry.revision > 1);
}

#[tokio::test]
async fn the_end_of_a_bucket_is_the_end_of_its_watches() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 1).await;
    let mut watch = store.watch_all().heartbeat(Duration::from_millis(200)).await.unwrap();
    context.delete_key_value("b").await.unwrap();
    // The silence must be noticed first.
    let error = within("the end", watch.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Messages(MessagesError::Recreate(_))), "{error}");
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn keys_with_a_time_to_live() {
    let (_server, context) = setup().await;
    let with_markers = Config { limit_markers: Some(Duration::from_secs(60)), ..config("b") };
    let store = context.create_key_value(with_markers).await.unwrap();
    let markers = store.status().await.unwrap().limit_markers();
    assert_eq!(markers, Some(Duration::from_secs(60)));
    let mut watch = store.watch_all().await.unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(store.create_with_ttl("a", "1".into(), second).await.unwrap(), 1);
    assert_eq!(store.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(short(&next_ok(&mut watch).await), "a=1@1");
    // A marker says that it went.
    assert_eq!(short(&next_ok(&mut watch).await), "a!@2");
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.create_with_ttl("a", "2".into(), second * 3600).await.unwrap(), 3);
    store.purge_with_ttl("a", second).await.unwrap();
    within("the marker goes", async {
        while store.status().await.unwrap().values() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let store = bucket(&context, "c", 1).await;
    let Err(Error::Publish(error)) = store.create_with_ttl("a", "1".into(), second).await else {
        panic!("it has no limit markers");
    };
    assert_eq!(error.err_code(), Some(ErrorCode::MESSAGE_TTL_DISABLED));
}

#[tokio::test]
async fn markers_are_cleared_away() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 5).await;
    for key in ["a", "b", "c"] {
        put(&store, key, "1").await;
        put(&store, key, "2").await;
    }
    store.delete("a").await.unwrap();
    store.purge("b").await.unwrap();
    // Too young: what came before them goes.
    assert_eq!(store.purge_deletes(Duration::from_secs(3600)).await.unwrap(), 2);
    assert_eq!(store.status().await.unwrap().values(), 4);
    assert_eq!(store.purge_deletes(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(store.status().await.unwrap().values(), 2);
    assert_eq!(all(store.keys().await.unwrap()).await, ["c"]);
}

#[tokio::test]
async fn mirrors_and_sources() {
    let (_server, context) = setup().await;
    let origin = bucket(&context, "origin", 2).await;
    put(&origin, "a", "1").await;
    let mirror = Config { mirror: Some(Source::from("origin")), ..config("mirror") };
    let mirror = context.create_key_value(mirror).await.unwrap();
    let collector = Config { sources: vec![Source::from("origin")], ..config("collector") };
    let collector = context.create_key_value(collector).await.unwrap();
    let arrives = async |store: &Store, key: &str, value: &str| {
        within("the value arrives", async {
            while store.get(key).await.unwrap().is_none_or(|found| found != value.as_bytes()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    for store in [&mirror, &collector] {
        arrives(store, "a", "1").await;
        assert_eq!(all(store.keys().await.unwrap()).await, ["a"]);
    }
    // What is written to a mirror goes to the bucket that it copies.
    put(&mirror, "b", "2").await;
    assert_eq!(origin.get("b").await.unwrap().unwrap(), "2");
    arrives(&mirror, "b", "2").await;
    arrives(&collector, "b", "2").await;
    // What is written to a collector stays there.
    put(&collector, "c", "3").await;
    assert_eq!(origin.get("c").await.unwrap(), None);
}

#[tokio::test]
async fn changes_are_published_again() {
    let (_server, context) = setup().await;
    let again = Republish {
        source: ">".to_owned(),
        destination: "changes.>".to_owned(),
        headers_only: false,
    };
    let store = Config { republish: Some(again), ..config("b") };
    let store = context.create_key_value(store).await.unwrap();
    let mut changes = context.client().subscribe("changes.>").await.unwrap();
    context.client().flush().await.unwrap();
    put(&store, "a", "1").await;
    let change = next(&mut changes).await;
    assert_eq!((change.subject.as_str(), text(&change.payload).as_str()), ("changes.$KV.b.a", "1"));
}

#[tokio::test]
async fn many_keys() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b", 1).await;
    for chunk in (0..2_000).collect::<Vec<u32>>().chunks(200) {
        let puts = chunk.iter().map(|number| {
            let store = store.clone();
            async move { put(&store, &format!("key.{number}"), "value").await }
        });
        within("values are stored", futures_util::future::join_all(puts)).await;
    }
    assert_eq!(all(store.keys().await.unwrap()).await.len(), 2_000);
    let mut watch = store.watch_all().await.unwrap();
    assert_eq!(within("all values", watch.current()).await.unwrap().len(), 2_000);
    let first: Vec<_> = store.watch("key.7").await.unwrap().take(1).try_collect().await.unwrap();
    assert_eq!(first[0].key, "key.7");
}
