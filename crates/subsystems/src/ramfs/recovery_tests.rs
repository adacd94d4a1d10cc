//! What a successor finds: everything; or, of a store that is spoiled, everything else.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::fs::{FileSystem, Kind, ROOT, SetAttr, rename};
use kd_api::{Errno, InBuf, Ino, OutBuf, Store};

use super::RamFs;
use super::kept::{Kept, parts, words};
use super::recovery::{Lost, recover};
use super::tests::{list, make, owner};

const INODES: usize = 12;
const FRAMES: usize = 8;
const PARTS: [usize; 6] = parts(INODES, FRAMES);

fn store() -> Store {
    Box::leak((0..words(PARTS)).map(|_| AtomicU64::new(0)).collect())
}

/// A file system whose server dies without a word when this is dropped.
struct Dying(core::mem::ManuallyDrop<RamFs>);

impl core::ops::Deref for Dying {
    type Target = RamFs;

    fn deref(&self) -> &RamFs {
        &self.0
    }
}

fn open(store: Store) -> (Dying, Lost) {
    let (fs, lost) = recover(Kept::open_parts(store, PARTS), 0).expect("there is room");
    (Dying(core::mem::ManuallyDrop::new(fs)), lost)
}

fn fresh() -> (Store, Dying) {
    let store = store();
    let (fs, lost) = open(store);
    assert_eq!(lost, Lost::default());
    (store, fs)
}

/// A successor that has lost nothing.
fn whole(store: Store) -> Dying {
    let (fs, lost) = open(store);
    assert_eq!(lost, Lost::default());
    fs
}

fn write(fs: &RamFs, ino: Ino, at: u64, data: &[u8]) {
    assert_eq!(fs.write(ino, at, &mut InBuf::new(data)), Ok(data.len()));
}

