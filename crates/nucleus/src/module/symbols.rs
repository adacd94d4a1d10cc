//! Functions of an ELF file by their demangled names: what a fault injector or an oops message goes by.

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
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
    let named = functions.chain(elf.dynamic_symbols()).filter_map(|symbol| {
        let name = format!("{:#}", demangle(symbol.name().ok()?));
        let (address, size) = (usize::try_from(symbol.address()).ok()?, usize::try_from(symbol.size()).ok()?);
        (size > 0 && name.contains(part)).then_some(Symbol { name, address, size })
    });
    named.min_by(|a, b| (a.name.len(), a.address).cmp(&(b.name.len(), b.address)))
}

/// The code of a function, as it stands in the file.
pub fn code<'a>(file: &'a [u8], symbol: &Symbol) -> Option<&'a [u8]> {
    let elf = object::File::parse(file).ok()?;
    elf.sections().find_map(|section| section.data_range(symbol.address as u64, symbol.size as u64).ok().flatten())
}
