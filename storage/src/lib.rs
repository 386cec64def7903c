//! A segmented log of messages, usable alone: appended by writes, read through a memory map,
//! answered for once it is on the disk.
//!
//! A [`Store`] has all messages of one stream. It is a [`Log`], which has a directory for itself,
//! and a [`SubjectIndex`], which is made from the log and says without the disk which messages are
//! there and what their subjects are. The log numbers messages, keeps them in order, and promises
//! that what it showed once is there after a power cut, that a sequence is never used twice, and
//! that damage costs what it hits and nothing else. The crate knows subjects and headers as bytes.
//! It refuses to know the network, JSON, the wire, threads and clocks: it does no I/O that its
//! owner did not ask for, and the owner says where the work is done.
//!
//! ```
//! use fulmar_storage::{Filters, Message, Options, RealDisk, Store};
//!
//! # let parent = tempfile::tempdir()?;
//! # let directory = parent.path().join("orders");
//! let salt = 0x8d2c_41f7_9be0_1653; // A random number, see `Options::salt`.
//! let options = Options { segment_bytes: 1 << 20, ..Options::new(salt) };
//! let (mut store, found) = Store::open(RealDisk::open(&directory)?, options)?;
//! assert!(found.damage.is_empty());
//!
//! let message = Message { subject: b"orders.1", headers: b"", payload: b"one", timestamp_ns: 0 };
//! let sequences = store.append(&[message, Message { subject: b"orders.2", ..message }])?;
//! assert_eq!(sequences, 1..3);
//! assert!(store.read(1)?.is_none(), "what may still disappear is not shown");
//!
//! store.commit(true)?; // Written and synced: now the two may be acknowledged.
//! assert_eq!(store.visible_sequence(), 2);
//! let second = Filters::parse(["*.2"])?;
//! assert_eq!(store.next_matching(&second, 1), Some(2));
//! let record = store.read(2)?.expect("it was just found");
//! assert_eq!(record.subject(), b"orders.2");
//!
//! store.delete(1, false)?;
//! assert_eq!((store.messages(), store.first_sequence(), store.last_of(b"orders.1")), (1, 2, None));
//! store.close()?; // What was deleted is durable, too.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who does what
//!
//! ```text
//!  owner:   append ──► accepted     append, delete, append ──►  the next commit
//!                         │ take_commit              ▲
//!  writer:                └──► CommitJob::run ──► handle_committed ──► written, durable
//!
//!  owner:   take_background ──► BackgroundJob::run ──► handle_background
//! ```
//!
//! `accepted >= written >= durable`, always. What is accepted while the disk works gathers into
//! one write and one sync: group commit without a timer. The jobs are values that can be sent to
//! another thread; [`Log::commit`] and [`Log::run_background`] run them in place.
//! [`Options::promise`] says behind which watermark messages are shown and may be acknowledged.
//!
//! A write or sync that fails finishes the log: reading goes on, everything else answers
//! [`Error::Finished`] until it is opened again. A disk without room for another segment refuses
//! the batch ([`Error::DiskFull`]), and the log goes on.
//!
//! # Files
//!
//! A directory holds segments, named `IIIIIIIIIIIIIIII-SSSSSSSSSSSSSSSS.segment`:
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
//! The first segment is short, and each is twice as long as the one before, up to a bound; a
//! message that does not fit gets a longer one. A segment is written with zeros and synced, and
//! its name is synced, before it is used. Then appending never needs room, and syncing never has
//! to write metadata. A file is never made shorter or longer: it may be mapped. The last part of a
//! segment is left to deletions, so that there is room for some when the disk is full.
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
//!      12     1  kind: 1 message, 2 marker, 3 deletion; never 0
//!      13     1  flags, of a message. Bit 0: the sequences behind the message before were left
//!                out on purpose; bit 1: the next message belongs to the same batch; bit 2: the
//!                one before does. Of a deletion, bit 0: the messages are overwritten behind it
//!      14     2  length of the subject
//!      16     4  length of the headers
//!      20     4  head checksum of the record before, over the bounds of segments too
//!      24     8  sequence of a message; of others, the sequence of the next message
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
//!      12     4  bit 0: first in its segment; bit 1: the log was closed behind it; bit 2: the
//!                batch before was not finished, and its messages are none
//!      16     8  identity of the segment
//!      24     8  length of the segment
//!      32     8  front: messages below this sequence are deleted
//!      40     8  first in its segment: where the records of the segment before end
//!      48     8  first in its segment, if the log was recovered with damage: the identity of the
//!      56     8  segment and the offset from which on nothing was known to be synced; or 0 and 0
//!      64     8  identity of the segment and
//!      72     8  offset up to where everything was known to be synced
//!      80    16  a number for the start of the machine in which it was made; 0: not known
//!      96     8  identity of the segment and
//!     104     8  offset before which every deletion that overwrites is carried out and synced
//! ```
//!
//! A deletion has neither subject nor headers. Its payload is ranges of sequences, each the
//! distance from the end of the one before (of the first: from 0) and the length, as numbers of
//! seven bits a byte, the least first, the eighth bit saying that more follows. A range that
//! starts with 0, which is the sequence of no message, moves the front to its end. Deletions
//! gather until a commit is taken.
//!
//! A message that is erased keeps its head, so that what follows is still chained to it, and its
//! body is overwritten with zeros when the deletion is durable. This is the only time that bytes
//! change that were synced.
//!
//! Which message is where, and how many there are, is derived from the records at each opening:
//! four bytes of memory a message, and a bit for one that is deleted.
//!
//! # What a crash leaves, and what opening makes of it
//!
//! | it happened | it leaves | opening |
//! |---|---|---|
//! | while a segment is prepared | zeros, perhaps too few | removes it, or keeps it prepared |
//! | before a batch is written | nothing | goes on behind the last record |
//! | the process ends, a batch is written | the batch | writes it again, syncs it, serves it; the machine's start says that nothing is missing |
//! | the power goes, a batch is written and not synced | any of its sectors | keeps the records that are whole; reports the others, not as `synced`; goes on in a new segment, behind every sequence that may have been given |
//! | in the middle of an atomic batch | some of its messages | drops them, and notes that in the next marker |
//! | while a new segment is begun | one segment without its end and the next without its start | the same |
//! | while messages are deleted | some of them | deletes nothing more by itself |
//! | while messages are erased | them whole, or with any of their sectors zero | goes on with it |
//! | while segments are removed | any of them | [`Log::take_background`] removes the rest |
//! | while opening | what was there before | the same again |
//!
//! A batch can lose its middle and keep its end; nobody was promised any of it. So a deletion
//! behind such a hole does not count: the message that it made way for may be in the hole. Opening writes
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
//! | a deletion | nothing: the messages it names are there again | as a message |
//! | anything of which nothing says that it was synced | the deletions behind it too: as if the power had gone | the same |
//! | an atomic batch, of which nothing says that it was synced | all of it: it may have been unfinished | the same |
//! | the last record | that message; it may have been unfinished | [`Cause::Tail`] |
//! | the end of a sealed segment, also cut off or zeroed | the messages there | the next marker says where it ended: [`Cause::End`] |
//! | a file is missing | its messages | identities have no gaps: [`Cause::Missing`] |
//!
//! Each [`Damage`] says which bytes, which sequences, and whether they were noted as synced.
//! Reading a lost sequence answers [`Error::Damaged`], not that there is nothing. What cannot be
//! seen: if the end of the last segment turns to zeros again, or the last segment is taken away,
//! that looks like a log that never went so far. A disk that acknowledges a sync and forgets it
//! can do that.
//!
//! # Bounds
//!
//! Memory is at most `unwritten_bytes_max` accepted and the markers among it, as much again in
//! the buffer that is used in turn, and four bytes a message. Opening and the search for a head
//! hold one segment. A segment is at most 4 GiB less 4096 bytes, a message as much less the
//! marker before it. Deletions that wait for a commit are at most 16 KiB.

mod deletions;
mod disk;
mod error;
mod filters;
mod footer;
mod index;
mod kept;
mod log;
mod options;
mod record;
mod recovery;
mod segment;
mod slots;
mod store;
mod subjects;
mod visitor;

pub use disk::{
    Disk, DiskFile, MemoryDisk, MemoryFile, RealDisk, RealFile, SimulatedDisk, SimulatedFile,
};
pub use error::Error;
pub use filters::Filters;
pub use log::{
    BackgroundDone, BackgroundJob, CommitDone, CommitJob, Iter, Located, Log,
    MARKER_INTERVAL_BYTES, Message, Watermarks,
};
pub use options::{Options, Promise, SEGMENT_BYTES_MIN};
pub use record::{ALIGNMENT_BYTES, FORMAT_VERSION, HEAD_BYTES, MARKER_BYTES, SUBJECT_BYTES_MAX};
pub use recovery::{Cause, Damage, Recovery};
pub use segment::Record;
pub use slots::{DOCUMENT_BYTES_MAX, Found, Slots};
pub use store::Store;
pub use subjects::{Removed, SubjectIndex, SubjectState};
pub use visitor::{Listed, ListedMessage, Visited, Visitor};
