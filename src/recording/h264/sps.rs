//! Rewrites an encoder's sequence parameter set so that it tells what the file promises: High
//! profile at level 4.1, BT.709 limited range, a constant frame rate, no reordering.
//!
//! Everything that the slices depend on is copied bit for bit; only the level and the VUI are
//! new (ITU-T H.264, 7.3.2.1.1 and E.1.1). OpenH264 cannot write timing itself.

use super::bits::{BitReader, BitWriter, escape, unescape};

/// profile_idc of High (A.2.4).
const PROFILE_HIGH: u32 = 100;
/// level_idc of level 4.1 (A.3).
pub const LEVEL_4_1: u32 = 41;
/// nal_unit_type of a sequence parameter set (table 7-1).
const NAL_SPS: u8 = 7;

/// BT.709 in tables E-3, E-4 and E-5: primaries, transfer, matrix.
const BT709: u32 = 1;
/// video_format "unspecified" (table E-2).
const FORMAT_UNSPECIFIED: u32 = 5;
/// Largest motion vector allowed to be written, 2^16 quarter samples (E.2.1), as no bound.
const MV_LOG2_UNBOUNDED: u32 = 16;

/// The SPS with level 4.1 and our VUI for `fps`, or what is wrong with the one given (a whole
/// NAL unit without start code).
pub fn rewrite(nal: &[u8], fps: u32) -> Result<Vec<u8>, &'static str> {
    let (&header, payload) = nal.split_first().ok_or("empty SPS")?;
    if header & 0x1F != NAL_SPS {
        return Err("not an SPS");
    }
    let rbsp = unescape(payload);
    let mut out = BitWriter::default();
    copy(&mut BitReader::new(&rbsp), &mut out)?;
    let references = references(&rbsp).ok_or("SPS cut short")?;
    vui(&mut out, fps, references);
    let mut sps = vec![header];
    sps.extend(escape(&out.finish()));
    Ok(sps)
}

/// Copies everything before vui_parameters_present_flag, with level 4.1 in it.
fn copy(r: &mut BitReader<'_>, w: &mut BitWriter) -> Result<(), &'static str> {
    (|| {
        let profile = r.bits(8)?;
        if profile != PROFILE_HIGH {
            return Some(Err("the profile is not High"));
        }
        w.bits(8, profile);
        // constraint_set0..5 and two zero bits. Sets 4 and 5 (no interlace, no B) are true, but
        // then readers say "Constrained High", which is not what the file is asked to be.
        r.bits(8)?;
        w.bits(8, 0);
        r.bits(8)?;
        w.bits(8, LEVEL_4_1);
        let mut ue = |r: &mut BitReader<'_>| {
            let value = r.ue()?;
            w.ue(value);
            Some(value)
        };
        ue(r)?; // seq_parameter_set_id
        if ue(r)? != 1 {
            return Some(Err("chroma is not 4:2:0"));
        }
        if ue(r)? != 0 || ue(r)? != 0 {
            return Some(Err("samples have more than 8 bits"));
        }
        let bypass = r.bit()?; // qpprime_y_zero_transform_bypass_flag
        let scaling = r.bit()?; // seq_scaling_matrix_present_flag
        if bypass || scaling {
            return Some(Err("lossless bypass or scaling matrices in the SPS"));
        }
        w.bits(2, 0);
        let mut ue = |r: &mut BitReader<'_>| {
            let value = r.ue()?;
            w.ue(value);
            Some(value)
        };
        ue(r)?; // log2_max_frame_num_minus4
        match ue(r)? {
            0 => {
                ue(r)?; // log2_max_pic_order_cnt_lsb_minus4
            }
            2 => {}
            _ => return Some(Err("picture order count type 1")),
        }
        ue(r)?; // max_num_ref_frames
        let gaps = r.bit()?;
        w.bit(gaps);
        for _ in 0..2 {
            // pic_width_in_mbs_minus1, pic_height_in_map_units_minus1
            let value = r.ue()?;
            w.ue(value);
        }
        if !r.bit()? {
            return Some(Err("interlaced"));
        }
        w.bit(true); // frame_mbs_only_flag
        r.bit()?;
        w.bit(true); // direct_8x8_inference_flag: a must from level 3 on, means nothing without B
        let cropping = r.bit()?;
        w.bit(cropping);
        if cropping {
            for _ in 0..4 {
                let value = r.ue()?;
                w.ue(value);
            }
        }
        Some(Ok(()))
    })()
    .unwrap_or(Err("SPS cut short"))
}

/// max_num_ref_frames of an SPS that [`copy`] accepts.
fn references(rbsp: &[u8]) -> Option<u32> {
    let mut r = BitReader::new(rbsp);
    r.bits(24)?;
    for _ in 0..4 {
        r.ue()?;
    }
    r.bits(2)?;
    r.ue()?;
    if r.ue()? == 0 {
        r.ue()?;
    }
    r.ue()
}

fn vui(w: &mut BitWriter, fps: u32, references: u32) {
    w.bit(true); // vui_parameters_present_flag
    w.bit(true); // aspect_ratio_info_present_flag
    w.bits(8, 1); // aspect_ratio_idc: square
    w.bit(false); // overscan_info_present_flag
    w.bit(true); // video_signal_type_present_flag
    w.bits(3, FORMAT_UNSPECIFIED);
    w.bit(false); // video_full_range_flag
    w.bit(true); // colour_description_present_flag
    w.bits(8, BT709); // colour_primaries
    w.bits(8, BT709); // transfer_characteristics
    w.bits(8, BT709); // matrix_coefficients
    w.bit(true); // chroma_loc_info_present_flag
    w.ue(0); // top field: left, as MPEG-2 and all that our converters make
    w.ue(0); // bottom field
    w.bit(true); // timing_info_present_flag
    w.bits(32, 1); // num_units_in_tick: a tick is a field
    w.bits(32, fps * 2); // time_scale
    w.bit(true); // fixed_frame_rate_flag
    w.bit(false); // nal_hrd_parameters_present_flag
    w.bit(false); // vcl_hrd_parameters_present_flag
    w.bit(false); // pic_struct_present_flag
    w.bit(true); // bitstream_restriction_flag
    w.bit(true); // motion_vectors_over_pic_boundaries_flag
    w.ue(0); // max_bytes_per_pic_denom: no bound
    w.ue(0); // max_bits_per_mb_denom: no bound
    w.ue(MV_LOG2_UNBOUNDED);
    w.ue(MV_LOG2_UNBOUNDED);
    w.ue(0); // max_num_reorder_frames: display order is decoding order
    w.ue(references); // max_dec_frame_buffering
}

#[cfg(test)]
mod tests;
