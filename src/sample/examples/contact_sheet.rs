//! Paints the first pictures of the sample onto one sheet, for the eye, and prints what is in the whole sample.
//!
//! `cargo run --release -p boxwright-sample --example contact_sheet -- OUT.png --boxes`

use std::time::Instant;

use boxwright_sample::{SampleConfig, Scene, class_names, paint};

const COLUMNS: usize = 4;
const CELL: usize = 480;
const COLOURS: [[u8; 3]; 4] = [[255, 70, 60], [70, 230, 90], [80, 160, 255], [255, 210, 40]];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| -> Result<u64, std::num::ParseIntError> {
        match arguments.iter().position(|argument| argument == name) {
            Some(at) => arguments.get(at + 1).map_or("", String::as_str).parse(),
            None => Ok(default),
        }
    };
    let Some(out) = arguments.first().filter(|out| !out.starts_with("--")) else {
        println!("contact_sheet OUT.png [--count N] [--from N] [--seed N] [--survey N] [--boxes]");
        return Ok(());
    };
    let (count, from) = (option("--count", 16)? as usize, option("--from", 0)? as usize);
    let config = SampleConfig { images: option("--survey", 400)? as usize, seed: option("--seed", 1)? };
    let boxes = arguments.iter().any(|argument| argument == "--boxes");
    let rows = count.div_ceil(COLUMNS);
    let mut sheet = image::RgbImage::new((COLUMNS * CELL) as u32, (rows * CELL) as u32);
    for nth in 0..count {
        let mut scene = paint(&config, from + nth);
        if boxes {
            draw_boxes(&mut scene);
        }
        let (left, top) = (nth % COLUMNS * CELL, nth / COLUMNS * CELL);
        for y in 0..scene.height {
            for x in 0..scene.width {
                let at = 3 * (y * scene.width + x);
                let pixel = image::Rgb([scene.rgb[at], scene.rgb[at + 1], scene.rgb[at + 2]]);
                sheet.put_pixel((left + x) as u32, (top + y) as u32, pixel);
            }
        }
    }
    sheet.save(out)?;
    survey(&config);
    Ok(())
}

fn draw_boxes(scene: &mut Scene) {
    let width = scene.width;
    for object in scene.objects.clone() {
        let (left, top) = (object.xmin as usize, object.ymin as usize);
        let (right, bottom) = (object.xmax as usize - 1, object.ymax as usize - 1);
        let mut dot = |x: usize, y: usize| {
            let at = 3 * (y * width + x);
            scene.rgb[at..at + 3].copy_from_slice(&COLOURS[object.class % COLOURS.len()]);
        };
        for x in left..=right {
            dot(x, top);
            dot(x, bottom);
        }
        for y in top..=bottom {
            dot(left, y);
            dot(right, y);
        }
    }
}

/// Paints the whole sample and prints counts, sizes and the time a picture takes.
fn survey(config: &SampleConfig) {
    let start = Instant::now();
    let scenes: Vec<Scene> = (0..config.images).map(|index| paint(config, index)).collect();
    let took = start.elapsed().as_secs_f64() * 1000.0 / config.images.max(1) as f64;
    let objects: Vec<_> = scenes.iter().flat_map(|scene| &scene.objects).collect();
    let empty = scenes.iter().filter(|scene| scene.objects.is_empty()).count();
    println!("{} pictures, {took:.1} ms each, {empty} empty, {} objects", scenes.len(), objects.len());
    for (class, name) in class_names().iter().enumerate() {
        println!("  {name:6} {}", objects.iter().filter(|object| object.class == class).count());
    }
    let count = |test: &dyn Fn(&boxwright_sample::SampleObject) -> bool| objects.iter().filter(|o| test(o)).count();
    println!("  truncated {}", count(&|o| o.truncated));
    println!("  occluded  {}", count(&|o| o.occluded));
    println!("  difficult {}", count(&|o| o.difficult));
    println!("  longest side of the box, pixels:");
    let mut from = 0.0;
    for to in [16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0] {
        let side = |o: &boxwright_sample::SampleObject| (o.xmax - o.xmin).max(o.ymax - o.ymin);
        let inside = count(&|o| side(o) >= from && side(o) < to);
        println!("    {from:3}-{to:3} {inside:4} {}", "#".repeat(inside / 5));
        from = to;
    }
}
