//! Pictures on their way to the screen: decoding on worker threads, textures on demand, a limit on
//! memory.
//!
//! The window asks each frame for what it shows; what is not there yet is put at the head of the
//! queue and shown when it comes. Pictures that might come next (the neighbours in the list) are
//! asked for as [`Urgency::Later`]. A long scroll through thousands of thumbnails does not pile up:
//! the queue is short, and what falls out of it is asked for again if it is still on the screen.
//!
//! A picture is kept as a pyramid of halvings, each cut into tiles, so that any size fits the
//! graphics card, a fitted view samples a level of about its own size, and only the tiles that are
//! seen become textures.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use boxwright_core::ImageSize;
use egui::{Color32, ColorImage, Context, Painter, Rect, TextureHandle, TextureOptions, pos2, vec2};

use crate::theme::size;

/// The side of a tile, without the one pixel of its neighbours around it.
const TILE: usize = 2046;
/// The finest level that is kept, in pixels; larger pictures are shown from a halving.
const FINEST_LEVEL_PIXELS: u64 = 50_000_000;
/// The coarsest level: smaller halvings are not made.
const COARSEST_SIDE: usize = 512;
/// Memory for whole pictures, in bytes; the one on the screen is kept in any case.
const PICTURES_LIMIT: usize = 600 << 20;
/// How many thumbnails are kept.
const THUMBS_LIMIT: usize = 1500;
/// How many jobs wait at most.
const QUEUE_LIMIT: usize = 96;
/// Threads that decode.
const WORKERS: usize = 2;

/// A decoded picture: `height × width × 3` bytes.
#[derive(Clone, Debug)]
pub struct Rgb {
    /// Its size.
    pub size: ImageSize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How a file becomes pixels.
pub type Decode = Arc<dyn Fn(&Path) -> Result<Rgb, String> + Send + Sync>;

/// What is asked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Whole,
    Thumb,
}

/// How soon a picture is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It should be on the screen already.
    Now,
    /// It may come next.
    Later,
}

type Key = (PathBuf, Kind);

enum Made {
    Whole(Pyramid),
    Thumb(ColorImage),
}

/// The state of a picture that was asked for.
pub enum Status<'a, T> {
    /// It is being read.
    Waiting,
    /// Here it is.
    Ready(&'a mut T),
    /// It cannot be read, and why.
    Failed(&'a str),
}

struct Queue {
    jobs: VecDeque<Key>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Slot<T> {
    Waiting,
    Ready { value: T, used: u64 },
    Failed(String),
}

/// The pictures of the window.
pub struct PictureCache {
    shared: Arc<Shared>,
    made: Receiver<(Key, Result<Made, String>)>,
    wholes: HashMap<PathBuf, Slot<Pyramid>>,
    thumbs: HashMap<PathBuf, Slot<TextureHandle>>,
    frame: u64,
}

impl PictureCache {
    /// A cache whose workers wake the window when a picture is ready.
    pub fn new(ctx: &Context, decode: Decode) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), closed: false }),
            work: Condvar::new(),
        });
        let (sender, made) = channel();
        for number in 0..WORKERS {
            let (shared, sender, ctx, decode) = (shared.clone(), sender.clone(), ctx.clone(), decode.clone());
            // Without a thread pictures stay "being read"; the window itself goes on.
            let _ = std::thread::Builder::new()
                .name(format!("pictures {number}"))
                .spawn(move || work(&shared, &sender, &ctx, &decode));
        }
        Self { shared, made, wholes: HashMap::new(), thumbs: HashMap::new(), frame: 0 }
    }

    /// Takes in what the workers made. Call it once a frame.
    pub fn begin_frame(&mut self, ctx: &Context) {
        self.frame += 1;
        while let Ok(((path, kind), result)) = self.made.try_recv() {
            match (kind, result) {
                (Kind::Whole, Ok(Made::Whole(value))) => {
                    self.wholes.insert(path, Slot::Ready { value, used: self.frame });
                }
                (Kind::Thumb, Ok(Made::Thumb(image))) => {
                    let value = ctx.load_texture("thumbnail", image, TextureOptions::LINEAR);
                    self.thumbs.insert(path, Slot::Ready { value, used: self.frame });
                }
                (Kind::Whole, Err(error)) => drop(self.wholes.insert(path, Slot::Failed(error))),
                (Kind::Thumb, Err(error)) => drop(self.thumbs.insert(path, Slot::Failed(error))),
                (_, Ok(_)) => {}
            }
        }
        evict(&mut self.thumbs, self.frame, THUMBS_LIMIT, |_| 1);
        evict(&mut self.wholes, self.frame, PICTURES_LIMIT, Pyramid::bytes);
    }

    /// Forgets everything, as when another project is opened or files have changed.
    pub fn clear(&mut self) {
        self.shared.lock().jobs.clear();
        self.wholes.clear();
        self.thumbs.clear();
    }

    /// A whole picture.
    pub fn whole(&mut self, path: &Path, urgency: Urgency) -> Status<'_, Pyramid> {
        request(&self.shared, &mut self.wholes, &mut self.thumbs, path, Kind::Whole, urgency);
        status(&mut self.wholes, path, self.frame)
    }

    /// A small copy for lists.
    pub fn thumb(&mut self, path: &Path) -> Status<'_, TextureHandle> {
        request(&self.shared, &mut self.wholes, &mut self.thumbs, path, Kind::Thumb, Urgency::Now);
        status(&mut self.thumbs, path, self.frame)
    }

    /// The small copy, if it is there already.
    pub fn thumb_if_ready(&self, path: &Path) -> Option<&TextureHandle> {
        match self.thumbs.get(path) {
            Some(Slot::Ready { value, .. }) => Some(value),
            _ => None,
        }
    }
}

