//! The data that workloads write: it follows from who wrote it, where and when, so any byte can be checked later.
//!
//! No byte of it is zero: a zero that is read back was never written, or was lost.

/// Fills `bytes` with the data of block `block` of app `app`, as written with stamp `stamp`.
pub fn fill(bytes: &mut [u8], app: u32, block: usize, stamp: u64) {
    let seed = mix(mix(mix(u64::from(app)) ^ block as u64) ^ stamp);
    for (index, word) in bytes.chunks_mut(8).enumerate() {
        let data = mix(seed ^ index as u64) | 0x0101_0101_0101_0101;
        word.copy_from_slice(&data.to_le_bytes()[..word.len()]);
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): every bit of the result depends on every bit of `x`.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn data_follows_from_all_of_its_origin_and_is_never_zero() {
        let data = |app, block, stamp| {
            let mut bytes = [0; 4099];
            fill(&mut bytes, app, block, stamp);
            bytes
        };
        let one = data(1, 2, 3);
        assert_eq!(one, data(1, 2, 3));
        for other in [data(2, 2, 3), data(1, 3, 3), data(1, 2, 4), data(3, 2, 1)] {
            assert_ne!(one, other);
        }
        assert!(one.iter().all(|byte| *byte != 0));
    }
}
