//! Object stores, against a real server.

mod support;

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use fulmar_client::HeaderMap;
use fulmar_client::jetstream::stream::StorageType;
use fulmar_client::jetstream::{Context, ErrorCode};
use fulmar_client::object_store::{Config, Error, ObjectMeta, ObjectStore};
use futures_util::TryStreamExt as _;
use support::jetstream::{JetStreamServer, all, next_ok};
use support::within;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

async fn setup() -> (JetStreamServer, Context) {
    let server = JetStreamServer::start();
    let context = server.context().await;
    (server, context)
}

async fn bucket(context: &Context, name: &str) -> ObjectStore {
    let config =
        Config { bucket: name.to_owned(), storage: StorageType::Memory, ..Config::default() };
    context.create_object_store(config).await.expect("it is made")
}

/// Bytes of which no two pieces are the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| u8::try_from(index * 31 / 7 % 251).expect("below 251")).collect()
}

async fn read(store: &ObjectStore, name: &str) -> Vec<u8> {
    let mut object = store.get(name).await.expect("it is there");
    let mut all = Vec::new();
    within("the object", object.read_to_end(&mut all)).await.expect("it is whole");
    all
}

#[tokio::test]
async fn buckets_are_made_changed_listed_and_deleted() {
    let (_server, context) = setup().await;
    assert!(all(context.object_store_names()).await.is_empty());
    let store = bucket(&context, "a").await;
    bucket(&context, "a").await;
    let described = Config {
        bucket: "a".to_owned(),
        storage: StorageType::Memory,
        description: Some("files".to_owned()),
        max_bytes: 1_000_000,
        ..Config::default()
    };
    context.update_object_store(described).await.unwrap();
    let status = store.status().await.unwrap();
    assert_eq!((status.bucket(), status.bytes(), status.is_sealed()), ("a", 0, false));
    assert_eq!(status.info.config.description.as_deref(), Some("files"));
    let compressed = Config { bucket: "b".to_owned(), compression: true, ..Config::default() };
    let compressed = context.create_or_update_object_store(compressed).await.unwrap();
    assert!(compressed.status().await.unwrap().is_compressed());
    assert_eq!(all(context.object_store_names()).await, ["a", "b"]);
    assert_eq!(all(context.object_stores()).await.len(), 2);
    assert_eq!(context.get_object_store("a").await.unwrap().name(), "a");
    context.delete_object_store("a").await.unwrap();
    assert!(context.get_object_store("a").await.unwrap_err().is_not_found());
    assert!(context.delete_object_store("a").await.unwrap_err().is_not_found());
    assert!(matches!(context.get_object_store("a.b").await, Err(Error::InvalidBucket(_))));
}

#[tokio::test]
async fn objects_of_all_sizes() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    const CHUNK: usize = 1000;
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 40 * CHUNK + 7] {
        let data = bytes(size);
        let meta = ObjectMeta { chunk_size: CHUNK, ..ObjectMeta::from("x") };
        let info = store.put(meta, &mut &data[..]).await.unwrap();
        assert_eq!((info.size, info.chunks), (size as u64, size.div_ceil(CHUNK) as u64));
        assert_eq!(read(&store, "x").await, data);
        let stored = store.info("x").await.unwrap();
        assert_eq!((stored.digest.as_ref(), stored.nuid), (info.digest.as_ref(), info.nuid));
        assert!(stored.modified.is_some());
        // What was there before has gone.
        let messages = store.status().await.unwrap().info.state.messages;
        assert_eq!(messages, info.chunks + 1);
    }
    // With pieces of the usual size, and all at once.
    let data = bytes(5_000_000);
    let info = store.put("large", &mut &data[..]).await.unwrap();
    assert_eq!((info.chunks, info.chunk_size()), (39, 128 * 1024));
    assert!(read(&store, "large").await == data);
    let reads = (0..4).map(|_| read(&store, "large"));
    for read in futures_util::future::join_all(reads).await {
        assert!(read == data);
    }
}

