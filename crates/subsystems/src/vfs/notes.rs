//! What a VFS notes for its successor: open files, descriptors, and who apps are.
//!
//! An open file is noted before its inode is held, and until it is released; a descriptor only while its app may use it.
//! So who follows knows of every hold there is: it tells each file system how many it takes over, and those of files
//! that no descriptor leads to end. Whatever does not fit what file systems say, or is spoiled, is lost, and its
//! descriptor is `EIO` until it is closed. What finds no room is not noted, and then unknown to a successor.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::ids::PipeId;
use kd_api::interfaces::fs::Kind;
use kd_api::{AppId, Fd, Ino, Store};

use super::VirtualFileSystem;
use super::credentials::App;
use super::mounts::Location;
use super::open_file::{Held, Object, OpenFile, PipeEnd};
use crate::records::{Found, Record, Records, Words, words};

/// Words of its store: an open file takes a record, and so does each of its descriptors.
pub const STORE: usize = words(8191);

const FILE: u64 = 1;
const DESCRIPTOR: u64 = 2;
const APP: u64 = 3;
/// No record's number: what a descriptor leads to whose file was lost.
const NOWHERE: u64 = 0;

/// Where notes go; nowhere in a kernel that never starts a VFS without the rest.
#[derive(Default)]
pub struct Notes(Option<Arc<Records>>);

/// What is noted of an open file; the moving word is its position.
#[derive(Clone, Copy)]
struct File {
    kind: Kind,
    /// Of a pipe: the writing end, and its number.
    writer: bool,
    at: Location,
    flags: u32,
    /// Which instance of the file system holds it; zero until it does.
    instance: u64,
}

const KINDS: [Kind; 4] = [Kind::File, Kind::Directory, Kind::Block, Kind::Fifo];

impl File {
    fn words(self) -> Words {
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(KINDS.len()) as u64;
        let mount = u64::from(self.at.mount as u16);
        [
            FILE | kind << 8 | u64::from(self.writer) << 15 | mount << 16 | u64::from(self.flags) << 32,
            self.at.ino.0,
            self.instance,
        ]
    }

    fn of(words: Words) -> Option<File> {
        let kind = *KINDS.get((words[0] >> 8 & 0x7F) as usize)?;
        let at = Location { mount: (words[0] >> 16) as u32 & 0xFFFF, ino: Ino(words[1]) };
        Some(File { kind, writer: words[0] >> 15 & 1 == 1, at, flags: (words[0] >> 32) as u32, instance: words[2] })
    }
}

impl Notes {
    /// Notes in a store, if there is one, and what a predecessor noted there.
    pub fn open(store: Option<Store>) -> (Notes, Vec<Found>) {
        let Some((records, found)) = store.map(Records::open) else { return Default::default() };
        (Notes(Some(records)), found)
    }

    fn make(&self, words: Words) -> Option<Record> {
        self.0.as_ref()?.make(words, 0)
    }

    /// Notes an inode of an open file: before it is held, with instance zero, and again by which instance it is.
    pub fn file(&self, kind: Kind, at: Location, flags: u32, instance: u64) -> Option<Record> {
        self.make(File { kind, writer: false, at, flags, instance }.words())
    }

    /// Notes one end of a pipe.
    pub fn pipe(&self, pipe: PipeId, writer: bool, flags: u32) -> Option<Record> {
        let at = Location { mount: 0, ino: Ino(pipe.0) };
        self.make(File { kind: Kind::Fifo, writer, at, flags, instance: 0 }.words())
    }

    /// Notes that a descriptor leads to a file.
    pub fn descriptor(&self, app: AppId, fd: Fd, file: &OpenFile) -> Option<Record> {
        self.lead(app, fd, file.note()?.number())
    }

    fn lead(&self, app: AppId, fd: Fd, to: u64) -> Option<Record> {
        self.make([DESCRIPTOR | (fd.0 as u64) << 8 & 0xFFFF_FF00 | u64::from(app.0) << 32, to, 0])
    }

