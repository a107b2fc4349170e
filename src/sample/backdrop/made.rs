//! Cloth, printed paper, drawings, sheet metal, cutting mats, pegboard and tiles.

use super::Turned;
use crate::canvas::{Canvas, hue, mix, scale, shown};
use crate::dice::Dice;
use crate::math::{floor, fract, length, sin, smoothstep};
use crate::noise::Noise;

/// A woven cloth: plain, denim, striped or chequered.
pub(super) fn cloth(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let thread = dice.range(2.6, 6.5);
    let warp = hue(dice.unit(), dice.range(0.05, 0.7), dice.range(0.25, 0.85));
    let weft = match dice.below(3) {
        0 => warp,
        1 => shown(0.85, 0.84, 0.8),
        _ => hue(dice.unit(), dice.range(0.1, 0.7), dice.range(0.2, 0.8)),
    };
    let chequered = dice.chance(0.45);
    let pitch = dice.range(16.0, 70.0);
    let check = hue(dice.unit(), dice.range(0.2, 0.8), dice.range(0.2, 0.9));
    let twill = if dice.chance(0.5) { 1 } else { 0 };
    let folds = dice.range(0.0, 0.5);
    Canvas::paint(width, height, |x, y| {
        let bend = 5.0 * (noise.value(x * 0.015, y * 0.015) - 0.5);
        let (s, t) = turned.at(x + bend, y - bend);
        let (i, j) = (floor(s / thread), floor(t / thread));
        let over = if twill == 1 { (i + j).rem_euclid(3) == 0 } else { (i + j) & 1 == 0 };
        let (fs, ft) = (fract(s / thread) - 0.5, fract(t / thread) - 0.5);
        let (mut colour, across, uneven) =
            if over { (weft, ft, noise.cell(i / 3, j)) } else { (warp, fs, noise.cell(i, j / 3)) };
        if chequered {
            let banded = if over { fract(t / pitch) } else { fract(s / pitch) };
            if banded < 0.38 || (banded > 0.6 && banded < 0.66) {
                colour = check;
            }
        }
        let round = 1.0 - 2.2 * across * across;
        let fold = 1.0 + folds * (noise.fractal(x * 0.009, y * 0.009, 2) - 0.5) * 2.0;
        scale(colour, round * (0.75 + 0.4 * uneven) * fold)
    })
}

/// A newspaper or a manual: a headline, columns of text, a grey picture box here and there.
pub(super) fn print(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let paper = match dice.below(3) {
        0 => shown(0.9, 0.89, 0.86),
        1 => shown(0.82, 0.79, 0.72),
        _ => shown(0.88, 0.83, 0.7),
    };
    let ink = shown(0.14, 0.14, 0.16);
    let row = dice.range(6.0, 13.0);
    let column = dice.range(110.0, 260.0);
    let margin = dice.range(8.0, 16.0);
    Canvas::paint(width, height, |x, y| {
        let crease = 3.0 * (noise.value(x * 0.012, y * 0.012) - 0.5);
        let (s, t) = turned.at(x, y + crease);
        let (page, across) = (floor(s / column), fract(s / column) * column);
        let fibre = 0.94 + 0.1 * noise.value(x * 0.5, y * 0.5) + 0.12 * (crease / 3.0);
        let blank = scale(paper, fibre);
        if across < margin || across > column - margin {
            return blank;
        }
        let block = floor(t / (row * 12.0));
        let big = noise.cell(page, block) < 0.16;
        let picture = noise.cell_again(page, block, 1) < 0.14;
        let within = fract(t / (row * 12.0));
        if picture && within > 0.12 && within < 0.9 {
            let dots = 0.5 + 0.5 * sin((s + t) * 0.29) * sin((s - t) * 0.29);
            let shade = noise.fractal(s * 0.03, t * 0.03, 3);
            let screen = smoothstep(-0.25, 0.25, shade * 1.3 - 0.15 - dots);
            return mix(mix(ink, paper, 0.25), blank, screen);
        }
        let size = if big && within < 0.33 { row * 2.0 } else { row };
        let line = floor(t / size);
        let (glyph, high) = ((across - margin) / (size * 0.5), fract(t / size));
        let letter = floor(glyph);
        let word_end = noise.cell_again(letter, line + 17 * page, 2) < 0.17;
        let last = noise.cell_again(page, line, 3) * column * 4.0;
        if word_end || !(0.12..=0.72).contains(&high) || across > last {
            return blank;
        }
        // A letter is one or two stems, joined by a bar at one of three heights.
        let shape = (noise.cell_again(letter, line, 4) * 12.0) as i32;
        let (gx, gy) = (fract(glyph), (high - 0.12) / 0.6);
        let first = (gx - 0.22).abs();
        let second = (gx - 0.74).abs() + if shape % 3 == 0 { 1.0 } else { 0.0 };
        let bar =
            (gy - 0.1 - 0.4 * (shape / 4) as f32).abs() * 1.2 + if !(0.12..=0.85).contains(&gx) { 1.0 } else { 0.0 };
        let high_enough = if shape % 2 == 0 { gy > 0.28 } else { true };
        let stroke = if high_enough { first.min(second) } else { 1.0 }.min(bar);
        mix(ink, blank, smoothstep(0.08, 0.2, stroke))
    })
}

