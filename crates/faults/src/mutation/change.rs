//! How one instruction is changed. What comes out is as long as what went in: NOPs fill up what is shorter, and what is
//! longer is no change.

use iced_x86::{Code, Encoder, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::draw::Draw;
use super::kind::Kind;

/// The instruction that does nothing, in one byte.
pub const NOP: u8 = 0x90;
/// Bytes of a jump to itself, and of a call within 2 GiB.
const JUMP: usize = 2;
const CALL: usize = 5;
/// Registers that carry parameters (System V ABI, 3.2.3).
const PARAMETERS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];
/// How far before its call a parameter is set.
const NEAR_CALL: usize = 6;

/// Whether an instruction can have a fault of a kind that asks for nothing but it.
pub fn fits(kind: Kind, instruction: &Instruction) -> bool {
    match kind {
        Kind::SourceRegister => !registers(instruction, is_read).is_empty(),
        Kind::DestinationRegister => !registers(instruction, is_written).is_empty(),
        Kind::Address => has_memory(instruction),
        Kind::Condition => inverted(instruction).is_some(),
        Kind::BitFlip => true,
        Kind::Dropped => instruction.mnemonic() != Mnemonic::Nop,
        Kind::OffByOne => immediate(instruction).is_some(),
        Kind::LockHeld => releases(instruction),
        Kind::EndlessLoop => instruction.len() >= JUMP,
        Kind::Recursion => instruction.len() >= CALL,
        Kind::Parameter | Kind::Heap | Kind::Stack | Kind::Data | Kind::Leak => false,
    }
}

/// Whether an instruction sets a parameter of a call that comes soon, with nothing but such preparations between.
pub fn sets_parameter<'a>(instruction: &Instruction, mut rest: impl Iterator<Item = &'a Instruction>) -> bool {
    let sets = parameter(instruction).is_some();
    sets && rest
        .by_ref()
        .take(NEAR_CALL)
        .find(|next| next.flow_control() != FlowControl::Next)
        .is_some_and(|next| matches!(next.flow_control(), FlowControl::Call | FlowControl::IndirectCall))
}

/// The bytes of a changed instruction; none if this draw changes nothing, or does not fit.
pub fn change(kind: Kind, was: &Instruction, original: &[u8], entry: u64, draw: &mut Draw) -> Option<Vec<u8>> {
    let mut now = *was;
    match kind {
        Kind::SourceRegister => swap_register(&mut now, is_read, draw)?,
        Kind::DestinationRegister => swap_register(&mut now, is_written, draw)?,
        Kind::Address => spoil_address(&mut now, draw)?,
        Kind::Parameter => match draw.below(2) {
            0 => return Some(vec![NOP; original.len()]),
            _ => {
                let to = parameter(was)?;
                let others: Vec<Register> = PARAMETERS.into_iter().filter(|from| *from != to).collect();
                now = Instruction::with2(Code::Mov_r64_rm64, to, draw.pick(&others)?).ok()?;
                now.set_ip(was.ip());
            }
        },
        Kind::Condition => now = inverted(was)?,
        Kind::BitFlip => {
            let bit = draw.below(original.len() * 8);
            let mut bytes = original.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            return Some(bytes);
        }
        Kind::Dropped | Kind::LockHeld => return Some(vec![NOP; original.len()]),
        Kind::OffByOne => {
            let operand = immediate(was)?;
            let by = [1, u64::MAX][draw.below(2)];
            now.try_set_immediate_u64(operand, was.immediate(operand).wrapping_add(by)).ok()?;
        }
        Kind::EndlessLoop => now = Instruction::with_branch(Code::Jmp_rel8_64, was.ip()).ok()?,
        Kind::Recursion => now = Instruction::with_branch(Code::Call_rel32_64, entry).ok()?,
        Kind::Heap | Kind::Stack | Kind::Data | Kind::Leak => return None,
    }
    let mut bytes = encode(&now, was.ip())?;
    if bytes.len() > original.len() {
        return None;
    }
    bytes.resize(original.len(), NOP);
    (bytes != original).then_some(bytes)
}

fn encode(instruction: &Instruction, at: u64) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(64);
    encoder.encode(instruction, at).ok()?;
    Some(encoder.take_buffer())
}

fn is_read(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead)
}

