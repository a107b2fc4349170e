//! What can train here: the answer of `boxwright devices --json`, asked once in the background.
//!
//! The list comes from a child process because asking a graphics driver can hang or crash, and the
//! window must do neither.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde::Deserialize;

use crate::job::Waker;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeviceView {
    /// What `--device` calls it: `cpu`, `gpu:0`, …
    #[serde(default)]
    pub id: String,
    /// Its name.
    pub name: String,
    /// The system that drives it.
    #[serde(default)]
    pub backend: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software` or `other`.
    #[serde(default)]
    pub kind: String,
    /// Its memory in bytes, where that is known.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Whether it computes what the CPU computes: `checked`, `disagrees: …` or `not checked yet`; empty for the CPU.
    #[serde(default)]
    pub check: String,
}

impl DeviceView {
    /// Whether a check found that it does not compute what the CPU computes, so that training on it is refused.
    pub fn disagrees(&self) -> bool {
        self.check.starts_with("disagrees")
    }

    /// Whether nobody has looked yet.
    fn is_unchecked(&self) -> bool {
        self.check == "not checked yet"
    }
}

/// The list, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    list: Vec<DeviceView>,
    waiting: Option<Receiver<Vec<DeviceView>>>,
    asked: bool,
}

impl Devices {
    /// Starts asking, once.
    pub fn ask(&mut self, program: &Path, wake: &Waker) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let (sender, receiver) = channel();
        self.waiting = Some(receiver);
        let (program, wake) = (program.to_owned(), wake.clone());
        std::thread::spawn(move || {
            // Nobody listens any more where the session is gone.
            let _ = sender.send(ask(&program));
            wake.wake();
        });
    }

    /// Asks again after a training, which checks an adapter that nobody had looked at.
    pub fn ask_again(&mut self, program: &Path, wake: &Waker) {
        if self.list.iter().any(DeviceView::is_unchecked) {
            self.asked = false;
            self.ask(program, wake);
        }
    }

    /// Takes the answer in; true if it came.
    pub fn poll(&mut self) -> bool {
        let Some(list) = self.waiting.as_ref().and_then(|w| w.try_recv().ok()) else { return false };
        self.list = list;
        self.waiting = None;
        true
    }

    pub fn list(&self) -> &[DeviceView] {
        &self.list
    }
}

fn ask(program: &Path) -> Vec<DeviceView> {
    let output = Command::new(program)
        .args(["devices", "--json"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let list = output.map(|output| parse(&output.stdout)).unwrap_or_default();
    if list.is_empty() { vec![cpu()] } else { list }
}

/// The list of the program; a device without an id is named by its place.
fn parse(json: &[u8]) -> Vec<DeviceView> {
    let mut list: Vec<DeviceView> = serde_json::from_slice(json).unwrap_or_default();
    let mut gpus = 0;
    for device in &mut list {
        let id = if device.kind == "cpu" {
            "cpu".to_owned()
        } else {
            gpus += 1;
            format!("gpu:{}", gpus - 1)
        };
        if device.id.is_empty() {
            device.id = id;
        }
    }
    list
}

/// The one device that is always there.
fn cpu() -> DeviceView {
    DeviceView {
        id: "cpu".into(),
        name: "CPU".into(),
        backend: String::new(),
        kind: "cpu".into(),
        memory: None,
        check: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_get_the_names_that_the_flag_takes() {
        let list = parse(
            br#"[{"name":"CPU","backend":"flex","kind":"cpu","memory":8},
                 {"name":"A","backend":"vulkan","kind":"discrete","memory":null,"check":"checked"},
                 {"name":"B","backend":"vulkan","kind":"software","check":"disagrees: max pool"},
                 {"id":"gpu:7","name":"C","kind":"other"}]"#,
        );
        assert_eq!(list.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), ["cpu", "gpu:0", "gpu:1", "gpu:7"]);
        assert_eq!((list[0].memory, list[1].memory), (Some(8), None));
        assert_eq!(
            list.iter().map(|d| d.check.as_str()).collect::<Vec<_>>(),
            ["", "checked", "disagrees: max pool", ""]
        );
        assert_eq!(list.iter().map(DeviceView::disagrees).collect::<Vec<_>>(), [false, false, true, false]);
    }

    #[test]
    fn an_adapter_that_was_not_checked_is_asked_for_again() {
        let of = |check: &str| Devices {
            list: vec![DeviceView { check: check.into(), ..cpu() }],
            waiting: None,
            asked: true,
        };
        let mut devices = of("checked");
        devices.ask_again(Path::new("/bin/false"), &Waker::default());
        assert!(devices.waiting.is_none());
        let mut devices = of("not checked yet");
        devices.ask_again(Path::new("/bin/false"), &Waker::default());
        let answer = devices.waiting.as_ref().map(|w| w.recv_timeout(std::time::Duration::from_secs(20)));
        assert_eq!(answer, Some(Ok(vec![cpu()])));
    }

    #[test]
    fn a_program_that_fails_leaves_the_cpu() {
        assert_eq!(ask(Path::new("/nonexistent/program")), [cpu()]);
        assert_eq!(ask(Path::new("/bin/false")), [cpu()]);
        assert!(parse(b"no JSON").is_empty());
    }
}
