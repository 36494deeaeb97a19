//! The files of a journal: one after the other, the oldest deleted when the source has all that is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::file::{Recovered, Step};
use super::frame::{self, Entry};
use super::{JournalError, Record};

/// Where a test learns of each step, and may end the process.
pub(super) type Probe = std::sync::Arc<dyn Fn(Step) + Send + Sync>;

/// The directory's lock, given up when dropped. Closing the file is not enough: a process that this one is just
/// starting holds a copy of it until it runs its own program.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the journal's lock ends with its file");
        }
    }
}

/// All files, of which the last is written.
pub(super) struct Segments {
    directory: PathBuf,
    /// Held for as long as the journal is open.
    _lock: Lock,
    probe: Option<Probe>,
    most: u64,
    current: File,
    path: PathBuf,
    index: u64,
    written: u64,
    /// The numbers of each file that are not settled.
    open: BTreeMap<u64, BTreeSet<u64>>,
    /// In which file each of them is.
    place: BTreeMap<u64, u64>,
    /// Numbers below this may have been given.
    reserved: u64,
}

impl Segments {
    /// Reads what is there, cuts a torn end off, and begins a new file.
    pub(super) fn open(
        directory: &Path,
        most: u64,
        probe: Option<Probe>,
    ) -> Result<(Self, Vec<Record>, Recovered), JournalError> {
        fs::create_dir_all(directory).map_err(JournalError::io(directory))?;
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(JournalError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Locked(directory.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(JournalError::io(&lock_path)(error)),
        }
        let indices = indices(directory)?;
        let last = indices.last().copied();
        let (mut records, mut reserved, mut recovered) = (BTreeMap::new(), 1, Recovered::default());
        let (mut open, mut place): (BTreeMap<u64, BTreeSet<u64>>, BTreeMap<u64, u64>) = Default::default();
        for index in indices {
            let Some(entries) = contents(directory, index, Some(index) == last, &mut recovered)? else { continue };
            let set = open.entry(index).or_default();
            let mut settled = Vec::new();
            for entry in entries {
                match entry {
                    Entry::Reserved(below) => reserved = reserved.max(below),
                    Entry::Write(record) => {
                        reserved = reserved.max(record.number.saturating_add(1));
                        set.insert(record.number);
                        place.insert(record.number, index);
                        records.insert(record.number, record);
                    }
                    Entry::Settled(numbers) => settled.extend(numbers),
                }
            }
            for number in settled {
                records.remove(&number);
                if let Some(set) = place.remove(&number).and_then(|at| open.get_mut(&at)) {
                    set.remove(&number);
                }
            }
        }
        let index = last.map_or(1, |last| last + 1);
        let (current, path, written) = create(directory, index, reserved, probe.as_ref())?;
        let directory = directory.to_owned();
        let mut segments =
            Self { directory, _lock: Lock(lock), probe, most, current, path, index, written, open, place, reserved };
        segments.open.insert(index, BTreeSet::new());
        segments.delete_settled()?;
        recovered.records = records.len();
        Ok((segments, records.into_values().collect(), recovered))
    }

    fn step(&self, step: Step) {
        if let Some(probe) = &self.probe {
            probe(step);
        }
    }

    pub(super) fn reserve(&mut self, count: u64) -> (u64, Entry) {
        let first = self.reserved;
        self.reserved = first.saturating_add(count);
        (first, Entry::Reserved(self.reserved))
    }

    /// Makes these durable, all with one sync.
    pub(super) fn commit(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let frame = frame::seal(entries).map_err(JournalError::Other)?;
        if self.written > self.most {
            (self.current, self.path, self.written) =
                create(&self.directory, self.index + 1, self.reserved, self.probe.as_ref())?;
            self.index += 1;
            self.open.insert(self.index, BTreeSet::new());
        }
        self.step(Step::Write);
        // In two halves, so that a test can die between them.
        let halves = frame.split_at(if self.probe.is_some() { frame.len() / 2 } else { 0 });
        self.current.write_all(halves.0).map_err(JournalError::io(&self.path))?;
        self.step(Step::HalfWritten);
        self.current.write_all(halves.1).map_err(JournalError::io(&self.path))?;
        self.step(Step::Written);
        self.current.sync_data().map_err(JournalError::io(&self.path))?;
        self.step(Step::Synced);
        self.written += frame.len() as u64;
        for entry in entries {
            match entry {
                Entry::Reserved(_) => {}
                Entry::Write(record) => {
                    self.open.entry(self.index).or_default().insert(record.number);
                    self.place.insert(record.number, self.index);
                }
                Entry::Settled(numbers) => {
                    for number in numbers {
                        if let Some(set) = self.place.remove(number).and_then(|at| self.open.get_mut(&at)) {
                            set.remove(number);
                        }
                    }
                }
            }
        }
        self.delete_settled()
    }

    /// Numbers that are in the journal and not settled.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.place.contains_key(&number)
    }

