//! The driver over a medium of its own, without a host.

extern crate std;

use std::sync::Mutex as StdMutex;
use std::vec;
use std::vec::Vec;

use super::*;

struct Bytes(StdMutex<Vec<u8>>);

impl Medium for Bytes {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(out.write(&self.0.lock().unwrap()[offset as usize..]))
    }
    fn write(&self, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        Ok(data.read(&mut self.0.lock().unwrap()[offset as usize..]))
    }
}

/// A disk of four sectors and a half.
fn disk(parameters: &[(&str, u64)]) -> Ramdisk {
    let medium = Box::leak(Box::new(Bytes(StdMutex::new(vec![0; 9 * SECTOR / 2]))));
    let env = DriverEnv { medium: Some(medium), device: None, parameters };
    Ramdisk::probe(&env, &Parameters::given(&env)).unwrap()
}

fn read(disk: &Ramdisk, sector: u64, len: usize) -> Result<Vec<u8>> {
    let mut room = vec![0xEE; len];
    let count = disk.read(sector, &mut OutBuf::new(&mut room))?;
    room.truncate(count);
    Ok(room)
}

#[test]
fn stores_sectors_and_counts_requests() {
    let disk = disk(&[]);
    assert_eq!(disk.capacity(), Ok(4));
    assert_eq!(disk.write(2, false, &mut InBuf::new(&[7; 2 * SECTOR])), Ok(2 * SECTOR));
    assert_eq!(read(&disk, 1, 2 * SECTOR).unwrap(), [[0; SECTOR], [7; SECTOR]].concat());
    let statistics = disk.statistics.lock();
    assert_eq!([statistics.sectors_read, statistics.sectors_written, statistics.writes], [2, 2, 1]);
}

#[test]
fn refuses_what_is_no_sector_and_what_lies_beyond_the_end() {
    let disk = disk(&[]);
    assert_eq!(read(&disk, 0, SECTOR - 1), Err(Errno::EINVAL));
    assert_eq!(read(&disk, 3, 2 * SECTOR), Err(Errno::EIO));
    assert_eq!(read(&disk, u64::MAX, SECTOR), Err(Errno::EIO));
    assert_eq!(disk.write(4, false, &mut InBuf::new(&[0; SECTOR])), Err(Errno::ENOSPC));
    assert_eq!(read(&disk, 4, 0), Ok(vec![]));
    let statistics = disk.statistics.lock();
    assert_eq!([statistics.reads, statistics.writes, statistics.sectors_read], [1, 0, 0]);
}

#[test]
fn its_longest_request_is_a_parameter_and_a_medium_is_needed() {
    let disk = disk(&[("max_kb", 1)]);
    assert_eq!(read(&disk, 0, 2 * SECTOR).map(|bytes| bytes.len()), Ok(2 * SECTOR));
    assert_eq!(read(&disk, 0, 3 * SECTOR), Err(Errno::EINVAL));
    let env = DriverEnv { medium: None, device: None, parameters: &[] };
    assert_eq!(Ramdisk::probe(&env, &Parameters::given(&env)).err(), Some(Errno::ENODEV));
}
