//! An interface with every kind of argument and result, an implementation whose answers show every bit it was given, and
//! calls with random values: whatever lies between the two, the answers must be those of a direct call.

#![allow(dead_code, missing_docs)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use kd_api::window::BULK;
use kd_api::{AppId, Caller, Completion, Errno, Fd, InBuf, Ino, OutBuf, Result, interface, wire_by_codec};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    Point,
    Box(u16, i64),
    Named { letter: char, filled: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub shape: Shape,
    pub size: u64,
    pub tag: [u8; 16],
}

wire_by_codec!(Shape, Record);

type Pair = (u32, Fd);

#[interface]
pub trait Kinds {
    #[idempotent]
    fn nothing(&self) -> Result<()>;
    fn who(&self, caller: Caller) -> Result<AppId>;
    fn small(&self, a: u8, b: u16, c: bool, d: u32) -> Result<u64>;
    fn large(&self, a: u64, b: usize, c: i32, d: i64) -> Result<i64>;
    #[submittable]
    fn byte(&self, a: u8) -> Result<u8>;
    fn flag(&self, a: bool, b: u16) -> Result<bool>;
    fn size(&self, a: usize) -> Result<usize>;
    fn int(&self, a: i32) -> Result<i32>;
    fn ids(&self, app: AppId, fd: Fd, ino: Ino) -> Result<(Ino, (Fd, AppId))>;
    fn pairs(&self, one: Pair, two: (Ino, (bool, i64))) -> Result<((i64, bool), Pair)>;
    fn structures(&self, record: Record, shape: Shape) -> Result<(Shape, Record)>;
    fn text(&self, one: &str, number: u64, two: &str) -> Result<u64>;
    #[idempotent]
    #[submittable]
    fn input(&self, key: u64, take: usize, data: &mut InBuf<'_>) -> Result<u64>;
    #[idempotent]
    #[submittable]
    fn output(&self, seed: u8, give: usize, out: &mut OutBuf<'_>) -> Result<usize>;
    fn everything(&self, caller: Caller, name: &str, record: Record, at: u64, data: &mut InBuf<'_>) -> Result<u64>;
    fn fail(&self, number: u16, out: &mut OutBuf<'_>) -> Result<()>;
    #[event]
    fn noted(&self, a: u64, b: (u32, bool), c: Fd);
    #[blocking]
    fn noted_so_far(&self) -> Result<u64>;
    fn later(&self, number: u64, fail: bool, done: Completion<(u64, bool)>);
    fn never(&self, done: Completion<()>);
}

/// FNV-1a, so that an answer depends on every byte.
fn digest(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Default)]
pub struct Honest {
    noted: AtomicU64,
    waiting: Arc<Mutex<Vec<std::thread::JoinHandle<()>>>>,
}

fn drain(data: &mut InBuf<'_>, take: usize) -> Vec<u8> {
    let mut bytes = vec![0; take.min(data.remaining())];
    let count = data.read(&mut bytes);
    assert_eq!(count, bytes.len());
    bytes
}

impl Kinds for Honest {
    fn nothing(&self) -> Result<()> {
        Ok(())
    }
    fn who(&self, caller: Caller) -> Result<AppId> {
        Ok(caller.app)
    }
    fn small(&self, a: u8, b: u16, c: bool, d: u32) -> Result<u64> {
        Ok(u64::from(a) | u64::from(b) << 8 | u64::from(c) << 24 | u64::from(d) << 32)
    }
    fn large(&self, a: u64, b: usize, c: i32, d: i64) -> Result<i64> {
        Ok((a as i64).wrapping_mul(3) ^ (b as i64).rotate_left(7) ^ i64::from(c).rotate_left(40) ^ d)
    }
    fn byte(&self, a: u8) -> Result<u8> {
        Ok(!a)
    }
    fn flag(&self, a: bool, b: u16) -> Result<bool> {
        Ok(a ^ (b.is_multiple_of(2)))
    }
    fn size(&self, a: usize) -> Result<usize> {
        Ok(!a)
    }
    fn int(&self, a: i32) -> Result<i32> {
        Ok(!a)
    }
    fn ids(&self, app: AppId, fd: Fd, ino: Ino) -> Result<(Ino, (Fd, AppId))> {
        Ok((ino, (fd, app)))
    }
    fn pairs(&self, one: Pair, two: (Ino, (bool, i64))) -> Result<((i64, bool), Pair)> {
        Ok(((two.1.1 ^ two.0.0 as i64, two.1.0), one))
    }
    fn structures(&self, record: Record, shape: Shape) -> Result<(Shape, Record)> {
        Ok((record.shape, Record { shape, ..record }))
    }
    fn text(&self, one: &str, number: u64, two: &str) -> Result<u64> {
        Ok(digest(digest(number, one.as_bytes()), two.as_bytes()))
    }
    fn input(&self, key: u64, take: usize, data: &mut InBuf<'_>) -> Result<u64> {
        Ok(digest(key, &drain(data, take)))
    }
    fn output(&self, seed: u8, give: usize, out: &mut OutBuf<'_>) -> Result<usize> {
        let bytes: Vec<u8> = (0..give.min(2 * BULK)).map(|i| seed.wrapping_add((i % 251) as u8)).collect();
        Ok(out.write(&bytes))
    }
    fn everything(&self, caller: Caller, name: &str, record: Record, at: u64, data: &mut InBuf<'_>) -> Result<u64> {
        let first = digest(u64::from(caller.app.0) ^ at, name.as_bytes());
        let second = digest(first, format!("{record:?}").as_bytes());
        Ok(digest(second, &drain(data, usize::MAX)))
    }
    fn fail(&self, number: u16, out: &mut OutBuf<'_>) -> Result<()> {
        out.write(b"half");
        Err(Errno::ALL[usize::from(number) % Errno::ALL.len()])
    }
    fn noted(&self, a: u64, b: (u32, bool), c: Fd) {
        let sum = a.wrapping_add(u64::from(b.0)).wrapping_add(u64::from(b.1)).wrapping_add(c.0 as u64);
        self.noted.fetch_add(sum, SeqCst);
    }
    fn noted_so_far(&self) -> Result<u64> {
        Ok(self.noted.load(SeqCst))
    }
    fn later(&self, number: u64, fail: bool, done: Completion<(u64, bool)>) {
        let answer = if fail { Err(Errno::ENOSPC) } else { Ok((number.wrapping_add(1), number.is_multiple_of(2))) };
        let answered = std::thread::spawn(move || done.complete(answer));
        self.waiting.lock().expect("no panic holding it").push(answered);
    }
    fn never(&self, done: Completion<()>) {
        drop(done);
    }
}

/// One call with its arguments.
#[derive(Clone, Debug)]
pub enum Call {
    Nothing,
    Who,
    Small(u8, u16, bool, u32),
    Large(u64, usize, i32, i64),
    Byte(u8),
    Flag(bool, u16),
    Size(usize),
    Int(i32),
    Ids(u32, i32, u64),
    Pairs((u32, i32), (u64, (bool, i64))),
    Structures(Record, Shape),
    Text(String, u64, String),
    Input(u64, usize, Vec<u8>),
    Output(u8, usize, usize),
    Everything(String, Record, u64, Vec<u8>),
    Fail(u16),
    Later(u64, bool),
    Never,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Point),
        any::<(u16, i64)>().prop_map(|(a, b)| Shape::Box(a, b)),
        any::<(char, bool)>().prop_map(|(letter, filled)| Shape::Named { letter, filled }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (shape(), any::<u64>(), any::<[u8; 16]>()).prop_map(|(shape, size, tag)| Record { shape, size, tag })
}

/// Bytes around every length that matters: none, few, a page, all that one message carries.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..100), 2 => vec(any::<u8>(), 4090..4100), 1 => vec(any::<u8>(), BULK - 2..=BULK)]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..100usize, 4090..4100usize, BULK - 2..=BULK]
}

pub fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Nothing),
        Just(Call::Who),
        any::<(u8, u16, bool, u32)>().prop_map(|(a, b, c, d)| Call::Small(a, b, c, d)),
        any::<(u64, usize, i32, i64)>().prop_map(|(a, b, c, d)| Call::Large(a, b, c, d)),
        any::<u8>().prop_map(Call::Byte),
        any::<(bool, u16)>().prop_map(|(a, b)| Call::Flag(a, b)),
        any::<usize>().prop_map(Call::Size),
        any::<i32>().prop_map(Call::Int),
        any::<(u32, i32, u64)>().prop_map(|(a, b, c)| Call::Ids(a, b, c)),
        (any::<(u32, i32)>(), any::<(u64, (bool, i64))>()).prop_map(|(a, b)| Call::Pairs(a, b)),
        (record(), shape()).prop_map(|(a, b)| Call::Structures(a, b)),
        ("\\PC{0,40}", any::<u64>(), "\\PC{0,400}").prop_map(|(a, b, c)| Call::Text(a, b, c)),
        (any::<u64>(), prop_oneof![Just(usize::MAX), length()], bytes()).prop_map(|(a, b, c)| Call::Input(a, b, c)),
        (any::<u8>(), length(), length()).prop_map(|(a, b, c)| Call::Output(a, b, c)),
        ("\\PC{0,40}", record(), any::<u64>(), bytes()).prop_map(|(a, b, c, d)| Call::Everything(a, b, c, d)),
        any::<u16>().prop_map(Call::Fail),
        any::<(u64, bool)>().prop_map(|(a, b)| Call::Later(a, b)),
        Just(Call::Never),
    ]
}