impl Drop for PictureCache {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.work.notify_all();
    }
}

fn status<'a, T>(slots: &'a mut HashMap<PathBuf, Slot<T>>, path: &Path, frame: u64) -> Status<'a, T> {
    match slots.get_mut(path) {
        Some(Slot::Ready { value, used }) => {
            *used = frame;
            Status::Ready(value)
        }
        Some(Slot::Failed(error)) => Status::Failed(error),
        _ => Status::Waiting,
    }
}

fn request(
    shared: &Shared,
    wholes: &mut HashMap<PathBuf, Slot<Pyramid>>,
    thumbs: &mut HashMap<PathBuf, Slot<TextureHandle>>,
    path: &Path,
    kind: Kind,
    urgency: Urgency,
) {
    let (known, waiting) = match kind {
        Kind::Whole => (wholes.contains_key(path), matches!(wholes.get(path), Some(Slot::Waiting))),
        Kind::Thumb => (thumbs.contains_key(path), matches!(thumbs.get(path), Some(Slot::Waiting))),
    };
    if known && !(waiting && urgency == Urgency::Now && kind == Kind::Whole) {
        return;
    }
    let key = (path.to_path_buf(), kind);
    let mut queue = shared.lock();
    if waiting {
        // Neighbours that were asked for ahead of time move to the front when they are opened.
        if let Some(place) = queue.jobs.iter().position(|job| *job == key)
            && let Some(job) = queue.jobs.remove(place)
        {
            queue.jobs.push_front(job);
        }
        return;
    }
    match (urgency, kind) {
        (Urgency::Now, Kind::Whole) => queue.jobs.push_front(key),
        (Urgency::Now, Kind::Thumb) => {
            // Behind pictures, before other thumbnails: the last scrolled to comes first.
            let place = queue.jobs.iter().take_while(|job| job.1 == Kind::Whole).count();
            queue.jobs.insert(place, key);
        }
        (Urgency::Later, _) => queue.jobs.push_back(key),
    }
    match kind {
        Kind::Whole => drop(wholes.insert(path.to_path_buf(), Slot::Waiting)),
        Kind::Thumb => drop(thumbs.insert(path.to_path_buf(), Slot::Waiting)),
    }
    while queue.jobs.len() > QUEUE_LIMIT {
        if let Some((path, kind)) = queue.jobs.pop_back() {
            match kind {
                Kind::Whole => drop(wholes.remove(&path)),
                Kind::Thumb => drop(thumbs.remove(&path)),
            }
        }
    }
    drop(queue);
    shared.work.notify_one();
}

