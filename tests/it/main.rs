//! Integration tests, one binary: each module shows one part of the program from outside.

mod encoders;
