//! The instructions that a jump at a function's entry overwrites, and whether they may move.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use crate::error::InjectError;

/// The whole instructions of a function's first bytes, as many as a jump of `needed` bytes overwrites.
///
/// # Errors
/// `TooShort`, `Undecodable`; `BranchInto` if any instruction of the function branches into the bytes behind the first,
/// where half a jump would lie. A branch to the very first byte is a call like any other.
pub fn displaced(code: &[u8], address: usize, needed: usize) -> Result<Vec<Instruction>, InjectError> {
    let mut taken = Vec::new();
    let mut len = 0;
    let mut branches = Vec::new();
    for instruction in Decoder::with_ip(64, code, address as u64, DecoderOptions::NONE) {
        let at = instruction.ip() as usize - address;
        if instruction.is_invalid() {
            return Err(InjectError::Undecodable(at));
        }
        if len < needed {
            len += instruction.len();
            taken.push(instruction);
        }
        let direct = matches!(
            instruction.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
        ) && instruction.op0_kind() == OpKind::NearBranch64;
        if direct {
            branches.push((at, instruction.near_branch_target() as usize));
        }
    }
    if len < needed {
        return Err(InjectError::TooShort { len, needed });
    }
    match branches.into_iter().find(|(_, to)| (address + 1..address + len).contains(to)) {
        Some((from, to)) => Err(InjectError::BranchInto { from, to: to - address }),
        None => Ok(taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 0x1000;

    fn lengths(code: &[u8], needed: usize) -> Result<Vec<usize>, InjectError> {
        Ok(displaced(code, AT, needed)?.iter().map(Instruction::len).collect())
    }

    #[test]
    fn whole_instructions_are_taken() {
        // push r14; push rbx; push rax; mov r14,rdx; ret
        let code = [0x41, 0x56, 0x53, 0x50, 0x49, 0x89, 0xd6, 0xc3];
        assert_eq!(lengths(&code, 5).unwrap(), [2, 1, 1, 3]);
        assert!(matches!(lengths(&code, 14), Err(InjectError::TooShort { len: 8, needed: 14 })));
    }

    #[test]
    fn a_branch_into_the_middle_is_refused_and_one_to_the_entry_is_not() {
        // nop; nop; nop; nop; nop; jmp <to>
        let jump_back = |by: u8| [0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, by];
        assert!(matches!(lengths(&jump_back(0xfa), 5), Err(InjectError::BranchInto { from: 5, to: 1 })));
        assert!(matches!(lengths(&jump_back(0xfd), 5), Err(InjectError::BranchInto { from: 5, to: 4 })));
        assert!(lengths(&jump_back(0xf9), 5).is_ok());
        assert!(lengths(&jump_back(0xfe), 5).is_ok());
    }

    #[test]
    fn what_is_no_code_is_refused() {
        // A byte that is no instruction in 64-bit mode.
        assert!(matches!(lengths(&[0x90, 0x06, 0x90, 0x90, 0x90, 0x90], 5), Err(InjectError::Undecodable(1))));
    }
}
