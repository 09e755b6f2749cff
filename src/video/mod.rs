//! Video, pure: pixel formats, scaling, VP8, frame assembly, pacing, the test picture.

pub mod frame;
