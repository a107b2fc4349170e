//! One body for every instruction set.
//!
//! A kernel is written once, over [`Isa`], and compiled three times: for AVX-512, for AVX2 with FMA, and for whatever the
//! target has at least. What the machine can do is asked at run time. Plain loops are left to the compiler, which
//! vectorizes them for the set at hand; [`Isa::Lanes`] is for those where it does not see the vectors.

/// Values in [`Isa::Lanes`].
pub(crate) const LANES: usize = 16;

/// An instruction set: how to multiply and add, and sixteen values that are worked on together.
pub(crate) trait Isa {
    /// Sixteen values, in as many registers as they need.
    type Lanes: Copy;

    /// Whether [`Isa::Lanes`] is one register of 32, so that two dozen of them can be kept.
    const WIDE: bool = false;

    /// `a · b + c`.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;
    /// The same value in all lanes.
    fn splat(value: f32) -> Self::Lanes;
    /// From memory.
    fn load(values: &[f32; LANES]) -> Self::Lanes;
    /// To memory.
    fn store(lanes: Self::Lanes, values: &mut [f32; LANES]);
    /// `a · b + c`, lane by lane.
    fn fused(a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;
    /// No less than `low`, no more than `high`; a NaN passes.
    fn clamped(lanes: Self::Lanes, low: Self::Lanes, high: Self::Lanes) -> Self::Lanes;
    /// The values at even and at odd places of the two together.
    fn unzip(a: Self::Lanes, b: Self::Lanes) -> (Self::Lanes, Self::Lanes);
    /// The values of the two by turns: what [`Isa::unzip`] undoes.
    fn zip(even: Self::Lanes, odd: Self::Lanes) -> (Self::Lanes, Self::Lanes);
}

/// The sum of the lanes, in a fixed order.
#[inline(always)]
pub(crate) fn sum_of_lanes<I: Isa>(lanes: I::Lanes) -> f32 {
    let mut values = [0.0; LANES];
    I::store(lanes, &mut values);
    sum_lanes(values)
}

/// The sum of the values, in a fixed order: halves are added until one is left. `N` is a power of two.
#[inline(always)]
pub(crate) fn sum_lanes<const N: usize>(mut values: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for index in 0..half {
            values[index] += values[index + half];
        }
        half /= 2;
    }
    values[0]
}

/// Sixteen neighbouring values.
#[inline(always)]
pub(crate) fn lanes(values: &[f32], at: usize) -> &[f32; LANES] {
    match values[at..].first_chunk() {
        Some(lanes) => lanes,
        None => too_short(values.len(), at),
    }
}

/// Sixteen neighbouring values to write.
#[inline(always)]
pub(crate) fn lanes_mut(values: &mut [f32], at: usize) -> &mut [f32; LANES] {
    let len = values.len();
    match values[at..].first_chunk_mut() {
        Some(lanes) => lanes,
        None => too_short(len, at),
    }
}

#[cold]
#[inline(never)]
fn too_short(len: usize, at: usize) -> ! {
    panic!("{LANES} values from {at} on, of {len}");
}

/// As the target at compile time does it best.
pub(crate) struct Baseline;

impl Isa for Baseline {
    type Lanes = [f32; LANES];

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        // Where there is no such instruction, the library's fused operation is far slower than two rounded ones.
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self::Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self::Lanes {
        *values
    }

    #[inline(always)]
    fn store(lanes: Self::Lanes, values: &mut [f32; LANES]) {
        *values = lanes;
    }

    #[inline(always)]
    fn fused(a: Self::Lanes, b: Self::Lanes, mut c: Self::Lanes) -> Self::Lanes {
        for lane in 0..LANES {
            c[lane] = Self::multiply_add(a[lane], b[lane], c[lane]);
        }
        c
    }

