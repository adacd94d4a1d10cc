//! Random arguments that meet each other: few names, few offsets, and every special case now and then.

use kd_api::interfaces::vfs::{open, time};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// A path with a slash in front, or the empty one.
    pub fn path(&mut self) -> String {
        if self.below(60) == 0 {
            return String::new();
        }
        // The longest name, and one that is too long; a path that is too long on either kernel.
        let name = match self.below(80) {
            0 => "n".repeat(255),
            1 => "n".repeat(256),
            2 => "./".repeat(2100),
            _ => String::new(),
        };
        let mut path = String::new();
        let mut depth = 0;
        for _ in 0..1 + self.below(3) {
            path.push_str(if self.below(20) == 0 { "//" } else { "/" });
            // Never above the test's own directory, where the two trees differ.
            match self.below(14) {
                0 => path.push('.'),
                1 if depth > 0 => {
                    path.push_str("..");
                    depth -= 1;
                    continue;
                }
                _ if !name.is_empty() => path.push_str(&name),
                _ => path.push_str(["a", "b", "c", "d"][self.below(4)]),
            }
            depth += usize::from(!path.ends_with("/."));
        }
        if self.below(8) == 0 {
            path.push('/');
        }
        path
    }

    pub fn flags(&mut self) -> u32 {
        let mut flags = [open::RDONLY, open::WRONLY, open::RDWR, open::RDWR, open::ACCMODE][self.below(5)];
        for (flag, one_in) in [
            (open::CREAT, 2),
            (open::EXCL, 6),
            (open::TRUNC, 8),
            (open::APPEND, 5),
            (open::DIRECTORY, 10),
            (open::NOFOLLOW, 9),
        ] {
            if self.below(one_in) == 0 {
                flags |= flag;
            }
        }
        flags
    }

    pub fn mode(&mut self) -> u32 {
        [0o644, 0o755, 0, 0o7777, 0o170_644][self.below(5)]
    }

    /// What a symbolic link says: near by, a level or two up, itself, nothing, and too long.
    pub fn target(&mut self) -> String {
        match self.below(24) {
            0 => String::new(),
            1 => "n".repeat(4096),
            2 => "./".repeat(100) + "a",
            3 => "..".into(),
            _ => {
                let up = ["", "", "", "", "../", "../../"][self.below(6)];
                let path = self.path();
                format!("{up}{}", path.trim_start_matches('/'))
            }
        }
    }

    /// Flags of `rename`: mostly none, each of them, both, one that is not known.
    pub fn moving(&mut self) -> u32 {
        [0, 0, 0, 0, 1, 2, 2, 3, 8][self.below(9)]
    }

    pub fn size(&mut self) -> i64 {
        [0, 1, 100, 4095, 4096, 5000, 12_345, 1 << 40, -1, i64::MAX][self.below(10)]
    }

    /// A time for `utimens`: a set one, the present, none.
    pub fn time(&mut self) -> u64 {
        [1_000_000_001, 77_000_000_000, time::NOW, time::OMIT][self.below(4)]
    }

    pub fn descriptor(&mut self, open: impl Iterator<Item = i32>) -> i32 {
        let mut known: Vec<i32> = open.collect();
        known.push(-1);
        known.push(1000);
        if self.below(10) > 0 && known.len() > 2 {
            known.truncate(known.len() - 2);
        }
        known[self.below(known.len())]
    }

    pub fn length(&mut self) -> usize {
        [0, 1, 10, 511, 4095, 4096, 4097, 10_000, 70_000][self.below(9)]
    }

    pub fn bytes(&mut self) -> Vec<u8> {
        let (length, start) = (self.length(), self.next() as usize);
        // A multiple of 3 is no page's length, so a page at the wrong place shows.
        (0..length).map(|i| ((start + i * 3) % 251) as u8).collect()
    }

    pub fn offset(&mut self) -> i64 {
        [0, 0, 1, 4090, 4096, 12_345, 100_000, -1, i64::MIN, i64::MAX, i64::MAX - 5000][self.below(11)]
    }

    pub fn seek(&mut self) -> i64 {
        [0, 0, 1, -1, 5000, -5000, 100_000, i64::MAX, i64::MIN][self.below(9)]
    }
}
