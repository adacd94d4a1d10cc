//! What a program needs around it to run elsewhere: its shared libraries, and the driver modules beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cpio::Archive;

/// Adds a file under its own path, with the libraries that the host's linker would load for it.
pub fn add_with_libraries(archive: &mut Archive, file: &Path) -> io::Result<()> {
    add(archive, file)?;
    libraries(file)?.iter().try_for_each(|library| add(archive, library))
}

/// The driver modules that a program at `program` would find: beside it, or where cargo puts them first.
pub fn modules_beside(program: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let deps = folder.join("deps");
    let folder = if deps.is_dir() { &deps } else { folder };
    let module = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What has a hash in its name is for the compiler.
        name.starts_with("libkd_") && name.ends_with(".so") && !name.contains('-')
    };
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).filter(|path| path.as_ref().map_or(true, module)).collect()
}

fn add(archive: &mut Archive, file: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    archive.file(&file.to_string_lossy(), &fs::read(file).map_err(named)?);
    Ok(())
}

/// What `ldd` says; a program that is linked statically needs none.
fn libraries(file: &Path) -> io::Result<Vec<PathBuf>> {
    let told = Command::new("ldd").arg(file).output()?;
    let path = |word: &&str| word.starts_with('/');
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(told.lines().filter_map(|line| line.split_whitespace().find(path)).map(PathBuf::from).collect())
}