/// Removes what was not used for longest until the rest costs no more than `limit`. What was used
/// in the last two frames stays.
fn evict<T>(slots: &mut HashMap<PathBuf, Slot<T>>, frame: u64, limit: usize, cost: impl Fn(&T) -> usize) {
    let mut ready: Vec<(u64, usize, PathBuf)> = slots
        .iter()
        .filter_map(|(path, slot)| match slot {
            Slot::Ready { value, used } => Some((*used, cost(value), path.clone())),
            _ => None,
        })
        .collect();
    let mut total: usize = ready.iter().map(|(_, cost, _)| cost).sum();
    if total <= limit {
        return;
    }
    ready.sort();
    for (used, cost, path) in ready {
        if total <= limit || used + 2 > frame {
            break;
        }
        slots.remove(&path);
        total -= cost;
    }
}

fn work(shared: &Shared, sender: &Sender<(Key, Result<Made, String>)>, ctx: &Context, decode: &Decode) {
    loop {
        let mut queue = shared.lock();
        let key = loop {
            if queue.closed {
                return;
            }
            match queue.jobs.pop_front() {
                Some(key) => break key,
                None => queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        let result = decode(&key.0).and_then(|rgb| match key.1 {
            Kind::Whole => Pyramid::new(&rgb).map(Made::Whole),
            Kind::Thumb => thumbnail(&rgb).map(Made::Thumb),
        });
        if sender.send((key, result)).is_err() {
            return;
        }
        ctx.request_repaint();
    }
}

/// A picture as pixels of egui, after checking that the bytes are as many as the size says.
fn color_image(rgb: &Rgb) -> Result<ColorImage, String> {
    let (width, height) = (rgb.size.width as usize, rgb.size.height as usize);
    if width == 0 || height == 0 || rgb.bytes.len() != width * height * 3 {
        return Err(format!("the picture has {} bytes, which is not {} pixels", rgb.bytes.len(), rgb.size));
    }
    Ok(ColorImage::from_rgb([width, height], &rgb.bytes))
}

/// A copy for lists, in twice the size of its place, for dense screens.
fn thumbnail(rgb: &Rgb) -> Result<ColorImage, String> {
    let mut image = color_image(rgb)?;
    let place = size::THUMB * 2.0;
    while image.size[0] as f32 >= place.x * 2.0 || image.size[1] as f32 >= place.y * 2.0 {
        if image.size[0] < 2 || image.size[1] < 2 {
            break;
        }
        image = halve(&image);
    }
    Ok(image)
}

/// The average of each two by two pixels. An odd last row or column is left out.
fn halve(image: &ColorImage) -> ColorImage {
    let [width, height] = image.size;
    let (w, h) = ((width / 2).max(1), (height / 2).max(1));
    let mut pixels = Vec::with_capacity(w * h);
    for y in 0..h {
        let (y0, y1) = ((2 * y).min(height - 1), (2 * y + 1).min(height - 1));
        let upper = &image.pixels[y0 * width..][..width];
        let lower = &image.pixels[y1 * width..][..width];
        for x in 0..w {
            let (x0, x1) = ((2 * x).min(width - 1), (2 * x + 1).min(width - 1));
            let four = [upper[x0], upper[x1], lower[x0], lower[x1]];
            let mean = |channel: fn(&Color32) -> u8| {
                (four.iter().map(|c| u16::from(channel(c))).sum::<u16>().div_ceil(4).min(255)) as u8
            };
            pixels.push(Color32::from_rgb(mean(Color32::r), mean(Color32::g), mean(Color32::b)));
        }
    }
    ColorImage::new([w, h], pixels)
}

/// A piece of a level with one pixel of its neighbours around it, so that no seam shows.
struct Tile {
    /// The first pixel, without the border.
    origin: [usize; 2],
    /// The pixels without the border.
    size: [usize; 2],
    /// How many border pixels are to the left and above.
    border: [usize; 2],
    image: Arc<ColorImage>,
    smooth: Option<TextureHandle>,
    squares: Option<TextureHandle>,
}

struct Level {
    size: [usize; 2],
    tiles: Vec<Tile>,
}

/// A whole picture and its halvings.
pub struct Pyramid {
    size: ImageSize,
    /// Finest first.
    levels: Vec<Level>,
}

impl Pyramid {
    fn new(rgb: &Rgb) -> Result<Self, String> {
        let mut image = color_image(rgb)?;
        while (image.size[0] as u64) * (image.size[1] as u64) > FINEST_LEVEL_PIXELS {
            image = halve(&image);
        }
        let mut levels = vec![Level::cut(&image)];
        while image.size[0].max(image.size[1]) > COARSEST_SIDE {
            image = halve(&image);
            levels.push(Level::cut(&image));
        }
        Ok(Self { size: rgb.size, levels })
    }

    /// The picture's own size.
    pub fn size(&self) -> ImageSize {
        self.size
    }

    /// The memory that it takes.
    fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.size[0] * level.size[1] * 4).sum()
    }

    /// The index of the coarsest level that has a pixel for each physical one.
    fn level_for(&self, shown_width: f32) -> usize {
        self.levels.iter().rposition(|level| level.size[0] as f32 >= shown_width * 0.9).unwrap_or(0)
    }

    /// Paints the picture over `rect`, as squares where `squares` is set.
    pub fn paint(&mut self, painter: &Painter, rect: Rect, pixels_per_point: f32, squares: bool) {
        let index = if squares { 0 } else { self.level_for(rect.width() * pixels_per_point) };
        let level = &mut self.levels[index];
        let scale = vec2(rect.width() / level.size[0] as f32, rect.height() / level.size[1] as f32);
        let clip = painter.clip_rect();
        for tile in &mut level.tiles {
            let min = rect.min + vec2(tile.origin[0] as f32 * scale.x, tile.origin[1] as f32 * scale.y);
            let area = Rect::from_min_size(min, vec2(tile.size[0] as f32 * scale.x, tile.size[1] as f32 * scale.y));
            if !area.intersects(clip) {
                continue;
            }
            let whole = vec2(tile.image.size[0] as f32, tile.image.size[1] as f32);
            let from = vec2(tile.border[0] as f32, tile.border[1] as f32);
            let to = from + vec2(tile.size[0] as f32, tile.size[1] as f32);
            let uv = Rect::from_min_max(pos2(from.x / whole.x, from.y / whole.y), pos2(to.x / whole.x, to.y / whole.y));
            painter.image(tile.texture(painter.ctx(), squares), area, uv, Color32::WHITE);
        }
    }
}

