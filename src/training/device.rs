//! The devices a run can use, and how a person names them.
//!
//! The CPU is always there, through burn's flex backend with our own kernels. Every other device is
//! an adapter of the graphics system, through burn's wgpu backend. A software adapter (a CPU that
//! plays GPU) is listed but never chosen by itself: it computes the same numbers a hundred times slower.

use std::str::FromStr;
use std::sync::OnceLock;

use burn::tensor::{Device, DeviceKind};
use serde::Serialize;

use crate::error::TrainingError;

/// One device, as `boxwright devices` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// What `--device` calls it: `cpu`, `gpu:0`, …
    pub id: String,
    /// Its name.
    pub name: String,
    /// The graphics system, or `flex` for the CPU.
    pub backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Its memory in bytes, where the system says it.
    pub memory: Option<u64>,
    /// The driver and its version; empty for the CPU.
    pub driver: String,
}

impl DeviceInfo {
    /// Whether it is the CPU itself, which needs no adapter.
    pub fn is_cpu(&self) -> bool {
        self.kind == "cpu"
    }

    /// Whether it is a GPU, and not a CPU that plays one.
    pub fn is_gpu(&self) -> bool {
        !self.is_cpu() && self.kind != "software"
    }
}

/// What is said of CUDA in a program that was built without it.
const NO_CUDA: &str = "this program was built without CUDA; take --device gpu, which reaches an NVIDIA GPU through Vulkan, \
                       or build with --features cuda";

/// What `--device` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first real GPU, or the CPU where there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first real GPU.
    Gpu,
    /// The adapter with this number in the list, software adapters included.
    Adapter(usize),
    /// The NVIDIA GPU with this number, through CUDA; in programs that were built with it.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ if word.starts_with("cuda") && !cfg!(feature = "cuda") => Err(NO_CUDA.to_owned()),
            "cuda" => Ok(Self::Cuda(0)),
            _ if word.starts_with("cuda:") => {
                word[5..].parse().map(Self::Cuda).map_err(|_| format!("\"{word}\" is no device; cuda:N wants a number"))
            }
            _ => word.strip_prefix("gpu:").and_then(|n| n.parse().ok()).map(Self::Adapter).ok_or_else(|| {
                format!("\"{word}\" is no device; use auto, cpu, gpu, gpu:N with N from `boxwright devices`, or cuda:N")
            }),
        }
    }
}

/// All devices, the CPU first.
pub fn list_devices() -> Vec<DeviceInfo> {
    let adapters = adapters();
    std::iter::once(cpu_info()).chain(adapters.iter().enumerate().map(|(i, adapter)| info(i, adapter))).collect()
}

/// The device asked for, as [`list_devices`] lists it.
///
/// # Errors
/// There is no such device.
pub fn find_device(choice: DeviceChoice) -> Result<DeviceInfo, TrainingError> {
    if let DeviceChoice::Cuda(index) = choice {
        return Ok(cuda::open(index)?.1);
    }
    Ok(find(choice)?.map_or_else(cpu_info, |index| info(index, &adapters()[index])))
}

/// Opens the device asked for. The text is what a log says of it.
///
/// # Errors
/// There is no such device.
pub fn open_device(choice: DeviceChoice) -> Result<(Device, String), TrainingError> {
    if let DeviceChoice::Cuda(index) = choice {
        let (device, info) = cuda::open(index)?;
        return Ok((device, info.name));
    }
    let Some(index) = find(choice)? else { return Ok((Device::flex(), "CPU (flex)".into())) };
    let adapters = adapters();
    let adapter = &adapters[index];
    // burn counts the adapters of each kind by themselves.
    let nth = adapters[..index].iter().filter(|a| a.device_type == adapter.device_type).count();
    let kind = match adapter.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(nth),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(nth),
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(nth),
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        wgpu::DeviceType::Other => DeviceKind::DefaultDevice,
    };
    Ok((Device::wgpu(kind), format!("{} ({})", adapter.name, adapter.backend.to_str())))
}

/// NVIDIA's GPUs without a graphics system between.
mod cuda {
    use super::{DeviceInfo, TrainingError};
    use burn::tensor::Device;

    /// Opens a GPU, and makes it work once: a driver that is missing shows only then.
    #[cfg(feature = "cuda")]
    pub fn open(index: usize) -> Result<(Device, DeviceInfo), TrainingError> {
        use burn::tensor::Tensor;
        let opened = std::panic::catch_unwind(|| {
            let device = Device::cuda(index);
            let sum = Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
            (sum == 4.0).then_some(device)
        });
        let Ok(Some(device)) = opened else {
            return Err(TrainingError::Device(format!(
                "CUDA cannot use GPU {index}; see that `nvidia-smi` lists it, or take --device gpu, which goes through Vulkan"
            )));
        };
        let info = DeviceInfo {
            id: format!("cuda:{index}"),
            name: format!("NVIDIA GPU {index} (CUDA)"),
            backend: "cuda".into(),
            kind: "discrete".into(),
            memory: None,
            driver: String::new(),
        };
        Ok((device, info))
    }

    /// There is none in this program.
    #[cfg(not(feature = "cuda"))]
    pub fn open(_: usize) -> Result<(Device, DeviceInfo), TrainingError> {
        Err(TrainingError::Device(super::NO_CUDA.into()))
    }
}

