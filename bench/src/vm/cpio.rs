//! An archive in cpio's `newc` format, from which a Linux kernel unpacks its first root file system
//! (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive being written.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
}

impl Archive {
    /// Adds a file that may be executed, and the folders above it.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            self.folder(&path[..end]);
        }
        self.entry(path, PROGRAM, content);
    }

    /// Adds a folder, once.
    pub fn folder(&mut self, path: &str) {
        if self.folders.insert(path.into()) {
            self.entry(path, DIRECTORY, &[]);
        }
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let (size, name) = (content.len(), path.len() + 1);
        // Number, mode, owner, group, links, time, size, device of the file and of what it stands for, name, sum.
        let head = [0, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        self.bytes.extend_from_slice(b"070701");
        head.iter().for_each(|field| self.bytes.extend_from_slice(format!("{field:08x}").as_bytes()));
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_follows_its_folders_each_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", b"hello");
        archive.file("a/d", b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = text.split("070701").skip(1).map(|entry| &entry[104..]).collect();
        let begins = ["a\0", "a/b\0", "a/b/c\0", "a/d\0", "TRAILER!!!\0"];
        assert_eq!(names.len(), begins.len());
        assert!(names.iter().zip(begins).all(|(name, begin)| name.starts_with(begin)), "{names:?}");
        assert!(names[2].contains("hello"));
    }
}
