//! The kernels in vectors of 32 samples (AVX2): the compiler makes no such multiply-add of bytes, and
//! no such shuffles, of plain code. Each does whole vectors and tells how far it came.
//!
//! A vector has two lanes of 16 bytes; shuffles of bytes and packing stay within them, so that what
//! comes of two vectors has to be put in order once more by groups of four bytes.

use std::arch::x86_64::{
    __m256i, _mm_extract_epi32, _mm_extract_epi64, _mm_setr_epi8, _mm_shuffle_epi8,
    _mm_storel_epi64, _mm_storeu_si128, _mm256_add_epi16, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_maddubs_epi16,
    _mm256_packus_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_setr_epi32, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
};

/// Samples of a vector.
const VECTOR: usize = 32;

#[inline]
#[target_feature(enable = "avx2")]
fn load(samples: &[u8; VECTOR]) -> __m256i {
    // SAFETY: 32 bytes can be read there; no alignment is asked for.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

/// The first 16 bytes of 32.
#[inline]
#[target_feature(enable = "avx2")]
fn store_low(from: __m256i, to: &mut [u8; VECTOR / 2]) {
    // SAFETY: 16 bytes can be written there; no alignment is asked for.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_castsi256_si128(from)) };
}

/// The other 16.
#[inline]
#[target_feature(enable = "avx2")]
fn store_high(from: __m256i, to: &mut [u8; VECTOR / 2]) {
    // SAFETY: as above.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(from)) };
}

/// Two rows to one, by two vectors each; samples of `out` that are done.
#[target_feature(enable = "avx2")]
pub fn half(above: &[u8], below: &[u8], out: &mut [u8]) -> usize {
    let (ones, rounding) = (_mm256_set1_epi8(1), _mm256_set1_epi16(2));
    let order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
    let (above, below) = (above.as_chunks::<VECTOR>().0, below.as_chunks::<VECTOR>().0);
    let rows = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    let outs = out.as_chunks_mut::<VECTOR>().0;
    let mut done = 0;
    for (([a, b], [c, d]), out) in rows.zip(outs) {
        // Never more than 4 x 255 + 2.
        let mean = |above, below| {
            let pairs = |row| _mm256_maddubs_epi16(load(row), ones);
            let sum = _mm256_add_epi16(pairs(above), pairs(below));
            _mm256_srli_epi16::<2>(_mm256_add_epi16(sum, rounding))
        };
        let packed = _mm256_packus_epi16(mean(a, c), mean(b, d));
        let means = _mm256_permutevar8x32_epi32(packed, order);
        // SAFETY: 32 bytes can be written there; no alignment is asked for.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), means) };
        done += VECTOR;
    }
    done
}

/// Two rows of U V U V to one of each; samples of each that are done.
#[target_feature(enable = "avx2")]
pub fn half_pairs(rows: [&[u8]; 2], u: &mut [u8], v: &mut [u8]) -> usize {
    let (ones, rounding) = (_mm256_set1_epi8(1), _mm256_set1_epi16(2));
    let apart = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
    ));
    // Lane by lane it is U V of the first vector, U V of the second.
    let order = _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7);
    let [above, below] = rows.map(|row| row.as_chunks::<VECTOR>().0.as_chunks::<2>().0);
    let outs = u.as_chunks_mut::<16>().0.iter_mut().zip(v.as_chunks_mut::<16>().0);
    let mut done = 0;
    for (([a, b], [c, d]), (u, v)) in above.iter().zip(below).zip(outs) {
        let mean = |above, below| {
            let pairs = |row| _mm256_maddubs_epi16(_mm256_shuffle_epi8(load(row), apart), ones);
            let sum = _mm256_add_epi16(pairs(above), pairs(below));
            _mm256_srli_epi16::<2>(_mm256_add_epi16(sum, rounding))
        };
        let packed = _mm256_packus_epi16(mean(a, c), mean(b, d));
        let means = _mm256_permutevar8x32_epi32(packed, order);
        store_low(means, u);
        store_high(means, v);
        done += 16;
    }
    done
}

