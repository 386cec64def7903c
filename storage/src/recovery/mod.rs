//! Opening: what is there, what is damaged, and where to go on.
//!
//! It changes no byte of a record. It refuses to know batches, and who asks.

mod directory;
mod scan;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use directory::SYNC_FAILED_NAME;
use directory::{Directory, alone};
use scan::{Scan, Scanned};

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::footer::Footer;
use crate::kept::Kept;
use crate::options::{Options, Promise};
use crate::record::{HEAD_BYTES, Head};
use crate::segment::Segment;
use crate::visitor::{Listed, Visited, Visitor};

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments with something in them.
    pub segments: u64,
    /// Messages that can be read and are not deleted.
    pub messages: u64,
    /// Bytes of records and markers, damaged ones included.
    pub bytes: u64,
    /// The log was closed, and not left.
    pub closed: bool,
    /// What cannot be read, in the order of the segments. Empty after a power cut between writes.
    pub damage: Vec<Damage>,
}

/// A stretch of a segment that is no longer what was written, or never was finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Where in its file. Empty if the whole file is missing, or only a link is broken.
    pub bytes: Range<u64>,
    /// The sequences that cannot be read because of it. It is exact for [`Cause::Body`]; for the
    /// others it is every sequence that may have been there.
    pub sequences: Range<u64>,
    /// The log had noted that these bytes were on the disk: they were damaged there. Otherwise
    /// they may be a write that a power cut did not let finish, which nobody was promised.
    pub synced: bool,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong with a stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One record: its head is whole, its body is not.
    Body,
    /// No record can be found here, and there are some behind.
    Head,
    /// The segment ends before the place where the next one says that it ended.
    End,
    /// Bytes behind the last record of the log, or of what was the log when it was last opened.
    Tail,
    /// The file is not there.
    Missing,
    /// Two records are whole, and the second does not follow the first.
    Link,
}

impl Damage {
    /// A deleted message is not missed.
    pub(crate) fn forget(&mut self, deleted: &Range<u64>) {
        let Range { start, end } = self.sequences;
        if deleted.start <= start && start < deleted.end {
            self.sequences.start = deleted.end.min(end);
        } else if deleted.start < end && end <= deleted.end {
            self.sequences.end = deleted.start;
        }
        if self.sequences.is_empty() {
            self.sequences = 0..0;
        }
    }
}

/// All that a log needs to go on.
pub(crate) struct Recovered<F> {
    pub(crate) report: Recovery,
    pub(crate) kept: VecDeque<Kept<F>>,
    /// Prepared and unused, by rising identity, the first following the last one kept.
    pub(crate) spares: VecDeque<Arc<Segment<F>>>,
    /// Where the records of the last segment end, and the checksum of the last head there.
    pub(crate) end: u64,
    pub(crate) chain: u32,
    pub(crate) marker_last_at: u64,
    /// Everything before this segment and offset is known to have been synced before this opening.
    pub(crate) durable: (u64, u64),
    /// All that was found is.
    pub(crate) is_durable: bool,
    pub(crate) next_sequence: u64,
    pub(crate) front: u64,
    /// The last segment cannot be gone on with: the log goes on in a new one.
    pub(crate) leave_segment: bool,
    /// Then, deletions from this segment and offset on do not count; (0, 0): all of them do.
    pub(crate) doubtful_from: (u64, u64),
    /// The batch at the end is not finished.
    pub(crate) cut: bool,
    /// Messages that are none, because their batches were not finished, and no deletion says so.
    pub(crate) dropped: Vec<Range<u64>>,
    /// Messages whose bytes may have to be overwritten still: segment and sequence.
    pub(crate) erasures: Vec<(u64, u64)>,
    /// What is noted to be overwritten before this segment and offset is.
    pub(crate) erased: (u64, u64),
    /// In which start of the machine the last marker was made; 0 if that is not known.
    pub(crate) boot: u128,
}

/// What is done with what was perhaps not synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsynced {
    /// It is synced later, as it would have been: it cannot have been lost, and was promised to
    /// nobody.
    Leave,
    /// It was read from the disk, and only names may be unsynced.
    Sync,
    /// It is written again, the same bytes, and synced: after a failed sync the system may hold
    /// pages that it takes for synced and that are not on the disk, and a sync alone would pass
    /// over them.
    Rewrite,
}

/// The most that is copied at once when unsynced bytes are written again, in bytes.
const REWRITE_BYTES: u64 = 1 << 20;

