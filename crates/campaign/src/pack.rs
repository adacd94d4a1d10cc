//! A log that is complete, compressed, to be kept: the same text as a `.gz` file. It is read as a log is ([`Log::read`]), and
//! not written to any more.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::log::{Log, LogError};

/// What such a file begins with.
const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Whether a file's bytes are a packed log's.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// A log's text, whether it is packed or not.
pub(crate) fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !is_packed(&bytes) {
        return Ok(bytes);
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text)?;
    Ok(text)
}

/// Packs a log into a new file, whole or not at all; returns how many records that are and the file's bytes.
///
/// # Errors
/// A log that cannot be read; the host's, and a file that is there already is not touched.
pub fn pack(log: &Path, to: &Path) -> Result<(usize, u64), LogError> {
    let host = |path: &Path| {
        let path: PathBuf = path.into();
        move |source| LogError::Host { path, source }
    };
    // What is damaged or foreign is not worth keeping.
    let (_, records) = Log::read(log)?;
    let text = unpacked(fs::read(log).map_err(host(log))?).map_err(host(log))?;
    let packed = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&text)?;
        encoder.finish()
    };
    let packed = packed().map_err(host(to))?;
    let mut file = fs::File::create_new(to).map_err(host(to))?;
    if let Err(source) = file.write_all(&packed) {
        // Best effort: the error is what matters.
        let _ = fs::remove_file(to);
        return Err(host(to)(source));
    }
    Ok((records.len(), packed.len() as u64))
}
