//! Elementary functions that give the same bits on every machine.
//!
//! `f32::sin` and its relatives come from the platform's mathematical library, and two libraries may
//! differ in the last bit; one such bit can turn a grey value of 127 into 128. Here everything is built
//! from addition, multiplication, division and square root, which IEEE 754 defines exactly. Angles are
//! counted in turns (1.0 is a full circle), so reducing them is exact as well.

/// The largest integer that is not above `x`, for values far inside the range of `i32`.
#[inline]
pub(crate) fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    truncated - i32::from((truncated as f32) > x)
}

/// The fractional part of `x`, in `[0, 1)` also for negative values.
#[inline]
pub(crate) fn fract(x: f32) -> f32 {
    x - floor(x) as f32
}

/// Sine of an angle in turns: an odd polynomial of degree nine on a quarter turn, error below 4e-6.
#[inline]
pub(crate) fn sin(turns: f32) -> f32 {
    let t = turns - floor(turns + 0.5) as f32;
    let x = if t > 0.25 {
        0.5 - t
    } else if t < -0.25 {
        -0.5 - t
    } else {
        t
    };
    let s = x * x;
    x * (6.283_185_5 + s * (-41.341_7 + s * (81.605_25 + s * (-76.705_86 + s * 42.058_693))))
}

/// Cosine of an angle in turns.
#[inline]
pub(crate) fn cos(turns: f32) -> f32 {
    sin(turns + 0.25)
}

/// The direction of `(x, y)` in turns, in `(-0.5, 0.5]`; zero for the zero vector. Error below 2e-5.
#[inline]
pub(crate) fn angle(y: f32, x: f32) -> f32 {
    let (ax, ay) = (x.abs(), y.abs());
    let (low, high) = if ax < ay { (ax, ay) } else { (ay, ax) };
    if high == 0.0 {
        return 0.0;
    }
    let a = low / high;
    let s = a * a;
    let octant = a * (0.159_133_6 + s * (-0.052_568_8 + s * (0.028_670_33 + s * (-0.013_549_34 + s * 0.003_316_01))));
    let quadrant = if ax < ay { 0.25 - octant } else { octant };
    let half = if x < 0.0 { 0.5 - quadrant } else { quadrant };
    if y < 0.0 { -half } else { half }
}

/// Linear interpolation from `a` (at 0) to `b` (at 1).
#[inline]
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A soft step: 0 up to `from`, 1 beyond `to`.
#[inline]
pub(crate) fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The length of a vector.
#[inline]
pub(crate) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// Signed distance from `(x, y)` to a rectangle around the origin with the given half sides and corner radius.
#[inline]
pub(crate) fn rounded_rectangle(x: f32, y: f32, half_x: f32, half_y: f32, radius: f32) -> f32 {
    let (qx, qy) = (x.abs() - half_x + radius, y.abs() - half_y + radius);
    length(qx.max(0.0), qy.max(0.0)) + qx.max(qy).min(0.0) - radius
}

/// Signed distance from `(x, y)` to a regular hexagon around the origin with the given apothem, a corner on the x axis.
#[inline]
pub(crate) fn hexagon(x: f32, y: f32, apothem: f32) -> f32 {
    const HALF_SQRT_3: f32 = 0.866_025_4;
    let (ax, ay) = (x.abs(), y.abs());
    ay.max(HALF_SQRT_3 * ax + 0.5 * ay) - apothem
}
