//! Tests of the playout buffer in virtual time.
