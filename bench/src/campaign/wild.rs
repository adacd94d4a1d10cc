//! Where spoiled addresses pointed: to a page that the faulty component's process may write, or to a hole.
//!
//! The address is what the faulty instruction computes from the registers of its first execution. What is mapped is looked
//! at just before that.

use iced_x86::{Decoder, DecoderOptions, OpKind, Register};
use kd_campaign::{Plan, Record};
use kd_faults::mutation::{Kind, Mutation};
use kd_faults::victim::Region;
use kd_report::campaign::Wild;

/// What a record's detail begins with if its address pointed to a page, or to none.
const PAGE: &str = "[page] ";
const HOLE: &str = "[hole] ";

/// What to begin a record's detail with; nothing for a fault that spoils no address.
pub fn mark(mutation: &Mutation, base: usize, registers: &[(&'static str, u64)], regions: &[Region]) -> &'static str {
    if mutation.kind != Kind::Address || registers.iter().all(|(_, value)| *value == 0) {
        return "";
    }
    let Some(address) = address(mutation, base, registers) else { return "" };
    let writable = |region: &Region| region.permissions.contains('w') && region.range.contains(&(address as usize));
    if regions.iter().any(writable) { PAGE } else { HOLE }
}

/// The address that the faulty instruction computes.
fn address(mutation: &Mutation, base: usize, registers: &[(&'static str, u64)]) -> Option<u64> {
    let at = (base + mutation.mutant.at) as u64;
    let instruction = Decoder::with_ip(64, &mutation.mutant.new, at, DecoderOptions::NONE).decode();
    let operand = (0..instruction.op_count()).find(|&operand| instruction.op_kind(operand) == OpKind::Memory)?;
    let value = |register: Register| {
        let name = format!("{:?}", register.full_register()).to_lowercase();
        registers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    };
    // Segments begin at 0, but for those of thread-local storage, which no spoiled address here is about.
    instruction.virtual_address(
        operand,
        0,
        |register, _, _| if register.is_segment_register() { Some(0) } else { value(register) },
    )
}

/// Counts by kernel.
pub fn count(plan: &Plan, records: &[Record]) -> Vec<Wild> {
    let of = |kernel: &String| {
        let marks = |mark: &str| {
            let of_this = |record: &&Record| {
                record.detail.starts_with(mark) && plan.trial(record.trial).is_some_and(|trial| trial.kernel == *kernel)
            };
            records.iter().filter(of_this).count() as u64
        };
        let mapped = marks(PAGE);
        Wild { kernel: kernel.clone(), pointers: mapped + marks(HOLE), mapped }
    };
    plan.kernels.iter().map(of).collect()
}
