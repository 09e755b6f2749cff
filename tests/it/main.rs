//! All integration tests in one binary: they link once.

mod devices;
mod lab;
mod socket;
