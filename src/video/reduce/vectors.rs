//! The two kernels in vectors of sixteen samples (SSSE3's multiply-add of bytes, in AVX2's encoding):
//! the compiler makes no such shuffle of plain code. Each does whole vectors and tells how far it came.

use std::arch::x86_64::{
    __m128i, _mm_add_epi16, _mm_extract_epi32, _mm_loadu_si128, _mm_maddubs_epi16,
    _mm_packus_epi16, _mm_set1_epi8, _mm_set1_epi16, _mm_setr_epi8, _mm_shuffle_epi8,
    _mm_srli_epi16, _mm_storel_epi64, _mm_storeu_si128,
};

/// Samples of a vector.
const VECTOR: usize = 16;

#[inline]
#[target_feature(enable = "avx2")]
fn load(samples: &[u8; VECTOR]) -> __m128i {
    // SAFETY: sixteen bytes can be read there; no alignment is asked for.
    unsafe { _mm_loadu_si128(samples.as_ptr().cast()) }
}

/// Two rows to one, by two vectors each; samples of `out` that are done.
#[target_feature(enable = "avx2")]
pub fn half(above: &[u8], below: &[u8], out: &mut [u8]) -> usize {
    let (ones, rounding) = (_mm_set1_epi8(1), _mm_set1_epi16(2));
    // Never more than 4 x 255 + 2.
    let sum = |a: &[u8; VECTOR], b: &[u8; VECTOR]| {
        let pairs =
            _mm_add_epi16(_mm_maddubs_epi16(load(a), ones), _mm_maddubs_epi16(load(b), ones));
        _mm_srli_epi16::<2>(_mm_add_epi16(pairs, rounding))
    };
    let (above, below) = (above.as_chunks::<VECTOR>().0, below.as_chunks::<VECTOR>().0);
    let rows = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    let outs = out.as_chunks_mut::<VECTOR>().0;
    let mut done = 0;
    for (([a, b], [c, d]), out) in rows.zip(outs) {
        let mean = _mm_packus_epi16(sum(a, c), sum(b, d));
        // SAFETY: sixteen bytes can be written there; no alignment is asked for.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), mean) };
        done += VECTOR;
    }
    done
}

/// Four rows to three, a vector of each becoming twelve samples; samples of the rows that are done.
#[target_feature(enable = "avx2")]
pub fn three_quarters(rows: [&[u8]; 4], outs: [&mut [u8]; 3]) -> usize {
    const NONE: i8 = -1;
    // Of each group of four samples the pairs that the three lie in, and their weights.
    let pairs = [
        _mm_setr_epi8(0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10),
        _mm_setr_epi8(
            10, 11, 12, 13, 13, 14, 14, 15, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
        ),
    ];
    let weights = [
        _mm_setr_epi8(3, 1, 2, 2, 1, 3, 3, 1, 2, 2, 1, 3, 3, 1, 2, 2),
        _mm_setr_epi8(1, 3, 3, 1, 2, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0),
    ];
    // Times 4.
    let across = |row: &[u8; VECTOR]| {
        let row = load(row);
        let part = |n: usize| _mm_maddubs_epi16(_mm_shuffle_epi8(row, pairs[n]), weights[n]);
        [part(0), part(1)]
    };
    let rounding = _mm_set1_epi16(8);
    let twice = |a| _mm_add_epi16(a, a);
    // Times 16 and back: never more than 16 x 255 + 8.
    let mean = |sum| _mm_srli_epi16::<4>(_mm_add_epi16(sum, rounding));
    let near = |a, b| mean(_mm_add_epi16(_mm_add_epi16(twice(a), a), b));
    let middle = |a, b| mean(twice(_mm_add_epi16(a, b)));
    let store = |out: &mut [u8; 12], first, second| {
        let samples = _mm_packus_epi16(first, second);
        let (eight, four) = out.split_at_mut(8);
        // SAFETY: eight bytes can be written there; no alignment is asked for.
        unsafe { _mm_storel_epi64(eight.as_mut_ptr().cast(), samples) };
        four.copy_from_slice(&_mm_extract_epi32::<2>(samples).to_le_bytes());
    };
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<VECTOR>().0);
    let [x, y, z] = outs.map(|out| out.as_chunks_mut::<12>().0);
    let mut done = 0;
    let ins = a.iter().zip(b).zip(c.iter().zip(d));
    for (((a, b), (c, d)), (x, (y, z))) in ins.zip(x.iter_mut().zip(y.iter_mut().zip(z))) {
        let ([a, e], [b, f]) = (across(a), across(b));
        let ([c, g], [d, h]) = (across(c), across(d));
        store(x, near(a, b), near(e, f));
        store(y, middle(b, c), middle(f, g));
        store(z, near(d, c), near(h, g));
        done += VECTOR;
    }
    done
}
