//! What a module says of itself without being run: `key=value` texts, each ended by NUL, in the section `.modinfo`, as
//! in Linux. Keys are `name`, `license`, `author`, `description`, `version`, `vermagic`, and for each parameter
//! `parm=<name>:<default>:<least>:<most>:<text>`.

use kd_api::module::VERMAGIC;

/// `text`, the version stamp, and NUL: the bytes of the section. `N` must be their length.
pub const fn info<const N: usize>(text: &str) -> [u8; N] {
    assert!(N == text.len() + VERMAGIC.len() + 1);
    let mut bytes = [0; N];
    let (start, stamp) = bytes.split_at_mut(text.len());
    start.copy_from_slice(text.as_bytes());
    stamp.split_at_mut(VERMAGIC.len()).0.copy_from_slice(VERMAGIC.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_follows_the_text_and_ends_with_nul() {
        const LEN: usize = 9 + VERMAGIC.len() + 1;
        assert_eq!(info::<LEN>("vermagic=").as_slice(), format!("vermagic={VERMAGIC}\0").as_bytes());
    }
}
