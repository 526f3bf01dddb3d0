//! Tests of the pure half: keys in, requests and screens out.