    /// Notes who an app is now. `false` if there is no room for it.
    pub fn app(&self, id: AppId, app: &App) -> bool {
        let mut note = app.note.lock();
        let who = app.credentials();
        let words =
            [APP | u64::from(who.umask) << 8 | u64::from(id.0) << 32, u64::from(who.uid) << 32 | u64::from(who.gid), 0];
        // Until the call is answered, either may be found: the old one goes last.
        match self.make(words) {
            Some(new) => *note = Some(new),
            None => return self.0.is_none(),
        }
        true
    }
}

impl VirtualFileSystem {
    /// Takes over what a predecessor noted.
    pub fn take_over(&self, found: Vec<Found>) {
        let (mut files, mut descriptors) = (BTreeMap::new(), Vec::new());
        for Found { record, words, moving } in found {
            let app = AppId((words[0] >> 32) as u32);
            match words[0] & 0xFF {
                FILE => drop(File::of(words).map(|file| files.insert(record.number(), (record, file, moving)))),
                DESCRIPTOR => descriptors.push((record, app, Fd((words[0] as u32 >> 8) as i32), words[1])),
                APP => {
                    let known = self.apps.get_or_insert_with(app.0.into(), App::default);
                    known.restore(words[1], (words[0] as u32 >> 8) & 0o777);
                    *known.note.lock() = Some(record);
                }
                _ => {}
            }
        }
        let led_to: BTreeSet<u64> = descriptors.iter().map(|(.., file)| *file).collect();
        let files = self.reopen(files, &led_to);
        for (record, app, fd, file) in descriptors {
            let known = self.apps.get_or_insert_with(app.0.into(), App::default);
            match files.get(&file) {
                Some(file) => known.descriptors.restore(fd, Some(file.clone()), Some(record)),
                // Its file's record is free by now, and may be another file's soon.
                None => known.descriptors.restore(fd, None, self.notes.lead(app, fd, NOWHERE)),
            }
        }
    }

    /// The files that descriptors lead to, as far as they are still what they were.
    fn reopen(
        &self,
        files: BTreeMap<u64, (Record, File, Option<u64>)>,
        led_to: &BTreeSet<u64>,
    ) -> BTreeMap<u64, Arc<OpenFile>> {
        let mut holds = BTreeMap::<Location, u32>::new();
        for (number, (_, file, _)) in files.iter().filter(|(_, (_, file, _))| file.kind != Kind::Fifo) {
            *holds.entry(file.at).or_default() += u32::from(led_to.contains(number));
        }
        let mut kinds = BTreeMap::new();
        for (at, count) in holds {
            if let Some(Ok(stat)) = self.mounts.get(at).map(|mount| mount.fs.reclaim(at.ino, count)) {
                kinds.insert(at, stat.kind);
            }
        }
        let mut opened = BTreeMap::new();
        for (number, (record, file, position)) in files {
            let (at, led_to) = (file.at, led_to.contains(&number));
            let object = match file.kind {
                // One end that nothing leads to is closed by being dropped here.
                Kind::Fifo => {
                    let pipe = PipeId(at.ino.0);
                    // Who waits there waits for a VFS that is gone. A pipe that is gone as well says so to whoever uses it.
                    let _ = self.pipes.interrupt(pipe);
                    Some(Object::Pipe(PipeEnd { pipes: self.pipes.clone(), pipe, writer: file.writer }))
                }
                _ if !led_to || kinds.get(&at) != Some(&file.kind) => None,
                kind => self.mounts.get(at).and_then(|mount| {
                    let held = Held { fs: mount.fs.clone(), at, instance: file.instance.into() };
                    match kind {
                        Kind::Directory => Some(Object::Directory(held)),
                        Kind::Block => Some(Object::Device(self.devices.device(at.ino).ok()?, held)),
                        _ => Some(Object::File(held)),
                    }
                }),
            };
            if let (Some(object), Some(position), true) = (object, position, led_to) {
                let file = OpenFile::restored(object, file.flags, self.failures.latest(), position, record);
                opened.insert(number, Arc::new(file));
            }
        }
        opened
    }
}