#[tokio::test]
async fn what_is_said_of_an_object() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    let mut headers = HeaderMap::new();
    headers.append("A", "1").unwrap();
    headers.append("A", "2").unwrap();
    let meta = ObjectMeta {
        name: "a/b c é".to_owned(),
        description: Some("text".to_owned()),
        headers,
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        chunk_size: 10,
    };
    store.put(meta.clone(), &mut &b"hello"[..]).await.unwrap();
    let info = store.info("a/b c é").await.unwrap();
    assert_eq!(ObjectMeta::from(&info), meta);
    assert_eq!((info.bucket.as_str(), info.size, info.deleted), ("b", 5, false));
    // Of "hello", as other programs compute it.
    let digest = "SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    assert_eq!(info.digest.as_deref(), Some(digest));

    let other = ObjectMeta { description: None, ..ObjectMeta::from("new") };
    let changed = store.update_metadata("a/b c é", other).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.size, changed.chunk_size()), ("new", 5, 10));
    assert!(store.info("a/b c é").await.unwrap_err().is_not_found());
    assert_eq!(read(&store, "new").await, b"hello");
    store.put("third", &mut &b"x"[..]).await.unwrap();
    let error = store.update_metadata("new", "third").await.unwrap_err();
    assert_eq!(error.to_string(), "there is an object \"third\" in bucket b already");
    assert!(store.update_metadata("none", "x").await.unwrap_err().is_not_found());
    assert!(matches!(store.put("", &mut &b"x"[..]).await, Err(Error::InvalidName { .. })));
    assert!(matches!(store.info("").await, Err(Error::InvalidName { .. })));
}

