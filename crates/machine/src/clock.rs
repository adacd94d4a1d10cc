//! The clock: one for the kernels, the apps and the harness, since all of them compare times.

/// Nanoseconds of the host's `CLOCK_MONOTONIC`, the same in every process. Safe in a signal handler.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is live and writable; this clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds since 1970, as files are dated: from the coarse clock, as Linux dates them, since a write asks for it.
pub fn today() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_the_monotonic_clock_and_never_steps_back() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("two numbers");
        let first = super::now();
        // A suspended host counts on in its uptime, never in this clock.
        assert!(first as f64 / 1e9 < seconds + 1.0, "{first} ns against {seconds} s");
        assert!(super::now() >= first);
    }
}
