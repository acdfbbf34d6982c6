//! Writes cpio archives in the `newc` format, which the kernel unpacks as its initial root file
//! system.

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive that grows in memory.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Archive {
    /// Adds a directory. Its parents have to be in the archive already.
    pub(crate) fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY, 2, (0, 0), &[]);
    }

    /// Adds a file that may be executed.
    pub(crate) fn executable(&mut self, name: &str, content: &[u8]) {
        self.entry(name, EXECUTABLE, 1, (0, 0), content);
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE, 1, (major, minor), &[]);
    }

    /// Returns the complete archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.bytes
    }

    /// Adds an entry: a header of 13 hexadecimal fields, the name with a NUL and the content, both
    /// padded to 4 bytes.
    fn entry(&mut self, name: &str, mode: u32, links: u32, device: (u32, u32), content: &[u8]) {
        self.inodes += 1;
        // The binaries that go in here are some tens of MB; the format ends at 4 GB.
        let size = content.len() as u32;
        let name_size = name.len() as u32 + 1;
        let (major, minor) = device;
        let fields = [self.inodes, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_laid_out_as_newc() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.executable("bin/x", b"hello");
        archive.device("console", 5, 1);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);

        let field = |entry: usize, index: usize| {
            let at = entry + 6 + 8 * index;
            let digits = std::str::from_utf8(&bytes[at..at + 8]).expect("hexadecimal digits");
            u32::from_str_radix(digits, 16).expect("hexadecimal digits") as usize
        };
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (mode, size, name_size) = (field(at, 1), field(at, 6), field(at, 11));
            let name =
                String::from_utf8_lossy(&bytes[at + 110..at + 110 + name_size - 1]).into_owned();
            let content = (at + 110 + name_size).next_multiple_of(4);
            match name.as_str() {
                "bin" => assert_eq!(mode, 0o040_755),
                "bin/x" => assert_eq!(&bytes[content..content + size], b"hello"),
                "console" => assert_eq!((mode, field(at, 9), field(at, 10)), (0o020_600, 5, 1)),
                _ => {}
            }
            names.push(name);
            at = (content + size).next_multiple_of(4);
        }
        assert_eq!(names, ["bin", "bin/x", "console", "TRAILER!!!"]);
    }
}
