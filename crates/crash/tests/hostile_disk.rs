//! Images with random damage in every structure: mount, fsck and whatever an app does then end with an error or a
//! repaired image, never with a panic, an endless loop or a read out of bounds.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT};
use kd_api::{Blocks, Errno, InBuf, Ino, OutBuf, Result};
use kd_crash::Subject;
use kd_crash::campaign::{BLOCKS, empty};
use kd_crash::check::fsck;
use kd_crash::disk::{BLOCK, Disk, Image};
use kd_crash::rng::Rng;
use kd_crash::tree::Tree;
use kd_crash::workload::{Runner, generate};
use kd_subsystems::jfs::{self, Jfs};
use rayon::prelude::*;

const IMAGES: usize = 10_000;
/// Requests beyond which something runs in a circle: more than reading the whole disk for every inode takes.
const REQUESTS: usize = 50_000;

/// Counts, and ends what never would.
struct Limited {
    disk: Disk,
    requests: AtomicUsize,
    writes: AtomicUsize,
}

impl Limited {
    fn new(image: &Arc<Image>) -> Arc<Limited> {
        Arc::new(Limited { disk: Disk::new(image), requests: AtomicUsize::new(0), writes: AtomicUsize::new(0) })
    }

    fn pass(&self) -> Result<()> {
        if self.requests.fetch_add(1, Relaxed) < REQUESTS { Ok(()) } else { Err(Errno::EIO) }
    }

    fn check(&self, what: &str) {
        assert!(self.requests.load(Relaxed) < REQUESTS, "{what} runs in a circle");
    }
}

impl BlockDevice for Limited {
    fn capacity(&self) -> Result<u64> {
        self.disk.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.pass()?;
        self.disk.read(sector, out)
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        self.pass()?;
        self.writes.fetch_add(1, Relaxed);
        self.disk.write(sector, fua, data)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.pass()
    }

    fn statistics(&self) -> Result<Statistics> {
        self.disk.statistics()
    }
}

const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o755 };

/// An image with something of everything, its log not yet replayed.
fn rich(seed: u64) -> Result<Arc<Image>> {
    let disk = Arc::new(Disk::new(&empty(BLOCKS)?));
    let fs = Jfs::mount(disk.clone(), Subject::default().options)?;
    // Extent blocks, a directory of several blocks, directories whose blocks were freed, long links, an orphan.
    let sparse = Ino(fs.create(ROOT, "sparse", Kind::File, OWNER)?.ino);
    for piece in 0..40 {
        fs.write(sparse, piece * 2 * BLOCK as u64, &mut InBuf::new(&[7]))?;
    }
    fs.symlink(ROOT, "long", &"x/".repeat(500), OWNER)?;
    let wide = Ino(fs.create(ROOT, "wide", Kind::Directory, OWNER)?.ino);
    let target = Ino(fs.create(wide, "target", Kind::File, OWNER)?.ino);
    for number in 0..24 {
        fs.link(target, wide, &format!("{number:0200}"))?;
    }
    fs.sync()?;
    let mut runner = Runner::new(fs.clone());
    for op in generate(seed) {
        // Its own names may be taken.
        if runner.step(&op).is_err() {
            break;
        }
    }
    let gone = Ino(fs.create(ROOT, "gone", Kind::Directory, OWNER)?.ino);
    fs.create(gone, "file", Kind::File, OWNER)?;
    fs.sync()?;
    fs.unlink(gone, "file")?;
    fs.rmdir(ROOT, "gone")?;
    fs.hold(sparse)?;
    let orphan = Ino(fs.create(ROOT, "orphan", Kind::File, OWNER)?.ino);
    fs.write(orphan, 0, &mut InBuf::new(&[1; 5000]))?;
    fs.hold(orphan)?;
    fs.unlink(ROOT, "orphan")?;
    fs.sync()?;
    drop(fs);
    seal(&disk, 1..BLOCKS / 2);
    Ok(disk.image())
}

fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 2048 {
            let crc = if at % 8 == 0 { at as u32 / 8 } else { table[at / 8] };
            table[at / 8] = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, byte| (crc >> 8) ^ TABLE[(crc as u8 ^ byte) as usize])
}

