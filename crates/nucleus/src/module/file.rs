//! A module's file: where it lies, what it says of itself, and whether it may be loaded. Nothing of it runs here.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use kd_api::module::VERMAGIC;
use object::{Object, ObjectKind, ObjectSection, ObjectSegment};
use sha2::{Digest, Sha256};

use super::symbols::{self, Symbol};
use super::{ModInfo, ModuleError};

/// A module's file, read whole: what is checked is what is loaded, whatever becomes of the file.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    pub(super) path: PathBuf,
    bytes: Arc<Vec<u8>>,
    /// Its SHA-256, if `bytes` are no longer all of it.
    hash: Option<String>,
    info: ModInfo,
    extent: Extent,
}

/// Files that were read before they are asked for, as they were then.
static KEPT: Mutex<Vec<(ModuleFile, SystemTime)>> = Mutex::new(Vec::new());

/// What a loader takes of a file.
#[derive(Clone, Debug)]
struct Extent {
    /// Bytes from the file's start that its segments lie in; what follows (symbols, debug data) is never mapped.
    file: usize,
    /// Bytes of memory from its base to the end of its segments.
    memory: usize,
}

impl ModuleFile {
    /// The module `name`, built as the crate `kd_<name>`, from where cargo puts it: beside this program, in `deps`
    /// below it, or in the folder above. A copy in a `deps` folder comes first, since cargo always renews that one.
    ///
    /// # Errors
    /// As [`ModuleFile::open`]; `NotFound` names the folders.
    pub fn find(name: &str) -> Result<ModuleFile, ModuleError> {
        if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            return Err(ModuleError::BadName(name.into()));
        }
        let file = format!("libkd_{name}.so");
        let program =
            std::env::current_exe().map_err(|source| ModuleError::Read { path: file.clone().into(), source })?;
        let folder = program.parent().unwrap_or(Path::new("/"));
        let above = folder.parent().unwrap_or(folder);
        let folders = [folder.join("deps"), folder.into(), above.join("deps"), above.into()];
        match folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file()) {
            Some(path) => Self::kept(&path).map_or_else(|| ModuleFile::open(&path), Ok),
            None => {
                let searched = folders.map(|folder| folder.display().to_string()).join(", ");
                Err(ModuleError::NotFound { file, searched })
            }
        }
    }

    /// Reads the module `name` now, so that this process and those forked from it need not, as long as the file is not
    /// changed. What no loader maps is not kept: it would be copied at every fork.
    ///
    /// # Errors
    /// As [`ModuleFile::find`].
    pub fn keep(name: &str) -> Result<(), ModuleError> {
        let file = ModuleFile::find(name)?;
        let (hash, bytes) = (Some(file.sha256()), Arc::new(file.loaded_bytes().to_vec()));
        let file = ModuleFile { hash, bytes, ..file };
        let Some(changed) = changed(&file.path) else { return Ok(()) };
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| other.path != file.path);
        kept.push((file, changed));
        Ok(())
    }

    fn kept(path: &Path) -> Option<ModuleFile> {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, since) = kept.iter().find(|(file, _)| file.path == path)?;
        (changed(path)? == *since).then(|| file.clone())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `Read`; `NotAModule` if it is no shared library with a whole `.modinfo`.
    pub fn open(path: &Path) -> Result<ModuleFile, ModuleError> {
        let bytes = std::fs::read(path).map_err(|source| ModuleError::Read { path: path.into(), source })?;
        let (info, extent) = parse(&bytes).map_err(|why| ModuleError::NotAModule { path: path.into(), why })?;
        Ok(ModuleFile { path: path.into(), bytes: Arc::new(bytes), hash: None, info, extent })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All its bytes; of one that was [kept](ModuleFile::keep), those that a loader maps.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that a loader maps.
    pub(super) fn loaded_bytes(&self) -> &[u8] {
        &self.bytes[..self.extent.file]
    }

    /// Bytes of memory that it takes from its base on.
    pub(super) fn memory_size(&self) -> usize {
        self.extent.memory
    }

    /// What it says of itself.
    pub fn info(&self) -> &ModInfo {
        &self.info
    }

    /// The SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.hash.clone().unwrap_or_else(|| sha256(&self.bytes))
    }

    /// Its function whose demangled name holds `part`; addresses count from the base it is loaded at.
    pub fn symbol(&self, part: &str) -> Option<Symbol> {
        symbols::find(&self.bytes, part)
    }

    /// Refuses what must not be loaded as the module `name` with these parameters.
    ///
    /// # Errors
    /// `WrongName`, `NoLicence`, `WrongStamp`, `UnknownParameter`, `BadValue`, in this order.
    pub fn check(&self, name: &str, parameters: &[(impl AsRef<str>, u64)]) -> Result<(), ModuleError> {
        let (path, info) = (|| self.path.clone(), &self.info);
        if info.name != name {
            return Err(ModuleError::WrongName { path: path(), found: info.name.clone(), wanted: name.into() });
        }
        if info.license.is_empty() {
            return Err(ModuleError::NoLicence { path: path() });
        }
        if info.vermagic != VERMAGIC {
            let (module, kernel) = (info.vermagic.clone(), VERMAGIC.into());
            return Err(ModuleError::WrongStamp { path: path(), module, kernel });
        }
        for (parameter, value) in parameters {
            let parameter = parameter.as_ref();
            match info.parameters.iter().find(|known| known.name == parameter) {
                Some(known) => known.check(*value, &self.path)?,
                None => {
                    let names: Vec<&str> = info.parameters.iter().map(|known| known.name.as_str()).collect();
                    let known = if names.is_empty() { "none".into() } else { names.join(", ") };
                    return Err(ModuleError::UnknownParameter { path: path(), parameter: parameter.into(), known });
                }
            }
        }
        Ok(())
    }
}

/// When a file was last changed.
fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|of| of.modified()).ok()
}

/// A file's account and extent; the error says why it is no module.
fn parse(bytes: &[u8]) -> Result<(ModInfo, Extent), String> {
    let elf = object::File::parse(bytes).map_err(|error| format!("not an ELF file: {error}"))?;
    if elf.kind() != ObjectKind::Dynamic {
        return Err("not a shared library".into());
    }
    let section = elf.section_by_name(".modinfo").ok_or("it has no section .modinfo")?;
    let info = ModInfo::parse(section.data().map_err(|_| "it is cut off")?)?;
    let mut extent = Extent { file: 0, memory: 0 };
    for segment in elf.segments() {
        let (start, len) = segment.file_range();
        let end = |start: u64, len: u64| start.checked_add(len).and_then(|end| usize::try_from(end).ok());
        let file = end(start, len).filter(|&end| end <= bytes.len()).ok_or("it is cut off")?;
        let memory = end(segment.address(), segment.size()).ok_or("its segments have no place")?;
        extent = Extent { file: extent.file.max(file), memory: extent.memory.max(memory) };
    }
    Ok((info, extent))
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
