//! A disk in memory that writes down what is done to it, and the states in which a loss of power may leave it.
//!
//! What was synced is there. Of the rest any part may be: a write whole, torn between sectors or not at all, a name
//! old or new, in any combination.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use backends::log::embedded::files::{File, Files};

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll(256) as u8).collect()
    }
}

/// Names and what is behind them.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug)]
enum Operation {
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncFolder,
    Change {
        file: usize,
        change: Change,
    },
    Sync {
        file: usize,
    },
    /// The system could not write what was pending and says so once; a later sync knows nothing of it any more.
    FailedSync {
        file: usize,
    },
}

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSpace,
    Broken,
    /// Half of a write arrives.
    Short,
}

#[derive(Default)]
struct Inner {
    start: Image,
    names: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    operations: Vec<Operation>,
    /// How many more operations succeed before the fault.
    fault: Option<(usize, Fault)>,
    syncs_lie: bool,
}

/// The disk.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

struct Opened {
    disk: Disk,
    file: usize,
}

/// Which of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survival {
    Nothing,
    Everything,
    Some,
}

impl Disk {
    /// A disk that holds `image`, all of it synced.
    pub(crate) fn of(image: &Image) -> Self {
        let mut inner = Inner { start: image.clone(), ..Inner::default() };
        for (number, (name, content)) in image.iter().enumerate() {
            inner.names.insert(name.clone(), number);
            inner.contents.push(content.clone());
        }
        Self(Arc::new(Mutex::new(inner)))
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    pub(crate) fn let_syncs_lie(&self) {
        self.locked().syncs_lie = true;
    }

    /// Lets `fault` happen after `operations` more.
    pub(crate) fn fail_after(&self, operations: usize, fault: Fault) {
        self.locked().fault = Some((operations, fault));
    }

    /// Whether the fault is still to come.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.locked().fault.is_some()
    }

    /// How much has been done to it.
    pub(crate) fn operations(&self) -> usize {
        self.locked().operations.len()
    }

    /// What is on it while the power is on.
    pub(crate) fn image(&self) -> Image {
        let inner = self.locked();
        inner.names.iter().map(|(name, file)| (name.clone(), inner.contents[*file].clone())).collect()
    }

    /// What may be on it when the power goes after the first `operations`.
    pub(crate) fn crashed(&self, operations: usize, survival: Survival, dice: &mut Dice) -> Image {
        let inner = self.locked();
        let mut platter = Platter::of(&inner.start, inner.contents.len());
        inner.operations[..operations].iter().for_each(|it| platter.take(it));
        platter.left(survival, dice)
    }

    /// Notes an operation, unless the fault comes now.
    fn note(&self, operation: Operation) -> io::Result<()> {
        let mut inner = self.locked();
        let fault = match &mut inner.fault {
            Some((0, fault)) => *fault,
            Some((left, _)) => {
                *left -= 1;
                apply(&mut inner, operation);
                return Ok(());
            }
            None => {
                apply(&mut inner, operation);
                return Ok(());
            }
        };
        inner.fault = None;
        match operation {
            Operation::Sync { file } => apply(&mut inner, Operation::FailedSync { file }),
            Operation::Change { file, change: Change::Write { offset, mut bytes } } if fault == Fault::Short => {
                bytes.truncate(bytes.len() / 2);
                apply(&mut inner, Operation::Change { file, change: Change::Write { offset, bytes } });
            }
            _ => {}
        }
        let kind = if fault == Fault::NoSpace { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        Err(kind.into())
    }
}

fn apply(inner: &mut Inner, operation: Operation) {
    match &operation {
        Operation::Create { name, file } => {
            inner.names.insert(name.clone(), *file);
        }
        Operation::Rename { from, to } => {
            if let Some(file) = inner.names.remove(from) {
                inner.names.insert(to.clone(), file);
            }
        }
        Operation::Remove { name } => {
            inner.names.remove(name);
        }
        Operation::Change { file, change } => change.apply(&mut inner.contents[*file]),
        Operation::Sync { .. } if inner.syncs_lie => return,
        Operation::Sync { .. } | Operation::SyncFolder | Operation::FailedSync { .. } => {}
    }
    inner.operations.push(operation);
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// Applies what of it survived: all, nothing, a front part, or any sectors.
    fn apply_some(&self, content: &mut Vec<u8>, dice: &mut Dice) {
        let kept = dice.roll(4);
        let Self::Write { offset, bytes } = self else {
            if kept < 2 {
                self.apply(content);
            }
            return;
        };
        let cut = dice.roll(bytes.len() as u64 + 1) as usize;
        let mut at = 0;
        while at < bytes.len() {
            let end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
            let end = end.min(bytes.len());
            let is_kept = match kept {
                0 => true,
                1 => false,
                2 => end <= cut,
                _ => dice.roll(2) == 0,
            };
            if is_kept {
                Self::Write { offset: offset + at, bytes: bytes[at..end].to_vec() }.apply(content);
            }
            at = end;
        }
    }
}

/// What is durable, and what is on its way.
struct Platter {
    names: BTreeMap<String, usize>,
    pending_names: Vec<Operation>,
    files: Vec<Content>,
}

#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    /// With whether a sync of it failed: then no later one makes it durable.
    pending: Vec<(Change, bool)>,
}

