//! What a program does with its data between system calls: here a checksum over it, as often as it is told to.
//!
//! The data is what the operation has just moved, so the computation finds it in the caches, or not, as a real one would.
//! How many rounds make which share of the time is the harness's to find out, once per run; every kernel then gets the
//! same number.

use crate::Env;
use crate::pattern::mix;

/// Bytes that one round takes up.
const STEP: usize = 64;

/// A program's computation.
pub struct Compute {
    rounds: u64,
    at: usize,
    sum: u64,
}

impl Compute {
    /// As much as the environment says.
    pub fn new(env: &Env) -> Compute {
        Compute { rounds: env.compute, at: 0, sum: 0 }
    }

    /// One operation's rounds over `data`, going on where the last one ended.
    pub fn on(&mut self, data: &[u8]) {
        for _ in 0..self.rounds {
            if self.at + STEP > data.len() {
                self.at = 0;
            }
            let (words, _) = data[self.at..].as_chunks::<8>();
            for word in words.iter().take(STEP / 8) {
                self.sum = mix(self.sum ^ u64::from_le_bytes(*word));
            }
            self.at += STEP;
        }
        // The sum must have a use, or the compiler leaves all of it out.
        std::hint::black_box(self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::Compute;

    #[test]
    fn rounds_go_through_all_of_the_data() {
        let sum = |rounds, data: &[u8]| {
            let mut compute = Compute { rounds, at: 0, sum: 0 };
            compute.on(data);
            compute.sum
        };
        let (one, mut other) = ([7; 256], [7; 256]);
        other[250] = 8;
        assert_eq!((sum(3, &one), sum(0, &one)), (sum(3, &other), 0), "the fourth step has the difference");
        assert_ne!(sum(4, &one), sum(4, &other));
        assert_ne!(sum(4, &one), sum(5, &one));
        // Less than a step, or nothing, is no reason to fail.
        sum(9, &one[..5]);
        sum(9, &[]);
    }
}
