//! Wood, concrete and stone.

use super::Turned;
use crate::canvas::{Canvas, hue, mix, scale, shown};
use crate::dice::Dice;
use crate::math::{floor, fract, length, sin, smoothstep};
use crate::noise::Noise;

/// Boards with grain, pores, knots and joints.
pub(super) fn wood(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let turned = Turned::held(dice);
    let noise = Noise::new(dice);
    let board = if dice.chance(0.3) { 4000.0 } else { dice.range(48.0, 150.0) };
    let (light, dark) = match dice.below(6) {
        0 => (shown(0.82, 0.66, 0.46), shown(0.62, 0.44, 0.27)),
        1 => (shown(0.66, 0.47, 0.3), shown(0.4, 0.25, 0.15)),
        2 => (shown(0.45, 0.3, 0.2), shown(0.24, 0.15, 0.1)),
        3 => (shown(0.72, 0.68, 0.62), shown(0.5, 0.46, 0.41)),
        4 => (shown(0.88, 0.78, 0.6), shown(0.74, 0.6, 0.41)),
        _ => (shown(0.6, 0.33, 0.22), shown(0.38, 0.18, 0.11)),
    };
    let rings = dice.range(0.03, 0.09);
    let sway = dice.range(2.0, 6.0);
    let knots = dice.range(0.0, 0.5);
    let contrast = dice.range(0.4, 1.0);
    Canvas::paint(width, height, |x, y| {
        let (s, t) = turned.at(x, y);
        let plank = floor(t / board);
        let own = noise.cell(plank, 7);
        let (along, across) = (s + 371.0 * own, t + 53.0 * own);
        let mut field = across * rings + sway * noise.fractal(along * 0.004, across * 0.013, 2);
        let (i, j) = (floor(along / 170.0), floor(across / 60.0));
        if noise.cell(i, j) < knots {
            // The rings flow around a knot.
            let (kx, ky) = ((i as f32 + 0.5) * 170.0, (j as f32 + 0.3 + 0.4 * noise.cell_again(i, j, 1)) * 60.0);
            let away = length((along - kx) * 0.33, across - ky) / 17.0;
            field += 2.2 * smoothstep(1.0, 0.0, away);
        }
        let wave = 0.5 + 0.5 * sin(field);
        let fine = noise.value(along * 0.03, across * 0.7);
        let pore = smoothstep(0.78, 0.95, noise.value(along * 0.07 + 40.0, across * 0.95));
        let grain = contrast * (0.65 * wave * wave + 0.35 * fine) + (1.0 - contrast) * 0.4;
        let joint = (fract(t / board) * board - 0.8).abs();
        let gap = if board < 1000.0 { 0.25 + 0.75 * smoothstep(0.2, 1.8, joint) } else { 1.0 };
        scale(mix(light, dark, grain), (1.0 - 0.35 * pore) * gap * (0.85 + 0.3 * own))
    })
}

/// Poured concrete, plaster or asphalt: clouds, grains, pits and a crack.
pub(super) fn concrete(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let noise = Noise::new(dice);
    let other = Noise::new(dice);
    let grey = dice.range(0.28, 0.72);
    let tint = dice.range(-0.04, 0.04);
    let base = shown(grey + tint, grey, grey - tint);
    let rough = dice.range(0.15, 0.6);
    let cracked = dice.chance(0.5);
    let painted = dice.chance(0.2);
    let line = Turned::held(dice);
    let (stripe_at, stripe) = (dice.range(-60.0, 60.0) + line.y, dice.range(12.0, 40.0));
    let paint = if dice.chance(0.5) { shown(0.85, 0.7, 0.2) } else { shown(0.85, 0.85, 0.83) };
    Canvas::paint(width, height, |x, y| {
        let cloud = noise.fractal(x * 0.014, y * 0.014, 4);
        let grain = other.cell(floor(x), floor(y)) + noise.value(x * 0.35, y * 0.35) - 1.0;
        let pit = smoothstep(0.86, 0.93, other.value(x * 0.2, y * 0.2));
        let mut colour = scale(base, 0.65 + 0.7 * cloud);
        if painted {
            let (_, t) = line.at(x - 0.5 * width as f32, y - 0.5 * height as f32);
            let worn = noise.fractal(x * 0.09, y * 0.09, 2);
            let covered = smoothstep(stripe, stripe - 2.0, (t - stripe_at).abs()) * smoothstep(0.35, 0.45, worn);
            colour = mix(colour, paint, covered);
        }
        let mut light = (1.0 + rough * 0.6 * grain) * (1.0 - 0.5 * pit);
        if cracked {
            let ridge = (other.fractal(x * 0.008 + 5.0, y * 0.008, 4) - 0.5).abs();
            light *= 0.4 + 0.6 * smoothstep(0.0, 0.006, ridge);
        }
        scale(colour, light)
    })
}

/// Terrazzo or granite: chips of several colours in a ground.
pub(super) fn stone(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let noise = Noise::new(dice);
    let ground = hue(dice.unit(), dice.range(0.0, 0.25), dice.range(0.35, 0.85));
    let palette: Vec<_> = (0..4).map(|_| hue(dice.unit(), dice.range(0.0, 0.45), dice.range(0.15, 0.95))).collect();
    let cell = dice.range(5.0, 17.0);
    let share = dice.range(0.35, 0.9);
    Canvas::paint(width, height, |x, y| {
        // Bending the plane makes the chips angular and uneven.
        let bend = noise.value(x * 0.16, y * 0.16) - 0.5;
        let (px, py) = (x / cell + 0.5 * bend, y / cell - 0.5 * bend);
        let (i, j) = (floor(px), floor(py));
        let mut colour = scale(ground, 0.85 + 0.3 * noise.value(x * 0.5, y * 0.5));
        if noise.cell(i, j) < share {
            let (cx, cy) = (0.3 + 0.4 * noise.cell_again(i, j, 1), 0.3 + 0.4 * noise.cell_again(i, j, 2));
            let size = 0.16 + 0.3 * noise.cell_again(i, j, 3);
            let (dx, dy) = (px - i as f32 - cx, py - j as f32 - cy);
            let lean = noise.cell_again(i, j, 4) - 0.5;
            let away = (dx + lean * dy).abs().max((dy - lean * dx).abs() * 1.2) * 0.6 + 0.4 * length(dx, dy);
            let covered = ((size - away) * cell + 0.5).clamp(0.0, 1.0);
            let chip = palette[(noise.cell_again(i, j, 5) * 4.0) as usize % 4];
            colour = mix(colour, chip, covered);
        }
        colour
    })
}
