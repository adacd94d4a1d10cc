//! Granted buffers over channels: the same answers as by copies, in fewer messages and without a copy, through a chain as
//! well; and a server that is told nonsense refuses it.

#[path = "../../crates/api/tests/kinds/mod.rs"]
mod kinds;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use kd_api::client::{Exchange, Port};
use kd_api::grant::Pool;
use kd_api::interfaces::block::{BlockDevice, BlockDeviceClient, Statistics, read_each, write_each};
use kd_api::window::BULK;
use kd_api::{Blocks, Caller, Errno, Grant, Handle, InBuf, Message, OutBuf, Result};
use kd_boot::trace::{Counts, Origin, TracedPort};
use kd_microkernel::thread::connect;
use kd_nucleus::channel::{self, Bell, Channel, ChannelPort, Exchanges, Pool as Threads, Wait};
use kinds::{Honest, Kinds, KindsClient};

const ME: Caller = Caller::app(5);
const MIB: usize = 1 << 20;

/// A disk in memory.
struct Disk(Mutex<Vec<u8>>);
/// One that passes on what it is asked, as a VFS does.
struct Middle(Arc<dyn BlockDevice>);

macro_rules! device {
    ($name:ty, $read:expr, $write:expr) => {
        impl BlockDevice for $name {
            fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
                $read(self, sector, out)
            }
            fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
                $write(self, sector, fua, data)
            }
            fn capacity(&self) -> Result<u64> {
                Err(Errno::ENOSYS)
            }
            fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
                read_each(self, &blocks, out)
            }
            fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
                write_each(self, &blocks, data)
            }
            fn flush(&self) -> Result<()> {
                Err(Errno::ENOSYS)
            }
            fn statistics(&self) -> Result<Statistics> {
                Err(Errno::ENOSYS)
            }
        }
    };
}

device!(
    Disk,
    |disk: &Disk, sector, out: &mut OutBuf<'_>| Ok(out.write(&disk.0.lock().unwrap()[sector as usize * 512..])),
    |disk: &Disk, sector, _, data: &mut InBuf<'_>| Ok(data.read(&mut disk.0.lock().unwrap()[sector as usize * 512..]))
);
device!(
    Middle,
    |middle: &Middle, sector, out: &mut OutBuf<'_>| middle.0.read(sector, out),
    |middle: &Middle, sector, fua, data: &mut InBuf<'_>| middle.0.write(sector, fua, data)
);

/// A channel to a server of its own, and a port that counts into `counts` as the component of this number.
fn hop(
    to: Arc<dyn BlockDevice>,
    pools: &[Arc<Pool>],
    counts: &Counts,
    component: usize,
) -> (Channel, Arc<dyn BlockDevice>) {
    let bell = Bell::new().expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory").with_pools(pools);
    Threads::new(vec![(channel.clone(), ME)], bell, Handle::new(to).serve(), Wait::Adaptive, 2).start();
    let inner = Arc::new(ChannelPort::new(channel.clone(), Wait::Adaptive));
    let port = TracedPort { inner, counts: *counts, from: Origin::App, component };
    (channel, Arc::new(BlockDeviceClient::new(Arc::new(port))))
}

/// Two servers in a row, `far` with a pool that both channels map, each with the messages it has had.
struct Chain {
    pool: Arc<Pool>,
    far: Arc<dyn BlockDevice>,
    near: Arc<dyn BlockDevice>,
    channels: [(Channel, Exchanges); 2],
    counts: Counts,
}

impl Chain {
    fn new(granted: bool) -> Chain {
        let pool = channel::pool(4 * MIB).expect("shared memory");
        let pools = if granted { vec![channel::pool(4096).expect("shared memory"), pool.clone()] } else { Vec::new() };
        let near: Arc<dyn BlockDevice> = Arc::new(Disk(Mutex::new(pattern(2 * MIB))));
        let counts = Counts::new().expect("shared memory");
        let (inner, client) = hop(near.clone(), &pools, &counts, 0);
        let (outer, far) = hop(Arc::new(Middle(client)), &pools, &counts, 1);
        Chain { pool, far, near, channels: [inner, outer].map(|channel| (channel, Exchanges::default())), counts }
    }

    fn messages(&self) -> [u64; 2] {
        self.channels.each_ref().map(|(channel, exchanges)| exchanges.count(channel))
    }

    /// Bytes copied through the windows of each hop.
    fn copied(&self) -> [u64; 2] {
        [0, 1].map(|component| {
            let all = self.counts.of(Origin::App, component, BlockDeviceClient::INFO);
            all.map(|(_, _, bytes)| bytes).sum()
        })
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ (i >> 12) as u8).collect()
}