/// Finds out what is there, makes it durable unless the promise says that it need not be, and
/// tells `visitor`.
pub(crate) fn recover<D: Disk, V: Visitor>(
    disk: &D,
    options: &Options,
    visitor: &mut V,
) -> Result<Recovered<D::File>, Error> {
    let Directory { used, spares, mut footers, sync_failed } = directory::open(disk, options)?;
    let boot = disk.boot();
    let mut scan = Scan::new(boot);
    let mut kept = VecDeque::new();
    used.iter().for_each(|segment| scan.note(segment));
    // How far the last segment goes can only be seen in itself.
    let last_id = used.last().map(|segment| segment.id);
    for mut segment in used {
        let footed = if footers.contains(&segment.identity) && Some(segment.id) != last_id {
            if options.verify { None } else { read_footer(disk, &mut segment, boot, &mut scan)? }
        } else {
            None
        };
        let read = match footed {
            Some(kept) => kept,
            None => {
                footers.remove(&segment.identity);
                scan.segment(segment)?
            }
        };
        kept.push_back(read);
        scan.delete_in(&mut kept);
    }
    let scanned = scan.finish(kept);
    let unsynced = match options.promise {
        Promise::Durable => Unsynced::Rewrite,
        Promise::Written { .. } if sync_failed || boot == 0 || scanned.boot == 0 => {
            Unsynced::Rewrite
        }
        Promise::Written { .. } if scanned.boot == boot => Unsynced::Leave,
        Promise::Written { .. } => Unsynced::Sync,
    };
    make_durable(disk, &scanned, unsynced)?;
    if sync_failed {
        let removed = disk.remove(SYNC_FAILED_NAME);
        removed.map_err(|error| Error::disk(format!("remove {SYNC_FAILED_NAME}"), error))?;
    }
    if V::LISTENS {
        for kept in &scanned.kept {
            if footers.contains(&kept.segment.identity) {
                visit_listed(disk, kept, scanned.front, boot, visitor)?;
            } else {
                visit(kept, scanned.front, visitor)?;
            }
        }
    }
    Ok(Recovered {
        report: scanned.report,
        kept: scanned.kept,
        spares,
        end: scanned.end,
        chain: scanned.chain,
        marker_last_at: scanned.marker_last_at,
        durable: scanned.durable,
        is_durable: unsynced != Unsynced::Leave,
        next_sequence: scanned.next_sequence,
        front: scanned.front,
        leave_segment: scanned.leave_segment,
        doubtful_from: scanned.doubtful_from,
        cut: scanned.cut,
        dropped: scanned.dropped,
        erasures: scanned.erasures,
        erased: scanned.erased,
        boot: scanned.boot,
    })
}

/// What a footer says, if it can be believed.
fn read_footer<D: Disk>(
    disk: &D,
    segment: &mut Arc<Segment<D::File>>,
    boot: u128,
    scan: &mut Scan,
) -> Result<Option<Kept<D::File>>, Error> {
    let name = segment.identity.footer_name();
    let file = disk.open(&name);
    let mut file = file.map_err(|error| Error::disk(format!("open {name}"), error))?;
    let bytes = file.contents();
    let bytes = bytes.map_err(|error| Error::disk(format!("read {name}"), error))?;
    let footer = Footer::parse(&bytes, alone(segment), boot);
    Ok(footer.and_then(|footer| scan.footed(segment, &footer)))
}

fn visit_listed<D: Disk>(
    disk: &D,
    kept: &Kept<D::File>,
    front: u64,
    boot: u128,
    visitor: &mut impl Visitor,
) -> Result<(), Error> {
    let name = kept.segment.identity.footer_name();
    let file = disk.open(&name);
    let mut file = file.map_err(|error| Error::disk(format!("open {name}"), error))?;
    let bytes = file.contents();
    let bytes = bytes.map_err(|error| Error::disk(format!("read {name}"), error))?;
    match Footer::parse_again(&bytes, &kept.segment, boot) {
        Some(footer) => visitor.listed(Listed::new(&footer, &kept.index, front)),
        None => visit(kept, front, visitor)?,
    }
    Ok(())
}

/// Tells about messages by their records, which were verified before.
fn visit<F: DiskFile>(kept: &Kept<F>, front: u64, visitor: &mut impl Visitor) -> Result<(), Error> {
    for (sequence, place) in kept.index.live_from(front) {
        let offset = kept.index.offset_at(place);
        let Some(record) = kept.segment.record(offset)? else { continue };
        let Ok(head) = Head::parse(kept.segment.seed, offset, &record) else { continue };
        visitor.message(Visited {
            sequence,
            subject: &record[HEAD_BYTES..HEAD_BYTES + usize::from(head.subject_bytes)],
            headers_bytes: head.headers_bytes,
            payload_bytes: head.payload_bytes(),
        });
    }
    Ok(())
}

fn make_durable<D: Disk>(
    disk: &D,
    scanned: &Scanned<D::File>,
    unsynced: Unsynced,
) -> Result<(), Error> {
    let Scanned { kept, durable, .. } = scanned;
    if kept.is_empty() {
        return Ok(());
    }
    if unsynced != Unsynced::Leave {
        let synced = disk.sync_directory();
        synced.map_err(|error| Error::disk("sync the directory of the log", error))?;
    }
    for (number, Kept { segment, end, .. }) in kept.iter().enumerate() {
        let is_last = number + 1 == kept.len();
        let end = if is_last { *end } else { segment.file.bytes() };
        if segment.id >= durable.0 && unsynced != Unsynced::Leave {
            let start = if segment.id == durable.0 { durable.1.min(end) } else { 0 };
            let range = if unsynced == Unsynced::Rewrite { start..end } else { 0..0 };
            rewrite(segment, range)
                .and_then(|()| segment.file.sync())
                .map_err(|error| Error::disk(format!("sync {}", segment.name()), error))?;
        }
        segment.file.publish(end);
    }
    Ok(())
}

fn rewrite<F: DiskFile>(segment: &Segment<F>, range: Range<u64>) -> std::io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at + REWRITE_BYTES);
        let bytes = segment.file.read(at..end)?.into_owned();
        segment.file.write_at(at, &bytes)?;
        at = end;
    }
    Ok(())
}
