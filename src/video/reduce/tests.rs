//! What comes of a picture is what the definition of the filter says, in every layout.

use super::*;
use crate::video::image::I420;
use crate::video::scale::LARGEST;
use proptest::prelude::*;

#[test]
fn uhd_is_halved_and_qhd_comes_down_by_a_quarter() {
    let of = |width, height| Ratio::of((width, height), LARGEST);
    assert_eq!(of(3840, 2160), Some(Ratio::Half));
    assert_eq!(of(4096, 2160), Some(Ratio::Half));
    assert_eq!(of(3264, 2448), Some(Ratio::Half));
    assert_eq!(of(2560, 1440), Some(Ratio::ThreeQuarters));
    assert_eq!(of(1920, 1440), Some(Ratio::ThreeQuarters));
    // Nothing to do, and what would have to be scaled up again.
    assert_eq!(of(1920, 1080), None);
    assert_eq!(of(1920, 1200), None);
    assert_eq!(of(2592, 1944), Some(Ratio::ThreeQuarters));
    assert_eq!(of(2564, 1444), None);
    let jpeg = Reducer::of(PixelFormat::Mjpeg, Codes::JFIF, (3840, 2160), 0, LARGEST);
    assert!(jpeg.is_none());
}

/// By the definition: how much of each sample the new one covers, in both directions.
fn exact(rows: &[Vec<f64>], ratio: f64) -> Vec<Vec<f64>> {
    let line = |samples: &[f64]| -> Vec<f64> {
        (0..(samples.len() as f64 / ratio) as usize)
            .map(|n| {
                let (from, to) = (n as f64 * ratio, (n + 1) as f64 * ratio);
                let cover = |i: usize| (to.min(i as f64 + 1.0) - from.max(i as f64)).max(0.0);
                samples.iter().enumerate().map(|(i, s)| s * cover(i)).sum::<f64>() / ratio
            })
            .collect()
    };
    let across: Vec<Vec<f64>> = rows.iter().map(|row| line(row)).collect();
    let columns: Vec<Vec<f64>> = (0..across[0].len())
        .map(|x| line(&across.iter().map(|row| row[x]).collect::<Vec<_>>()))
        .collect();
    (0..columns[0].len()).map(|y| columns.iter().map(|c| c[y]).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn each_pixel_is_the_mean_of_what_it_covers(
        (w, h, padding) in (1usize..30, 1usize..5, 0usize..3),
        half: bool,
        layout in prop::sample::select(vec![
            Layout::I420, Layout::I422, Layout::Nv12, Layout::Yuyv,
        ]),
        seed: u64,
    ) {
        let (width, height) = (8 * w, 8 * h);
        let (ratio, by) =
            if half { (Ratio::Half, 2.0) } else { (Ratio::ThreeQuarters, 4.0 / 3.0) };
        let wide = if layout == Layout::Yuyv { 2 * width } else { width };
        let stride = wide + 4 * padding;
        let planes: Vec<(usize, usize, usize)> = match layout {
            Layout::I420 => vec![
                (height, wide, stride),
                (height / 2, wide / 2, stride / 2),
                (height / 2, wide / 2, stride / 2),
            ],
            Layout::I422 => vec![
                (height, wide, stride),
                (height, wide / 2, stride / 2),
                (height, wide / 2, stride / 2),
            ],
            Layout::Nv12 => vec![(height, wide, stride), (height / 2, wide, stride)],
            _ => vec![(height, wide, stride)],
        };
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..planes.iter().map(|(rows, _, stride)| rows * stride).sum())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let size = (width as u32, height as u32);
        let mut reducer = Reducer::new(ratio, layout, Codes::RECORDED, size, stride as u32);
        let mut got = vec![99; seed as usize % 7];
        reducer.apply(&bytes, &mut got).expect("whole");
        let small = ratio.size(size);
        let (small_width, small_height) = (small.0 as usize, small.1 as usize);
        let luma = small_width * small_height;
        prop_assert_eq!(got.len(), luma * 3 / 2);
        let outs = [(0, small_width), (luma, small_width / 2), (luma * 5 / 4, small_width / 2)];
        for (kind, (to, small_row)) in outs.into_iter().enumerate() {
            // Where the samples of that kind are: plane, first byte, distance in a row.
            let (plane, first, step) = match (layout, kind) {
                (Layout::I420 | Layout::I422, _) => (kind, 0, 1),
                (Layout::Nv12, 0) => (0, 0, 1),
                (Layout::Nv12, _) => (1, kind - 1, 2),
                (_, 0) => (0, 0, 2),
                _ => (0, 2 * kind - 1, 4),
            };
            let from: usize = planes[..plane].iter().map(|(rows, _, s)| rows * s).sum();
            let (rows, row, stride) = planes[plane];
            let samples = |n: usize| -> Vec<f64> {
                let row = &bytes[from + n * stride..][..row];
                row.iter().skip(first).step_by(step).map(|b| f64::from(*b)).collect()
            };
            let mut lines: Vec<Vec<f64>> = (0..rows).map(samples).collect();
            let of_each_row = matches!(layout, Layout::I422 | Layout::Yuyv) && kind > 0;
            if of_each_row {
                let mean = |(a, b): (&f64, &f64)| (a + b) / 2.0;
                let pairs = lines.chunks(2);
                lines = pairs.map(|p| p[0].iter().zip(&p[1]).map(mean).collect()).collect();
            }
            let most = if of_each_row { 1.0 } else { 0.5 };
            for (y, wanted) in exact(&lines, by).iter().enumerate() {
                let row = &got[to + y * small_row..][..small_row];
                prop_assert_eq!(row.len(), wanted.len());
                for (code, wanted) in row.iter().zip(wanted) {
                    prop_assert!((f64::from(*code) - wanted).abs() <= most + 1e-9);
                }
            }
        }
        // The padding of the last row may be missing, a byte of its picture may not.
        let planar = matches!(layout, Layout::I420 | Layout::I422);
        let whole = bytes.len() - (if planar { 2 } else { 4 }) * padding;
        let mut again = got.clone();
        prop_assert!(reducer.apply(&bytes[..whole], &mut again).is_some());
        prop_assert_eq!(&again, &got);
        prop_assert!(reducer.apply(&bytes[..whole - 1], &mut again).is_none());
        // Colours change as they would afterwards.
        let mut image = I420::black(small.0, small.1);
        image.data.copy_from_slice(&got);
        Recolour::new(Codes::UVC).expect("other codes").in_place(&mut image);
        let mut reducer = Reducer::new(ratio, layout, Codes::UVC, size, stride as u32);
        reducer.apply(&bytes, &mut got).expect("whole");
        prop_assert_eq!(&got, &image.data);
    }
}
