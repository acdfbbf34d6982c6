//! Compresses the recordings of the lessons, which are 1.3 MB as they are kept, and 0.3 MB as the
//! program carries them.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=lessons/recordings");
    #[cfg(feature = "lessons")]
    compress()?;
    Ok(())
}

#[cfg(feature = "lessons")]
fn compress() -> std::io::Result<()> {
    use std::path::PathBuf;
    use std::{env, fs, io};

    let out_dir = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let out_dir = PathBuf::from(out_dir);
    for entry in fs::read_dir("lessons/recordings")? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let compressed = miniz_oxide::deflate::compress_to_vec(&fs::read(&path)?, LEVEL);
        fs::write(out_dir.join(name), compressed)?;
    }
    Ok(())
}

/// Of 0 to 10; more takes longer and gains little.
#[cfg(feature = "lessons")]
const LEVEL: u8 = 9;