fn is_written(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// The operands of an instruction that are registers with such an access, and whose register its encoding can change.
fn registers(instruction: &Instruction, wanted: fn(OpAccess) -> bool) -> Vec<u32> {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let fits = |operand: &u32| {
        instruction.op_kind(*operand) == OpKind::Register
            && wanted(info.op_access(*operand))
            && !of_class(instruction.op_register(*operand)).is_empty()
    };
    (0..instruction.op_count()).filter(fits).collect()
}

/// The registers that may stand where one does.
fn of_class(register: Register) -> Vec<Register> {
    let class = |wanted: fn(Register) -> bool| Register::values().filter(|register| wanted(*register)).collect();
    match register {
        _ if register.is_gpr64() => class(Register::is_gpr64),
        _ if register.is_gpr32() => class(Register::is_gpr32),
        _ if register.is_gpr16() => class(Register::is_gpr16),
        // The upper halves of four old registers go with few encodings.
        _ if register.is_gpr8() => class(|register| {
            register.is_gpr8() && !matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
        }),
        _ if register.is_xmm() => class(|register| register.is_xmm() && register <= Register::XMM15),
        _ => Vec::new(),
    }
}

fn swap_register(instruction: &mut Instruction, wanted: fn(OpAccess) -> bool, draw: &mut Draw) -> Option<()> {
    let operand = draw.pick(&registers(instruction, wanted))?;
    let was = instruction.op_register(operand);
    let others: Vec<Register> = of_class(was).into_iter().filter(|other| *other != was).collect();
    instruction.set_op_register(operand, draw.pick(&others)?);
    Some(())
}

/// Whether it has an address among its operands, as one that does nothing has as well.
fn has_memory(instruction: &Instruction) -> bool {
    let memory = |operand| instruction.op_kind(operand) == OpKind::Memory;
    instruction.mnemonic() != Mnemonic::Nop && (0..instruction.op_count()).any(memory)
}

/// Another base, another index, or a distance that differs in one bit.
fn spoil_address(instruction: &mut Instruction, draw: &mut Draw) -> Option<()> {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    let other = |was: Register, draw: &mut Draw| {
        let others: Vec<Register> = of_class(was).into_iter().filter(|register| *register != was).collect();
        draw.pick(&others)
    };
    match draw.below(3) {
        0 if base.is_gpr64() => instruction.set_memory_base(other(base, draw)?),
        1 if index.is_gpr64() => {
            let others: Vec<Register> =
                of_class(index).into_iter().filter(|it| ![index, Register::RSP].contains(it)).collect();
            instruction.set_memory_index(draw.pick(&others)?);
        }
        _ => {
            let wide = if base == Register::RIP || instruction.memory_displ_size() > 1 { 31 } else { 7 };
            let displacement = instruction.memory_displacement64() ^ (1 << draw.below(wide));
            if instruction.memory_displ_size() == 0 {
                return None;
            }
            instruction.set_memory_displacement64(displacement);
        }
    }
    Some(())
}

/// The parameter that an instruction does nothing but set.
fn parameter(instruction: &Instruction) -> Option<Register> {
    if !matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Movzx | Mnemonic::Xor) {
        return None;
    }
    let to = instruction.op0_register();
    PARAMETERS.into_iter().find(|parameter| to.full_register() == *parameter && (to.is_gpr64() || to.is_gpr32()))
}

/// The instruction with its condition inverted.
fn inverted(instruction: &Instruction) -> Option<Instruction> {
    let mut now = *instruction;
    now.negate_condition_code();
    (now.code() != instruction.code()).then_some(now)
}

/// The operand that is a constant, if its width leaves room for one more.
fn immediate(instruction: &Instruction) -> Option<u32> {
    let is = |operand: &u32| {
        matches!(
            instruction.op_kind(*operand),
            OpKind::Immediate8
                | OpKind::Immediate16
                | OpKind::Immediate32
                | OpKind::Immediate64
                | OpKind::Immediate8to16
                | OpKind::Immediate8to32
                | OpKind::Immediate8to64
                | OpKind::Immediate32to64
        )
    };
    (0..instruction.op_count()).find(is)
}

/// Whether it is how a lock's word becomes free: an exchange with memory, or an addition to it that tells what was there.
fn releases(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Xchg | Mnemonic::Xadd) && has_memory(instruction)
}
