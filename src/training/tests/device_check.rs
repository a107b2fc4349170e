//! The device check: what it looks at, what it names, and what it keeps from training.

use std::cell::Cell;

use boxwright_core::run::ProgressEvent;
use boxwright_kernels::LayerShape;
use burn::tensor::{DType, Device, Tensor};

use crate::TrainingError;
use crate::device::{DeviceChoice, DeviceInfo, find_device};
use crate::device_check::{
    CheckReport, CheckScope, Side, VerdictStore, check_device, check_sides, quick_shapes, require_with, template_shapes,
};
use crate::progress::ProgressSink;

/// Keeps what was said, and asks to stop after so many words about the progress.
#[derive(Default)]
struct Listener {
    said: Vec<String>,
    words: Cell<u64>,
    stop_after: Option<u64>,
}

impl ProgressSink for Listener {
    fn event(&mut self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Warning { message } => self.said.push(message.clone()),
            _ => self.words.set(self.words.get() + 1),
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop_after.is_some_and(|limit| self.words.get() >= limit)
    }
}

fn adapter(driver: &str) -> DeviceInfo {
    DeviceInfo {
        id: "gpu:0".into(),
        name: "A card".into(),
        backend: "vulkan".into(),
        kind: "discrete".into(),
        memory: None,
        driver: driver.into(),
    }
}

/// Computes a layer of its input and parameters.
type Operator<'a> = dyn Fn(&LayerShape, Tensor<4>, &[Tensor<4>]) -> Vec<Tensor<4>> + 'a;

/// The quick set of a device whose operators are these.
fn check_with(operator: &Operator<'_>) -> CheckReport {
    let cpu = Device::flex();
    let (reference, tested) = (Side::new(&cpu, DType::F32), Side::with_operator(&cpu, DType::F32, operator));
    check_sides(adapter("1.0"), "the CPU", &reference, &tested, &CheckScope::Quick, &mut Listener::default())
        .expect("the quick set needs no model")
}

/// One percent too much of the depthwise convolution's result, not of its gradients.
fn wrong_depthwise(shape: &LayerShape, x: Tensor<4>, parameters: &[Tensor<4>]) -> Vec<Tensor<4>> {
    let mut results = shape.apply(x, parameters);
    if shape.kind() == "depthwise convolution" {
        results[0] = results[0].clone() + results[0].clone().detach() * 0.01;
    }
    results
}

#[test]
fn a_wrong_kernel_is_named_with_its_shape_and_direction() {
    let report = check_with(&wrong_depthwise);
    let wrong: Vec<_> = report.disagreements.iter().map(|d| (d.layer.as_str(), d.part.as_str())).collect();
    let expected: Vec<String> = quick_shapes()
        .iter()
        .filter(|shape| shape.kind() == "depthwise convolution")
        .map(ToString::to_string)
        .collect();
    assert_eq!(expected.len(), 2);
    assert_eq!(wrong, expected.iter().map(|layer| (layer.as_str(), "forward")).collect::<Vec<_>>());
    assert!(report.disagreements.iter().all(|d| (d.deviation - 0.01).abs() < 1e-4), "{:?}", report.disagreements);
    assert_eq!(report.shapes, quick_shapes().len());
}

#[test]
fn a_wrong_gradient_is_named_although_the_result_is_right() {
    let report = check_with(&|shape, x, parameters| {
        let mut results = shape.apply(x, parameters);
        if shape.kind() == "fully connected" {
            results[0] = results[0].clone() * 1.01 - results[0].clone().detach() * 0.01;
        }
        results
    });
    let parts: Vec<&str> = report.disagreements.iter().map(|d| d.part.as_str()).collect();
    assert_eq!(parts, ["gradient of the input", "gradient of the weight", "gradient of the bias"]);
}

#[test]
fn a_kernel_that_crashes_is_named_and_ends_nothing() {
    let report = check_with(&|shape, x, parameters| {
        assert!(shape.kind() != "max pool", "the driver is gone");
        shape.apply(x, parameters)
    });
    assert_eq!(report.disagreements.len(), 1);
    let named = report.disagreements[0].to_string();
    assert!(named.starts_with("max pool 3x3, stride 2") && named.contains("the driver is gone"), "{named}");
    assert_eq!(report.shapes, quick_shapes().len());
}

#[test]
fn a_device_that_crashes_again_and_again_is_given_up() {
    let report = check_with(&|_, _, _| panic!("lost"));
    assert_eq!((report.shapes, report.of), (3, quick_shapes().len()));
}

#[test]
fn the_cpu_agrees_with_burn_in_f64() {
    let report =
        check_device(DeviceChoice::Cpu, &CheckScope::Quick, &mut Listener::default()).expect("the CPU is always there");
    assert!(report.agrees(), "{:?}", report.disagreements);
    assert!(report.kinds.iter().all(|row| row.deviation < 1e-5), "far from what f32 can: {:?}", report.kinds);
    let kinds: Vec<&str> = report.kinds.iter().map(|row| row.kind).collect();
    assert_eq!(kinds.len(), 13, "one row a kind of layer: {kinds:?}");
}

/// The quick set on whatever adapter is there; the first run compiles its shaders.
#[test]
fn an_adapter_agrees_with_the_cpu() {
    match check_device(DeviceChoice::Adapter(0), &CheckScope::Quick, &mut Listener::default()) {
        Err(error) => println!("skipped: {error}"),
        Ok(report) => assert!(report.agrees(), "{:?}", report.disagreements),
    }
}

