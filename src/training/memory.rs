//! How much memory this process has held, and how much it can still have.

/// The most memory that this process has held at once, in bytes; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub fn peak_resident_bytes() -> Option<u64> {
    bytes_of("VmHWM:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The most memory that this process has held at once; not asked for on this system.
#[cfg(not(target_os = "linux"))]
pub fn peak_resident_bytes() -> Option<u64> {
    None
}

/// The memory that a process can still have, in bytes: what the system has free, within the limit of its control group.
/// `None` where the system does not say.
pub(crate) fn available_memory() -> Option<u64> {
    let system = bytes_of("MemAvailable:", &std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let number =
        |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    let group = number("memory.max").map(|most| most.saturating_sub(number("memory.current").unwrap_or(0)));
    Some(group.map_or(system, |group| group.min(system)))
}

/// The line of this name in a file of `/proc`, which is in kibibytes.
fn bytes_of(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let high_water_mark = |text: &str| bytes_of("VmHWM:", text);
        assert_eq!(high_water_mark("Name:\ta\nVmHWM:\t   2048 kB\nVmRSS:\t 4 kB\n"), Some(2 << 20));
        assert_eq!(high_water_mark("Name:\ta\n"), None);
        assert_eq!(high_water_mark("VmHWM:\t18446744073709551615 kB\n"), None);
        assert_eq!(bytes_of("MemAvailable:", "MemTotal: 9 kB\nMemAvailable:   3 kB\n"), Some(3072));
        assert_eq!(bytes_of("MemAvailable:", "MemTotal: 9 kB\n"), None);
    }
}