/// Four rows of Y U Y V to two of luma and one of each chroma; samples of each chroma that are done.
#[target_feature(enable = "avx2")]
pub fn half_packed(rows: [&[u8]; 4], ys: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) -> usize {
    let ones = _mm256_set1_epi8(1);
    let (of_four, of_eight) = (_mm256_set1_epi16(2), _mm256_set1_epi16(4));
    let apart = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 2, 4, 6, 8, 10, 12, 14, 1, 5, 9, 13, 3, 7, 11, 15,
    ));
    // Lane by lane it is luma and chroma of the first vector, and of the second.
    let order = _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7);
    let chroma = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<VECTOR>().0.as_chunks::<2>().0);
    let [y, z] = ys.map(|out| out.as_chunks_mut::<16>().0);
    let ins = a.iter().zip(b).zip(c.iter().zip(d));
    let chromas = u.as_chunks_mut::<8>().0.iter_mut().zip(v.as_chunks_mut::<8>().0);
    let outs = y.iter_mut().zip(z).zip(chromas);
    let mut done = 0;
    for (((a, b), (c, d)), ((y, z), (u, v))) in ins.zip(outs) {
        let pairs =
            |row: &[u8; VECTOR]| _mm256_maddubs_epi16(_mm256_shuffle_epi8(load(row), apart), ones);
        let sums = |above: &[[u8; VECTOR]; 2], below: &[[u8; VECTOR]; 2]| {
            [0, 1].map(|n: usize| _mm256_add_epi16(pairs(&above[n]), pairs(&below[n])))
        };
        let pack = |[first, second]: [__m256i; 2]| {
            _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order)
        };
        let (above, below) = (sums(a, b), sums(c, d));
        let quarter = |sum| _mm256_srli_epi16::<2>(_mm256_add_epi16(sum, of_four));
        store_low(pack(above.map(quarter)), y);
        store_low(pack(below.map(quarter)), z);
        let eighths = [0, 1].map(|n: usize| {
            let sum = _mm256_add_epi16(_mm256_add_epi16(above[n], below[n]), of_eight);
            _mm256_srli_epi16::<3>(sum)
        });
        let means = _mm_shuffle_epi8(_mm256_extracti128_si256::<1>(pack(eighths)), chroma);
        *u = _mm_extract_epi64::<0>(means).to_le_bytes();
        *v = _mm_extract_epi64::<1>(means).to_le_bytes();
        done += 8;
    }
    done
}

/// Four rows to three, a vector of each becoming 24 samples; samples of the rows that are done.
#[target_feature(enable = "avx2")]
pub fn three_quarters(rows: [&[u8]; 4], outs: [&mut [u8]; 3]) -> usize {
    const NONE: i8 = -1;
    // Of each group of four samples the pairs that the three lie in, and their weights.
    let pairs = [
        _mm_setr_epi8(0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10),
        _mm_setr_epi8(
            10, 11, 12, 13, 13, 14, 14, 15, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
        ),
    ]
    .map(|pairs| _mm256_broadcastsi128_si256(pairs));
    let weights = [
        _mm_setr_epi8(3, 1, 2, 2, 1, 3, 3, 1, 2, 2, 1, 3, 3, 1, 2, 2),
        _mm_setr_epi8(1, 3, 3, 1, 2, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0),
    ]
    .map(|weights| _mm256_broadcastsi128_si256(weights));
    // Times 4.
    let across = |row: &[u8; VECTOR]| {
        let row = load(row);
        let part = |n: usize| _mm256_maddubs_epi16(_mm256_shuffle_epi8(row, pairs[n]), weights[n]);
        [part(0), part(1)]
    };
    let rounding = _mm256_set1_epi16(8);
    let twice = |a| _mm256_add_epi16(a, a);
    // Times 16 and back: never more than 16 x 255 + 8.
    let mean = |sum| _mm256_srli_epi16::<4>(_mm256_add_epi16(sum, rounding));
    let near = |a, b| mean(_mm256_add_epi16(_mm256_add_epi16(twice(a), a), b));
    let middle = |a, b| mean(twice(_mm256_add_epi16(a, b)));
    let store = |out: &mut [u8; 24], first, second| {
        let samples = _mm256_packus_epi16(first, second);
        let lanes = [_mm256_castsi256_si128(samples), _mm256_extracti128_si256::<1>(samples)];
        for (out, lane) in out.as_chunks_mut::<12>().0.iter_mut().zip(lanes) {
            let (eight, four) = out.split_at_mut(8);
            // SAFETY: eight bytes can be written there; no alignment is asked for.
            unsafe { _mm_storel_epi64(eight.as_mut_ptr().cast(), lane) };
            four.copy_from_slice(&_mm_extract_epi32::<2>(lane).to_le_bytes());
        }
    };
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<VECTOR>().0);
    let [x, y, z] = outs.map(|out| out.as_chunks_mut::<24>().0);
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
