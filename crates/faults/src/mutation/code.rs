//! A component's functions, as its file has them, and the faults that are drawn from them.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use kd_nucleus::module::symbols;
use kd_nucleus::mutant::{Deed, LONGEST, Mutant};

use super::change;
use super::draw::Draw;
use super::kind::Kind;
use crate::error::InjectError;

/// How often a fault is drawn anew when the one drawn cannot be: its encoding is longer, or it changes nothing.
const DRAWS: usize = 256;
/// Bits of an object, and of a stack from its top on, that may be inverted.
const OBJECT_BITS: usize = 64 * 8;
const STACK_BITS: usize = 256 * 8;

/// The code of one component.
pub struct Code {
    functions: Vec<Function>,
    /// Every instruction: its function, and itself.
    instructions: Vec<(usize, Instruction)>,
    /// For each kind the instructions that can have such a fault.
    candidates: BTreeMap<Kind, Vec<usize>>,
    /// Variables of the component's own: place and bytes.
    variables: Vec<(usize, usize)>,
}

struct Function {
    name: String,
    address: usize,
    code: Vec<u8>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Of which kind.
    pub kind: Kind,
    /// In which function.
    pub function: String,
    /// Where, and which bytes for which.
    pub mutant: Mutant,
    /// The instruction as it was shipped.
    pub before: String,
    /// What stands in its place; what happens besides, if that is the fault.
    pub after: String,
}

impl Code {
    /// The functions of a file whose names begin with one of `paths` (`kd_ramdisk::`), methods of its types included.
    ///
    /// # Errors
    /// `NoSymbol` if there is none.
    pub fn of(file: &[u8], paths: &[&str]) -> Result<Code, InjectError> {
        let is_own = |name: &str| {
            let name = name.trim_start_matches(['<', '&']);
            paths.iter().any(|path| name.starts_with(path))
        };
        let functions: Vec<Function> = symbols::functions(file, is_own)
            .into_iter()
            .map(|(symbol, code)| Function { name: symbol.name, address: symbol.address, code: code.to_vec() })
            .collect();
        if functions.is_empty() {
            return Err(InjectError::NoSymbol(paths.join(", ")));
        }
        let mut instructions = Vec::new();
        for (number, function) in functions.iter().enumerate() {
            let decoder = Decoder::with_ip(64, &function.code, function.address as u64, DecoderOptions::NONE);
            instructions.extend(decoder.into_iter().map(|instruction| (number, instruction)));
        }
        let variables = symbols::written_variables(file, is_own);
        let mut code = Code { functions, instructions, candidates: BTreeMap::new(), variables };
        for kind in Kind::ALL {
            let fits = |&index: &usize| code.fits(kind, index);
            let candidates = (0..code.instructions.len()).filter(fits).collect();
            code.candidates.insert(kind, candidates);
        }
        Ok(code)
    }

    /// The `number`-th fault of a kind that a seed draws; none if nothing here can have one. It follows from these and from
    /// the file alone.
    pub fn mutation(&self, kind: Kind, seed: u64, number: u64) -> Option<Mutation> {
        let mut draw = Draw::new(seed, kind as u64, number);
        let candidates = self.candidates.get(&kind)?;
        (0..DRAWS).find_map(|_| {
            let index = draw.pick(candidates)?;
            self.mutate(kind, index, &mut draw)
        })
    }

    /// The kinds of fault that this code can have.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|&kind| self.mutation(kind, 0, 0).is_some())
    }

    /// The functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(|function| function.name.as_str())
    }

    fn is_entry(&self, index: usize) -> bool {
        let (function, instruction) = &self.instructions[index];
        instruction.ip() as usize == self.functions[*function].address
    }

    /// Whether an instruction can have a fault of this kind.
    fn fits(&self, kind: Kind, index: usize) -> bool {
        let (function, instruction) = &self.instructions[index];
        if instruction.is_invalid() {
            return false;
        }
        match kind {
            Kind::Heap | Kind::Leak => self.is_entry(index),
            Kind::Data => self.is_entry(index) && !self.variables.is_empty(),
            Kind::Stack => true,
            Kind::Parameter => {
                let rest = self.instructions[index + 1..].iter().take_while(|(of, _)| of == function);
                change::sets_parameter(instruction, rest.map(|(_, instruction)| instruction))
            }
            _ => change::fits(kind, instruction),
        }
    }

    fn mutate(&self, kind: Kind, index: usize, draw: &mut Draw) -> Option<Mutation> {
        let (number, instruction) = &self.instructions[index];
        let function = &self.functions[*number];
        let at = instruction.ip() as usize;
        let original = &function.code[at - function.address..][..instruction.len()];
        debug_assert!(original.len() <= LONGEST);
        let deed = match kind {
            Kind::Heap => Deed::Object(draw.below(OBJECT_BITS) as u32),
            Kind::Stack => Deed::Stack(draw.below(STACK_BITS) as u32),
            Kind::Data => {
                let (variable, size) = draw.pick(&self.variables)?;
                Deed::Variable(variable, draw.below(size * 8) as u32)
            }
            Kind::Leak => Deed::Leak,
            _ => Deed::Nothing,
        };
        let new = match deed {
            Deed::Nothing => change::change(kind, instruction, original, function.address as u64, draw)?,
            _ => original.to_vec(),
        };
        let before = text(original, at);
        let after = match deed {
            Deed::Nothing => text(&new, at),
            Deed::Object(bit) => format!("bit {bit} of what rdi points to inverted"),
            Deed::Stack(bit) => format!("bit {bit} of what rsp points to inverted"),
            Deed::Variable(variable, bit) => format!("bit {bit} of the variable at {variable:#x} inverted"),
            Deed::Leak => "all memory taken".into(),
        };
        let mutant = Mutant { at, original: original.to_vec(), new, deed };
        Some(Mutation { kind, function: function.name.clone(), mutant, before, after })
    }
}

/// Instructions as text, one after the other; of NOPs that only fill up, nothing.
fn text(code: &[u8], at: usize) -> String {
    let mut formatter = IntelFormatter::new();
    let mut texts = Vec::new();
    let mut rest = 0;
    for instruction in Decoder::with_ip(64, code, at as u64, DecoderOptions::NONE) {
        let filling = rest > 0 && code[rest..].iter().all(|&byte| byte == change::NOP);
        if filling {
            break;
        }
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        texts.push(text);
        rest += instruction.len();
    }
    texts.join("; ")
}
