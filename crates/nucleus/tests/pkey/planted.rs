//! Instructions that change rights, planted where they should not be: each kind is told from the other.

use std::hint::black_box;
use std::path::Path;

use kd_api::module::VERMAGIC;
use kd_nucleus::module::{ModuleFile, symbols};
use kd_nucleus::pkey::scan::{self, Finding, Kind};
use kd_nucleus::pkey::{DOMAINS, gate};

/// mov eax, 0x00EF010F; xor ecx, ecx; wrpkru; ret: bytes of the instruction within another, and the instruction itself. Not
/// written out, or this program's own code could hold them.
fn planted() -> [u8; 11] {
    let last = !black_box(0x10);
    [0xB8, 0x0F, 0x01, last, 0x00, 0x31, 0xC9, 0x0F, 0x01, last, 0xC3]
}

/// What of it is found from an address on.
fn at(findings: &[Finding], address: usize) -> Vec<(usize, &'static str, Kind, bool)> {
    let here = findings.iter().filter(|finding| (address..address + planted().len()).contains(&finding.address));
    here.map(|finding| (finding.address - address, finding.instruction, finding.kind, finding.is_refused())).collect()
}

const EXPECTED: [(usize, &str, Kind, bool); 2] =
    [(1, "WRPKRU", Kind::Within, false), (7, "WRPKRU", Kind::Instruction, true)];

pub fn who_changes_rights_is_found() {
    let findings = scan::process(&mut Vec::new()).expect("the host tells what is mapped");
    let refused: Vec<_> = findings.iter().filter(|finding| finding.is_refused()).collect();
    assert!(refused.is_empty(), "{refused:#x?}");
    // Whatever else there is lies within other instructions, in one build and not in the next.
    findings.iter().filter(|finding| !finding.is_listed()).for_each(|finding| println!("{finding:x?}"));
    for (image, instruction) in scan::EXCEPTIONS {
        let is_it = |finding: &&Finding| finding.image.contains(image) && finding.instruction == instruction;
        let found: Vec<_> = findings.iter().filter(is_it).collect();
        assert!(
            !found.is_empty() && found.iter().all(|finding| finding.kind == Kind::Instruction),
            "{image}: {found:x?}"
        );
    }
}

pub fn only_the_gates_of_this_program_change_rights() {
    let gates = gate::extent();
    // SAFETY: code of this program.
    let code = unsafe { std::slice::from_raw_parts(gates.start as *const u8, gates.len()) };
    let last = !black_box(0x10);
    let changes = code.windows(3).filter(|bytes| bytes.starts_with(&[0x0F, 0x01]) && bytes[2] == last).count();
    // A gate and a way back for each domain, the entry of signals, the core's own, and the pair that is timed alone.
    assert_eq!(changes, 2 * DOMAINS + 2 + 2);
}

pub fn what_is_planted_in_memory_is_told_by_its_kind() {
    let mut seen = Vec::new();
    scan::process(&mut seen).expect("the host tells what is mapped");
    let (write, execute) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC);
    // SAFETY: a page of its own, written before it becomes code; nobody executes it.
    let address = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, write, flags, -1, 0).cast::<u8>();
        page.copy_from(planted().as_ptr(), planted().len());
        assert_eq!(libc::mprotect(page.cast(), 4096, execute), 0);
        page as usize
    };
    let findings = scan::process(&mut seen).expect("the host tells what is mapped");
    assert_eq!(at(&findings, address), EXPECTED);
    assert_eq!(scan::process(&mut seen).expect("it tells"), [], "what was seen is not looked through again");
    // SAFETY: as above.
    unsafe { libc::munmap(address as *mut _, 4096) };
}

pub fn what_is_planted_in_a_module_is_told_by_its_kind() {
    let module = ModuleFile::find("nullblk").expect("it was built");
    let place = symbols::find(module.bytes(), "Nullblk").or_else(|| symbols::find(module.bytes(), "nullblk"));
    let place = place.expect("it has a function");
    let code = symbols::code(module.bytes(), &place).expect("it has code");
    let offset = code.as_ptr() as usize - module.bytes().as_ptr() as usize;
    assert!(code.len() >= planted().len(), "{place:?}");
    let mut bytes = module.bytes().to_vec();
    bytes[offset..offset + planted().len()].copy_from_slice(&planted());
    let path = std::env::temp_dir().join(format!("kernel-debate-planted-{}.so", std::process::id()));
    std::fs::write(&path, bytes).expect("a temporary file");
    let mapped = map(&path);
    std::fs::remove_file(&path).expect("it is there");
    let findings = scan::process(&mut Vec::new()).expect("the host tells what is mapped");
    assert_eq!(at(&findings, mapped.range.start + place.address), EXPECTED, "{}", place.name);
}

fn map(path: &Path) -> kd_nucleus::module::MappedModule {
    let module = ModuleFile::open(path).expect("it is a module still");
    assert_eq!(module.info().vermagic, VERMAGIC);
    module.map("nullblk", &[] as &[(&str, u64)]).expect("nothing of it runs")
}