fn read(fs: &RamFs, ino: Ino, at: u64, room: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0xEE; room];
    let count = fs.read(ino, at, &mut OutBuf::new(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn instance(fs: &RamFs) -> u64 {
    fs.fsync(ROOT, false).expect("there is a root")
}

fn find(fs: &RamFs, at: Ino, name: &str) -> Ino {
    Ino(fs.lookup(at, name).expect("it is there").ino)
}

/// Everything that can be seen of a tree, by path.
fn tree(fs: &RamFs) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    look(fs, ROOT, "", &mut seen);
    seen
}

fn look(fs: &RamFs, at: Ino, path: &str, seen: &mut BTreeMap<String, String>) {
    let stat = fs.getattr(at).map(|stat| (stat.links, stat.size, stat.mode, stat.uid, stat.mtime, stat.blocks));
    let said = match fs.getattr(at).expect("it has a name").kind {
        Kind::Directory => {
            for name in list(fs, at, 0, 4096).iter().filter(|name| ![".", ".."].contains(&name.as_str())) {
                look(fs, find(fs, at, name), &format!("{path}/{name}"), seen);
            }
            String::new()
        }
        Kind::Symlink => {
            let mut room = vec![0; 64];
            format!("{:?}", fs.readlink(at, &mut OutBuf::new(&mut room)).map(|count| room[..count].to_vec()))
        }
        // Each page alone, so that one that cannot be read hides no other.
        _ => format!("{:?}", (0..4).map(|page| read(fs, at, page * 4096, 4096)).collect::<Vec<_>>()),
    };
    seen.insert(path.into(), format!("{stat:?} {said}"));
}

/// Files of one page, of two, and with a hole; a link; a directory with a file.
fn plant(fs: &RamFs) {
    write(fs, make(fs, ROOT, "one", Kind::File), 0, b"some bytes");
    write(fs, make(fs, ROOT, "two", Kind::File), 100, &[7; 6000]);
    write(fs, make(fs, ROOT, "hole", Kind::File), 2 * 4096 + 5, b"behind a hole");
    fs.symlink(ROOT, "link", "to/there", owner(0o777)).expect("made");
    let directory = make(fs, ROOT, "directory", Kind::Directory);
    write(fs, make(fs, directory, "within", Kind::File), 0, b"deep");
    let change = SetAttr { mode: Some(0o640), uid: Some(5), mtime: Some(77), ..SetAttr::default() };
    fs.setattr(find(fs, ROOT, "one"), change).expect("there");
}

#[test]
fn a_tree_outlives_its_server() {
    let (store, fs) = fresh();
    plant(&fs);
    let (before, same, one) = (tree(&fs), instance(&fs), find(&fs, ROOT, "one"));
    assert_eq!(before.len(), 7);
    let next = whole(store);
    assert_eq!(tree(&next), before);
    assert_eq!((instance(&next), find(&next, ROOT, "one")), (same, one), "it is the same one");
    // And goes on living.
    assert_eq!(next.unlink(ROOT, "two"), Ok(()));
    assert_eq!(next.truncate(one, 3), Ok(()));
    write(&next, make(&next, ROOT, "late", Kind::File), 0, b"late");
    let before = tree(&next);
    assert_eq!(tree(&whole(store)), before);
}

#[test]
fn names_that_moved_are_where_they_went() {
    let (store, fs) = fresh();
    plant(&fs);
    let directory = find(&fs, ROOT, "directory");
    assert_eq!(fs.rename(ROOT, "one", directory, "within", 0), Ok(()));
    assert_eq!(fs.rename(ROOT, "two", directory, "second", 0), Ok(()));
    assert_eq!(fs.rename(ROOT, "hole", directory, "second", rename::EXCHANGE), Ok(()));
    assert_eq!(fs.link(find(&fs, ROOT, "hole"), directory, "again").map(|stat| stat.links), Ok(2));
    let inner = make(&fs, directory, "inner", Kind::Directory);
    assert_eq!(fs.rename(directory, "inner", ROOT, "outer", 0), Ok(()));
    let before = tree(&fs);
    let next = whole(store);
    assert_eq!(tree(&next), before);
    assert_eq!(next.lookup(inner, "..").map(|stat| stat.ino), Ok(ROOT.0));
    assert_eq!(next.rename(ROOT, "outer", directory, "inner", 0), Ok(()), "and may go back");
    assert_eq!(whole(store).lookup(inner, "..").map(|stat| stat.ino), Ok(directory.0));
}

#[test]
fn what_is_held_needs_no_name() {
    let (store, fs) = fresh();
    let (file, directory) = (make(&fs, ROOT, "f", Kind::File), make(&fs, ROOT, "d", Kind::Directory));
    write(&fs, file, 0, b"held");
    assert_eq!((fs.hold(file).map(drop), fs.hold(directory).map(drop)), (Ok(()), Ok(())));
    assert_eq!((fs.unlink(ROOT, "f"), fs.rmdir(ROOT, "d")), (Ok(()), Ok(())));
    let next = whole(store);
    assert_eq!(read(&next, file, 0, 9), Ok(b"held".to_vec()));
    assert_eq!(next.create(directory, "x", Kind::File, owner(0)).map(drop), Err(Errno::ENOENT));
    assert_eq!((next.release(file), next.release(directory)), (Ok(()), Ok(())));
    let last = whole(store);
    assert_eq!((last.getattr(file), last.getattr(directory)), (Err(Errno::ENOENT), Err(Errno::ENOENT)));
    assert_eq!(last.statfs().map(|stat| (stat.free, stat.free_files)), Ok((FRAMES as u64, INODES as u64 - 1)));
}

#[test]
fn room_is_bounded_and_comes_back() {
    let (store, fs) = fresh();
    let file = make(&fs, ROOT, "f", Kind::File);
    let all = FRAMES * 4096;
    assert_eq!(fs.write(file, 0, &mut InBuf::new(&vec![1; all + 1])), Ok(all));
    assert_eq!(fs.write(file, all as u64, &mut InBuf::new(b"x")), Err(Errno::ENOSPC));
    assert_eq!(fs.allocate(file, 0, all as u64 + 1, false), Err(Errno::ENOSPC));
    assert_eq!(fs.symlink(ROOT, "l", "to", owner(0)), Err(Errno::ENOSPC));
    assert_eq!(fs.truncate(file, 0), Ok(()));
    assert_eq!(fs.statfs().map(|stat| (stat.blocks, stat.free)), Ok((FRAMES as u64, FRAMES as u64)));
    for number in 0..INODES - 2 {
        make(&fs, ROOT, &format!("{number}"), Kind::File);
    }
    assert_eq!(fs.create(ROOT, "more", Kind::File, owner(0)), Err(Errno::ENOSPC));
    assert_eq!(fs.statfs().map(|stat| (stat.files, stat.free_files)), Ok((INODES as u64, 0)));
    let before = tree(&fs);
    let next = whole(store);
    assert_eq!((tree(&next), next.unlink(ROOT, "0").map(drop)), (before, Ok(())));
    make(&next, ROOT, "more", Kind::File);
}

/// What a store says.
fn snapshot(store: Store) -> Vec<u64> {
    store.iter().map(|word| word.load(Relaxed)).collect()
}

/// Where a part of the store lies.
fn part(number: usize) -> Range<usize> {
    let first = PARTS[..number].iter().sum();
    first..first + PARTS[number]
}

const NAMES: usize = 2;
const ACCOUNTS_OF_FRAMES: usize = 3;

/// Was erased, as one knows by its seal.
fn erased(was: u64, now: u64) -> bool {
    was != 0 && now == 0
}

/// A call whose server died before these of its words were stored: the successor finds it done.
fn done_but_for(call: impl Fn(&RamFs), words: impl Fn(usize, u64, u64) -> bool) {
    let (store, fs) = fresh();
    plant(&fs);
    let (before, was) = (tree(&fs), snapshot(store));
    call(&fs);
    let after = tree(&fs);
    assert_ne!(before, after);
    let left = (0..).zip(was).filter(|(at, was)| words(*at, *was, store[*at].load(Relaxed)));
    assert_ne!(left.map(|(at, was)| store[at].store(was, Relaxed)).count(), 0);
    let next = whole(store);
    assert_eq!(tree(&next), after);
    let calm = {
        let (store, fs) = fresh();
        plant(&fs);
        call(&fs);
        whole(store).statfs()
    };
    assert_eq!(next.statfs(), calm, "nothing is left over");
}

#[test]
fn what_a_name_led_to_goes_with_it_in_any_case() {
    let unlink = |fs: &RamFs| assert_eq!(fs.unlink(ROOT, "two"), Ok(()));
    done_but_for(unlink, |at, was, now| erased(was, now) && !part(NAMES).contains(&at));
    let replace = |fs: &RamFs| assert_eq!(fs.rename(ROOT, "one", ROOT, "two", 0), Ok(()));
    done_but_for(replace, |_, was, now| erased(was, now));
    let cut = |fs: &RamFs| assert_eq!(fs.truncate(find(fs, ROOT, "two"), 4096), Ok(()));
    done_but_for(cut, |at, was, now| erased(was, now) && part(ACCOUNTS_OF_FRAMES).contains(&at));
}

#[test]
fn an_exchange_that_was_under_way_is_finished() {
    for leads in 0..3 {
        let (store, fs) = fresh();
        plant(&fs);
        let directory = find(&fs, ROOT, "directory");
        let inodes = [find(&fs, ROOT, "one"), directory].map(|ino| fs.get(ino).expect("there"));
        let [one, directory] = &inodes;
        let link = fs.get(find(&fs, ROOT, "link")).expect("there");
        let (root, within) = (fs.get(ROOT).expect("there"), directory.directory().expect("is one"));
        let deep = within.read().get("within").expect("there").clone();
        let places = [root.directory().expect("is one").read().place("link"), within.read().place("within")];
        let [Some(outer), Some(inner)] = places else { panic!("both are noted: {places:?}") };
        let kept = fs.kept.as_ref().expect("there is a store");
        let under_way = kept.exchange([(outer, (deep.ino, Kind::File)), (inner, (link.ino, Kind::Symlink))]);
        core::mem::forget(under_way.expect("there is room"));
        if leads > 0 {
            root.directory().expect("is one").write().lead("link", deep.clone());
        }
        if leads > 1 {
            within.write().lead("within", link.clone());
        }
        for next in [whole(store), whole(store)] {
            assert_eq!(next.lookup(ROOT, "link").map(|stat| (stat.ino, stat.links)), Ok((deep.ino.0, 1)));
            assert_eq!(next.lookup(directory.ino, "within").map(|stat| stat.kind), Ok(Kind::Symlink));
            assert_eq!(find(&next, ROOT, "one"), one.ino);
        }
    }
}

#[test]
fn bytes_that_no_size_counts_are_zeros() {
    let (store, fs) = fresh();
    let file = make(&fs, ROOT, "f", Kind::File);
    write(&fs, file, 0, b"some");
    let inode = fs.get(file).expect("there");
    // As by a write, or an append, that died before it noted the size.
    assert_eq!(inode.file().expect("is one").write().write(4, &mut InBuf::new(&[9; 9000])), Ok(9000));
    let next = whole(store);
    assert_eq!(next.getattr(file).map(|stat| stat.size), Ok(4));
    assert_eq!(next.truncate(file, 10_000), Ok(()));
    assert_eq!(read(&next, file, 4, 9996), Ok(vec![0; 9996]));
}

/// What of a tree is no longer as it was.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

/// Where in the store a word says this.
fn places(store: Store, of: impl Fn(u64) -> bool) -> Vec<usize> {
    (0..store.len()).filter(|at| of(store[*at].load(Relaxed))).collect()
}

fn spoil(store: Store, at: usize) {
    store[at].fetch_xor(1 << 17, Relaxed);
}

#[test]
fn a_spoiled_page_is_told_of_until_it_is_written_anew() {
    let (store, fs) = fresh();
    plant(&fs);
    let before = tree(&fs);
    let last = places(store, |word| word == 0x0707_0707_0707_0707).pop().expect("it is there");
    spoil(store, last);
    for _ in 0..2 {
        let (next, lost) = open(store);
        assert_eq!(lost, Lost { pages: 1, ..Lost::default() }, "as long as it is there");
        assert_eq!(changed(&before, &tree(&next)), ["/two".into()].into());
    }
    let (next, _) = open(store);
    let two = find(&next, ROOT, "two");
    assert_ne!(instance(&next), instance(&fs), "who has it open is told");
    assert_eq!(read(&next, two, 0, 4096).map(|bytes| bytes[100]), Ok(7), "its other page");
    assert_eq!(read(&next, two, 4096, 10), Err(Errno::EIO));
    assert_eq!(read(&next, two, 4000, 1000).map(|bytes| bytes.len()), Ok(96), "up to it");
    assert_eq!(next.write(two, 5000, &mut InBuf::new(b"x")), Err(Errno::EIO), "its other bytes would be believed");
    write(&next, two, 4096, &[9; 4096]);
    assert_eq!(read(&whole(store), two, 5000, 1), Ok(vec![9]));
}

#[test]
fn a_spoiled_inode_keeps_its_name_and_can_be_removed() {
    let (store, fs) = fresh();
    plant(&fs);
    let (before, one) = (tree(&fs), find(&fs, ROOT, "one"));
    // Its number is in its account twice, and so is its mode.
    places(store, |word| word & 0xFF_FFFF == 0o640 << 8).into_iter().for_each(|at| spoil(store, at));
    let (next, lost) = open(store);
    assert_eq!(lost, Lost { inodes: 1, ..Lost::default() });
    assert_eq!(changed(&before, &tree(&next)), ["/one".into()].into());
    let told = (read(&next, one, 0, 1).map(drop), next.hold(one).map(drop), next.truncate(one, 0));
    assert_eq!(told, (Err(Errno::EIO), Err(Errno::EIO), Err(Errno::EIO)));
    assert_eq!(next.setattr(one, SetAttr::default()), Err(Errno::EIO));
    assert_eq!(next.unlink(ROOT, "one"), Ok(()));
    assert_eq!(next.getattr(one), Err(Errno::EIO), "who still names it is told, too");
    let mut without = before;
    without.remove("/one");
    let mut found = tree(&whole(store));
    // The directory that it was in is another since.
    without.remove("");
    found.remove("");
    assert_eq!(found, without);
}

#[test]
fn a_file_that_misses_a_page_shows_no_zeros_for_it() {
    let (store, fs) = fresh();
    plant(&fs);
    let (before, hole) = (tree(&fs), find(&fs, ROOT, "hole"));
    // The account of its page says whose it is and that it is the third.
    let of = |at: &usize| store[*at].load(Relaxed) == hole.0 && store[*at + 1].load(Relaxed) == 2;
    let accounts: Vec<_> = (0..store.len() - 1).filter(of).collect();
    assert!(!accounts.is_empty());
    accounts.into_iter().for_each(|at| spoil(store, at));
    let (next, lost) = open(store);
    assert_eq!(lost, Lost { pages: 1, ..Lost::default() });
    assert_eq!(changed(&before, &tree(&next)), ["/hole".into()].into());
    assert_eq!([0, 2].map(|page| read(&next, hole, page * 4096, 4096)), [Err(Errno::EIO), Err(Errno::EIO)]);
    assert_eq!(next.truncate(hole, 0), Ok(()));
    assert_eq!(next.truncate(hole, 5), Ok(()));
    assert_eq!(read(&whole(store), hole, 0, 9), Ok(vec![0; 5]));
}

/// Whichever word it is, and whatever comes there: what it belongs to is gone, as the table says, and nothing else.
#[test]
fn exactly_what_is_spoiled_is_dropped() {
    let grown = || {
        let (store, fs) = fresh();
        plant(&fs);
        (store, tree(&fs))
    };
    let (like, before) = grown();
    let groups: [&[&str]; 8] = [
        &[],
        // The root directory counts its names, and its subdirectories.
        &["", "/one"],
        &["", "/two"],
        &["", "/hole"],
        &["", "/link"],
        &["", "/directory", "/directory/within"],
        &["/directory", "/directory/within"],
        &[""],
    ];
    for word in 0..like.len() {
        let was = like[word].load(Relaxed);
        // What nobody ever used nobody looks at.
        for to in [0, was ^ 1 << 17, 0xDEAD_BEEF_DEAD_BEEF].into_iter().filter(|to| was != 0 && *to != was) {
            let (store, _) = grown();
            store[word].store(to, Relaxed);
            let (next, lost) = open(store);
            let changed = changed(&before, &tree(&next));
            let one = groups.iter().any(|group| changed.iter().all(|path| group.contains(&path.as_str())));
            assert!(one, "word {word}: {was:#x} became {to:#x}: {changed:?}");
            let told = lost != Lost::default();
            assert!(changed.is_empty() || told || to == 0, "word {word}: {was:#x} became {to:#x}: {changed:?} untold");
        }
    }
}
