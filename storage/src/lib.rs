//! A segmented log of messages, usable alone: appended by writes, read through a memory map,
//! answered for once it is on the disk.
//!
//! A [`Log`] belongs to one stream and has a directory for itself. It numbers messages, keeps them
//! in order, and promises that what it showed once is there after a power cut, that a sequence is
//! never used twice, and that damage costs what it hits and nothing else. It knows subjects and
//! headers as bytes. It refuses to know the network, JSON, the wire, threads and clocks: it does
//! no I/O that its owner did not ask for, and the owner says where the work is done.
//!
//! ```
//! use fulmar_storage::{Log, Message, Options, RealDisk};
//!
//! # let parent = tempfile::tempdir()?;
//! # let directory = parent.path().join("orders");
//! let salt = 0x8d2c_41f7_9be0_1653; // A random number, see `Options::salt`.
//! let options = Options { segment_bytes: 1 << 20, ..Options::new(salt) };
//! let (mut log, found) = Log::open(RealDisk::open(&directory)?, options)?;
//! assert!(found.damage.is_empty());
//!
//! let message = Message { subject: b"orders.1", headers: b"", payload: b"one", timestamp_ns: 0 };
//! let sequences = log.append(&[message, Message { payload: b"two", ..message }])?;
//! assert_eq!(sequences, 1..3);
//! assert!(log.read(1)?.is_none(), "what may still disappear is not shown");
//!
//! log.write()?; // With the operating system.
//! log.sync()?; // On the disk: now the two may be acknowledged.
//! assert_eq!(log.watermarks().durable, 2);
//! for record in log.iter_from(1) {
//!     println!("{}", String::from_utf8_lossy(record?.payload()));
//! }
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who does what
//!
//! ```text
//!  owner:   append ──► accepted        append, append, append ──►  the next batch
//!                         │ take_write              ▲
//!  writer:                └──► WriteJob::run ──► handle_written ──► written
//!                                                   │ take_sync
//!  writer:                                          └──► SyncJob::run ──► handle_synced ──► durable
//! ```
//!
//! `accepted >= written >= durable`, always. What is accepted while the disk works gathers into
//! one write and one sync: group commit without a timer. The jobs are values that can be sent to
//! another thread; [`Log::write`] and [`Log::sync`] run them in place. [`Options::promise`] says
//! behind which watermark messages are shown and may be acknowledged.
//!
//! A write or sync that fails finishes the log: reading goes on, everything else answers
//! [`Error::Finished`] until it is opened again. A disk without room for another segment refuses
//! the batch ([`Error::DiskFull`]), and the log goes on.
//!
//! # Files
//!
//! A directory holds segments of a fixed length, named `IIIIIIIIIIIIIIII-SSSSSSSSSSSSSSSS.segment`:
//! identity, from 1 without gaps, and salt, both in hexadecimal. The checksums in a segment are
//! seeded with both, so the name is all that has to be whole for every undamaged record in it to
//! be found. The real disk keeps an empty file `lock` beside them, locked while it is in use.
//!
//! ```text
//!  prepared ──► active ──► sealed ──► removed
//!  zeros,       appended   never      all its messages are deleted, that is
//!  synced       to         written    durable, and two others follow
//! ```
//!
//! A segment is written with zeros and synced, and its name is synced, before it is used. Then
//! appending never needs room, and syncing never has to write metadata. A file is never made
//! shorter or longer: it may be mapped.
//!
//! # Format 1
//!
//! Numbers are little-endian. Records start at multiples of 8, and the bytes between are zero.
//! The first record of a segment is a marker, and everything behind the last record is zero.
//!
//! ```text
//!  offset bytes
//!       0     4  head checksum: CRC-32C of segment identity (8), salt (8), offset of
//!                the record in the file (8), and bytes 4 to 39 of the record
//!       4     4  body checksum: CRC-32C of bytes 40 to length
//!       8     4  length: of head and body, without the zeros behind
//!      12     1  kind: 1 message, 2 marker; never 0
//!      13     1  0
//!      14     2  length of the subject
//!      16     4  length of the headers
//!      20     4  head checksum of the record before, over the bounds of segments too
//!      24     8  sequence of a message; of a marker, the sequence of the next message
//!      32     8  timestamp: nanoseconds since 1970, signed
//!      40        subject, headers, payload
//! ```
//!
//! The head checksum covers the length, the place, the body's checksum and the record before. So
//! a record that was copied elsewhere is none, a damaged length is never followed, a record can be
//! verified alone, and one that follows another is known to be the one that did. A payload cannot
//! be made to look like a record without the salt. Zeros are no record: their kind is 0.
//!
//! A marker starts each segment and stands behind the record that reaches 64 KiB since the last
//! one. Its subject and headers are empty, and its payload is:
//!
//! ```text
//!  offset bytes
//!       0     8  "FULMARLG"
//!       8     4  format: 1
//!      12     4  bit 0: first in its segment; bit 1: the log was closed behind it
//!      16     8  identity of the segment
//!      24     8  length of the segment
//!      32     8  front: messages below this sequence are deleted
//!      40     8  first in its segment: where the records of the segment before end
//!      48     8  first in its segment, if the log was recovered with damage: the identity of the
//!      56     8  segment and the offset from which on nothing was known to be synced; or 0 and 0
//!      64     8  identity of the segment and
//!      72     8  offset up to where everything was known to be synced
//! ```
//!
//! Deleting from the front is a marker too. Which message is where, and how many there are, is
//! derived from the records at each opening: four bytes of memory a message.
//!
//! # What a crash leaves, and what opening makes of it
//!
//! | it happened | it leaves | opening |
//! |---|---|---|
//! | while a segment is prepared | zeros, perhaps too few | removes it, or keeps it prepared |
//! | before a batch is written | nothing | goes on behind the last record |
//! | the process ends, a batch is written | the batch | writes it again, syncs it, serves it |
//! | the power goes, a batch is written and not synced | any of its sectors | keeps the records that are whole; reports the others, not as `synced`; goes on in a new segment, behind every sequence that may have been given |
//! | while a new segment is begun | one segment without its end and the next without its start | the same |
//! | while the front is deleted | the old front or the new one | deletes nothing more by itself |
//! | while segments are removed | any of them | [`Log::remove_segments`] removes the rest |
//! | while opening | what was there before | the same again |
//!
//! A batch can lose its middle and keep its end; nobody was promised any of it. Opening writes
//! only the same bytes to the same places and never cuts: what follows the last whole record of a
//! log that was left stays where it is, and the first marker of the next segment says that the
//! records ended before.
//!
//! # What damage does
//!
//! | damaged | lost | how it is found |
//! |---|---|---|
//! | a body | that message | the head still says where the next record is: [`Cause::Body`] |
//! | a head | that message | every eighth byte is tried until a head is found: [`Cause::Head`] |
//! | a stretch, markers too | the messages it touches | the same |
//! | the last record | that message; it may have been unfinished | [`Cause::Tail`] |
//! | the end of a sealed segment, also cut off or zeroed | the messages there | the next marker says where it ended: [`Cause::End`] |
//! | a file is missing | its messages | identities have no gaps: [`Cause::Missing`] |
//!
//! Each [`Damage`] says which bytes, which sequences, and whether they were noted as synced.
//! Reading a lost sequence answers [`Error::Damaged`], not that there is nothing. What cannot be
//! seen: if the end of the last segment turns to zeros again, or the last segment is taken away,
//! that looks like a log that never went so far. A disk that acknowledges a sync and forgets it
//! can do that, and a marker damaged with a deletion in it brings the deleted messages back.
//!
//! # Bounds
//!
//! Memory is at most `unwritten_bytes_max` accepted and the markers among it, as much again in
//! the buffer that is used in turn, and four bytes a message. Opening and the search for a head
//! hold one segment. A segment is at most 4 GiB less 4096 bytes, a message as much less the
//! marker before it.

mod disk;
mod error;
mod index;
mod log;
mod record;
mod recovery;
mod segment;
mod slots;

pub use disk::{Disk, DiskFile, RealDisk, RealFile, SimulatedDisk, SimulatedFile};
pub use error::Error;
pub use log::{
    Iter, Located, Log, MARKER_INTERVAL_BYTES, Message, Options, PrepareDone, PrepareJob, Promise,
    SEGMENT_BYTES_MIN, SyncDone, SyncJob, Watermarks, WriteDone, WriteJob,
};
pub use record::{ALIGNMENT_BYTES, FORMAT_VERSION, HEAD_BYTES, MARKER_BYTES, SUBJECT_BYTES_MAX};
pub use recovery::{Cause, Damage, Recovery};
pub use segment::Record;
pub use slots::{DOCUMENT_BYTES_MAX, Found, Slots};
