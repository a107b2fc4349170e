//! Which part of a picture is seen, and how it lies: cuts, mirrors and quarter turns without touching a pixel.

use boxwright_core::geometry::ImageSize;

use super::CropWindow;

/// A part of a picture, mirrored and turned.
///
/// Any chain of cuts, mirrors and quarter turns is one window of the picture, seen in one of eight
/// ways. So the pixels are read once, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The part of the picture, in its pixels.
    window: CropWindow,
    /// Whether rows and columns of the window are exchanged, before the mirrors.
    transposed: bool,
    mirrored_horizontally: bool,
    mirrored_vertically: bool,
}

impl View {
    /// The whole of a picture of `size`.
    pub fn whole(size: ImageSize) -> Self {
        Self {
            window: CropWindow::whole(size),
            transposed: false,
            mirrored_horizontally: false,
            mirrored_vertically: false,
        }
    }

    /// The size of what is seen.
    pub fn size(&self) -> ImageSize {
        let (w, h) = (self.window.width as u32, self.window.height as u32);
        if self.transposed { ImageSize::new(h, w) } else { ImageSize::new(w, h) }
    }

    /// Exchanges left and right.
    pub fn flip_horizontal(&mut self) {
        self.mirrored_horizontally = !self.mirrored_horizontally;
    }

    /// Exchanges up and down.
    pub fn flip_vertical(&mut self) {
        self.mirrored_vertically = !self.mirrored_vertically;
    }

    /// Turns by a quarter, against the clock.
    pub fn rotate_90(&mut self) {
        let (horizontal, vertical) = (self.mirrored_horizontally, self.mirrored_vertically);
        self.transposed = !self.transposed;
        self.mirrored_horizontally = vertical;
        self.mirrored_vertically = !horizontal;
    }

    /// Keeps only `part`, given in pixels of this view.
    pub fn cut(&mut self, part: CropWindow) {
        let size = self.size();
        let mut y = part.y;
        let mut x = part.x;
        if self.mirrored_vertically {
            y = size.height as usize - part.y - part.height;
        }
        if self.mirrored_horizontally {
            x = size.width as usize - part.x - part.width;
        }
        let (y, x, height, width) =
            if self.transposed { (x, y, part.width, part.height) } else { (y, x, part.height, part.width) };
        self.window = CropWindow { y: self.window.y + y, x: self.window.x + x, height, width };
    }

    /// The pixels that are seen, height × width × RGB, read from those of a picture of `size`.
    pub fn read<T: Copy>(&self, rgb: &[T], size: ImageSize) -> Vec<T> {
        let w = &self.window;
        let stride = size.width as usize * 3;
        let seen = self.size();
        let mut out = Vec::with_capacity(w.height * w.width * 3);
        if w.height * w.width == 0 {
            return out;
        }
        for row in 0..seen.height as usize {
            let line = if self.mirrored_vertically { seen.height as usize - 1 - row } else { row };
            if self.transposed {
                for column in 0..seen.width as usize {
                    let place = if self.mirrored_horizontally { seen.width as usize - 1 - column } else { column };
                    out.extend_from_slice(&rgb[(w.y + place) * stride + (w.x + line) * 3..][..3]);
                }
                continue;
            }
            let pixels = &rgb[(w.y + line) * stride + w.x * 3..][..w.width * 3];
            if self.mirrored_horizontally {
                for pixel in pixels.rchunks_exact(3) {
                    out.extend_from_slice(pixel);
                }
            } else {
                out.extend_from_slice(pixels);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a view of a picture of 4 × 2 pixels shows, whose red channel counts the pixels.
    fn reds(view: &View) -> Vec<u8> {
        let rgb: Vec<u8> = (0..8u8).flat_map(|i| [i, 100, 200]).collect();
        view.read(&rgb, SIZE).chunks(3).map(|p| p[0]).collect()
    }

    const SIZE: ImageSize = ImageSize::new(4, 2);

    #[test]
    fn mirrors_exchange_the_sides() {
        let mut view = View::whole(SIZE);
        view.flip_horizontal();
        assert_eq!(reds(&view), [3, 2, 1, 0, 7, 6, 5, 4]);
        view.flip_vertical();
        assert_eq!(reds(&view), [7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_cut_after_a_mirror_cuts_the_mirrored_side() {
        let mut view = View::whole(SIZE);
        view.flip_horizontal();
        view.cut(CropWindow { y: 0, x: 0, height: 2, width: 2 });
        assert_eq!(reds(&view), [3, 2, 7, 6]);
        view.cut(CropWindow { y: 1, x: 1, height: 1, width: 1 });
        assert_eq!(reds(&view), [6]);
    }

    #[test]
    fn a_turn_puts_the_right_column_on_top() {
        let mut view = View::whole(SIZE);
        view.rotate_90();
        assert_eq!(view.size(), ImageSize::new(2, 4));
        assert_eq!(reds(&view), [3, 7, 2, 6, 1, 5, 0, 4]);
        view.cut(CropWindow { y: 1, x: 0, height: 2, width: 2 });
        assert_eq!(reds(&view), [2, 6, 1, 5]);
    }

    /// Every chain of three steps shows what the steps do to the pixels one after the other.
    #[test]
    fn chains_show_what_their_steps_show_one_by_one() {
        type Step = fn(&mut View);
        let steps: [Step; 4] = [View::flip_horizontal, View::flip_vertical, View::rotate_90, |view| {
            let size = view.size();
            let (height, width) = (size.height.div_ceil(2) as usize, size.width.div_ceil(2) as usize);
            view.cut(CropWindow { y: size.height as usize - height, x: 0, height, width });
        }];
        for chain in 0..steps.len().pow(4) {
            let mut view = View::whole(ImageSize::new(5, 4));
            let mut pixels: Vec<u8> = (0..60).collect();
            let mut size = view.size();
            let all = pixels.clone();
            for place in 0..4 {
                let step = steps[chain / steps.len().pow(place) % steps.len()];
                step(&mut view);
                let mut one = View::whole(size);
                step(&mut one);
                pixels = one.read(&pixels, size);
                size = one.size();
            }
            assert_eq!((view.read(&all, ImageSize::new(5, 4)), view.size()), (pixels, size), "chain {chain}");
        }
    }
}