fn contents(grant: &Grant) -> Vec<u8> {
    let mut bytes = vec![0; grant.input().remaining()];
    assert_eq!(grant.input().read(&mut bytes), bytes.len());
    bytes
}

/// As a client reads who wants all of it.
fn read_all(from: &dyn BlockDevice, out: &mut OutBuf<'_>) -> Result<usize> {
    while out.remaining() > 0 {
        if from.read(out.written() as u64 / 512, out)? == 0 {
            break;
        }
    }
    Ok(out.written())
}

fn write_all(to: &dyn BlockDevice, data: &mut InBuf<'_>) -> Result<usize> {
    let all = data.remaining();
    while data.remaining() > 0 {
        to.write((all - data.remaining()) as u64 / 512, false, data)?;
    }
    Ok(all)
}

#[test]
fn a_granted_payload_crosses_two_borders_in_one_message_each_and_no_copy() {
    let chain = Chain::new(true);
    let mut grant = chain.pool.take(MIB).expect("room");
    let windows = chain.channels.each_ref().map(|(channel, _)| channel.window(0));
    for window in windows {
        assert_eq!(window.output(BULK).write(&[0x55; BULK]), BULK);
    }
    assert_eq!(chain.far.read(0, &mut grant.output()), Ok(MIB));
    assert!(contents(&grant) == pattern(MIB), "all bytes are there");
    assert_eq!((chain.messages(), chain.copied()), ([1, 1], [0, 0]));

    // Back, to another place.
    assert_eq!(chain.far.write(MIB as u64 / 512, false, &mut grant.input()), Ok(MIB));
    assert_eq!((chain.messages(), chain.copied()), ([2, 2], [0, 0]));
    let mut again = vec![0; MIB];
    assert_eq!(chain.near.read(MIB as u64 / 512, &mut OutBuf::new(&mut again)), Ok(MIB));
    assert!(again == pattern(MIB));
    for window in windows {
        let mut bytes = [0; BULK];
        window.input(BULK).read(&mut bytes);
        assert!(bytes[8..].iter().all(|byte| *byte == 0x55), "nothing but an offset went through the window");
    }
}

#[test]
fn without_a_pool_the_same_buffer_is_copied_piece_by_piece() {
    let chain = Chain::new(false);
    let mut grant = chain.pool.take(MIB).expect("room");
    assert_eq!(chain.far.read(0, &mut grant.output()), Ok(BULK), "as much as a message carries");
    let pieces = (MIB / BULK) as u64;
    assert_eq!(read_all(&*chain.far, &mut grant.output()), Ok(MIB));
    assert_eq!((chain.messages(), chain.copied()), ([1 + pieces; 2], [2 * (MIB + BULK) as u64; 2]));
    assert!(contents(&grant) == pattern(MIB));
}

#[test]
fn every_way_to_a_device_gives_the_same_bytes_for_the_same_buffer() {
    let disk = || -> Arc<dyn BlockDevice> { Arc::new(Disk(Mutex::new(pattern(2 * MIB)))) };
    let threads: Arc<dyn BlockDevice> =
        Arc::new(BlockDeviceClient::new(connect(Handle::new(disk()).serve(), "disk", 2, ME)));
    let (granted, copied) = (Chain::new(true), Chain::new(false));
    for len in [0, 512, 4096, BULK, BULK + 512, MIB] {
        for device in [&disk(), &threads, &granted.far, &copied.far] {
            let mut grant = granted.pool.take(len).expect("room");
            assert_eq!(read_all(&**device, &mut grant.output()), Ok(len));
            assert!(contents(&grant) == pattern(len), "{len} bytes read");
            let data: Vec<u8> = pattern(len).into_iter().map(|byte| !byte).collect();
            grant.output().write(&data);
            assert_eq!(write_all(&**device, &mut grant.input()), Ok(len));
            grant.output().write(&pattern(len));
            assert_eq!(read_all(&**device, &mut grant.output()), Ok(len));
            assert!(contents(&grant) == data, "{len} bytes written and read");
            // As it was before, for the next length.
            grant.output().write(&pattern(len));
            assert_eq!(write_all(&**device, &mut grant.input()), Ok(len));
        }
    }
}