#[tokio::test]
async fn objects_are_deleted() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    store.put("a", &mut &b"hello"[..]).await.unwrap();
    store.delete("a").await.unwrap();
    for error in [
        store.get("a").await.unwrap_err(),
        store.info("a").await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "there is no object \"a\" in bucket b");
    }
    let marker = store.info_or_marker("a").await.unwrap().unwrap();
    assert!(marker.deleted && marker.size == 0 && marker.chunks == 0);
    assert_eq!(store.info_or_marker("b").await.unwrap(), None);
    assert_eq!(store.status().await.unwrap().info.state.messages, 1);
    store.put("a", &mut &b"again"[..]).await.unwrap();
    assert_eq!(read(&store, "a").await, b"again");
    context.delete_object_store("b").await.unwrap();
    assert!(!matches!(store.info("a").await, Ok(_) | Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn lists_and_watches() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    let mut watch = store.watch().await.unwrap();
    assert!(watch.is_current());
    for name in ["a", "b", "c"] {
        store.put(name, &mut name.as_bytes()).await.unwrap();
    }
    store.delete("b").await.unwrap();
    let listed = all(store.list().await.unwrap()).await;
    assert_eq!(listed.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    for (name, deleted) in [("a", false), ("b", false), ("c", false), ("b", true)] {
        let info = next_ok(&mut watch).await;
        assert_eq!((info.name.as_str(), info.deleted), (name, deleted));
        assert!(info.modified.is_some());
    }
    let mut later = store.watch().ignore_deletes().await.unwrap();
    assert!(!later.is_current());
    assert_eq!(next_ok(&mut later).await.name, "a");
    assert_eq!(next_ok(&mut later).await.name, "c");
    let mut updates = store.watch().updates_only().await.unwrap();
    store.delete("a").await.unwrap();
    store.put("d", &mut &b"x"[..]).await.unwrap();
    assert_eq!(next_ok(&mut later).await.name, "d");
    assert!(later.is_current());
    assert!(next_ok(&mut updates).await.deleted);
    assert_eq!(next_ok(&mut updates).await.name, "d");
    for name in ["c", "d"] {
        store.delete(name).await.unwrap();
    }
    assert!(all(store.list().await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn links() {
    let (_server, context) = setup().await;
    let (store, other) = (bucket(&context, "b").await, bucket(&context, "other").await);
    let object = store.put("a", &mut &b"hello"[..]).await.unwrap();
    let link = store.add_link("link", &object).await.unwrap();
    assert_eq!(link.link().unwrap().name.as_deref(), Some("a"));
    assert_eq!(read(&store, "link").await, b"hello");
    other.add_link("far", &object).await.unwrap();
    assert_eq!(read(&other, "far").await, b"hello");
    // It leads to whatever there is.
    store.put("a", &mut &b"changed"[..]).await.unwrap();
    assert_eq!(read(&other, "far").await, b"changed");
    let error = store.add_link("second", &link).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot link to \"link\" of bucket b: it is a link itself");
    assert!(matches!(store.add_link("a", &object).await, Err(Error::Exists { .. })));
    store.add_link("link", &object).await.unwrap();
    store.add_bucket_link("whole", &other).await.unwrap();
    assert!(matches!(store.get("whole").await, Err(Error::LinkToBucket { .. })));
    store.delete("a").await.unwrap();
    assert!(store.get("link").await.unwrap_err().is_not_found());
    let gone = store.info_or_marker("a").await.unwrap().unwrap();
    assert!(matches!(store.add_link("x", &gone).await, Err(Error::NotFound { .. })));
    // Other clients may make links that lead to each other.
    for (from, to) in [("x", "y"), ("y", "x")] {
        let subject = format!("$O.b.M.{}==", if from == "x" { "eA" } else { "eQ" });
        let json = format!(
            r#"{{"name":"{from}","bucket":"b","nuid":"n","options":{{"link":{{"bucket":"b","name":"{to}"}}}}}}"#
        );
        context.publish(subject, json.into()).await.unwrap().await.unwrap();
    }
    let error = store.get("x").await.unwrap_err();
    let text = "cannot read \"x\" of bucket b: more than 8 links follow each other";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_sealed_bucket_stays_as_it_is() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    store.put("a", &mut &b"hello"[..]).await.unwrap();
    store.seal().await.unwrap();
    assert!(store.status().await.unwrap().is_sealed());
    let Err(Error::Publish(error)) = store.put("a", &mut &b"x"[..]).await else {
        panic!("it is sealed");
    };
    assert_eq!(error.err_code(), Some(ErrorCode::STREAM_SEALED));
    assert_eq!(read(&store, "a").await, b"hello");
}

#[tokio::test]
async fn damage_is_found() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    let meta = ObjectMeta { chunk_size: 2, ..ObjectMeta::from("a") };
    let info = store.put(meta, &mut &b"hello"[..]).await.unwrap();
    let subject = format!("$O.b.C.{}", info.nuid);
    let damaged = async |expected: &str| {
        let mut object = store.get("a").await.unwrap();
        let mut all = Vec::new();
        let error = within("the object", object.read_to_end(&mut all)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.to_string(), format!("object \"a\" of bucket b is damaged: {expected}"));
        // It does not end as if it were whole.
        assert!(object.read_to_end(&mut all).await.is_err());
    };
    // The last piece has gone.
    store.stream().delete_message(3).await.unwrap();
    damaged("it has 4 bytes instead of 5").await;
    // Another took its place.
    context.publish(subject.as_str(), "x".into()).await.unwrap().await.unwrap();
    damaged("its hash is another").await;
    context.publish(subject, "y".into()).await.unwrap().await.unwrap();
    damaged("its hash is another").await;
}

/// Data that ends with an error, or never.
struct Broken {
    left: usize,
    endless: bool,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 && self.endless {
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the disk is broken")));
        }
        let count = self.left.min(buffer.remaining()).min(100);
        buffer.put_slice(&vec![1; count]);
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_was_not_put_whole_is_removed() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    store.put("a", &mut &b"hello"[..]).await.unwrap();
    let nothing_stays = async || {
        within("no piece stays", async {
            while store.status().await.unwrap().info.state.messages != 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(read(&store, "a").await, b"hello");
    };
    let meta = || ObjectMeta { chunk_size: 1000, ..ObjectMeta::from("a") };
    let mut broken = Broken { left: 30_000, endless: false };
    let error = store.put(meta(), &mut broken).await.unwrap_err();
    let text = "cannot read what is to be put into bucket b: the disk is broken";
    assert_eq!(error.to_string(), text);
    nothing_stays().await;
    // Given up while it waits for more.
    let mut endless = Broken { left: 30_000, endless: true };
    let put = store.put(meta(), &mut endless);
    let put = tokio::time::timeout(std::time::Duration::from_millis(100), put).await;
    assert!(put.is_err());
    nothing_stays().await;
}

#[tokio::test]
async fn read_in_small_steps() {
    let (_server, context) = setup().await;
    let store = bucket(&context, "b").await;
    let data = bytes(100_000);
    let meta = ObjectMeta { chunk_size: 333, ..ObjectMeta::from("a") };
    store.put(meta, &mut &data[..]).await.unwrap();
    let mut object = store.get("a").await.unwrap();
    assert_eq!(object.info().size, 100_000);
    let mut read = Vec::new();
    let mut buffer = [0; 70];
    loop {
        let count = within("a part", object.read(&mut buffer)).await.unwrap();
        if count == 0 {
            break;
        }
        read.extend_from_slice(&buffer[..count]);
    }
    assert!(read == data);
    // Nothing of it stays behind.
    drop(object);
    within("no consumer stays", async {
        while store.stream().consumer_names().try_next().await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
