//! One body for every instruction set.
//!
//! A kernel is written once, as a plain loop over small arrays of lanes that the compiler turns into vector
//! instructions, and compiled three times: for AVX-512, for AVX2 with FMA, and for whatever the target has at least.
//! What the machine can do is asked at run time.

/// How a body multiplies and adds.
pub(crate) trait MultiplyAdd {
    /// `a · b + c`.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;
}

/// In one instruction, rounded once. Slow where the machine has none.
pub(crate) struct Fused;

/// As the target at compile time does it best.
pub(crate) struct Baseline;

impl MultiplyAdd for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MultiplyAdd for Baseline {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Defines `fn name(…)` that runs `body::<M>(…)` on the best instruction set of the machine. The body must be
/// `#[inline(always)]`, or it would not be compiled for that set.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?
     = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($argument: $kind),*) $(-> $result)? {
                    $body::<$crate::cpu::simd::Fused>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    $body::<$crate::cpu::simd::Fused>($($argument),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the machine has every feature that the function is compiled for (AVX2 comes with AVX-512).
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: likewise.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $body::<$crate::cpu::simd::Baseline>($($argument),*)
        }
    };
}

pub(crate) use vectorized;

/// Values that one step of a loop works on side by side.
pub(crate) const LANES: usize = 16;

/// The sum of the lanes, in a fixed order: halves are added until one is left.
#[inline(always)]
pub(crate) fn sum_lanes<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Sixteen neighbouring values.
#[inline(always)]
pub(crate) fn lanes(values: &[f32], at: usize) -> &[f32; LANES] {
    match values[at..at + LANES].first_chunk() {
        Some(lanes) => lanes,
        None => unreachable!("a slice of {LANES} values has {LANES} values"),
    }
}