    /// Deletes the oldest files as far as nothing in them is needed: later ones may say what of earlier ones is settled.
    fn delete_settled(&mut self) -> Result<(), JournalError> {
        while let Some((&index, numbers)) = self.open.first_key_value() {
            if index == self.index || !numbers.is_empty() {
                return Ok(());
            }
            let path = path_of(&self.directory, index);
            fs::remove_file(&path).map_err(JournalError::io(&path))?;
            self.open.remove(&index);
            self.step(Step::Deleted);
        }
        Ok(())
    }
}

fn path_of(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("{index:012}.journal"))
}

/// The numbers of the files that are there, in order.
fn indices(directory: &Path) -> Result<BTreeSet<u64>, JournalError> {
    let mut indices = BTreeSet::new();
    for file in fs::read_dir(directory).map_err(JournalError::io(directory))? {
        let name = file.map_err(JournalError::io(directory))?.file_name();
        let index = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        indices.extend(index.and_then(|index| index.parse::<u64>().ok()));
    }
    Ok(indices)
}

/// What a file holds; `None` for one that was not begun before a crash, which is removed.
fn contents(
    directory: &Path,
    index: u64,
    last: bool,
    recovered: &mut Recovered,
) -> Result<Option<Vec<Entry>>, JournalError> {
    let path = path_of(directory, index);
    let mut bytes = Vec::new();
    File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(JournalError::io(&path))?;
    let contents = match bytes.get(..frame::HEADER) {
        Some(header) if header[..4] == frame::MAGIC => match header[4] {
            frame::VERSION => frame::read(&bytes),
            version => return Err(JournalError::Version { path, version }),
        },
        // Died before its header was synced: nothing was promised yet.
        None if last => frame::Contents { entries: Vec::new(), intact: 0, damaged: false },
        _ => return Err(JournalError::Damaged { path, offset: 0 }),
    };
    if contents.intact == bytes.len() && contents.intact > 0 {
        return Ok(Some(contents.entries));
    }
    // Only the last frame of the last file can be torn; and what was synced is followed by nothing that is intact.
    if contents.damaged || !last {
        return Err(JournalError::Damaged { path, offset: contents.intact as u64 });
    }
    recovered.cut = (bytes.len() - contents.intact) as u64;
    if contents.intact == 0 {
        fs::remove_file(&path).map_err(JournalError::io(&path))?;
        return Ok(None);
    }
    let file = OpenOptions::new().write(true).open(&path).map_err(JournalError::io(&path))?;
    file.set_len(contents.intact as u64).and_then(|()| file.sync_all()).map_err(JournalError::io(&path))?;
    Ok(Some(contents.entries))
}

/// A new file, durable with its name.
fn create(
    directory: &Path,
    index: u64,
    reserved: u64,
    probe: Option<&Probe>,
) -> Result<(File, PathBuf, u64), JournalError> {
    let step = |step| {
        if let Some(probe) = probe {
            probe(step);
        }
    };
    let path = path_of(directory, index);
    let io = || JournalError::io(&path);
    let mut bytes = frame::MAGIC.to_vec();
    bytes.push(frame::VERSION);
    bytes.extend(frame::seal(&[Entry::Reserved(reserved)]).map_err(JournalError::Other)?);
    // One that is there was never used: its index would be the last one otherwise.
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).map_err(io())?;
    step(Step::Created);
    file.write_all(&bytes).map_err(io())?;
    file.sync_all().map_err(io())?;
    step(Step::HeaderSynced);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(JournalError::io(directory))?;
    step(Step::DirectorySynced);
    Ok((file, path, bytes.len() as u64))
}
