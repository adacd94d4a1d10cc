//! Numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood 2014).

/// A sequence of numbers.
pub struct Draw(u64);

impl Draw {
    /// The sequence of the `number`-th fault of a kind.
    pub fn new(seed: u64, kind: u64, number: u64) -> Draw {
        let mut draw = Draw(seed);
        for part in [kind, number] {
            draw.0 = draw.next() ^ part;
        }
        draw
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..bound`, which is small beside 2^64; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        self.next().checked_rem(bound as u64).unwrap_or(0) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(from.len());
        from.get(index).copied()
    }
}
