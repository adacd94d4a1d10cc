//! An order that looks random and comes to each of a number of things once before it comes to any again.

/// The one after `index` of `count`, which must be a power of two or of ten: a linear congruential generator has the full
/// period if its factor is 1 modulo each prime of `count`, and modulo 4, and its increment shares none of them (Hull and
/// Dobell, 1962).
pub fn after(index: u64, count: u64) -> u64 {
    (index * 61_421 + 49_297) % count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::after;

    #[test]
    fn each_comes_once_in_a_turn() {
        for count in [1, 10, 16, 256, 1000, 16_384, 100_000] {
            let turn: BTreeSet<u64> =
                std::iter::successors(Some(0), |index| Some(after(*index, count))).take(count as usize).collect();
            assert_eq!(turn.len() as u64, count);
        }
    }
}
