//! What words in a store sum up to, so that whoever finds them can tell whether they are what was written. Like
//! [`seal`](crate::records::seal) that takes faults for noise.
//!
//! The `n`-th word adds its `2 n + 1`-fold: an odd multiple, so that another word adds something else, and nothing if it is
//! zero, so that words of zeros sum up to zero. What some of the words add can be taken off again.

/// Words that follow each other. Their sum is found without a multiplication for each.
#[derive(Default)]
pub struct Sum {
    words: u64,
    /// Of the words, and of what that was after each of them.
    sum: u64,
    sums: u64,
}

impl Sum {
    /// Takes the next one.
    #[inline]
    pub fn add(&mut self, word: u64) {
        self.words += 1;
        self.sum = self.sum.wrapping_add(word);
        self.sums = self.sums.wrapping_add(self.sum);
    }

    /// What they sum up to where the first of them is this one.
    pub fn from(self, first: usize) -> u64 {
        let end = first as u64 + self.words;
        self.sum.wrapping_mul(end << 1 | 1).wrapping_sub(self.sums << 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_adds_an_odd_multiple_of_itself() {
        let words = [3, 0, u64::MAX, 1 << 63, 77];
        for first in [0, 1, 511] {
            let mut sum = Sum::default();
            words.into_iter().for_each(|word| sum.add(word));
            let each = (first as u64..).zip(words).map(|(number, word)| word.wrapping_mul(2 * number + 1));
            assert_eq!(sum.from(first), each.fold(0, u64::wrapping_add));
        }
    }
}
