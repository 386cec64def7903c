//! What the tests share: the disks, and messages made from numbers.

use std::cell::RefCell;
use std::path::Path;

use fulmar_storage::{
    Disk, MemoryDisk, Message, Options, RealDisk, Recovery, SimulatedDisk, Store,
};

/// A disk that another process opens when the one before is gone.
pub trait Home {
    type Disk: Disk;
    fn disk(&self) -> Self::Disk;
}

impl Home for tempfile::TempDir {
    type Disk = RealDisk;
    fn disk(&self) -> RealDisk {
        RealDisk::open(Path::new(self.path())).unwrap()
    }
}

impl Home for MemoryDisk {
    type Disk = Self;
    fn disk(&self) -> Self {
        self.clone()
    }
}

#[derive(Default)]
pub struct Simulated(RefCell<SimulatedDisk>);

impl Home for Simulated {
    type Disk = SimulatedDisk;
    fn disk(&self) -> SimulatedDisk {
        let killed = self.0.borrow().after_kill();
        self.0.replace(killed.clone());
        killed
    }
}

/// Runs a test on each kind of disk.
macro_rules! on_each_disk {
    ($($test:ident),+ $(,)?) => {
        mod real {
            $(#[test]
            fn $test() {
                super::$test(&tempfile::tempdir().unwrap());
            })+
        }
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&fulmar_storage::MemoryDisk::new());
            })+
        }
        mod simulated {
            $(#[test]
            fn $test() {
                super::$test(&crate::support::Simulated::default());
            })+
        }
    };
}
pub(crate) use on_each_disk;

/// Segments so small that a short workload rolls often.
pub fn options() -> Options {
    Options {
        first_segment_bytes: 4_096,
        segment_bytes: 4_096,
        unwritten_bytes_max: 1 << 20,
        ..Options::new(0x0bad_cafe)
    }
}

pub fn open<H: Home>(home: &H) -> (Store<H::Disk>, Recovery) {
    let (store, recovery) = Store::open(home.disk(), options()).unwrap();
    assert_eq!(store.index(), &store.recount().unwrap());
    (store, recovery)
}

pub fn message<'a>(subject: &'a str, payload: &'a str) -> Message<'a> {
    let (subject, payload) = (subject.as_bytes(), payload.as_bytes());
    Message { subject, headers: b"", payload, timestamp_ns: 1 }
}

/// Appends one message and makes it durable.
pub fn append<D: Disk>(store: &mut Store<D>, subject: &str, payload: &str) -> u64 {
    let sequence = store.append(&[message(subject, payload)]).unwrap().start;
    store.commit(true).unwrap();
    sequence
}
