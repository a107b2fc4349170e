//! The sample that `boxwright demo` trains on: a few hundred pictures of small hardware on used table tops.
//!
//! Four classes that differ in shape, and in part in what they are usually made of: bolt, gear, button, nut. They come
//! in any size from a few pixels to half of the picture, in any direction, in steel, brass, paint or rust; they cover
//! each other, the border cuts them off, and among them lie pencils, coins, keys, labels and cables that are no class.
//! Nothing is copied from anywhere: every picture is computed from a seed.
//!
//! The way of a picture: `arrangement` decides what lies where and knows every silhouette; `backdrop` paints the
//! table; `relief` and `material` turn each form of `shape` into light; `canvas` lays it down with its shadow; `camera`
//! makes grey values of it. The boxes come from the silhouettes that are painted, so they are exact by construction.
//!
//! The room knows no files and no other room: it hands out bytes and boxes, and whoever asks writes them down.
//!
//! ```
//! let config = boxwright_sample::SampleConfig { images: 300, seed: 7 };
//! let scene = boxwright_sample::paint(&config, 0);
//! assert_eq!(scene.rgb.len(), 3 * scene.width * scene.height);
//! ```

mod arrangement;
mod backdrop;
mod camera;
mod canvas;
mod dice;
mod material;
mod math;
mod noise;
mod relief;
mod shape;
#[cfg(test)]
mod tests;

use arrangement::Arrangement;
use camera::Camera;
use canvas::Canvas;
use dice::Dice;

const CLASS_NAMES: [&str; 4] = ["bolt", "gear", "button", "nut"];

/// Which sample: how many pictures, and the seed from which all of them follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleConfig {
    /// Number of pictures.
    pub images: usize,
    /// The same seed gives the same pictures, bit by bit, on every machine.
    pub seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { images: 400, seed: 1 }
    }
}

/// A painted picture and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Interleaved red, green and blue, eight bits each, row by row.
    pub rgb: Vec<u8>,
    /// The JPEG quality at which this picture is to be saved, from 80 to 92.
    pub jpeg_quality: u8,
    /// What a careful annotator would have drawn, the lowest thing first; none in an empty picture.
    pub objects: Vec<SampleObject>,
}

/// One thing in a picture: its class and the extent of its silhouette.
///
/// The extent is amodal (parts that other things hide count) and ends at the border of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleObject {
    /// Index into [`class_names`].
    pub class: usize,
    /// Upper edge in pixels.
    pub ymin: f64,
    /// Left edge in pixels.
    pub xmin: f64,
    /// Lower edge in pixels, exclusive.
    pub ymax: f64,
    /// Right edge in pixels, exclusive.
    pub xmax: f64,
    /// The border of the picture cuts the thing off.
    pub truncated: bool,
    /// More than 30 % of what is inside the picture is hidden under other things.
    pub occluded: bool,
    /// Too small to be told reliably: no side of the box reaches 24 pixels.
    pub difficult: bool,
}

/// The classes of the sample, in the order of [`SampleObject::class`].
pub fn class_names() -> &'static [&'static str] {
    &CLASS_NAMES
}

/// Paints picture `index` of a sample.
///
/// A picture depends on the seed and its index alone, so pictures may be painted in any order and on any thread. An
/// index beyond `config.images` is allowed and gives further pictures of the same kind.
pub fn paint(config: &SampleConfig, index: usize) -> Scene {
    let mut dice = Dice::new(config.seed, index as u64);
    let arrangement = Arrangement::new(config.seed, index, &mut dice.fork());
    let table = backdrop::paint(&mut dice.fork(), arrangement.frame.0, arrangement.frame.1);
    let camera = Camera::new(&mut dice.fork());
    let jpeg_quality = dice.between(80, 92) as u8;
    compose(&arrangement, table, &camera, jpeg_quality)
}

/// Lays the things of an arrangement on a table and takes the picture.
fn compose(arrangement: &Arrangement, table: Canvas, camera: &Camera, jpeg_quality: u8) -> Scene {
    let mut canvas = table;
    for thing in &arrangement.things {
        let light = &arrangement.lighting;
        let patch = material::paint(&thing.relief, thing.at, arrangement.frame, &thing.finish, light);
        canvas.shade(&patch, &light.shadow(thing.lift), thing.opacity);
        if thing.lift > 2.0 {
            // Where a thing touches the table, no light comes from any side.
            let contact = canvas::Shadow { offset: (0.0, 0.0), blur: 2, strength: 0.35 };
            canvas.shade(&patch, &contact, thing.opacity);
        }
        canvas.lay(&patch, thing.opacity);
    }
    Scene {
        width: canvas.width,
        height: canvas.height,
        rgb: camera.develop(&canvas),
        jpeg_quality,
        objects: arrangement.objects(),
    }
}