    #[inline(always)]
    fn clamped(lanes: Self::Lanes, low: Self::Lanes, high: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|lane| {
            let value = if lanes[lane] < low[lane] { low[lane] } else { lanes[lane] };
            if value > high[lane] { high[lane] } else { value }
        })
    }

    #[inline(always)]
    fn unzip(a: Self::Lanes, b: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
        let at = |place: usize| if place < LANES { a[place] } else { b[place - LANES] };
        (std::array::from_fn(|lane| at(2 * lane)), std::array::from_fn(|lane| at(2 * lane + 1)))
    }

    #[inline(always)]
    fn zip(even: Self::Lanes, odd: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
        let at = |place: usize| if place.is_multiple_of(2) { even[place / 2] } else { odd[place / 2] };
        (std::array::from_fn(at), std::array::from_fn(|lane| at(lane + LANES)))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The sets of x86-64.
///
/// SAFETY of every block here: these types appear only as the parameter of bodies that [`vectorized`] inlines into functions
/// compiled for the set, which it calls on machines that have it; loads and stores go through references to
/// as many values.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Isa, LANES};
    use std::arch::x86_64::*;

    /// AVX-512 F, VL, DQ and BW.
    pub(crate) struct Avx512;

    impl Isa for Avx512 {
        type Lanes = __m512;

        const WIDE: bool = true;

        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn splat(value: f32) -> Self::Lanes {
            // SAFETY: see the module.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn load(values: &[f32; LANES]) -> Self::Lanes {
            // SAFETY: see the module.
            unsafe { _mm512_loadu_ps(values.as_ptr()) }
        }

        #[inline(always)]
        fn store(lanes: Self::Lanes, values: &mut [f32; LANES]) {
            // SAFETY: see the module.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), lanes) }
        }

        #[inline(always)]
        fn fused(a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
            // SAFETY: see the module.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn clamped(lanes: Self::Lanes, low: Self::Lanes, high: Self::Lanes) -> Self::Lanes {
            // SAFETY: see the module. Both operations return their second operand where one is a NaN.
            unsafe { _mm512_min_ps(high, _mm512_max_ps(low, lanes)) }
        }

        #[inline(always)]
        fn unzip(a: Self::Lanes, b: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
            // SAFETY: see the module.
            unsafe {
                let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
                (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
            }
        }

        #[inline(always)]
        fn zip(even: Self::Lanes, odd: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
            // SAFETY: see the module.
            unsafe {
                let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
                (_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd))
            }
        }
    }

    /// AVX2 with FMA.
    pub(crate) struct Avx2;

    impl Isa for Avx2 {
        type Lanes = [__m256; 2];

        #[inline(always)]
        fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn splat(value: f32) -> Self::Lanes {
            // SAFETY: see the module.
            unsafe { [_mm256_set1_ps(value); 2] }
        }

        #[inline(always)]
        fn load(values: &[f32; LANES]) -> Self::Lanes {
            // SAFETY: see the module; the second half begins in the middle.
            unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(LANES / 2))] }
        }

        #[inline(always)]
        fn store(lanes: Self::Lanes, values: &mut [f32; LANES]) {
            // SAFETY: see the module; the second half begins in the middle.
            unsafe {
                _mm256_storeu_ps(values.as_mut_ptr(), lanes[0]);
                _mm256_storeu_ps(values.as_mut_ptr().add(LANES / 2), lanes[1]);
            }
        }

        #[inline(always)]
        fn fused(a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
            // SAFETY: see the module.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn clamped(lanes: Self::Lanes, low: Self::Lanes, high: Self::Lanes) -> Self::Lanes {
            // SAFETY: see the module. Both operations return their second operand where one is a NaN.
            unsafe { [0, 1].map(|half| _mm256_min_ps(high[half], _mm256_max_ps(low[half], lanes[half]))) }
        }

        #[inline(always)]
        fn unzip(a: Self::Lanes, b: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
            /// Orders the four pairs that the shuffle leaves as 0, 2, 1, 3.
            #[inline(always)]
            fn ordered(values: __m256) -> __m256 {
                // SAFETY: see the module.
                unsafe { _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(values))) }
            }
            // SAFETY: see the module.
            unsafe {
                (
                    [a, b].map(|half| ordered(_mm256_shuffle_ps::<0b10_00_10_00>(half[0], half[1]))),
                    [a, b].map(|half| ordered(_mm256_shuffle_ps::<0b11_01_11_01>(half[0], half[1]))),
                )
            }
        }

        #[inline(always)]
        fn zip(even: Self::Lanes, odd: Self::Lanes) -> (Self::Lanes, Self::Lanes) {
            #[inline(always)]
            fn half(even: __m256, odd: __m256) -> [__m256; 2] {
                // SAFETY: see the module.
                unsafe {
                    let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
                    [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
                }
            }
            (half(even[0], odd[0]), half(even[1], odd[1]))
        }
    }
}

/// Defines `fn name(…)` that runs `body::<Isa>(…)` on the best instruction set of the machine. The body, and what it calls
/// with the set as a parameter, must be `#[inline(always)]`, or it would not be compiled for that set.
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
                    $body::<$crate::cpu::simd::Avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    $body::<$crate::cpu::simd::Avx2>($($argument),*)
                }
                let avx2_at_least = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                if avx2_at_least
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                {
                    // SAFETY: the machine has every feature that the function is compiled for.
                    return unsafe { avx512($($argument),*) };
                }
                if avx2_at_least {
                    // SAFETY: likewise.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $body::<$crate::cpu::simd::Baseline>($($argument),*)
        }
    };
}

pub(crate) use vectorized;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operations of a set make of fixed values.
    #[inline(always)]
    fn results<I: Isa>() -> Vec<f32> {
        let values: [f32; 2 * LANES] = std::array::from_fn(|index| index as f32 - 7.0);
        let (a, b) = (I::load(lanes(&values, 0)), I::load(lanes(&values, LANES)));
        let (even, odd) = I::unzip(a, b);
        let (low, high) = I::zip(even, odd);
        let sum = I::fused(a, b, I::splat(0.5));
        let mut all = Vec::new();
        let clamped = I::clamped(a, I::splat(-2.0), I::splat(3.0));
        for lanes in [even, odd, low, high, sum, clamped] {
            let mut stored = [0.0; LANES];
            I::store(lanes, &mut stored);
            all.extend(stored);
        }
        all.push(sum_of_lanes::<I>(a));
        all.push(I::multiply_add(2.0, 3.0, 4.0));
        all
    }

    #[inline(always)]
    fn results_body<I: Isa>() -> Vec<f32> {
        results::<I>()
    }

    vectorized!(fn best() -> Vec<f32> = results_body);

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn with_avx2() -> Vec<f32> {
        results::<Avx2>()
    }

    #[test]
    fn every_instruction_set_does_the_same() {
        let plain = results::<Baseline>();
        let (even, odd) = (plain[0], plain[LANES]);
        assert_eq!([even, odd, plain[1], plain[LANES + 15]], [-7.0, -6.0, -5.0, 24.0]);
        assert_eq!(plain[2 * LANES..2 * LANES + 3], [-7.0, -6.0, -5.0]);
        assert_eq!([plain[5 * LANES], plain[5 * LANES + 6], plain[6 * LANES - 1]], [-2.0, -1.0, 3.0]);
        assert_eq!(plain[6 * LANES..], [8.0, 10.0]);
        assert_eq!(best(), plain);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has both.
            assert_eq!(unsafe { with_avx2() }, plain);
        }
    }
}