impl Level {
    fn cut(image: &ColorImage) -> Self {
        let [width, height] = image.size;
        let mut tiles = Vec::new();
        for y in (0..height).step_by(TILE) {
            for x in (0..width).step_by(TILE) {
                let size = [TILE.min(width - x), TILE.min(height - y)];
                let border = [usize::from(x > 0), usize::from(y > 0)];
                let start = [x - border[0], y - border[1]];
                let end = [(x + size[0] + 1).min(width), (y + size[1] + 1).min(height)];
                let part = image.region_by_pixels(start, [end[0] - start[0], end[1] - start[1]]);
                tiles.push(Tile { origin: [x, y], size, border, image: Arc::new(part), smooth: None, squares: None });
            }
        }
        Self { size: image.size, tiles }
    }
}

impl Tile {
    fn texture(&mut self, ctx: &Context, squares: bool) -> egui::TextureId {
        let (slot, options) = if squares {
            (&mut self.squares, TextureOptions { minification: egui::TextureFilter::Linear, ..TextureOptions::NEAREST })
        } else {
            (&mut self.smooth, TextureOptions::LINEAR)
        };
        slot.get_or_insert_with(|| ctx.load_texture("picture", self.image.clone(), options)).id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn rgb(width: u32, height: u32) -> Rgb {
        Rgb { size: ImageSize::new(width, height), bytes: vec![90; (width * height * 3) as usize] }
    }

    fn wait_for(cache: &mut PictureCache, ctx: &Context, mut done: impl FnMut(&mut PictureCache) -> bool) {
        let start = Instant::now();
        loop {
            cache.begin_frame(ctx);
            if done(cache) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the picture did not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn pictures_come_and_failures_are_kept_with_their_reason() {
        let ctx = Context::default();
        let decode: Decode = Arc::new(|path| match path.to_str() {
            Some("good") => Ok(rgb(1000, 600)),
            _ => Err("bad is cut off".to_owned()),
        });
        let mut cache = PictureCache::new(&ctx, decode);
        wait_for(&mut cache, &ctx, |c| matches!(c.whole(Path::new("good"), Urgency::Now), Status::Ready(_)));
        wait_for(&mut cache, &ctx, |c| match c.thumb(Path::new("bad")) {
            Status::Failed(why) => why == "bad is cut off",
            _ => false,
        });
        let Status::Ready(picture) = cache.whole(Path::new("good"), Urgency::Now) else { panic!("it was ready") };
        assert_eq!(picture.size(), ImageSize::new(1000, 600));
        assert_eq!(picture.levels.len(), 2);
    }

    #[test]
    fn a_wrong_count_of_bytes_is_a_failure_and_not_a_panic() {
        let broken = Rgb { size: ImageSize::new(10, 10), bytes: vec![0; 7] };
        assert!(Pyramid::new(&broken).is_err() && thumbnail(&broken).is_err());
        assert!(Pyramid::new(&Rgb { size: ImageSize::new(0, 9), bytes: Vec::new() }).is_err());
    }

    #[test]
    fn tiles_cover_the_picture_without_a_gap() {
        let image = ColorImage::filled([TILE * 2 + 5, 100], Color32::RED);
        let level = Level::cut(&image);
        assert_eq!(level.tiles.iter().map(|t| t.size[0] * t.size[1]).sum::<usize>(), image.pixels.len());
        assert_eq!(level.tiles.iter().map(|t| t.border[0]).collect::<Vec<_>>(), [0, 1, 1]);
        assert!(level.tiles.iter().all(|t| t.image.size[0] <= TILE + 2));
    }

    #[test]
    fn the_level_fits_the_size_on_the_screen() {
        let pyramid = Pyramid::new(&rgb(4000, 10)).expect("a picture");
        assert_eq!(pyramid.levels.iter().map(|l| l.size[0]).collect::<Vec<_>>(), [4000, 2000, 1000, 500]);
        assert_eq!(pyramid.level_for(4000.0), 0);
        assert_eq!(pyramid.level_for(900.0), 2);
        assert_eq!(pyramid.level_for(10.0), 3);
        assert_eq!(pyramid.level_for(90_000.0), 0);
    }

    #[test]
    fn halving_averages() {
        let image = ColorImage::new([2, 2], [0, 100, 100, 200].map(Color32::from_gray).to_vec());
        assert_eq!(halve(&image).pixels, [Color32::from_gray(100)]);
        assert_eq!(halve(&ColorImage::filled([1, 5], Color32::RED)).size, [1, 2]);
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_queue_stays_short() {
        let mut slots: HashMap<PathBuf, Slot<u8>> =
            (0..5u64).map(|i| (PathBuf::from(i.to_string()), Slot::Ready { value: 0, used: i })).collect();
        evict(&mut slots, 100, 2, |_| 1);
        let mut left: Vec<_> = slots.keys().map(|p| p.display().to_string()).collect();
        left.sort();
        assert_eq!(left, ["3", "4"]);

        let ctx = Context::default();
        let decode: Decode = Arc::new(|_| {
            std::thread::sleep(Duration::from_millis(50));
            Err("slow".to_owned())
        });
        let mut cache = PictureCache::new(&ctx, decode);
        for i in 0..1000 {
            cache.thumb(Path::new(&i.to_string()));
        }
        assert!(cache.shared.lock().jobs.len() <= QUEUE_LIMIT);
        assert!(cache.thumbs.len() <= QUEUE_LIMIT + 2 * WORKERS);
    }
}
