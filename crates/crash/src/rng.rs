//! Random numbers that are the same everywhere for the same seed: splitmix64 (Steele, Lea, Flood 2014).

/// A generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// One step of the mixing function alone: a number for a number.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// One that is told apart by both numbers.
    pub fn new(seed: u64, stream: u64) -> Rng {
        Rng(mix(seed) ^ mix(!stream))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A number below `end`, but once in so many times below `seldom`.
    pub fn mostly(&mut self, times: usize, end: usize, seldom: usize) -> usize {
        let end = if self.one_in(times) { seldom } else { end };
        self.below(end)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}
