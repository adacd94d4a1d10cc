//! The clock: one for the kernels, the apps and the harness, since all of them compare times.

/// Nanoseconds of the host's `CLOCK_MONOTONIC`, the same in every process. Safe in a signal handler.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is live and writable; this clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Ticks of the processor's time-stamp counter; `None` where there is none that we know how to read.
pub fn ticks() -> Option<u64> {
    // SAFETY: every x86-64 processor has the instruction, and Linux does not forbid it to processes.
    #[cfg(target_arch = "x86_64")]
    return Some(unsafe { std::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Nanoseconds since 1970, as files are dated: from the coarse clock, as Linux dates them, since a write asks for it.
pub fn today() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds since 1970, exactly: the coarse clock says the same for milliseconds, in which a server may be started twice.
pub fn today_exactly() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn says_nothing_twice_where_it_is_exact() {
        let said: std::collections::BTreeSet<u64> = (0..1000).map(|_| super::today_exactly()).collect();
        assert!(said.len() > 500, "{} of 1000 readings differ", said.len());
        assert!(said.iter().all(|time| time.abs_diff(super::today()) < 10_000_000_000));
    }

    #[test]
    fn is_the_monotonic_clock_and_never_steps_back() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("two numbers");
        let first = super::now();
        // A suspended host counts on in its uptime, never in this clock.
        assert!(first as f64 / 1e9 < seconds + 1.0, "{first} ns against {seconds} s");
        assert!(super::now() >= first);
    }

    #[test]
    fn ticks_go_on() {
        assert_eq!(super::ticks().is_some(), cfg!(target_arch = "x86_64"));
        let first = super::ticks();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(super::ticks() > first || first.is_none());
    }
}
