//! Batches, prepared ahead by worker threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use boxwright_detection::Groundtruth;
use boxwright_detection::image_resizer::ImageResizer;

use super::records::RecordDataset;
use crate::augmentation::{AugmentationStep, AugmentedImage, Object, ObjectStep};
use crate::draws::Draws;
use crate::error::TrainingError;

/// What one training step needs.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The step.
    pub step: u64,
    /// `[batch, 3, height, width]`, RGB planes, 0 to 255.
    pub images: Vec<f32>,
    /// Rows and columns of each image.
    pub size: (usize, usize),
    /// Height, width and channels of each image without what a resizer has filled up.
    pub true_shapes: Vec<[usize; 3]>,
    /// The objects of each image.
    pub groundtruth: Vec<Groundtruth>,
    /// The name of each image, for messages.
    pub names: Vec<String>,
}

impl Batch {
    /// The batch in as many parts as equal in size as may be; fewer where there are fewer images.
    pub fn split(self, parts: usize) -> Vec<Self> {
        let count = self.names.len();
        if parts <= 1 || count <= 1 {
            return vec![self];
        }
        let (each, pixels) = (count.div_ceil(parts), self.images.len() / count);
        let part = |first: usize| {
            let images = first..count.min(first + each);
            Self {
                step: self.step,
                images: self.images[images.start * pixels..images.end * pixels].to_vec(),
                size: self.size,
                true_shapes: self.true_shapes[images.clone()].to_vec(),
                groundtruth: self.groundtruth[images.clone()].to_vec(),
                names: self.names[images].to_vec(),
            }
        };
        (0..count).step_by(each).map(part).collect()
    }
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// Images a batch.
    pub batch_size: usize,
    /// The steps of `data_augmentation_options`, in order.
    pub augmentation: Vec<AugmentationStep>,
    /// The model's resizer.
    pub resizer: ImageResizer,
    /// `max_number_of_boxes`: further boxes of an image are left out.
    pub max_boxes: usize,
    /// Whether the examples are shuffled anew in every epoch.
    pub shuffle: bool,
    /// The run's seed.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
}

/// The streams of draws of a run, by purpose.
const SHUFFLE: u64 = 1;
const AUGMENT: u64 = 2;

/// An epoch and the order of its examples.
type EpochOrder = Option<(u64, Vec<usize>)>;

/// How many batches may lie ready.
const AHEAD: u64 = 4;

struct State {
    /// The next step that no worker has taken.
    next: u64,
    /// The step that the model asks for next.
    wanted: u64,
    ready: BTreeMap<u64, Result<Batch, TrainingError>>,
    stopped: bool,
}

struct Shared {
    dataset: Arc<RecordDataset>,
    settings: PipelineSettings,
    end: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A worker that panicked has not left the queue half-changed: it only inserts whole batches.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Worker threads that prepare the batches of steps `begin .. end`, in order.
pub struct BatchPipeline {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    stall: Duration,
}

impl BatchPipeline {
    /// Starts the workers.
    ///
    /// # Errors
    /// The dataset is empty or the batch size is 0.
    pub fn start(
        dataset: Arc<RecordDataset>,
        settings: PipelineSettings,
        steps: std::ops::Range<u64>,
    ) -> Result<Self, TrainingError> {
        if dataset.is_empty() || settings.batch_size == 0 {
            return Err(TrainingError::Input(format!(
                "{}: nothing to train on: {} examples, batch size {}",
                dataset.name(),
                dataset.len(),
                settings.batch_size
            )));
        }
        for step in &settings.augmentation {
            if let AugmentationStep::Objects(ObjectStep::RemapLabels { new, .. }) = step
                && new.0 >= dataset.num_classes()
            {
                return Err(TrainingError::Input(format!(
                    "data_augmentation_options: remap_labels gives label {}, the model has classes 1 to {}",
                    new.0 + 1,
                    dataset.num_classes()
                )));
            }
        }
        let threads = settings.threads.max(1);
        let shared = Arc::new(Shared {
            dataset,
            settings,
            end: steps.end,
            state: Mutex::new(State { next: steps.start, wanted: steps.start, ready: BTreeMap::new(), stopped: false }),
            changed: Condvar::new(),
        });
        let workers = (0..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || work(&shared))
            })
            .collect();
        Ok(Self { shared, workers, stall: Duration::ZERO })
    }

    /// The batch of the next step; `None` after the last.
    ///
    /// # Errors
    /// A record of the batch cannot be read or decoded; the message names it.
    pub fn next_batch(&mut self) -> Option<Result<Batch, TrainingError>> {
        let begin = Instant::now();
        let mut state = self.shared.lock();
        if state.wanted >= self.shared.end {
            return None;
        }
        let wanted = state.wanted;
        loop {
            if let Some(batch) = state.ready.remove(&wanted) {
                state.wanted += 1;
                self.shared.changed.notify_all();
                self.stall += begin.elapsed();
                return Some(batch);
            }
            if self.workers.iter().all(JoinHandle::is_finished) {
                return Some(Err(TrainingError::Input(
                    "the threads that prepare the batches have ended early; start the run again with --resume".into(),
                )));
            }
            let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(200));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long the model has waited for batches so far.
    pub fn stall(&self) -> Duration {
        self.stall
    }
}

impl Drop for BatchPipeline {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on standard error already.
            drop(worker.join());
        }
    }
}

