use super::*;

/// A file of so many pages; what is asked of it is noted.
struct File {
    number: u64,
    mapping: Arc<Mapping>,
    disk: Mutex<Vec<u8>>,
    reads: Mutex<Vec<(u64, usize)>>,
    writes: Mutex<Vec<(u64, usize)>>,
    fails: bool,
}

fn file(number: u64, pages: usize, fails: bool) -> Arc<File> {
    let bytes = (0..pages).flat_map(|page| [page as u8; PAGE]).collect();
    Arc::new(File {
        number,
        mapping: Arc::default(),
        disk: Mutex::new(bytes),
        reads: Mutex::default(),
        writes: Mutex::default(),
        fails,
    })
}

impl Host for File {
    fn number(&self) -> u64 {
        self.number
    }
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }
    fn read_pages(&self, first: u64, bytes: &mut [u8]) -> Result<()> {
        self.reads.lock().push((first, bytes.len() / PAGE));
        let at = first as usize * PAGE;
        bytes.copy_from_slice(&self.disk.lock()[at..at + bytes.len()]);
        Ok(())
    }
    fn write_pages(&self, first: u64, bytes: &[u8]) -> Result<()> {
        self.writes.lock().push((first, bytes.len() / PAGE));
        if self.fails {
            return Err(Errno::EIO);
        }
        let at = first as usize * PAGE;
        self.disk.lock()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

fn read(cache: &PageCache, file: &File, page: u64, pages: u64) -> Vec<u8> {
    let size = file.disk.lock().len() as u64;
    let mut room = vec![0xEE; (page * PAGE as u64 + pages * PAGE as u64).min(size) as usize - page as usize * PAGE];
    let count = room.len();
    let done = cache.read(file, page * PAGE as u64, count, size, &mut OutBuf::new(&mut room));
    assert_eq!(done, Ok(count));
    room
}

fn write(cache: &PageCache, file: &Arc<File>, page: u64, value: u8) {
    let host: Arc<dyn Host> = file.clone();
    cache.write(&host, page, 0, PAGE, false, &mut InBuf::new(&[value; PAGE])).expect("a whole page");
    cache.balance(&**file);
}

#[test]
fn a_sequential_reader_finds_pages_read_ahead_in_a_growing_window() {
    let (cache, file) = (PageCache::new(1000, 100), file(1, 64, false));
    for page in 0..64 {
        assert_eq!(read(&cache, &file, page, 1), [page as u8; PAGE]);
    }
    // A first miss at the start counts as sequential; then the window doubles up to 32 pages and ends with the file.
    assert_eq!(*file.reads.lock(), [(0, 4), (4, 8), (12, 16), (28, 32), (60, 4)]);
    file.reads.lock().clear();
    let other = self::file(2, 64, false);
    for page in [40, 7, 50, 20] {
        assert_eq!(read(&cache, &other, page, 1), [page as u8; PAGE]);
    }
    assert_eq!(*other.reads.lock(), [(40, 1), (7, 1), (50, 1), (20, 1)], "who jumps about gets what he asks for");
    assert_eq!(read(&cache, &file, 10, 3).len(), 3 * PAGE);
    assert_eq!(*file.reads.lock(), [], "what was read once is there");
}

#[test]
fn clean_pages_go_when_there_are_too_many_and_dirty_ones_stay() {
    let (cache, file) = (PageCache::new(32, 1000), file(1, 256, false));
    (0..8).for_each(|page| write(&cache, &file, page, 0xAA));
    for page in (8..256).rev() {
        read(&cache, &file, page, 1);
    }
    assert!(cache.pages() <= 33, "{} pages", cache.pages());
    assert_eq!((cache.dirty(), file.writes.lock().len()), (8, 0));
    assert_eq!(read(&cache, &file, 3, 1), [0xAA; PAGE], "newer than the disk, and still here");
}

#[test]
fn writers_write_back_beyond_the_limit_in_runs() {
    let (cache, file) = (PageCache::new(1000, 20), file(1, 64, false));
    (0..20).for_each(|page| write(&cache, &file, page, 1));
    assert_eq!((cache.dirty(), file.writes.lock().len()), (20, 0), "at the limit");
    write(&cache, &file, 40, 1);
    assert_eq!(cache.dirty(), 0);
    assert_eq!(*file.writes.lock(), [(0, 16), (16, 4), (40, 1)]);
    assert!(cache.dirty_hosts().is_empty());
    assert_eq!(file.disk.lock()[19 * PAGE], 1);
}

#[test]
fn pages_cut_off_are_neither_read_nor_written_again() {
    let (cache, file) = (PageCache::new(1000, 1000), file(1, 8, false));
    (0..8).for_each(|page| write(&cache, &file, page, 9));
    cache.cut(&*file, 2);
    assert_eq!((cache.pages(), cache.dirty()), (2, 2));
    cache.write_back(&*file);
    assert_eq!(*file.writes.lock(), [(0, 2)]);
}

#[test]
fn a_failure_to_write_back_is_told_once_to_each() {
    let (cache, file) = (PageCache::new(1000, 1000), file(1, 8, true));
    write(&cache, &file, 5, 9);
    cache.write_back(&*file);
    assert_eq!([file.mapping.take_error(), file.mapping.take_error()], [Err(Errno::EIO), Ok(())]);
    assert_eq!([cache.take_error(), cache.take_error()], [Err(Errno::EIO), Ok(())]);
    assert_eq!(cache.dirty(), 0, "as in Linux, the page counts as clean");
}
