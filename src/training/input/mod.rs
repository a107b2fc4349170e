//! The input pipeline: records, decoding, augmentation, resizing, batches.
//!
//! [`RecordDataset`] reads examples by number and keeps decoded pictures within a memory limit;
//! [`BatchPipeline`] prepares batches on worker threads, a few ahead of the model and never more.
//! Which examples a batch holds and how they are augmented follows from the seed and the step
//! alone, so neither the number of threads nor a restart changes a batch.

mod batches;
mod records;

pub(crate) use batches::push_planes;
pub use batches::{Batch, BatchPipeline, PipelineSettings};
pub use records::{Example, RecordDataset};