#[test]
fn a_part_of_a_grant_is_granted_where_it_lies() {
    let chain = Chain::new(true);
    let mut grant = chain.pool.take(8192).expect("room");
    grant.output().write(&[1; 8192]);
    let mut room = grant.output();
    room.with_part(512, |_| ());
    room.write(&[9; 1000]);
    assert_eq!(room.with_part(512, |part| chain.far.read(0, part)), Ok(512));
    let bytes = contents(&grant);
    assert!(bytes[..1000] == [9; 1000] && bytes[1000..1512] == pattern(512)[..] && bytes[1512..] == [1; 6680]);
    let mut data = grant.input();
    data.skip(1000);
    assert_eq!(chain.far.write(1, false, &mut data.split(512)), Ok(512));
    let mut back = [0; 512];
    assert_eq!(chain.near.read(1, &mut OutBuf::new(&mut back)), Ok(512));
    assert!(back == pattern(512)[..]);
    assert_eq!((chain.messages(), chain.copied()), ([2, 2], [0, 0]));
    // A slice lies in no pool.
    assert_eq!(chain.far.read(0, &mut OutBuf::new(&mut back)), Ok(512));
    assert_eq!(chain.copied(), [1024, 1024]);
}

#[test]
fn a_server_refuses_what_does_not_lie_in_a_pool_that_it_maps() {
    let chain = Chain::new(true);
    let (channel, _) = &chain.channels[1];
    let port = ChannelPort::new(channel.clone(), Wait::Adaptive);
    let read = BlockDeviceClient::INFO.operations.iter().find(|operation| operation.name == "read").expect("it is one");
    let ask = |status: i16, offset: u64, bulk: u32| {
        let slot = port.claim().expect("free");
        slot.window.output(8).write(&offset.to_ne_bytes());
        let mut message = Message { operation: read.number, status, bulk, ..Message::default() };
        assert_eq!(port.exchange(&slot, read, &mut message), Exchange::Replied);
        port.release(slot);
        message.status
    };
    let refused = Errno::EBADMSG as i16;
    let end = 4 * MIB as u64;
    for (pool, offset, bulk) in [
        (2, end, 1),
        (2, end - 511, 512),
        (2, end + 1, 0),
        (2, u64::MAX, 1),
        (2, u64::MAX, u32::MAX),
        (2, u64::MAX - 511, 512),
        (2, 0, u32::MAX),
        (1, 4096, 512),
        (3, 0, 512),
        (i16::MAX, 0, 512),
        (-1, 0, 512),
        (i16::MIN, 0, 512),
    ] {
        assert_eq!(ask(pool, offset, bulk), refused, "pool {pool}, {bulk} bytes at {offset:#x}");
    }
    assert_eq!(chain.channels[0].1.count(&chain.channels[0].0), 0, "none of it went further");
    assert_eq!(ask(2, end - 512, 512), 0);
    let mut grant = chain.pool.take(512).expect("room");
    assert_eq!(chain.far.read(0, &mut grant.output()), Ok(512), "the server lives");
}

#[test]
fn a_granted_call_is_made_again_after_its_servers_death() {
    let bell = Bell::new().expect("shared memory");
    let pool = channel::pool(MIB).expect("shared memory");
    let channel = Channel::new("kd-test", &bell).expect("shared memory").with_pools(std::slice::from_ref(&pool));
    let client = KindsClient::new(Arc::new(ChannelPort::new(channel.clone(), Wait::Block)));
    let mut grant = pool.take(300_000).expect("room");
    grant.output().write(&pattern(300_000));
    let expected = Honest::default().input(1, usize::MAX, &mut InBuf::new(&pattern(300_000)));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.input(1, usize::MAX, &mut grant.input()));
        let first = loop {
            if let Some(call) = channel::stuck(&channel).next() {
                break call;
            }
        };
        channel.taken()[first.slot].store(first.sequence, SeqCst);
        channel.window(first.slot).output(8).write(&[0xff; 8]);
        channel::scrub(&channel);
        let honest: Arc<dyn Kinds> = Arc::new(Honest::default());
        Threads::new(vec![(channel.clone(), ME)], bell, Handle::new(honest).serve(), Wait::Block, 2).start();
        assert_eq!(call.join().expect("no panic"), expected);
    });
    assert_eq!(channel.counters().repeated.load(SeqCst), 1);
}

#[test]
fn a_submitted_call_is_copied_since_its_buffer_may_go_first() {
    let chain = Chain::new(true);
    let mut grant = chain.pool.take(MIB).expect("room");
    assert_eq!(chain.far.submit_read(0, grant.output()).complete(), Ok(BULK));
    assert_eq!((chain.messages(), chain.copied()), ([1, 1], [2 * BULK as u64; 2]));
    assert!(contents(&grant)[..BULK] == pattern(BULK)[..]);
}
