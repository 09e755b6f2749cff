//! Groups of rows to fewer, by the box filter; vectors where the processor has them.

use super::Ratio;

/// Of four rows, the two that each of three new ones lies in, with their weights.
const DOWN: [[(usize, u32); 2]; 3] = [[(0, 3), (1, 1)], [(1, 2), (2, 2)], [(2, 1), (3, 3)]];

/// Brings groups of rows down. Works on words of two or four samples, which the compiler turns into
/// vectors; sample by sample it does not.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Of each row, its groups of four samples come down to three, times 4.
    thirds: [[Vec<u16>; 3]; 4],
    /// Three samples each.
    words: Vec<u32>,
}

impl Kernel {
    #[inline(always)]
    pub fn group(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { self.group_avx2(ratio, lines, out) };
        }
        self.group_of_any(ratio, lines, out);
    }

    /// Whole vectors, and the few samples that are left at the end.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn group_avx2(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        match ratio {
            Ratio::Half => {
                let done = super::vectors::half(lines[0], lines[1], out);
                half(&lines[0][2 * done..], &lines[1][2 * done..], &mut out[done..]);
            }
            Ratio::ThreeQuarters => {
                let row = lines[0].len() / 4 * 3;
                let (first, others) = out.split_at_mut(row);
                let (second, third) = others.split_at_mut(row);
                let done = super::vectors::three_quarters(lines, [first, second, third]);
                let left = row - done / 4 * 3;
                if left > 0 {
                    let mut end = [0; 3 * 24];
                    let end = &mut end[..3 * left];
                    self.group_of_any(ratio, lines.map(|line| &line[done..]), end);
                    for (out, end) in out.chunks_exact_mut(row).zip(end.chunks_exact(left)) {
                        out[row - left..].copy_from_slice(end);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn group_of_any(&mut self, ratio: Ratio, lines: [&[u8]; 4], out: &mut [u8]) {
        match ratio {
            Ratio::Half => half(lines[0], lines[1], out),
            Ratio::ThreeQuarters => {
                for (line, thirds) in lines.iter().zip(&mut self.thirds) {
                    across(line, thirds);
                }
                for (out, weights) in out.chunks_exact_mut(lines[0].len() / 4 * 3).zip(DOWN) {
                    self.down(weights, out);
                }
            }
        }
    }

    #[inline(always)]
    fn down(&mut self, [(above, a), (below, b)]: [(usize, u32); 2], out: &mut [u8]) {
        let ([p, q, r], [s, t, w]) = (&self.thirds[above], &self.thirds[below]);
        let sums = p.iter().zip(q).zip(r).zip(s.iter().zip(t).zip(w));
        let mean = |m: u16, n: u16| (u32::from(m) * a + u32::from(n) * b + 8) >> 4;
        self.words.clear();
        self.words.extend(sums.map(|(((p, q), r), ((s, t), w))| {
            mean(*p, *s) | mean(*q, *t) << 8 | mean(*r, *w) << 16
        }));
        for (out, word) in out.as_chunks_mut::<3>().0.iter_mut().zip(&self.words) {
            let [a, b, c, _] = word.to_le_bytes();
            *out = [a, b, c];
        }
    }
}

/// Two rows of U V U V to one of each, by a half.
#[inline(always)]
pub fn half_pairs(rows: [&[u8]; 2], u: &mut [u8], v: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        let done = unsafe { super::vectors::half_pairs(rows, u, v) };
        return pairs(rows.map(|row| &row[4 * done..]), &mut u[done..], &mut v[done..]);
    }
    pairs(rows, u, v);
}

/// Four rows of Y U Y V to two of luma and one of each chroma, by a half.
#[inline(always)]
pub fn half_packed(rows: [&[u8]; 4], [y, z]: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        let n = unsafe { super::vectors::half_packed(rows, [&mut *y, &mut *z], u, v) };
        let rows = rows.map(|row| &row[8 * n..]);
        return packed(rows, [&mut y[2 * n..], &mut z[2 * n..]], &mut u[n..], &mut v[n..]);
    }
    packed(rows, [y, z], u, v);
}

#[inline(always)]
fn pairs(rows: [&[u8]; 2], u: &mut [u8], v: &mut [u8]) {
    let [above, below] = rows.map(|row| row.as_chunks::<4>().0);
    for ((a, b), (u, v)) in above.iter().zip(below).zip(u.iter_mut().zip(v)) {
        let mean = |n: usize| {
            let sum: u16 = [a[n], a[n + 2], b[n], b[n + 2]].map(u16::from).iter().sum();
            ((sum + 2) >> 2) as u8
        };
        (*u, *v) = (mean(0), mean(1));
    }
}

#[inline(always)]
fn packed(rows: [&[u8]; 4], ys: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
    let rows = rows.map(|row| row.as_chunks::<8>().0);
    for (rows, y) in rows.chunks_exact(2).zip(ys) {
        let fours = rows[0].iter().zip(rows[1]).zip(y.as_chunks_mut::<2>().0);
        for ((a, b), y) in fours {
            let mean = |n: usize| {
                let sum: u16 = [a[n], a[n + 2], b[n], b[n + 2]].map(u16::from).iter().sum();
                ((sum + 2) >> 2) as u8
            };
            *y = [mean(0), mean(4)];
        }
    }
    let [a, b, c, d] = rows;
    let fours = a.iter().zip(b).zip(c.iter().zip(d)).zip(u.iter_mut().zip(v));
    for (((a, b), (c, d)), (u, v)) in fours {
        let mean = |n: usize| {
            let sum: u16 =
                [a, b, c, d].map(|row| u16::from(row[n]) + u16::from(row[n + 4])).iter().sum();
            ((sum + 4) >> 3) as u8
        };
        (*u, *v) = (mean(1), mean(3));
    }
}

/// Each two rows to one, their mean.
#[inline(always)]
pub fn between(above: &[u8], below: &[u8], out: &mut [u8]) {
    for ((a, b), out) in above.iter().zip(below).zip(out) {
        *out = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
    }
}

/// Two rows to one.
#[inline(always)]
fn half(above: &[u8], below: &[u8], out: &mut [u8]) {
    let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (out, (a, b)) in out.iter_mut().zip(pairs) {
        let (a, b) = (u16::from_le_bytes(*a), u16::from_le_bytes(*b));
        *out = (((a & 0xFF) + (a >> 8) + (b & 0xFF) + (b >> 8) + 2) >> 2) as u8;
    }
}

/// Each four samples to three, times 4, by how much of each of the four they cover.
#[inline(always)]
fn across(row: &[u8], [first, second, third]: &mut [Vec<u16>; 3]) {
    for third in [&mut *first, second, third] {
        third.resize(row.len() / 4, 0);
    }
    let thirds = first.iter_mut().zip(second).zip(third);
    for (((first, second), third), four) in thirds.zip(row.as_chunks::<4>().0) {
        let word = u32::from_le_bytes(*four);
        let [a, b, c, d] = [word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFF, word >> 24];
        *first = (3 * a + b) as u16;
        *second = (2 * b + 2 * c) as u16;
        *third = (c + 3 * d) as u16;
    }
}