fn cpu_info() -> DeviceInfo {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    DeviceInfo {
        id: "cpu".into(),
        name: format!("CPU, {threads} thread{}", if threads == 1 { "" } else { "s" }),
        backend: "flex".into(),
        kind: "cpu".into(),
        memory: physical_memory(),
        driver: String::new(),
    }
}

fn info(index: usize, adapter: &wgpu::AdapterInfo) -> DeviceInfo {
    DeviceInfo {
        id: format!("gpu:{index}"),
        name: adapter.name.clone(),
        backend: adapter.backend.to_str().to_owned(),
        kind: kind_of(adapter.device_type).to_owned(),
        memory: None,
        driver: format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned(),
    }
}

/// Which of the adapters is asked for; `None` for the CPU.
fn find(choice: DeviceChoice) -> Result<Option<usize>, TrainingError> {
    if choice == DeviceChoice::Cpu || (choice == DeviceChoice::Auto && !may_have_gpu()) {
        return Ok(None);
    }
    let adapters = adapters();
    let real = || adapters.iter().position(|a| a.device_type != wgpu::DeviceType::Cpu);
    Ok(match choice {
        DeviceChoice::Cpu | DeviceChoice::Cuda(_) => None,
        DeviceChoice::Auto => real(),
        DeviceChoice::Gpu => Some(real().ok_or_else(|| {
            let others: Vec<_> = adapters.iter().enumerate().map(|(i, a)| format!("gpu:{i} ({})", a.name)).collect();
            TrainingError::Device(if others.is_empty() {
                "no GPU was found; use --device cpu, or install the GPU's Vulkan driver".into()
            } else {
                format!(
                    "no GPU was found, only the software adapter {}; use --device cpu, which is faster",
                    others.join(", ")
                )
            })
        })?),
        DeviceChoice::Adapter(index) if index < adapters.len() => Some(index),
        DeviceChoice::Adapter(index) => {
            return Err(TrainingError::Device(format!(
                "there is no gpu:{index}; `boxwright devices` lists {} adapter(s)",
                adapters.len()
            )));
        }
    })
}

/// Whether the system has a device file that a GPU's driver makes. Without one only software adapters are found, and looking
/// for them loads a compiler, which takes longer than detecting what is in a picture.
#[cfg(target_os = "linux")]
fn may_have_gpu() -> bool {
    const DRIVERS: [&str; 4] = ["/dev/dri", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg"];
    DRIVERS.iter().any(|file| std::path::Path::new(file).exists())
}

/// Whether there may be a GPU; elsewhere only the graphics system knows.
#[cfg(not(target_os = "linux"))]
fn may_have_gpu() -> bool {
    true
}

/// The adapters of the graphics system that burn would choose: the first that has any. The system is asked once in a
/// process, as loading its drivers takes a while.
fn adapters() -> &'static [wgpu::AdapterInfo] {
    static ADAPTERS: OnceLock<Vec<wgpu::AdapterInfo>> = OnceLock::new();
    ADAPTERS.get_or_init(enumerate)
}

fn enumerate() -> Vec<wgpu::AdapterInfo> {
    let systems = [wgpu::Backends::METAL, wgpu::Backends::VULKAN, wgpu::Backends::DX12, wgpu::Backends::GL];
    systems
        .into_iter()
        .map(|backends| {
            let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
                backends,
                ..wgpu::InstanceDescriptor::new_without_display_handle()
            });
            pollster::block_on(instance.enumerate_adapters(backends)).iter().map(wgpu::Adapter::get_info).collect()
        })
        .find(|found: &Vec<_>| !found.is_empty())
        .unwrap_or_default()
}

fn kind_of(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

/// The machine's memory in bytes, where the system says it.
#[cfg(unix)]
pub fn physical_memory() -> Option<u64> {
    // SAFETY: sysconf only reads; it answers -1 for what it does not know.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).ok()?.checked_mul(u64::try_from(size).ok()?)
}

/// The machine's memory; not asked on this system.
#[cfg(not(unix))]
pub fn physical_memory() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_the_help_says() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("gpu:3".parse(), Ok(DeviceChoice::Adapter(3)));
        if cfg!(feature = "cuda") {
            assert_eq!(("cuda".parse(), "cuda:2".parse()), (Ok(DeviceChoice::Cuda(0)), Ok(DeviceChoice::Cuda(2))));
            assert!("cuda:first".parse::<DeviceChoice>().is_err_and(|e| e.contains("number")));
        } else {
            assert!("cuda:2".parse::<DeviceChoice>().is_err_and(|e| e.contains("--features cuda")));
        }
        assert!("tpu".parse::<DeviceChoice>().is_err_and(|e| e.contains("gpu:N")));
    }

    #[test]
    fn the_cpu_is_always_there_and_an_absent_adapter_is_an_error() {
        assert_eq!(list_devices()[0].id, "cpu");
        assert!(open_device(DeviceChoice::Cpu).is_ok());
        assert!(open_device(DeviceChoice::Adapter(999)).is_err_and(|e| e.to_string().contains("gpu:999")));
        assert!(open_device(DeviceChoice::Cuda(999)).is_err_and(|e| e.to_string().contains("CUDA")));
        assert!(find_device(DeviceChoice::Cuda(999)).is_err());
    }
}
