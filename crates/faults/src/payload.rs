//! The payload: what runs at a function's entry once it is patched.
//!
//! It counts down in the room's data page. At any count but 0 it runs the instructions that the jump overwrote and goes
//! on behind them; at 0 it first does its fault. Only r10, r11, rax and flags are used, which hold nothing at a
//! function's entry (System V ABI, 3.2.1); a fault that goes on restores the rest.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::fault::{Fault, SMASH, SMASHED, WILD};
use crate::inject::Room;
use crate::site::Site;

/// Where the room's data page holds the count, the panic's location, and the location's file name.
pub const COUNT: usize = 0;
const LOCATION: usize = 64;
const FILE: usize = 128;
const FILE_NAME: &[u8] = b"injected\0";

/// Addresses in the victim that some faults need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// What a wild write hits.
    pub wild: usize,
    /// The C library's `abort`, if there is one.
    pub abort: Option<usize>,
    /// The panic on a bad index.
    pub panic: usize,
}

/// The room's data: the count, and a `core::panic::Location` as the compiler lays it out (name, its length without the
/// NUL behind it, line, column).
pub fn data(room: Room, count: u64) -> Vec<u8> {
    let mut data = vec![0; FILE];
    data[COUNT..][..8].copy_from_slice(&count.to_le_bytes());
    let location = [(room.data + FILE) as u64, FILE_NAME.len() as u64 - 1, 1 << 32 | 1];
    for (i, word) in location.into_iter().enumerate() {
        data[LOCATION + 8 * i..][..8].copy_from_slice(&word.to_le_bytes());
    }
    data.extend_from_slice(FILE_NAME);
    data
}

/// The room's code.
pub fn code(
    room: Room,
    site: &Site,
    fault: Fault,
    at: Addresses,
    displaced: &[iced_x86::Instruction],
) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut original = a.create_label();
    a.mov(r11, (room.data + COUNT) as u64)?;
    a.lock().dec(qword_ptr(r11))?;
    a.jnz(original)?;
    deed(&mut a, room, site, fault, at)?;
    a.set_label(&mut original)?;
    for instruction in displaced {
        a.add_instruction(*instruction)?;
    }
    let len: usize = displaced.iter().map(iced_x86::Instruction::len).sum();
    a.jmp((site.address + len) as u64)?;
    a.assemble(room.code as u64)
}

/// The fault itself.
fn deed(a: &mut CodeAssembler, room: Room, site: &Site, fault: Fault, at: Addresses) -> Result<(), IcedError> {
    let (object, number) = if site.returns_in_memory { (rsi, rdx) } else { (rdi, rsi) };
    match fault {
        Fault::NullDereference => {
            a.xor(eax, eax)?;
            a.mov(rax, qword_ptr(rax))
        }
        Fault::WildWrite => {
            a.mov(r11, at.wild as u64)?;
            a.mov(r10, u64::from_le_bytes(WILD))?;
            a.mov(qword_ptr(r11), r10)
        }
        Fault::WriteReadOnly => {
            a.mov(r11, site.address as u64)?;
            a.mov(byte_ptr(r11), 0xCC)
        }
        Fault::StackOverflow => {
            let mut again = a.create_label();
            a.set_label(&mut again)?;
            a.call(again)
        }
        Fault::Abort => match at.abort {
            Some(abort) => {
                a.and(rsp, -16)?;
                a.mov(rax, abort as u64)?;
                a.call(rax)
            }
            None => a.ud2(),
        },
        // A jump and no call: to the unwinder it is as if the function's caller had panicked.
        Fault::Panic => {
            a.mov(edi, 7)?;
            a.xor(esi, esi)?;
            a.mov(rdx, (room.data + LOCATION) as u64)?;
            a.mov(rax, at.panic as u64)?;
            a.jmp(rax)
        }
        Fault::EndlessLoop => {
            let mut here = a.create_label();
            a.set_label(&mut here)?;
            a.jmp(here)
        }
        Fault::HeapSmash => {
            a.push(rdi)?;
            a.push(rcx)?;
            a.mov(rdi, object)?;
            a.mov(ecx, SMASHED as u32)?;
            a.mov(eax, u32::from(SMASH))?;
            a.rep().stosb()?;
            a.pop(rcx)?;
            a.pop(rdi)
        }
        Fault::WrongData => a.xor(number, 1),
    }
}