/// A technical drawing: squared paper or a blueprint with circles and dimension lines.
pub(super) fn drawing(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let (paper, line, grid) = match dice.below(3) {
        0 => (shown(0.15, 0.29, 0.55), shown(0.85, 0.9, 0.97), 0.35),
        1 => (shown(0.93, 0.93, 0.9), shown(0.25, 0.35, 0.6), 0.5),
        _ => (shown(0.9, 0.88, 0.8), shown(0.2, 0.2, 0.22), 0.25),
    };
    let pitch = dice.range(9.0, 24.0);
    let circles: Vec<_> = (0..dice.between(1, 4))
        .map(|_| (dice.range(0.0, width as f32), dice.range(0.0, height as f32), dice.range(18.0, 90.0)))
        .collect();
    let bars: Vec<_> = (0..dice.between(2, 6)).map(|_| (dice.range(0.0, 500.0), dice.chance(0.5))).collect();
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let thin = |value: f32| smoothstep(1.1, 0.3, value.abs());
        let to_grid = |value: f32| (fract(value / pitch + 0.5) - 0.5) * pitch;
        let mut ink = grid * thin(to_grid(s)).max(thin(to_grid(t)));
        for &(cx, cy, radius) in &circles {
            let away = length(x - cx, y - cy);
            let centre = (x - cx).abs().min((y - cy).abs());
            let dashed = if fract((x + y) / 14.0) < 0.6 && away < radius * 1.25 { thin(centre) * 0.7 } else { 0.0 };
            ink = ink.max(thin(away - radius)).max(dashed);
        }
        for &(place, upright) in &bars {
            let value = if upright { s } else { t } - turned.x.min(turned.y) - place;
            ink = ink.max(thin(value));
        }
        let fibre = 0.92 + 0.16 * noise.fractal(x * 0.06, y * 0.06, 3);
        scale(mix(paper, line, ink * 0.9), fibre)
    })
}

/// A metal sheet: brushed, or with the raised lozenges of tread plate.
pub(super) fn sheet_metal(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let grey = dice.range(0.35, 0.72);
    let base = shown(grey, grey + dice.range(-0.01, 0.02), grey + dice.range(-0.02, 0.05));
    let tread = dice.chance(0.4);
    let pitch = dice.range(24.0, 46.0);
    let brushed = dice.range(0.25, 0.7);
    let rust = if dice.chance(0.4) { dice.range(0.3, 0.48) } else { 0.0 };
    let glow = dice.range(0.0, 400.0);
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let hair = noise.value(s * 0.018, t * 1.1) + 0.6 * noise.value(s * 0.05 + 30.0, t * 0.6) - 0.8;
        let cloud = noise.fractal(s * 0.006, t * 0.02, 3);
        let band = 0.35 * sin((t + glow) * 0.0031 + 0.25 * cloud);
        let mut light = (1.0 + brushed * hair) * (0.8 + 0.4 * cloud + band);
        if tread {
            let (i, j) = (floor(s / pitch), floor(t / pitch));
            let (a, b) = ((fract(s / pitch) - 0.5) * pitch, (fract(t / pitch) - 0.5) * pitch);
            let sign = if (i + j) & 1 == 0 { 1.0 } else { -1.0 };
            let (along, across) = ((a + sign * b) * 0.707, (b - sign * a) * 0.707);
            let shape = 1.0 - (along / (pitch * 0.52)) * (along / (pitch * 0.52));
            let half = pitch * 0.13 * shape.max(0.0);
            let raised = smoothstep(0.8, -0.8, across.abs() - half);
            let lit = if across > 0.0 { 0.45 } else { -0.35 };
            light *= 1.0 + raised * lit * smoothstep(0.0, half.max(0.5), across.abs());
        }
        let rough = noise.fractal(x * 0.03 + 60.0, y * 0.03, 4);
        let rusted =
            if rust > 0.0 { smoothstep(0.92 - rust, 1.14 - rust, rough + 0.1 + 0.3 * hair * brushed) } else { 0.0 };
        mix(scale(base, light), scale(shown(0.5, 0.3, 0.18), 0.6 + 0.8 * rough), rusted * 0.8)
    })
}