impl Call {
    /// Makes the call; everything that the caller can see of its answer, as text.
    pub fn make(&self, on: &dyn Kinds, caller: Caller) -> String {
        match self.clone() {
            Call::Nothing => format!("{:?}", on.nothing()),
            Call::Who => format!("{:?}", on.who(caller)),
            Call::Small(a, b, c, d) => format!("{:?}", on.small(a, b, c, d)),
            Call::Large(a, b, c, d) => format!("{:?}", on.large(a, b, c, d)),
            Call::Byte(a) => format!("{:?}, {:?}", on.byte(a), on.submit_byte(a).complete()),
            Call::Flag(a, b) => format!("{:?}", on.flag(a, b)),
            Call::Size(a) => format!("{:?}", on.size(a)),
            Call::Int(a) => format!("{:?}", on.int(a)),
            Call::Ids(a, b, c) => format!("{:?}", on.ids(AppId(a), Fd(b), Ino(c))),
            Call::Pairs((a, b), (c, d)) => format!("{:?}", on.pairs((a, Fd(b)), (Ino(c), d))),
            Call::Structures(a, b) => format!("{:?}", on.structures(a, b)),
            Call::Text(a, b, c) => format!("{:?}", on.text(&a, b, &c)),
            Call::Input(key, take, data) => {
                let submitted = on.submit_input(key, take, InBuf::new(&data));
                let mut data = InBuf::new(&data);
                let result = on.input(key, take, &mut data);
                format!("{result:?}, {} left, {:?}", data.remaining(), submitted.complete())
            }
            Call::Output(seed, give, room) => {
                // What was there before must be there still, behind what was written.
                let mut bytes = vec![0xEE; room];
                let mut out = OutBuf::new(&mut bytes);
                let result = on.output(seed, give, &mut out);
                let written = out.written();
                let mut others = vec![0xEE; room];
                let submitted = on.submit_output(seed, give, OutBuf::new(&mut others)).complete();
                assert_eq!((&others, submitted), (&bytes, result), "as by the call");
                format!("{result:?}, {written} written, {:#x}", digest(0, &bytes))
            }
            Call::Everything(name, record, at, data) => {
                let mut data = InBuf::new(&data);
                let result = on.everything(caller, &name, record, at, &mut data);
                format!("{result:?}, {} left", data.remaining())
            }
            Call::Fail(number) => {
                let mut bytes = [0xEE; 8];
                let result = on.fail(number, &mut OutBuf::new(&mut bytes));
                format!("{result:?}, {bytes:?}")
            }
            Call::Later(number, fail) => format!("{:?}", answered(|done| on.later(number, fail, done))),
            Call::Never => format!("{:?}", answered(|done| on.never(done))),
        }
    }
}

/// What a deferred operation answers.
fn answered<T: Send + 'static>(call: impl FnOnce(Completion<T>)) -> Result<T> {
    let (answer, answers) = std::sync::mpsc::channel();
    call(Completion::new(move |result| answer.send(result).expect("somebody waits")));
    answers.recv().expect("every completion answers")
}

/// Every random sequence is answered by `far`, on whose channel `caller` is known, as by a direct call.
pub fn agrees(far: &dyn Kinds, caller: Caller, cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(calls in vec(call(), 1..20))| {
        let near = Honest::default();
        for call in calls {
            prop_assert_eq!(call.make(far, caller), call.make(&near, caller));
        }
    });
}

/// Events arrive, each once and whole, as long as there is room for them: one is awaited before the next is posted.
pub fn events_arrive(far: &dyn Kinds) {
    let mut sum = far.noted_so_far().expect("answered");
    for i in 0..100u32 {
        far.noted(u64::from(i) << 40, (i, i % 2 == 0), Fd(i as i32));
        sum = sum.wrapping_add((u64::from(i) << 40) + u64::from(2 * i + u32::from(i % 2 == 0)));
        while far.noted_so_far() != Ok(sum) {
            std::thread::yield_now();
        }
    }
}