fn work(shared: &Shared) {
    // A thread keeps the order of its epoch: drawing it anew for each batch would cost as much as the data are many.
    let mut order = None;
    loop {
        let step = {
            let mut state = shared.lock();
            loop {
                if state.stopped || state.next >= shared.end {
                    return;
                }
                if state.next < state.wanted + AHEAD {
                    break;
                }
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.next += 1;
            state.next - 1
        };
        let batch = prepare(&shared.dataset, &shared.settings, step, &mut order);
        shared.lock().ready.insert(step, batch);
        shared.changed.notify_all();
    }
}

/// The number of the example at `position` of the run: a fresh permutation of the dataset each epoch.
fn example_at(position: u64, count: usize, settings: &PipelineSettings, order: &mut EpochOrder) -> usize {
    let (epoch, place) = (position / count as u64, (position % count as u64) as usize);
    if !settings.shuffle {
        return place;
    }
    if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
        *order = Some((epoch, Draws::new(settings.seed, SHUFFLE, epoch).permutation(count)));
    }
    order.as_ref().map_or(place, |(_, permutation)| permutation[place])
}

fn prepare(
    dataset: &RecordDataset,
    settings: &PipelineSettings,
    step: u64,
    order: &mut EpochOrder,
) -> Result<Batch, TrainingError> {
    let mut batch = Batch {
        step,
        images: Vec::new(),
        size: (0, 0),
        true_shapes: Vec::new(),
        groundtruth: Vec::new(),
        names: Vec::new(),
    };
    for i in 0..settings.batch_size as u64 {
        let position = step * settings.batch_size as u64 + i;
        let example = dataset.load(example_at(position, dataset.len(), settings, order))?;
        let mut image = AugmentedImage::new(&example.rgb, example.size, example.objects.clone());
        let mut draws = Draws::new(settings.seed, AUGMENT, position);
        for augmentation in &settings.augmentation {
            let applied = augmentation.apply(&mut image, &mut draws);
            applied.map_err(|error| TrainingError::Input(format!("{}: {error}", example.name)))?;
        }
        let (resized, objects) = image.finish(&settings.resizer);
        let size = resized.size;
        if batch.images.is_empty() {
            batch.size = size;
            batch.images.reserve_exact(settings.batch_size * 3 * size.0 * size.1);
        }
        if size != batch.size {
            return Err(TrainingError::Input(format!(
                "{}: resized to {} × {} in a batch of {} × {}; a batch needs one size, so use a fixed_shape_resizer or batch_size 1",
                example.name, size.1, size.0, batch.size.1, batch.size.0
            )));
        }
        push_planes(&mut batch.images, &resized.pixels);
        batch.true_shapes.push(resized.true_shape());
        batch.groundtruth.push(groundtruth(&objects, settings.max_boxes));
        batch.names.push(example.name.clone());
    }
    Ok(batch)
}

/// Appends an RGB picture of interleaved pixels as three planes.
pub(crate) fn push_planes(images: &mut Vec<f32>, pixels: &[f32]) {
    for channel in 0..3 {
        images.extend(pixels.iter().skip(channel).step_by(3));
    }
}

fn groundtruth(objects: &[Object], max_boxes: usize) -> Groundtruth {
    // A crop may leave a box without area; TFOD's encoder would take the logarithm of 0 there.
    let kept = || objects.iter().filter(|o| o.bounds.is_valid()).take(max_boxes);
    Groundtruth {
        boxes: kept().map(|o| o.bounds).collect(),
        classes: kept().map(|o| o.class).collect(),
        weights: kept().map(|o| o.weight).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::geometry::NormalizedBox;
    use boxwright_core::label_map::ClassIndex;

    #[test]
    fn pixels_become_planes() {
        let mut out = vec![];
        push_planes(&mut out, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(out, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn a_batch_is_split_in_its_order() {
        let batch = Batch {
            step: 3,
            images: (0..5 * 12).map(|value| value as f32).collect(),
            size: (2, 2),
            true_shapes: vec![[2, 2, 3]; 5],
            groundtruth: vec![Groundtruth::default(); 5],
            names: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
        };
        let names = |parts: &[Batch]| parts.iter().map(|part| part.names.concat()).collect::<Vec<_>>();
        assert_eq!(names(&batch.clone().split(1)), ["abcde"]);
        let parts = batch.clone().split(2);
        assert_eq!(names(&parts), ["abc", "de"]);
        assert_eq!((parts[1].images[0], parts[1].images.len(), parts[1].step), (36.0, 24, 3));
        assert_eq!((parts[0].groundtruth.len(), parts[1].true_shapes.len()), (3, 2));
        assert_eq!(names(&batch.split(9)), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn every_epoch_holds_every_example_once_in_another_order() {
        let settings = PipelineSettings {
            batch_size: 1,
            augmentation: vec![],
            resizer: ImageResizer::fixed_shape(8, 8),
            max_boxes: 10,
            shuffle: true,
            seed: 5,
            threads: 1,
        };
        let mut order = None;
        let mut epoch = |n: u64| -> Vec<usize> {
            (n * 50..(n + 1) * 50).map(|p| example_at(p, 50, &settings, &mut order)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        for mut e in [first, second] {
            e.sort_unstable();
            assert_eq!(e, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn boxes_without_area_and_beyond_the_limit_are_left_out() {
        let object = |x: f32| Object::new(NormalizedBox::new(0.0, 0.0, 1.0, x), ClassIndex(0));
        let truth = groundtruth(&[object(0.0), object(0.5), object(1.0)], 1);
        assert_eq!(truth.boxes, [NormalizedBox::new(0.0, 0.0, 1.0, 0.5)]);
    }
}