/// A cutting mat: fine and strong grid lines, a diagonal, old cuts.
pub(super) fn cutting_mat(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let ground = match dice.below(5) {
        0 | 1 => shown(0.1, dice.range(0.35, 0.5), dice.range(0.28, 0.4)),
        2 => shown(0.15, 0.25, dice.range(0.4, 0.6)),
        3 => shown(0.2, 0.2, 0.22),
        _ => shown(0.72, 0.3, 0.45),
    };
    let line = if dice.chance(0.7) { shown(0.85, 0.88, 0.7) } else { shown(0.9, 0.9, 0.9) };
    let pitch = dice.range(15.0, 34.0);
    let strength = dice.range(0.3, 0.75);
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let near = |value: f32, step: f32| ((fract(value / step + 0.5) - 0.5) * step).abs();
        let fine = near(s, pitch).min(near(t, pitch));
        let strong = near(s, pitch * 5.0).min(near(t, pitch * 5.0));
        let slant = near(s - t, pitch * 14.0) * 0.707;
        let ticks = if near(t, pitch * 5.0) < 3.0 { near(s, pitch / 5.0) } else { 9.0 };
        let ink = (0.55 * smoothstep(1.0, 0.3, fine))
            .max(smoothstep(1.6, 0.7, strong))
            .max(0.6 * smoothstep(1.1, 0.3, slant))
            .max(0.5 * smoothstep(0.9, 0.3, ticks));
        let skin = 0.86 + 0.2 * noise.value(x * 0.9, y * 0.9) + 0.2 * (noise.fractal(x * 0.012, y * 0.012, 3) - 0.5);
        scale(mix(ground, line, ink * strength), skin)
    })
}

/// A board with rows of round holes.
pub(super) fn pegboard(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let board = if dice.chance(0.5) { shown(0.6, 0.45, 0.3) } else { hue(dice.unit(), 0.15, dice.range(0.5, 0.9)) };
    let pitch = dice.range(22.0, 44.0);
    let radius = pitch * dice.range(0.12, 0.2);
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let (a, b) = ((fract(s / pitch) - 0.5) * pitch, (fract(t / pitch) - 0.5) * pitch);
        let away = length(a, b);
        let fibre = 0.78 + 0.3 * noise.fractal(x * 0.18, y * 0.18, 2) + 0.16 * (noise.cell(floor(x), floor(y)) - 0.5);
        let hole = smoothstep(radius + 0.6, radius - 0.6, away);
        // The lower rim of a hole catches the light.
        let rim = smoothstep(1.6, 0.4, (away - radius - 0.6).abs()) * (b / radius).clamp(-1.0, 1.0);
        scale(board, fibre * (1.0 - 0.85 * hole) * (1.0 + 0.3 * rim))
    })
}

/// Ceramic tiles with grout, glazed unevenly.
pub(super) fn tiles(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let glaze = hue(dice.unit(), dice.range(0.0, 0.5), dice.range(0.4, 0.9));
    let second = if dice.chance(0.5) { glaze } else { hue(dice.unit(), dice.range(0.0, 0.4), dice.range(0.2, 0.9)) };
    let grout = scale(shown(0.6, 0.58, 0.55), dice.range(0.3, 1.2));
    let pitch = dice.range(28.0, 110.0);
    let shift = if dice.chance(0.4) { 0.5 } else { 0.0 };
    let ratio = dice.pick(&[1.0, 1.0, 2.0]);
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let j = floor(t / pitch);
        let s = s / (pitch * ratio) + if j & 1 == 1 { shift } else { 0.0 };
        let i = floor(s);
        let (a, b) = (fract(s) * pitch * ratio, fract(t / pitch) * pitch);
        let edge = a.min(b).min(pitch * ratio - a).min(pitch - b);
        let own = noise.cell(i, j);
        let colour = if (i + j) & 1 == 0 { glaze } else { second };
        let vein = noise.fractal(x * 0.03 + 9.0 * own, y * 0.03, 3);
        let lit = if a < 3.5 || b < 3.5 { 1.18 } else { 0.95 };
        let face = scale(colour, (0.8 + 0.2 * own + 0.35 * (vein - 0.5)) * if edge < 3.5 { lit } else { 1.0 });
        mix(scale(grout, 0.8 + 0.4 * noise.value(x * 0.7, y * 0.7)), face, smoothstep(1.0, 2.2, edge))
    })
}
