//! Passes bpf-linker the options that only make sense for the BPF target.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "bpf") {
        // By default LLVM expands every copy of 16 bytes or more into a loop over bytes.
        println!("cargo:rustc-link-arg-bins=--disable-expand-memcpy-in-order");
    }
}
