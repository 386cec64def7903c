//! Which files of a directory are segments of the log, and which of them count.
//!
//! It knows names and zeros. It refuses to know records.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::options::Options;
use crate::segment::{Identity, Segment};

/// The files of a log.
pub(super) struct Directory<F> {
    /// With something in them, by rising identity.
    pub(super) used: Vec<Arc<Segment<F>>>,
    /// Prepared and unused, by rising identity, the first following the last one used.
    pub(super) spares: VecDeque<Arc<Segment<F>>>,
    /// Which segments have a footer.
    pub(super) footers: HashSet<Identity>,
    /// The last sync of a log that was open failed.
    pub(super) sync_failed: bool,
}

/// A file that says that a sync failed: what was written is not known to be on the disk, and
/// syncing it again would not help.
pub(crate) const SYNC_FAILED_NAME: &str = "sync-failed";

/// Opens the files that count, and removes what other files stand for: segments that were
/// compacted, footers without a segment, and files of zeros that would not be prepared now.
pub(super) fn open<D: Disk>(disk: &D, options: &Options) -> Result<Directory<D::File>, Error> {
    let names = disk.list().map_err(|error| Error::disk("list the directory of the log", error))?;
    let mut identities = Vec::new();
    let mut footers = HashSet::new();
    for name in &names {
        match Identity::parse(name) {
            Some((identity, ".segment")) => identities.push(identity),
            Some((identity, ".footer")) => {
                footers.insert(identity);
            }
            _ => {}
        }
    }
    remove_replaced(disk, &mut identities)?;
    identities.sort_unstable();
    let mut segments = Vec::with_capacity(identities.len());
    for identity in identities {
        let name = identity.segment_name();
        let file = disk.open(&name).map_err(|error| Error::disk(format!("open {name}"), error))?;
        segments.push(Segment::new(identity, file));
    }
    let (used, spares) = split_spares(disk, segments, options)?;
    let known: HashSet<Identity> = used.iter().map(|segment| segment.identity).collect();
    for footer in footers.difference(&known) {
        remove(disk, &footer.footer_name())?;
    }
    footers.retain(|footer| known.contains(footer));
    let sync_failed = names.iter().any(|name| name == SYNC_FAILED_NAME);
    Ok(Directory { used, spares, footers, sync_failed })
}

/// A segment that was compacted is whole before what it stands for is removed.
fn remove_replaced<D: Disk>(disk: &D, identities: &mut Vec<Identity>) -> Result<(), Error> {
    // From the highest on: what replaces others has the highest identity and generation of them.
    identities.sort_unstable_by(|one, other| other.cmp(one));
    let mut last: Option<Identity> = None;
    let replaced = identities.extract_if(.., |identity| {
        let is_replaced = last.is_some_and(|last| last.replaces(identity));
        if !is_replaced {
            last = Some(*identity);
        }
        is_replaced
    });
    for identity in replaced {
        remove(disk, &identity.segment_name())?;
    }
    Ok(())
}

type Split<F> = (Vec<Arc<Segment<F>>>, VecDeque<Arc<Segment<F>>>);

/// Tells the segments with something in them from those prepared for later: files of zeros behind
/// all others. Of these, one that would not be prepared so now, or was not to its end, is removed:
/// it was read, and there is nothing in it.
fn split_spares<D: Disk>(
    disk: &D,
    mut used: Vec<Arc<Segment<D::File>>>,
    options: &Options,
) -> Result<Split<D::File>, Error> {
    let mut at = 1;
    while at < used.len() {
        if used[at - 1].id != used[at].id {
            at += 1;
        } else if nonzero_end(&mut used[at])? == 0 {
            remove(disk, &used.remove(at).name())?;
        } else if nonzero_end(&mut used[at - 1])? == 0 {
            remove(disk, &used.remove(at - 1).name())?;
        } else {
            let names = [used[at - 1].name(), used[at].name()];
            return Err(Error::SegmentTwice { segment: used[at].id, names });
        }
    }
    let mut empty = Vec::new();
    while let Some(last) = used.last_mut()
        && nonzero_end(last)? == 0
    {
        empty.extend(used.pop());
    }
    let (mut next_id, mut bytes) =
        used.last().map_or((1, 0), |last| (last.id + 1, last.file.bytes()));
    let mut spares = VecDeque::new();
    for segment in empty.into_iter().rev() {
        bytes = options.next_segment_bytes(bytes);
        if segment.id == next_id && segment.file.bytes() == bytes {
            next_id += 1;
            spares.push_back(segment);
        } else {
            remove(disk, &segment.name())?;
        }
    }
    Ok((used, spares))
}

fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    disk.remove(name).map_err(|error| Error::disk(format!("remove {name}"), error))
}

/// How long the file is without the zeros at its end.
fn nonzero_end<F: DiskFile>(segment: &mut Arc<Segment<F>>) -> Result<u64, Error> {
    let name = segment.name();
    let contents = alone(segment).file.contents();
    let contents = contents.map_err(|error| Error::disk(format!("read {name}"), error))?;
    Ok(last_nonzero(&contents))
}

/// A segment that nobody else has got yet.
pub(super) fn alone<F>(segment: &mut Arc<Segment<F>>) -> &mut Segment<F> {
    Arc::get_mut(segment).expect("a log that is being opened has its segments alone")
}

const ZEROS: [u8; 4_096] = [0; 4_096];

/// Where the first byte is, at or behind `from`, that is not zero.
pub(super) fn first_nonzero(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for chunk in bytes.get(from..)?.chunks(ZEROS.len()) {
        if chunk != &ZEROS[..chunk.len()] {
            return chunk.iter().position(|byte| *byte != 0).map(|inside| at + inside);
        }
        at += chunk.len();
    }
    None
}

/// How long `bytes` are without the zeros at their end.
pub(super) fn last_nonzero(bytes: &[u8]) -> u64 {
    let mut end = bytes.len();
    for chunk in bytes.rchunks(ZEROS.len()) {
        let start = end - chunk.len();
        if chunk != &ZEROS[..chunk.len()] {
            let inside = chunk.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            return (start + inside) as u64;
        }
        end = start;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_stepped_over() {
        for (length, place) in [(1, 0), (8, 7), (4_096, 0), (4_097, 4_096), (20_000, 9_999)] {
            let mut bytes = vec![0; length];
            assert_eq!((first_nonzero(&bytes, 0), last_nonzero(&bytes)), (None, 0));
            bytes[place] = 1;
            assert_eq!(first_nonzero(&bytes, 0), Some(place));
            assert_eq!(first_nonzero(&bytes, place), Some(place));
            assert_eq!(first_nonzero(&bytes, place + 1), None);
            assert_eq!(last_nonzero(&bytes), place as u64 + 1);
        }
    }
}
