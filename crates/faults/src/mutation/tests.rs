//! Mutations of a driver module's own file.

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use kd_nucleus::module::ModuleFile;
use kd_nucleus::mutant::Deed;

use super::{Code, Kind, Mutation};

const FAULTS: u64 = 200;

fn ramdisk() -> Code {
    let file = ModuleFile::find("ramdisk").expect("cargo builds it for the tests");
    Code::of(file.bytes(), &["kd_ramdisk::"]).expect("it has functions")
}

fn all(code: &Code, kind: Kind, seed: u64) -> Vec<Mutation> {
    (0..FAULTS).filter_map(|number| code.mutation(kind, seed, number)).collect()
}

fn decode(bytes: &[u8], at: usize) -> Vec<Instruction> {
    Decoder::with_ip(64, bytes, at as u64, DecoderOptions::NONE).into_iter().collect()
}

fn both(mutation: &Mutation) -> (Instruction, Vec<Instruction>) {
    let mutant = &mutation.mutant;
    (decode(&mutant.original, mutant.at)[0], decode(&mutant.new, mutant.at))
}

#[test]
fn a_seed_and_a_file_give_the_same_faults() {
    let (once, again) = (ramdisk(), ramdisk());
    for kind in Kind::ALL {
        assert_eq!(all(&once, kind, 7), all(&again, kind, 7));
    }
    assert_ne!(all(&once, Kind::BitFlip, 7), all(&once, Kind::BitFlip, 8));
    let different: BTreeSet<usize> = all(&once, Kind::BitFlip, 7).iter().map(|one| one.mutant.at).collect();
    assert!(different.len() > 50, "faults are spread over the code: {}", different.len());
}

#[test]
fn only_functions_of_the_component_itself_are_hit() {
    let code = ramdisk();
    assert!(code.functions().all(|name| name.trim_start_matches('<').starts_with("kd_ramdisk::")));
    assert!(code.functions().any(|name| name.contains("BlockDevice>::read")));
    let file = ModuleFile::find("ramdisk").expect("cargo builds it for the tests");
    assert!(Code::of(file.bytes(), &["kd_nothing::"]).is_err());
}

#[test]
fn a_mutant_is_as_long_as_what_it_replaces() {
    let code = ramdisk();
    for kind in Kind::ALL {
        for mutation in all(&code, kind, 3) {
            let mutant = &mutation.mutant;
            assert_eq!(mutant.new.len(), mutant.original.len(), "{mutation:?}");
            assert_eq!(mutant.new == mutant.original, mutant.deed != Deed::Nothing, "{mutation:?}");
        }
    }
}

#[test]
fn most_kinds_are_there() {
    let code = ramdisk();
    let kinds: BTreeSet<Kind> = code.kinds().collect();
    for kind in Kind::ALL {
        // A RAM disk has neither a variable nor, compiled without inlining, a lock of its own.
        let may_lack = matches!(kind, Kind::Data | Kind::LockHeld);
        assert!(kinds.contains(&kind) || may_lack, "{kind:?}");
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
    }
}

#[test]
fn a_register_is_another_one_and_all_else_is_as_it_was() {
    let code = ramdisk();
    for kind in [Kind::SourceRegister, Kind::DestinationRegister] {
        for mutation in all(&code, kind, 5) {
            let (before, after) = both(&mutation);
            assert_eq!(before.mnemonic(), after[0].mnemonic(), "{mutation:?}");
            let operand = |of: &Instruction, i| (of.op_kind(i), of.op_register(i));
            let differs = (0..before.op_count()).filter(|&i| operand(&before, i) != operand(&after[0], i));
            assert_eq!(differs.count(), 1, "{mutation:?}");
            assert!(after[1..].iter().all(|rest| rest.mnemonic() == Mnemonic::Nop), "{mutation:?}");
        }
    }
}

#[test]
fn an_address_is_another_one() {
    for mutation in all(&ramdisk(), Kind::Address, 5) {
        let (before, after) = both(&mutation);
        let address = |of: &Instruction| (of.memory_base(), of.memory_index(), of.memory_displacement64());
        assert_eq!(before.mnemonic(), after[0].mnemonic(), "{mutation:?}");
        assert_ne!(address(&before), address(&after[0]), "{mutation:?}");
    }
}

#[test]
fn a_condition_is_the_opposite_one() {
    for mutation in all(&ramdisk(), Kind::Condition, 5) {
        let (before, after) = both(&mutation);
        let mut twice = after[0];
        twice.negate_condition_code();
        assert_eq!(twice.mnemonic(), before.mnemonic(), "{mutation:?}");
        assert_ne!(after[0].mnemonic(), before.mnemonic(), "{mutation:?}");
    }
}

#[test]
fn one_bit_is_inverted() {
    for mutation in all(&ramdisk(), Kind::BitFlip, 5) {
        let mutant = &mutation.mutant;
        let bits = mutant.original.iter().zip(&mutant.new).map(|(a, b)| (a ^ b).count_ones());
        assert_eq!(bits.sum::<u32>(), 1, "{mutation:?}");
    }
}

#[test]
fn what_is_dropped_leaves_nothing() {
    for mutation in all(&ramdisk(), Kind::Dropped, 5) {
        let (before, after) = both(&mutation);
        assert_ne!(before.mnemonic(), Mnemonic::Nop);
        assert!(after.iter().all(|rest| rest.mnemonic() == Mnemonic::Nop), "{mutation:?}");
    }
}

#[test]
fn a_constant_is_off_by_one() {
    for mutation in all(&ramdisk(), Kind::OffByOne, 5) {
        let (before, after) = both(&mutation);
        let immediate = |of: &Instruction| {
            let operand = (0..of.op_count()).find(|&i| of.try_immediate(i).is_ok()).expect("it has one");
            (of.op_count(), of.immediate(operand))
        };
        assert_eq!(before.mnemonic(), after[0].mnemonic(), "{mutation:?}");
        let distance = immediate(&before).1.wrapping_sub(immediate(&after[0]).1) as i64;
        // What wraps is far away as a wider number.
        assert!(
            [1, -1, 0xff, -0xff, 0xffff, -0xffff, 0xffff_ffff, -0xffff_ffff].contains(&distance),
            "{distance}: {mutation:?}"
        );
    }
}

#[test]
fn a_parameter_is_stale_or_anothers() {
    for mutation in all(&ramdisk(), Kind::Parameter, 5) {
        let (before, after) = both(&mutation);
        let stale = after[0].mnemonic() == Mnemonic::Nop;
        let moved =
            after[0].mnemonic() == Mnemonic::Mov && after[0].op0_register() == before.op0_register().full_register();
        assert!(stale || moved, "{mutation:?}");
    }
}

#[test]
fn loops_do_not_end_and_recursion_begins_at_the_entry() {
    let code = ramdisk();
    for mutation in all(&code, Kind::EndlessLoop, 5) {
        let after = both(&mutation).1[0];
        assert_eq!(after.flow_control(), FlowControl::UnconditionalBranch);
        assert_eq!(after.near_branch_target(), mutation.mutant.at as u64);
    }
    for mutation in all(&code, Kind::Recursion, 5) {
        let after = both(&mutation).1[0];
        assert_eq!(after.flow_control(), FlowControl::Call);
        assert!(after.near_branch_target() <= mutation.mutant.at as u64, "{mutation:?}");
    }
}