fn get(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// A block, the first byte in it, and how many of them matter.
type Place = (usize, usize, usize);

/// Where the structures of an image lie, as the documented format has it.
fn structures(image: &Image) -> Vec<(&'static str, Vec<Place>)> {
    let block = |number: usize| image.block(number).expect("within the image");
    let (journal, inodes) = (get(block(0), 12), get(block(0), 16));
    let table = 3 + journal;
    let data = table + inodes.div_ceil(16);
    let whole = |blocks: Vec<usize>| blocks.into_iter().map(|number| (number, 0, BLOCK)).collect::<Vec<_>>();
    let log = |kind: usize| {
        let is = |number: &usize| block(*number).starts_with(b"KDJL") && get(block(*number), 4) == kind;
        (2..=journal).filter(is).map(|number| (number, 0, 64)).collect::<Vec<_>>()
    };
    let used: Vec<(usize, usize)> = (1..inodes).map(|ino| (table + ino / 16, ino % 16 * 256)).collect();
    let kind = |(number, at): &(usize, usize)| block(*number)[*at];
    let used: Vec<_> = used.into_iter().filter(|place| kind(place) != 0).collect();
    let directories = used.iter().filter(|place| kind(place) == 2);
    let first =
        directories.map(|(number, at)| get(block(*number), at + 76)).filter(|first| (data..BLOCKS).contains(first));
    let leaves = (data..BLOCKS).filter(|number| block(*number).starts_with(b"EXTB")).map(|number| (number, 0, 128));
    vec![
        ("superblock", vec![(0, 0, 28)]),
        ("journal superblock", vec![(1, 0, 24)]),
        ("descriptor", log(2)),
        ("revoke", log(3)),
        ("commit", log(4)),
        ("copy", whole((2..=journal).filter(|number| !block(*number).starts_with(b"KDJL")).collect())),
        ("block bitmap", vec![(1 + journal, 0, BLOCKS / 8)]),
        ("inode bitmap", vec![(2 + journal, 0, inodes.div_ceil(8))]),
        ("inode", used.iter().map(|(number, at)| (*number, *at, 120)).collect()),
        ("extent block", leaves.collect()),
        ("directory", first.map(|number| (number, 0, 256)).collect()),
        ("anything", whole((0..BLOCKS).collect())),
    ]
}

/// Makes checksums of blocks right again, so that damage gets past them; a commit is made one without a checksum of its
/// transaction.
fn seal(disk: &Disk, blocks: impl Iterator<Item = usize>) {
    for number in blocks {
        let mut block = vec![0; BLOCK];
        let read = disk.read((number * BLOCK / SECTOR) as u64, &mut OutBuf::new(&mut block));
        assert_eq!(read, Ok(BLOCK), "within the image");
        match get(&block, 4) {
            // Not its first bytes but its place tells the superblock.
            _ if number == 0 => {
                let sum = crc32c(&block[..24]);
                put(&mut block, 24, sum);
            }
            _ if !block.starts_with(b"KDJL") => continue,
            1 => {
                let sum = crc32c(&block[..20]);
                put(&mut block, 20, sum);
            }
            2 | 3 => {
                put(&mut block, 20, 0);
                let sum = crc32c(&block);
                put(&mut block, 20, sum);
            }
            4 => {
                put(&mut block, 20, 0);
                put(&mut block, 24, 0);
                let sum = crc32c(&block[..28]);
                put(&mut block, 28, sum);
            }
            _ => continue,
        }
        disk.put(number * BLOCK, &block);
    }
}

/// Damages one structure, in one to four places; the blocks that it touched.
fn damage(rng: &mut Rng, disk: &Disk, image: &Image, places: &[Place]) -> Vec<usize> {
    let mut touched = Vec::new();
    let (journal, data) =
        (get(image.block(0).expect("the first"), 12), get(image.block(0).expect("the first"), 16) / 16);
    for _ in 0..1 + rng.below(4) {
        let Some(&(block, at, bytes)) = rng.pick(places) else { break };
        touched.push(block);
        let start = block * BLOCK + at;
        let word = start + rng.below(bytes / 4) * 4;
        match rng.below(12) {
            0..2 => disk.put(start + rng.below(bytes), &[rng.number() as u8]),
            2 => disk.put(start + rng.below(bytes), &[1 << rng.below(8)]),
            3..5 => disk.put(word + rng.below(2) * 2, &(rng.number() as u16).to_le_bytes()),
            5..10 => {
                let likely = [
                    0,
                    1,
                    2,
                    14,
                    u32::MAX,
                    i32::MAX as u32,
                    1 << 31,
                    BLOCKS as u32,
                    BLOCKS as u32 - 1,
                    journal as u32,
                    (3 + journal + data) as u32,
                    rng.below(BLOCKS) as u32,
                    block as u32,
                    rng.number() as u32,
                ];
                disk.put(word, &rng.pick(&likely).copied().unwrap_or(0).to_le_bytes());
            }
            10 => disk.put(start, &vec![if rng.one_in(2) { 0 } else { 0xFF }; bytes]),
            _ => disk.put(start, &image.block(rng.below(BLOCKS)).expect("within the image")[..bytes]),
        }
    }
    touched
}

/// Everything an app might do; it may fail.
fn use_all(fs: &dyn FileSystem) {
    let tree = Tree::walk(fs).unwrap_or_default();
    let (mut room, mut seen) = (vec![0; 20_000], HashSet::new());
    for name in &tree.names {
        let ino = Ino(name.node);
        let _ = fs.read(ino, 0, &mut OutBuf::new(&mut room));
        let _ = fs.read(ino, name.size.saturating_sub(5000), &mut OutBuf::new(&mut room));
        if seen.insert(name.node) {
            let _ = fs.append(ino, &mut InBuf::new(&[3; 5000]));
        }
    }
    let _ = fs.fsync(ROOT, false);
    for name in tree.names.iter().filter(|name| name.path.rfind('/') == Some(0)).take(12) {
        let short = &name.path[1..];
        let _ = fs.rename(ROOT, short, ROOT, "moved", 0);
        let _ = fs.truncate(Ino(name.node), 100);
        let _ = fs.unlink(ROOT, "moved");
        let _ = fs.rmdir(ROOT, "moved");
    }
    if let Ok(made) = fs.create(ROOT, "made", Kind::File, OWNER) {
        let _ = fs.write(Ino(made.ino), 0, &mut InBuf::new(&[5; 9000]));
    }
    let _ = fs.lookup(ROOT, "..");
    let _ = fs.statfs();
    let _ = fs.sync();
}

/// What became of an image.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    mounted: usize,
    clean: usize,
    repaired: usize,
}

