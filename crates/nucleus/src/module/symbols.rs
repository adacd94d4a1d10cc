//! Functions of an ELF file by their demangled names: what a fault injector or an oops message goes by.

use object::elf::SHF_WRITE;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionIndex, SymbolKind};
use rustc_demangle::demangle;

/// A function of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its demangled name, without hash.
    pub name: String,
    /// Where it begins, counted from the base that the file is loaded at.
    pub address: usize,
    /// Bytes of its code.
    pub size: usize,
}

/// The function whose demangled name holds `part`. Of several it is the one with the shortest name: closures and
/// instances for a type have longer ones than the function that they belong to.
pub fn find(file: &[u8], part: &str) -> Option<Symbol> {
    let elf = object::File::parse(file).ok()?;
    let functions = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    // Mangling leaves identifiers as they are, and takes longer to undo than everything else here.
    let words = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = words.max_by_key(|word| word.len()).unwrap_or_default();
    let named = functions.chain(elf.dynamic_symbols()).filter_map(|symbol| {
        let mangled = symbol.name().ok().filter(|name| name.contains(word))?;
        let name = format!("{:#}", demangle(mangled));
        let (address, size) = (usize::try_from(symbol.address()).ok()?, usize::try_from(symbol.size()).ok()?);
        (size > 0 && name.contains(part)).then_some(Symbol { name, address, size })
    });
    named.min_by(|a, b| (a.name.len(), a.address).cmp(&(b.name.len(), b.address)))
}

/// Where the functions begin whose code holds these addresses, counted as they are from the base that the file is loaded
/// at; none for an address in no function that has a name.
pub fn begins(file: &[u8], addresses: &[usize]) -> Vec<Option<usize>> {
    let mut begins = vec![None; addresses.len()];
    let Ok(elf) = object::File::parse(file) else { return begins };
    for symbol in elf.symbols().chain(elf.dynamic_symbols()).filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let (from, size) = (symbol.address() as usize, symbol.size() as usize);
        for (begin, _) in begins.iter_mut().zip(addresses).filter(|(_, at)| at.wrapping_sub(from) < size) {
            *begin = Some(from);
        }
    }
    begins
}

/// The functions whose demangled names `wanted` picks, each with its code, by address; one of several names for the same
/// code.
pub fn functions(file: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<(Symbol, &[u8])> {
    let Ok(elf) = object::File::parse(file) else { return Vec::new() };
    let functions = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    let mut all: Vec<(Symbol, &[u8])> = functions
        .filter_map(|symbol| {
            let name = format!("{:#}", demangle(symbol.name().ok()?));
            let section = elf.section_by_index(symbol.section_index()?).ok()?;
            let code = section.data_range(symbol.address(), symbol.size()).ok()??;
            let (address, size) = (usize::try_from(symbol.address()).ok()?, code.len());
            (size > 0 && wanted(&name)).then_some((Symbol { name, address, size }, code))
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| (a.address, &a.name).cmp(&(b.address, &b.name)));
    all.dedup_by_key(|(symbol, _)| symbol.address);
    all
}

/// Places and sizes of the variables that a file's code may write and whose demangled names `wanted` picks.
pub fn written_variables(file: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<(usize, usize)> {
    let Ok(elf) = object::File::parse(file) else { return Vec::new() };
    let mut all: Vec<(usize, usize)> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.size() > 0)
        .filter(|symbol| symbol.section_index().and_then(|index| written(&elf, index)).is_some())
        .filter(|symbol| symbol.name().is_ok_and(|name| wanted(&format!("{:#}", demangle(name)))))
        .map(|symbol| (symbol.address() as usize, symbol.size() as usize))
        .collect();
    all.sort_unstable();
    all
}

/// Whether a section is written once relocations are done.
fn written(elf: &object::File<'_>, index: SectionIndex) -> Option<()> {
    let section = elf.section_by_index(index).ok()?;
    let SectionFlags::Elf { sh_flags } = section.flags() else { return None };
    let relocated = section.name().is_ok_and(|name| name.starts_with(".data.rel.ro"));
    (sh_flags & u64::from(SHF_WRITE) != 0 && !relocated).then_some(())
}

/// The demangled names of a file's variables that its code may write once relocations are done.
pub fn variables(file: &[u8]) -> Vec<String> {
    let Ok(elf) = object::File::parse(file) else { return Vec::new() };
    let variables = elf.symbols().filter(|symbol| matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Tls));
    let written = variables.filter(|symbol| symbol.section_index().and_then(|index| written(&elf, index)).is_some());
    written.filter_map(|symbol| Some(format!("{:#}", demangle(symbol.name().ok()?)))).collect()
}

/// The demangled names of a file's thread-local variables.
pub fn thread_locals(file: &[u8]) -> Vec<String> {
    let Ok(elf) = object::File::parse(file) else { return Vec::new() };
    let locals = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Tls);
    locals.filter_map(|symbol| Some(format!("{:#}", demangle(symbol.name().ok()?)))).collect()
}

/// The code of a function, as it stands in the file.
pub fn code<'a>(file: &'a [u8], symbol: &Symbol) -> Option<&'a [u8]> {
    let elf = object::File::parse(file).ok()?;
    elf.sections().find_map(|section| section.data_range(symbol.address as u64, symbol.size as u64).ok().flatten())
}