impl Platter {
    fn of(start: &Image, files: usize) -> Self {
        let mut contents: Vec<Content> =
            start.values().map(|it| Content { durable: it.clone(), pending: Vec::new() }).collect();
        contents.resize(files, Content::default());
        let names = start.keys().enumerate().map(|(number, name)| (name.clone(), number)).collect();
        Self { names, pending_names: Vec::new(), files: contents }
    }

    fn take(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                self.pending_names.push(operation.clone());
            }
            Operation::SyncFolder => {
                for it in std::mem::take(&mut self.pending_names) {
                    self.name(&it);
                }
            }
            Operation::Change { file, change } => self.files[*file].pending.push((change.clone(), false)),
            Operation::FailedSync { file } => self.files[*file].pending.iter_mut().for_each(|it| it.1 = true),
            Operation::Sync { file } => {
                let Content { durable, pending } = &mut self.files[*file];
                // What was there before the file was emptied is gone for good.
                let emptied = pending.iter().rposition(|it| !it.1 && matches!(it.0, Change::Length(0)));
                pending.iter().filter(|it| !it.1).for_each(|it| it.0.apply(durable));
                pending.drain(..emptied.unwrap_or(0));
                pending.retain(|it| it.1);
            }
        }
    }

    fn name(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { name, file } => {
                self.names.insert(name.clone(), *file);
            }
            Operation::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Operation::Remove { name } => {
                self.names.remove(name);
            }
            _ => {}
        }
    }

    fn left(mut self, survival: Survival, dice: &mut Dice) -> Image {
        for it in std::mem::take(&mut self.pending_names) {
            let is_kept = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Some => dice.roll(2) == 0,
            };
            if is_kept {
                self.name(&it);
            }
        }
        for Content { durable, pending } in &mut self.files {
            for (change, _) in pending.drain(..) {
                match survival {
                    Survival::Nothing => {}
                    Survival::Everything => change.apply(durable),
                    Survival::Some => change.apply_some(durable, dice),
                }
            }
        }
        self.names.iter().map(|(name, file)| (name.clone(), self.files[*file].durable.clone())).collect()
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.locked().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn File>> {
        let old = self.locked().names.get(name).copied();
        let file = match old {
            // A file that is there is emptied; its name stays.
            Some(file) => {
                self.note(Operation::Change { file, change: Change::Length(0) })?;
                file
            }
            None => {
                let file = {
                    let mut inner = self.locked();
                    inner.contents.push(Vec::new());
                    inner.contents.len() - 1
                };
                self.note(Operation::Create { name: name.to_owned(), file })?;
                file
            }
        };
        if 0 < bytes
            && let Err(error) = self.note(Operation::Change { file, change: Change::Length(bytes as usize) })
        {
            self.note(Operation::Remove { name: name.to_owned() })?;
            return Err(error);
        }
        Ok(Box::new(Opened { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = self.locked().names.get(name).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Opened { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(Operation::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.note(Operation::Remove { name: name.to_owned() })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.note(Operation::SyncFolder)
    }
}

impl File for Opened {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.locked();
        let content = &inner.contents[self.file];
        let from = content.len().min(offset as usize);
        let read = into.len().min(content.len() - from);
        into[..read].copy_from_slice(&content[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let change = Change::Write { offset: offset as usize, bytes: bytes.to_vec() };
        self.disk.note(Operation::Change { file: self.file, change })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.note(Operation::Sync { file: self.file })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.locked().contents[self.file].len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.note(Operation::Change { file: self.file, change: Change::Length(bytes as usize) })
    }
}
