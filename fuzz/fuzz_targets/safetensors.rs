#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kerast_fuzz::read("safetensors", data));