#[test]
fn a_check_stops_between_two_layers() {
    let mut listener = Listener { stop_after: Some(4), ..Listener::default() };
    let report = check_device(DeviceChoice::Cpu, &CheckScope::Quick, &mut listener).expect("stopped is no error");
    assert!(report.stopped && report.agrees());
    assert_eq!((report.shapes, report.of), (4, quick_shapes().len()));
}

#[test]
fn the_layers_of_a_model_are_those_that_it_calls() {
    let of = |name: &str| template_shapes(name).expect("a template");
    let kinds = |shapes: &[LayerShape]| {
        let mut kinds: Vec<&str> = shapes.iter().map(LayerShape::kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let ssd = of("ssd_mobilenet_v2");
    assert_eq!(ssd[0].input(), [2, 3, 300, 300]);
    let folded = ["folded convolution", "folded depthwise convolution"];
    for kind in ["convolution", "depthwise convolution", "batch norm"].iter().chain(&folded) {
        assert!(kinds(&ssd).contains(kind), "{kind} is not among {:?}", kinds(&ssd));
    }
    // The first block with a stride: 96 channels at 150 rows, of which the last is padded.
    let strided = LayerShape::to_string;
    assert!(
        ssd.iter().map(strided).any(|s| s.starts_with("depthwise convolution 3x3, stride 2, padding 0 1 0 1 of 2x")),
        "{:?}",
        ssd.iter().map(strided).collect::<Vec<_>>()
    );
    let two_stages = of("faster_rcnn_inception_v2");
    for kind in ["crop and resize", "fully connected", "max pool", "mean pool"] {
        assert!(kinds(&two_stages).contains(&kind), "{kind} is not among {:?}", kinds(&two_stages));
    }
    assert!(kinds(&of("ssd_vgg16_reduced")).contains(&"dilated convolution"));
    assert!(template_shapes("no_such_model").is_err_and(|e| e.to_string().contains("ssd_mobilenet_v2")));
}

/// A report that says `wrong` of the adapter.
fn report(device: &DeviceInfo, wrong: bool) -> CheckReport {
    let report = check_with(if wrong { &wrong_depthwise } else { &|shape, x, w| shape.apply(x, w) });
    CheckReport { device: device.clone(), ..report }
}

#[test]
fn training_is_refused_on_a_device_that_disagrees() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = VerdictStore::in_folder(&folder.path().join("cache"));
    let device = adapter("1.0");
    assert_eq!(store.words(&device), "not checked yet");

    let mut listener = Listener::default();
    let error = require_with(&device, &store, &mut listener, |_| Ok(report(&device, true))).expect_err("it disagrees");
    let said = error.to_string();
    for part in ["A card", "depthwise convolution 3x3", "forward", "--device cpu", "devices --check"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(listener.said[0].contains("comparing its layers"), "{:?}", listener.said);
    assert!(store.words(&device).starts_with("disagrees: depthwise convolution"), "{}", store.words(&device));

    // It is remembered: nothing is checked again.
    let again = require_with(&device, &store, &mut Listener::default(), |_| unreachable!("it is known"));
    assert_eq!(again.map_err(|e| e.to_string()), Err(said));

    // Another driver is another matter.
    let updated = adapter("1.1");
    let mut listener = Listener::default();
    require_with(&updated, &store, &mut listener, |_| Ok(report(&updated, false))).expect("it agrees");
    assert!(listener.said[1].contains("agrees with the CPU"), "{:?}", listener.said);
    assert_eq!((store.words(&updated).as_str(), store.get(&device).is_some()), ("checked", true));
    require_with(&updated, &store, &mut Listener::default(), |_| unreachable!("it is known")).expect("it agreed");
}

#[test]
fn the_cpu_needs_no_check_and_a_stopped_check_begins_no_training() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = VerdictStore::in_folder(folder.path());
    let cpu = find_device(DeviceChoice::Cpu).expect("the CPU is always there");
    require_with(&cpu, &store, &mut Listener::default(), |_| unreachable!("the CPU is what others are compared with"))
        .expect("the CPU may train");
    assert_eq!(store.words(&cpu), "");

    let device = adapter("1.0");
    let stopped = CheckReport { stopped: true, shapes: 3, ..report(&device, false) };
    let error = require_with(&device, &store, &mut Listener::default(), |_| Ok(stopped));
    assert!(matches!(error, Err(TrainingError::Device(said)) if said.contains("3 of")));
    assert_eq!(store.words(&device), "not checked yet");
}

#[test]
fn a_small_check_that_passes_does_not_take_back_what_a_large_one_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = VerdictStore::in_folder(folder.path());
    let device = adapter("1.0");
    let keep = |scope: CheckScope, wrong: bool| {
        store.keep(&CheckReport { scope, ..report(&device, wrong) }).expect("written");
        store.get(&device).map(|verdict| (verdict.scope.clone(), verdict.agrees()))
    };
    assert_eq!(keep(CheckScope::All, true), Some((CheckScope::All, false)));
    assert_eq!(keep(CheckScope::Quick, false), Some((CheckScope::All, false)));
    assert_eq!(keep(CheckScope::Model("ssd_mobilenet_v2".into()), false), Some((CheckScope::All, false)));
    assert_eq!(keep(CheckScope::All, false), Some((CheckScope::All, true)));
    assert_eq!(keep(CheckScope::Quick, true), Some((CheckScope::Quick, false)));
    assert_eq!(keep(CheckScope::Quick, false), Some((CheckScope::Quick, true)));

    std::fs::write(folder.path().join("device-checks.json"), b"[{\"adapter\": 7").expect("written");
    assert_eq!(store.words(&device), "not checked yet", "a damaged file counts as none");
    assert_eq!(keep(CheckScope::Quick, false), Some((CheckScope::Quick, true)));
}