fn mount(image: &Arc<Image>) -> Outcome {
    let mut outcome = Outcome::default();
    let device = Limited::new(image);
    if let Ok(fs) = Jfs::mount(device.clone(), Subject::default().options) {
        outcome.mounted = 1;
        use_all(&*fs);
        let _ = fs.unmount();
    }
    device.check("mount or use");
    outcome
}

fn repair(image: &Arc<Image>) -> Outcome {
    let mut outcome = Outcome::default();
    let device = Limited::new(image);
    let report = jfs::fsck(&*device, false);
    device.check("fsck");
    assert_eq!(device.writes.load(Relaxed), 0, "fsck repairs unasked");
    let device = Limited::new(image);
    let repaired = jfs::fsck(&*device, true);
    device.check("repair");
    if report.is_ok_and(|report| report.is_clean()) {
        outcome.clean = 1;
        assert!(repaired.as_ref().is_ok_and(|report| report.is_clean()), "asked to repair it finds more");
    }
    if repaired.is_ok() {
        outcome.repaired = 1 - outcome.clean;
        fsck(&device.disk).unwrap_or_else(|fault| panic!("after a repair: {fault}"));
        let fs = Jfs::mount(device.clone(), Subject::default().options).expect("after a repair it mounts");
        Tree::walk(&*fs).expect("after a repair it can be walked");
        use_all(&*fs);
        fs.unmount().expect("after a repair it can be written");
        drop(fs);
        fsck(&device.disk).unwrap_or_else(|fault| panic!("used after a repair: {fault}"));
    }
    outcome
}

/// Tries all images, or the one that the variable `IMAGE` names.
fn try_images(what: fn(&Arc<Image>) -> Outcome) -> Outcome {
    let images: Vec<Arc<Image>> = (1..5).map(|seed| rich(seed).expect("it fits")).collect();
    let places: Vec<_> = images.iter().map(|image| structures(image)).collect();
    for (number, (name, _)) in places[0].iter().enumerate() {
        assert!(places.iter().any(|of| !of[number].1.is_empty()), "no image has a {name}");
    }
    let only: Option<usize> = std::env::var("IMAGE").ok().and_then(|number| number.parse().ok());
    let numbers = only.map_or(0..IMAGES, |only| only..only + 1);
    let outcomes: Vec<Outcome> = numbers
        .into_par_iter()
        .map(|number| {
            let mut rng = Rng::new(number as u64, 2);
            let which = rng.below(images.len());
            let (structure, places) = &places[which][number % places[which].len()];
            let disk = Disk::new(&images[which]);
            let touched = damage(&mut rng, &disk, &images[which], places);
            if !rng.one_in(4) {
                seal(&disk, touched.into_iter());
            }
            let damaged = disk.image();
            catch_unwind(AssertUnwindSafe(|| what(&damaged)))
                .unwrap_or_else(|_| panic!("image {number}, whose {structure} is damaged (see above; IMAGE={number})"))
        })
        .collect();
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    Outcome { mounted: sum(|o| o.mounted), clean: sum(|o| o.clean), repaired: sum(|o| o.repaired) }
}

#[test]
fn damaged_images_end_in_an_error_or_are_used() {
    let Outcome { mounted, .. } = try_images(mount);
    println!("{IMAGES} images: {mounted} mounted");
    assert!(mounted > IMAGES / 2 && mounted < IMAGES, "{mounted} mounted: is the damage of the right kind?");
}

#[test]
fn damaged_images_end_in_an_error_or_a_repair() {
    let Outcome { clean, repaired, .. } = try_images(repair);
    println!("{IMAGES} images: {clean} were clean, {repaired} were repaired");
    // Only a superblock that makes no sense cannot be repaired.
    assert!(clean + repaired > IMAGES * 3 / 4, "only {repaired} repaired");
}
