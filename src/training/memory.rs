//! How much memory this process has held.

/// The most memory that this process has held at once, in bytes; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub fn peak_resident_bytes() -> Option<u64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The most memory that this process has held at once; not asked for on this system.
#[cfg(not(target_os = "linux"))]
pub fn peak_resident_bytes() -> Option<u64> {
    None
}

/// `VmHWM` of `/proc/self/status`, which is in kibibytes.
#[cfg(any(target_os = "linux", test))]
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(high_water_mark("Name:\ta\nVmHWM:\t   2048 kB\nVmRSS:\t 4 kB\n"), Some(2 << 20));
        assert_eq!(high_water_mark("Name:\ta\n"), None);
        assert_eq!(high_water_mark("VmHWM:\t18446744073709551615 kB\n"), None);
    }
}
